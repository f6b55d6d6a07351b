"""Requests read the newest copy; writers wait for none of them, and nothing can be written."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from market_assets.errors import ServeError, StoreError
from market_assets.serve.editions import Editions
from market_assets_tests.support.platform import until
from market_assets_tests.support.serve_ground import HOLE


@pytest.fixture
def editions(ground):
    editions = Editions(
        ground.home, clock=ground.clock, memory=100_000_000, longest=timedelta(minutes=1)
    )
    yield editions
    editions.close()


def closes(view) -> int:
    ((count,),) = view.database.execute("SELECT count(*) FROM crypto.candles_1h").fetchall()
    return count


def test_a_reader_keeps_its_copy_and_the_next_one_sees_the_commit(editions, ground):
    with editions.edition("first") as (before, view):
        count = closes(view)
        ground.heal()
        with editions.edition("second") as (after, newer):
            assert closes(newer) == count + 1
            assert after is not before
        assert closes(view) == count
    with editions.edition("third") as (again, _):
        assert again is after


def test_the_copy_is_closed_when_nobody_reads_it(editions, ground):
    with editions.edition("first") as (before, _):
        ground.heal()
        with editions.edition("second"):
            assert before.readers == 1
    assert before.readers == 0
    with pytest.raises(duckdb.ConnectionException):
        before.connection.execute("SELECT 1")
    # The next copy is made of it, which must not be open any more.
    files = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    copies = [file for file in files if file.parent == ground.home / "published"]
    assert {file.name.rpartition("-")[2] for file in copies} == {f"{editions.stamp()}.duckdb"}


def test_readers_and_a_writer_work_side_by_side(editions, ground):
    failures: list[BaseException] = []
    over = threading.Event()

    def read():
        try:
            while not over.is_set():
                with editions.edition("reading") as (_, view):
                    # Whole partitions alone: a commit writes one row in both tables.
                    ((rows, noted),) = view.database.execute(
                        "SELECT (SELECT count(*) FROM crypto.candles_1h WHERE close = -1),"
                        " (SELECT count(*) FROM ops.gaps WHERE reason = 'odd')"
                    ).fetchall()
                    assert rows == noted
        except BaseException as error:  # noqa: BLE001 - for the thread that asks
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(1, 11):
        with ground.store.writing("committing") as transaction:
            hour = HOLE + timedelta(seconds=number)
            ground.put_odd(transaction, hour)
    over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    with editions.edition("at last") as (_, view):
        ((rows,),) = view.database.execute(
            "SELECT count(*) FROM crypto.candles_1h WHERE close = -1"
        ).fetchall()
    assert rows == 10


def test_while_the_store_is_held_the_last_copy_is_read_and_nobody_queues(editions, ground):
    with editions.edition("first") as (before, _):
        pass
    ground.heal()
    with ground.store.writing("holding it"):
        with editions.edition("second") as (edition, _):
            assert edition is before
        # It is known as busy now: the next one does not wait.
        assert editions._busy_until > time.monotonic()
        with editions.edition("third") as (edition, _):
            assert edition is before
    editions._busy_until = 0.0
    with editions.edition("fourth") as (edition, _):
        assert edition is not before


def test_a_commit_that_is_under_way_keeps_nobody_waiting_and_is_seen_once_it_is_told(
    editions, ground
):
    with editions.edition("before") as (before, view):
        count = closes(view)
    log = ground.store.path.with_name("market.duckdb.wal")
    with ground.store.writing("committing") as transaction:
        transaction.connection.execute(
            "DELETE FROM crypto.candles_1h WHERE symbol = 'ETH' AND close = 1"
        )
        transaction.connection.commit()
        # Committed, and not yet told: the writer still has the store.
        assert log.exists()
        with editions.edition("meanwhile") as (meanwhile, view):
            assert meanwhile is before
            assert closes(view) == count
        transaction.connection.begin()

    with editions.edition("after") as (after, view):
        assert after is not before
        assert closes(view) == count - 1


def test_what_a_killed_process_has_committed_is_seen_within_a_second(editions, ground, monkeypatch):
    with editions.edition("before") as (before, _):
        pass
    log = ground.store.path.with_name("market.duckdb.wal")
    log.write_bytes(b"")
    assert editions.stamp() == before.stamp

    later = time.monotonic() + 1.0
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert editions.stamp() is None


def test_the_next_copy_is_made_before_somebody_asks_for_it(editions, ground):
    with editions.edition("first") as (before, _):
        pass
    ground.heal()

    until(lambda: editions.newest_stamp not in {None, before.stamp}, "the next copy")

    assert editions.newest_stamp == editions.stamp()


def test_a_query_that_takes_too_long_is_broken_off(ground):
    editions = Editions(
        ground.home, clock=ground.clock, memory=100_000_000, longest=timedelta(seconds=0.2)
    )
    with pytest.raises(ServeError, match=r"serve\.max_time"), editions.reading("counting") as view:
        view.database.execute("SELECT count(*) FROM range(100000000000) a").fetchall()
    editions.close()


def test_nothing_can_be_written_through_it(editions):
    with pytest.raises(StoreError, match="reads only"), editions.writing("x"):
        pass


def test_a_home_without_a_store_is_told_of(tmp_path, clock):
    home = tmp_path / "empty"
    home.mkdir()
    editions = Editions(home, clock=clock, memory=1_000_000, longest=timedelta(seconds=1))
    assert editions.stamp() is None
    with pytest.raises(StoreError, match="nothing was stored"), editions.reading("x"):
        pass
