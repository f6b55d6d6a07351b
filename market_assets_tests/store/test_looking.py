"""Who only looks does not wait for the store."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from market_assets.errors import StoreBusyError
from market_assets.store import LookingStore
from market_assets.store.published import Published
from market_assets_tests.support.store_processes import HOLDS_THE_FILE, count_up

if TYPE_CHECKING:
    from market_assets_tests.conftest import Clock


def test_who_only_looks_reads_the_last_copy_while_a_program_has_the_store(
    home_of_numbers, store, child, clock: Clock
):
    told: list[str] = []
    looking = LookingStore(
        home_of_numbers, clock=clock, tell=told.append, patience=timedelta(seconds=0.2)
    )
    store.copy("looking")
    clock.now += timedelta(minutes=3)
    count_up(store)
    with looking.reading("looking") as view:
        assert view.database.execute("SELECT floor(max(n)) FROM numbers").fetchall() == [(1,)]
    assert told == []
    foreign = child(HOLDS_THE_FILE, store.path, "to write")
    assert foreign.says() == "open"
    with looking.reading("looking") as view:
        assert view.database.execute("SELECT floor(max(n)) FROM numbers").fetchall() == [(0,)]
    (words,) = told
    assert words.startswith(
        "as of 2025-03-01 12:00:00 UTC, because the store is held by another program"
    )
    program = f"{Path(sys.executable).name} (PID {foreign.process.pid})"
    assert words.endswith(f"since 2025-03-01 12:03:00 UTC: {program})")
    Published(store.path).clear()
    with pytest.raises(StoreBusyError), looking.reading("looking"):
        pass
