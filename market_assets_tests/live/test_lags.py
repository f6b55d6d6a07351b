"""How late bars are said to be: those that were streamed, and apart those that waited for REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from market_assets.fill.streamed import Streamed
from market_assets.live.choice import Choice
from market_assets.live.lags import Lags, Lateness
from market_assets.live.states import SymbolStreams
from market_assets.market.datasets import Dataset
from market_assets.stream.stream import BAR_SCHEMA

OPENED = datetime(2025, 3, 1, 12, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
NAMES = {"btcusdt": "BTC"}


@pytest.fixture
def streams() -> SymbolStreams:
    choice = Choice(symbols={"vendor": NAMES})
    return SymbolStreams(Dataset.labelled("crypto", "1m"), choice, OPENED, str)


def part(*minutes: int, is_revision: bool = False) -> Streamed:
    """Bars that came a second after their ends."""
    rows = [
        (
            *("btcusdt", (OPENED + minute * MINUTE).replace(tzinfo=None)),
            *((1.0,) * 5),
            *((None,) * (len(BAR_SCHEMA) - 9)),
            *((OPENED + (minute + 1) * MINUTE + SECOND).replace(tzinfo=None), is_revision),
        )
        for minute in minutes
    ]
    return Streamed("vendor", pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row"))


def test_a_bar_counts_from_its_end_and_from_when_it_came(streams):
    streams["BTC"].connected_at = streams["BTC"].released_at = OPENED
    lags = Lags(MINUTE)

    lags.count(part(0), NAMES, streams, OPENED + MINUTE + 3 * SECOND)

    assert lags.taken() == Lateness((3.0,), (2.0,), ())
    assert lags.taken() == Lateness((), (), ())
    assert lags.at(0.99) == pytest.approx(3.0, rel=0.02)
    assert streams["BTC"].last_bar == OPENED


def test_a_bar_that_waited_for_rest_is_apart(streams):
    streams["BTC"].connected_at = OPENED
    lags = Lags(MINUTE)

    lags.count(part(0), NAMES, streams, OPENED + 2 * MINUTE)
    streams["BTC"].released_at = OPENED + 2 * MINUTE
    lags.count(part(1), NAMES, streams, OPENED + 2 * MINUTE + 2 * SECOND)

    assert lags.taken() == Lateness((2.0,), (1.0,), (60.0,))


@pytest.mark.parametrize("connected_at", [None, OPENED + 2 * MINUTE])
def test_a_bar_that_ended_before_its_symbol_was_connected_does_not_count(streams, connected_at):
    streams["BTC"].connected_at = connected_at
    lags = Lags(MINUTE)

    lags.count(part(0), NAMES, streams, OPENED + 3 * MINUTE)

    assert lags.taken() == Lateness((), (), ())
    assert lags.at(0.5) is None


def test_neither_a_revision_nor_an_older_bar_counts(streams):
    streams["BTC"].connected_at = streams["BTC"].released_at = OPENED
    lags = Lags(MINUTE)
    lags.count(part(2), NAMES, streams, OPENED + 4 * MINUTE)
    lags.taken()

    lags.count(part(1), NAMES, streams, OPENED + 4 * MINUTE)
    lags.count(part(3, is_revision=True), NAMES, streams, OPENED + 5 * MINUTE)

    assert lags.taken() == Lateness((), (), ())
