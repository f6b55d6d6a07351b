"""Which absences of candles are troubles."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from market_assets.alerts.absence import gap_troubles, missing_symbols, sources_down, stale
from market_assets.alerts.troubles import LINES, Kind, Level, Trouble
from market_assets.config.services import AlertSettings
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
CANDLES = Dataset.candles("crypto", Timeframe.M1)


def gaps(*rows: tuple[str, str, int, str, str]) -> pl.DataFrame:
    """Gaps of minutes: symbol, first bar, bars, when they were first seen, status."""
    values = []
    for symbol, first, bars, seen, status in rows:
        start = datetime.fromisoformat(first)
        last = start + timedelta(minutes=bars - 1)
        values.append(
            (symbol, start, last, bars, status, "no answer", datetime.fromisoformat(seen))
        )
    names = {
        "symbol": pl.String,
        "first_ts": TS,
        "last_ts": TS,
        "bars": pl.Int64,
        "status": pl.String,
    }
    return pl.DataFrame(
        values, schema={**names, "reason": pl.String, "first_seen": TS}, orient="row"
    )


def of_gaps(*rows: tuple[str, str, int, str, str]) -> list[Trouble]:
    return gap_troubles(CANDLES, gaps(*rows), AlertSettings(), NOW)


@pytest.mark.parametrize(
    ("bars", "seen", "level"),
    [
        (1, "2025-03-01T00:00", None),
        (1, "2025-02-28T12:01", None),
        (1, "2025-02-28T12:00", Level.WARNING),
        (1, "2025-02-22T12:00", Level.ERROR),
        (1439, "2025-03-01T00:00", None),
        (1440, "2025-03-01T00:00", Level.WARNING),
        (7 * 1440, "2025-03-01T00:00", Level.ERROR),
    ],
)
def test_a_gap_weighs_as_much_as_its_length_or_as_the_time_it_is_open(
    bars: int, seen: str, level: Level | None
) -> None:
    found = of_gaps(("BTC", "2024-01-01", bars, seen, "open"))
    assert [(one.kind, one.level) for one in found] == ([(Kind.GAP, level)] if level else [])


def test_gaps_of_one_asset_are_one_trouble_with_the_heaviest_first() -> None:
    rows = [("ETH", f"2025-02-{day:02d}", 60, "2025-02-27", "open") for day in range(1, 25)]
    (found,) = of_gaps(*rows, ("BTC", "2024-01-01", 10 * 1440, "2025-03-01", "open"))
    assert (found.level, found.count, found.symbols) == (Level.ERROR, 25, ("BTC", "ETH"))
    assert found.summary == "25 gaps in BTC, ETH, 15,840 bars missing"
    assert found.details[0] == "BTC 2024-01-01 00:00Z to 2024-01-10 23:59Z, 14,400 bars: no answer"
    assert len(found.details) == LINES


def test_an_explained_gap_is_none_and_an_abandoned_one_a_trouble_of_its_own() -> None:
    long = ("2024-01-01", 10 * 1440, "2024-02-01")
    found = of_gaps(
        ("BTC", *long, "abandoned"), ("ETH", *long, "outage"), ("LIT", *long, "no_trade")
    )
    assert [(one.kind, one.level, one.symbols) for one in found] == [
        (Kind.ABANDONED, Level.WARNING, ("BTC",))
    ]


def failing(
    symbol: str, reason: str, seen: int = 30, asked: int = 5, failures: int = 1
) -> dict[str, object]:
    """An open gap that was first seen and last asked for some minutes ago."""
    at = NOW.replace(tzinfo=None)
    return {
        "symbol": symbol,
        "first_ts": at - timedelta(hours=1),
        "last_ts": at,
        "reason": reason,
        "failures": failures,
        "asked_at": at - timedelta(minutes=asked),
        "first_seen": at - timedelta(minutes=seen),
        "confirmed_at": None,
    }


DOWN = "source binance: BTC 1m: no answer after 3 attempts: connection refused"


@pytest.mark.parametrize(
    ("rows", "symbols"),
    [
        ([failing("BTC", DOWN), failing("ETH", DOWN)], ("BTC", "ETH")),
        ([failing("BTC", DOWN)], None),
        ([failing("BTC", DOWN), failing("ETH", "binance answered without it")], None),
        ([failing("BTC", DOWN), failing("ETH", DOWN.replace("binance", "kraken"))], None),
        ([failing("BTC", DOWN, seen=5), failing("ETH", DOWN, seen=5)], None),
        ([failing("BTC", DOWN, asked=130), failing("ETH", DOWN, asked=130)], None),
        ([failing("BTC", DOWN, failures=0), failing("ETH", DOWN, failures=0)], None),
    ],
)
def test_a_source_that_fails_for_most_symbols_is_down(
    rows: list[dict[str, object]], symbols: tuple[str, ...] | None
) -> None:
    schema = {"symbol": pl.String, "reason": pl.String, "failures": pl.Int32}
    schema |= dict.fromkeys(("first_ts", "last_ts", "asked_at", "first_seen", "confirmed_at"), TS)
    found = sources_down("crypto", pl.DataFrame(rows, schema=schema), {"binance", "kraken"}, 3, NOW)
    assert [(one.subject, one.symbols) for one in found] == (
        [("binance", symbols)] if symbols else []
    )


def test_each_missing_symbol_is_a_trouble_of_its_own() -> None:
    words = "source binance: HTTP 400: Invalid symbol. (code -1121)"
    found = missing_symbols(CANDLES, {"NOPE": words, "GONE": ""})
    assert [one.subject for one in found] == ["GONE candles_1m", "NOPE candles_1m"]
    assert {one.level for one in found} == {Level.ERROR}
    assert [one.details for one in found] == [(), (words,)]


def test_the_symbols_without_the_newest_session_are_one_trouble() -> None:
    (found,) = stale(CANDLES, date(2025, 2, 28), ["ETH", "BTC"])
    assert found.summary == "BTC, ETH have no bar of the session 2025-02-28, which is over"
    assert stale(CANDLES, date(2025, 2, 28), []) == []
