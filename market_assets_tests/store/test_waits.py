"""Waits for the store are told by the next commit, and by no transaction of their own."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from market_assets.errors import StoreBusyError
from market_assets.store import Store
from market_assets.store.waits import Waits


def told(store: Store) -> tuple[int, float]:
    with store.reading("testing") as view:
        return view.totals.waits()


def test_short_waits_do_not_count(store) -> None:
    waits = Waits()
    for seconds in (0.01, 0.099, 0.1, 2.5):
        waits.add(seconds)
    with store.writing("testing") as transaction:
        assert waits.write(transaction.connection) == (2, 2.6)
    assert told(store) == (2, 2.6)


def test_what_no_commit_has_written_is_written_by_the_next_one(store) -> None:
    waits = Waits()
    waits.add(1.0)

    def broken_off() -> None:
        with store.writing("testing") as transaction:
            waits.write(transaction.connection)
            raise LookupError("broken off")

    with pytest.raises(LookupError, match="broken off"):
        broken_off()
    assert told(store) == (0, 0.0)

    waits.add(2.0)
    with store.writing("testing") as transaction:
        written = waits.write(transaction.connection)
    waits.forget(written)
    with store.writing("testing") as transaction:
        assert waits.write(transaction.connection) == (0, 0.0)
    assert told(store) == (2, 3.0)


def test_a_writer_tells_how_long_it_waited_for_another(store, clock) -> None:
    home = store.path.parent
    is_held, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        other = Store(home, clock=clock)
        with other.writing("holding the store"):
            is_held.set()
            is_over.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait(30)
    with (
        pytest.raises(StoreBusyError),
        store.writing("giving up", patience=timedelta(seconds=0.2)),
    ):
        pass
    is_over.set()
    holder.join()

    with store.writing("going on"):
        pass
    waits, seconds = told(store)
    assert waits == 1
    assert seconds >= 0.2
    with store.writing("once more"):
        pass
    assert told(store) == (1, seconds)
