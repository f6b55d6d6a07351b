"""The lock of a store: who waits is told for whom, and goes on when it is free."""

from __future__ import annotations

import os
import threading
from datetime import timedelta

import pytest

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store
from market_assets_tests.support.store_processes import COMMON

pytestmark = pytest.mark.usefixtures("home")

M1 = Timeframe.M1

HOLDS = """
with store.writing("filling crypto 1m") as transaction:
    say("holds")
    wait()
"""


# At once


def test_a_process_that_commits_without_a_pause_lets_others_in(store):
    committed = 0
    enough = threading.Event()

    def commit_on_and_on() -> None:
        nonlocal committed
        while not enough.is_set():
            with store.writing("filling"):
                committed += 1

    thread = threading.Thread(target=commit_on_and_on)
    thread.start()
    try:
        before = committed
        for _ in range(10):
            with store.reading("looking"):
                pass
        assert committed - before <= 50
    finally:
        enough.set()
        thread.join()


# Waiting for one of ours


@pytest.mark.parametrize("way", ["reading", "writing"])
def test_whoever_waits_says_for_whom_and_goes_on(
    way: str, *, child, home, store, released_on_waiting, caplog
):
    holder = released_on_waiting(child(COMMON + HOLDS, home))
    assert holder.says() == "holds"
    with getattr(store, way)("planning crypto 1m"):
        pass
    waits, got = caplog.messages
    assert waits.startswith("planning crypto 1m: waiting for the store, held by -c (process")
    assert f"process {holder.process.pid} on " in waits
    assert waits.endswith("filling crypto 1m since 2025-03-01 00:00:00 UTC")
    assert got.startswith("planning crypto 1m: got the store after ")


def test_patience_ends_with_the_name_of_the_holder(child, home, clock):
    holder = child(COMMON + HOLDS, home)
    assert holder.says() == "holds"
    impatient = Store(home, clock=clock, patience=timedelta(seconds=0.2))
    with (
        pytest.raises(StoreError, match="planning crypto 1m: gave up after") as raised,
        impatient.reading("planning crypto 1m"),
    ):
        pass
    assert f"process {holder.process.pid} on" in str(raised.value)
    assert "filling crypto 1m since 2025-03-01 00:00:00 UTC" in str(raised.value)
    assert "run this again" in str(raised.value)
    holder.go_on()
    holder.ends()
    with impatient.reading("planning crypto 1m"):
        pass


def test_a_holder_whose_note_cannot_be_read_is_a_holder_all_the_same(child, home, clock):
    holder = child(COMMON + HOLDS, home)
    assert holder.says() == "holds"
    impatient = Store(home, clock=clock, patience=timedelta(0))
    note = home / "market.duckdb.holder.json"
    for content in ("", "{", "{}", "[1, 2]", None):
        note.unlink() if content is None else note.write_text(content)
        with (
            pytest.raises(StoreError, match="held by a process that left no note"),
            impatient.reading("looking"),
        ):
            pass


def test_threads_wait_for_each_other_like_processes(store, home, clock):
    impatient = Store(home, clock=clock, patience=timedelta(seconds=0.1))
    caught = []

    def look(through: Store) -> None:
        try:
            with through.reading("looking"):
                pass
        except StoreError as error:
            caught.append(str(error))

    with impatient.writing("filling crypto 1m"):
        for through in (impatient, Store(home, clock=clock, patience=timedelta(seconds=0.1))):
            thread = threading.Thread(target=look, args=(through,))
            thread.start()
            thread.join()
    assert len(caught) == 2
    assert all(
        f"process {os.getpid()} on" in message and "filling crypto 1m" in message
        for message in caught
    )
    with store.reading("looking"):
        pass
    assert not (home / "market.duckdb.holder.json").exists()


def test_an_exception_in_a_block_gives_the_store_free(store, home, clock):
    with pytest.raises(ZeroDivisionError), store.writing("filling"):
        _ = 1 / 0
    with Store(home, clock=clock, patience=timedelta(0)).writing("filling") as transaction:
        assert transaction.candles.has(Dataset.candles("crypto", M1))


def test_a_lock_that_cannot_be_opened_says_so(store):
    lock = store.path.with_name("market.duckdb.lock")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    with (
        pytest.raises(StoreError, match=r"looking: .*market\.duckdb\.lock cannot be opened"),
        store.writing("looking"),
    ):
        pass
