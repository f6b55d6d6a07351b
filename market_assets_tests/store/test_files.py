"""Files and folders that are not what they should be: a clear error, and nothing touched."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store
from market_assets.store.schema import VERSION

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def opening(clock):
    """Opens the store of a folder, to read and to write; both must fail alike.

    Returns:
        The message.
    """

    def fail(folder: Path, match: str) -> str:
        messages = []
        for way in ("reading", "writing"):
            fresh = Store(folder, clock=clock, patience=timedelta(minutes=10))
            with pytest.raises(StoreError, match=match) as raised, getattr(fresh, way)("looking"):
                pass
            messages.append(str(raised.value))
        assert messages[0] == messages[1]
        return messages[0]

    return fail


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name has a word of DuckDB's lock errors in it."""
    folder = tmp_path / "clock and lock"
    folder.mkdir()
    return folder


def left(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but for the locks."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix not in {".lock", ".turn"}
    }


def database(path: Path, sql: str) -> None:
    connection = duckdb.connect(path)
    connection.execute(sql)
    connection.close()


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


def test_a_store_of_a_newer_version_is_left_as_it_is(store, opening):
    with store.writing("from the future") as transaction:
        transaction.connection.execute("UPDATE ops.store SET version = 99")
    before = left(store.path.parent)
    message = opening(store.path.parent, "newer market_assets")
    assert "store version 99" in message
    assert f"knows {VERSION}" in message
    assert "Upgrade market_assets" in message
    assert left(store.path.parent) == before


def test_a_store_that_is_older_is_brought_up_to_date(store):
    """An empty DuckDB file is a store of version 0.

    An older release began to make it and was cut short.
    """
    store.path.unlink()
    database(store.path, "SELECT 1")
    with store.reading("looking") as view:
        assert view.jobs.newest(10).is_empty()


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"ts,open,high,low,close\n" * 1000], ids=["empty", "short", "csv"]
)
def test_a_file_that_is_no_duckdb_file_is_left_as_it_is(content: bytes, folder, opening):
    (folder / "market.duckdb").write_bytes(content)
    message = opening(folder, "not a valid DuckDB database file")
    assert "MARKET_ASSETS_HOME" in message
    assert left(folder) == {"market.duckdb": content}


def test_a_broken_duckdb_file_is_no_reason_to_wait(folder, opening):
    database(folder / "market.duckdb", "CREATE TABLE t AS SELECT range AS x FROM range(100_000)")
    whole = (folder / "market.duckdb").read_bytes()
    for broken in (whole[:9000], whole[:12288] + bytes(len(whole) - 12288)):
        (folder / "market.duckdb").write_bytes(broken)
        opening(folder, "cannot be opened")
        assert left(folder) == {"market.duckdb": broken}


def test_a_duckdb_file_of_another_program_is_left_as_it_is(folder, opening):
    database(
        folder / "market.duckdb",
        "CREATE TABLE prices (symbol VARCHAR); INSERT INTO prices VALUES ('BTC')",
    )
    before = left(folder)
    message = opening(folder, "another program")
    assert "main.prices" in message
    assert left(folder) == before


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


def test_a_lock_that_cannot_be_opened_says_so(store):
    lock = store.path.with_name("market.duckdb.lock")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    with (
        pytest.raises(StoreError, match=r"looking: .*market\.duckdb\.lock cannot be opened"),
        store.writing("looking"),
    ):
        pass


def test_what_was_left_of_a_store_that_was_being_made_does_no_harm(folder, clock):
    (folder / "market.duckdb.new").write_bytes(b"half")
    (folder / "market.duckdb.new.wal").write_bytes(b"of it")
    with Store(folder, clock=clock).writing("looking") as view:
        assert view.jobs.newest(10).is_empty()
    assert set(left(folder)) == {"market.duckdb"}


def test_the_changes_of_a_store_that_is_gone_are_not_poured_into_a_new_one(folder, opening):
    (folder / "market.duckdb.wal").write_bytes(b"the last changes")
    assert "begin with an empty store" in opening(
        folder, r"market\.duckdb\.wal holds the last changes"
    )
    assert left(folder) == {"market.duckdb.wal": b"the last changes"}


FULL_DISK = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.store import Store

candles = Dataset.candles("crypto", Timeframe.M1)
home, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
store = Store(home, clock=lambda: datetime.now(UTC))
day = Window.of_days(datetime(2025, 1, 1).date(), datetime(2025, 2, 1).date())
ts = pl.datetime_range(
    day.start, day.end, "1s", closed="left", time_zone=None, eager=True
).dt.replace_time_zone(None).cast(TS)
rows = ts.to_frame("ts").select(
    "ts", symbol=pl.lit("BTC"), source=pl.lit("binance"),
    **{
        name: pl.int_range(pl.len()).shuffle(seed=1).cast(pl.Float64)
        for name in ("open", "high", "low", "close", "volume")
    },
)
try:
    with store.writing("filling crypto 1m") as transaction:
        transaction.candles.merge(candles, ["BTC"], day, rows)
except StoreError as error:
    print(error)
"""


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


def test_a_disk_that_is_full_before_the_store_is_made_leaves_no_half_store(tmp_path, clock, child):
    assert "make room on its disk" in child(FULL_DISK, tmp_path, 5000).ends()
    assert not (tmp_path / "market.duckdb").exists()
    with Store(tmp_path, clock=clock).reading("looking") as view:
        assert view.jobs.newest(10).is_empty()
