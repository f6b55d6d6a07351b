"""Several processes and one store: what dies half way leaves nothing half done."""

from __future__ import annotations

import logging
import os

import duckdb
import pytest

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store
from market_assets.store.schema import VERSION
from market_assets_tests.support.store_files import FULL_DISK, left
from market_assets_tests.support.store_processes import COMMON, whole

pytestmark = pytest.mark.usefixtures("home")

M1 = Timeframe.M1
DAY = 1440

DIES_IN_THE_MIDDLE = """
for number in range(3):
    with store.writing("filling") as transaction:
        merge(transaction, number)
        if number == 2:
            say("in the middle")
            wait()
"""

DIES_AFTER_THE_COMMIT = """
with store.writing("filling") as transaction:
    merge(transaction, 0)
    transaction.connection.commit()
    say("committed, not closed")
    wait()
"""

FILLS_DAYS = """
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    with store.writing(f"filling day {number}") as transaction:
        merged = merge(transaction, number, float(sys.argv[4]))
    say(number, merged.new.height, merged.revised.height)
"""

FILLS_DAYS_ON_COMMAND = FILLS_DAYS.replace(
    "    with store", "    sys.stdin.readline()\n    with store"
)

WAITS_THEN_FILLS_DAYS = f"say('ready')\nwait()\n{FILLS_DAYS}"


# Killed


def test_killed_in_the_middle_of_a_partition_leaves_the_ones_before_it_whole(
    child, home, days, caplog
):
    caplog.set_level(logging.INFO)
    writer = child(COMMON + DIES_IN_THE_MIDDLE, home)
    assert writer.says() == "in the middle"
    writer.kill()
    assert days() == whole(0, 1)
    assert "waiting" not in caplog.text
    resumed = child(COMMON + FILLS_DAYS, home, 0, 3, 1.0)
    assert [resumed.says() for _ in range(3)] == ["0 0 0", "1 0 0", f"2 {2 * DAY} 0"]
    assert days() == whole(0, 1, 2)


def test_killed_between_commit_and_close_loses_nothing(child, home, days):
    writer = child(COMMON + DIES_AFTER_THE_COMMIT, home)
    assert writer.says() == "committed, not closed"
    writer.kill()
    assert (home / "market.duckdb.wal").exists()
    assert days() == whole(0)


def test_killed_at_any_moment_and_started_again_until_all_is_there(child, home, days):
    for done in (2, 4, 6):
        writer = child(COMMON + FILLS_DAYS_ON_COMMAND, home, 0, 10, 1.0)
        for _ in range(done):
            writer.do_one()
            writer.says()
        writer.do_one()
        writer.kill()
        assert days() in (whole(*range(done)), whole(*range(done + 1)))
    child(COMMON + FILLS_DAYS, home, 0, 10, 1.0).ends()
    assert days() == whole(*range(10))


# At once


def test_two_processes_that_merge_overlapping_windows_lose_and_double_nothing(
    child, home, days, store
):
    writers = [
        child(COMMON + WAITS_THEN_FILLS_DAYS, home, 0, 12, 1.0),
        child(COMMON + WAITS_THEN_FILLS_DAYS, home, 4, 16, 2.0),
    ]
    assert [writer.says() for writer in writers] == ["ready", "ready"]
    for writer in writers:
        writer.go_on()
    seen = set()
    while any(writer.process.poll() is None for writer in writers):
        seen |= set(days().values())
    assert seen <= {DAY}, "a reader saw half a partition"
    told = [
        list(map(int, line.split())) for writer in writers for line in writer.ends().splitlines()
    ]
    assert len(told) == 24
    assert sum(new for _, new, _ in told) == 16 * 2 * DAY
    assert sum(revised for *_, revised in told) == 8 * 2 * DAY
    assert days() == whole(*range(16))
    with store.writing("counting revisions") as transaction:
        kept = transaction.connection.execute(
            "SELECT count(*), count(DISTINCT (symbol, ts)) FROM ops.revisions"
        ).fetchall()
    assert kept == [(8 * 2 * DAY, 8 * 2 * DAY)]


# Time zones


def test_a_process_in_another_time_zone_fills_the_same_days(child, home, days):
    child(
        COMMON + FILLS_DAYS, home, 66, 69, 1.0, timezone="America/New_York"
    ).ends()  # which skips an hour on 2025-03-09
    assert days() == whole(66, 67, 68)


def test_a_store_is_made_by_whoever_writes_first_and_not_by_who_reads(tmp_path, clock):
    store = Store(tmp_path / "deep" / "down", clock=clock)
    with store.reading("looking") as view:
        assert view.jobs.newest(10).is_empty()
    assert not (tmp_path / "deep").exists()
    with store.writing("filling") as transaction:
        assert transaction.jobs.newest(10).is_empty()
    assert set(left(tmp_path / "deep" / "down")) == {"market.duckdb"}
    connection = duckdb.connect(store.path, read_only=True)
    assert connection.execute("SELECT version FROM ops.store").fetchall() == [(VERSION,)]
    connection.close()


def test_a_store_that_is_deleted_between_two_blocks_is_made_again(store):
    with store.writing("preparing") as transaction:
        transaction.candles.create(Dataset.candles("crypto", Timeframe.M1), derived=False)
    store.path.unlink()
    with store.reading("looking") as view:
        assert not view.candles.has(Dataset.candles("crypto", Timeframe.M1))


def test_nothing_holds_the_file_open_between_two_blocks(store):
    with store.writing("preparing"):
        pass
    with store.reading("looking"):
        pass
    duckdb.connect(store.path).close()
    assert set(left(store.path.parent)) == {"market.duckdb"}


def test_a_folder_in_the_place_of_the_file_is_an_error(folder, opening):
    (folder / "market.duckdb").mkdir()
    opening(folder, "cannot be opened.*directory")


def test_a_home_that_cannot_be_made_says_so(tmp_path, clock):
    (tmp_path / "file").write_text("in the way")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"cannot be made.*MARKET_ASSETS_HOME"):
            Store(home, clock=clock)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written_to_says_so(folder, clock):
    folder.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"cannot be written to.*MARKET_ASSETS_HOME"):
            Store(folder, clock=clock)
    finally:
        folder.chmod(0o700)
    assert left(folder) == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_may_only_be_read_can_be_read(store):
    with store.writing("preparing") as transaction:
        transaction.candles.create(Dataset.candles("crypto", Timeframe.M1), derived=False)
    store.path.chmod(0o400)
    with store.reading("looking") as view:
        assert view.candles.has(Dataset.candles("crypto", Timeframe.M1))
    with pytest.raises(StoreError, match="cannot be opened"), store.writing("filling"):
        pass


def test_a_full_disk_is_a_clear_error_and_loses_nothing(store, minutes, child):
    with store.writing("filling") as transaction:
        transaction.candles.create(Dataset.candles("crypto", Timeframe.M1), derived=False)
        rows = minutes.candles(*(("BTC", minute, 1.0, 1.0) for minute in range(8)))
        transaction.candles.merge(
            Dataset.candles("crypto", Timeframe.M1), ["BTC"], minutes.window(0, 10), rows
        )
    said = child(FULL_DISK, store.path.parent, 2_000_000).ends()
    assert "filling crypto 1m:" in said
    assert "Nothing of this step was stored" in said
    with store.reading("looking") as view:
        assert (
            view.candles.opens(
                Dataset.candles("crypto", Timeframe.M1), ["BTC"], minutes.window(0, 100_000)
            ).height
            == 8
        )


# Jobs


def test_a_reader_cannot_write(store):
    with pytest.raises(StoreError, match="read-only"), store.reading("looking") as view:
        view.database.execute("DELETE FROM ops.jobs")
