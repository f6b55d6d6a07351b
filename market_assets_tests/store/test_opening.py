"""Opening a store while programs that do not know its lock have it open."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pytest

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store
from market_assets_tests.support.store_processes import OPENS_THE_FILE

pytestmark = pytest.mark.usefixtures("home")

M1 = Timeframe.M1


@pytest.mark.parametrize(
    ("theirs", "ours"), [("to read", "writing"), ("to write", "writing"), ("to write", "reading")]
)
def test_a_foreign_program_that_holds_the_file_is_waited_for(
    theirs: str, ours: str, *, child, store, released_on_waiting, caplog
):
    foreign = released_on_waiting(child(OPENS_THE_FILE, store.path, theirs))
    assert foreign.says() == "open"
    with getattr(store, ours)("filling crypto 1m") as view:
        assert view.candles.has(Dataset.candles("crypto", M1))
    waits, got = caplog.messages
    assert waits.startswith(f"filling crypto 1m: waiting, another program has {store.path} open (")
    assert waits.endswith(f"(PID {foreign.process.pid}))")
    assert got.startswith("filling crypto 1m: got the store after ")


def test_a_foreign_reader_and_ours_read_side_by_side(child, store, caplog):
    foreign = child(OPENS_THE_FILE, store.path, "to read")
    assert foreign.says() == "open"
    with store.reading("looking") as view:
        assert view.candles.has(Dataset.candles("crypto", M1))
    assert caplog.messages == []


def test_patience_with_a_foreign_program_ends_with_its_name(child, home, store, clock):
    foreign = child(OPENS_THE_FILE, store.path, "to write")
    assert foreign.says() == "open"
    impatient = Store(home, clock=clock, patience=timedelta(seconds=0.1))
    given_up = r"filling: gave up after .* another program has .*market\.duckdb open"
    with pytest.raises(StoreError, match=given_up) as raised, impatient.writing("filling"):
        pass
    assert f"(PID {foreign.process.pid})" in str(raised.value)
    assert "Close it there" in str(raised.value)


def test_a_connection_of_this_very_process_is_no_reason_to_wait(store):
    mine = duckdb.connect(store.path, read_only=True)
    try:
        with pytest.raises(StoreError, match="already attached"), store.writing("filling"):
            pass
    finally:
        mine.close()
