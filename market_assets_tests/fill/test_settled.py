"""What was judged up to a border of each symbol, and the whole that it is part of."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from market_assets.expected.scope import scope_of
from market_assets.fill.settled import (
    STATES,
    TABLE,
    Judgement,
    Settled,
    Whole,
    joined,
    state_counts,
)
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.verdicts.ledger import LEDGER_SCHEMA, WHO_SCHEMA

DAY = Window(datetime(2025, 2, 26, tzinfo=UTC), datetime(2025, 2, 27, tzinfo=UTC))
PARTITION = Partition.holding(DAY.start.date(), Cadence.DAY)
ROWS = {"symbol": pl.String, "ts": TS}
LEADS = {"symbol": pl.String, "first": TS, "last": TS}
LEDGER = pl.DataFrame(schema={**LEDGER_SCHEMA, **WHO_SCHEMA})


def hour(number: int) -> datetime:
    """An hour of the day as frames hold it: UTC, without a zone."""
    return datetime(2025, 2, 26, number)  # noqa: DTZ001


def rows(*of: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame([(name, hour(at)) for name, at in of], schema=ROWS, orient="row")


def numbers(frame: pl.DataFrame) -> list[tuple[str, int]]:
    return [(name, at.hour) for name, at in frame.select("symbol", "ts").rows()]


def row(symbol: str, border: int, *, stored: int, missing: int = 0, **others: object) -> dict:
    """A row of the table: from midnight to a border, with what is missing at its beginning."""
    return {
        **dict.fromkeys(TABLE, 0),
        "symbol": symbol,
        "start": hour(0),
        "border": hour(border),
        "held": stored,
        "rows": stored,
        "first": hour(missing),
        "last": hour(border - 1),
        "expected": border,
        "stored": stored,
        "open": missing,
        "text": f"{symbol} before",
        "lead_first": hour(0) if missing else None,
        "lead_last": hour(missing - 1) if missing else None,
        **others,
    }


@pytest.fixture
def settled() -> Settled:
    """BTC to ten o'clock, and ETH, of which two bars are missing, to noon."""
    table = [row("BTC", 10, stored=10), row("ETH", 12, stored=10, missing=2, early=3)]
    return Settled(
        PARTITION,
        pl.DataFrame(table, schema=TABLE),
        gaps=LEDGER,
        quiet=rows(("BTC", 1), ("ETH", 1)),
        violations=rows(("ETH", 4)),
    )


def test_rows_are_parted_at_the_border_of_their_symbol(settled):
    some = rows(("ETH", 11), ("ETH", 12), ("BTC", 9), ("BTC", 10), ("XRP", 0))

    assert numbers(settled.behind(some)) == [("ETH", 11), ("BTC", 9)]
    assert numbers(settled.ahead(some)) == [("ETH", 12), ("BTC", 10), ("XRP", 0)]
    assert numbers(settled.unlike(some)) == [("XRP", 0)]
    assert settled.behind(some).columns == settled.ahead(some).columns == ["symbol", "ts"]


def test_its_window_begins_at_the_first_border(settled):
    assert settled.window == Window(datetime(2025, 2, 26, 10, tzinfo=UTC), DAY.end)
    assert settled.only(["ETH"]).window.start == datetime(2025, 2, 26, 12, tzinfo=UTC)


def test_what_is_left_of_fewer_symbols_speaks_of_these_alone(settled):
    fewer = settled.only({"BTC"})

    assert (settled.symbols, fewer.symbols) == (["BTC", "ETH"], ["BTC"])
    assert numbers(fewer.quiet) == [("BTC", 1)]
    assert numbers(fewer.violations) == []


def test_a_scope_is_cut_at_the_borders_and_other_symbols_stay_whole(settled, profile):
    kept = profile(
        """
        kind: CRYPTO
        start: 2025-02-26
        symbols: {BTC: {}, XRP: {}}
        timeframes: {fetch: [1h]}
        """
    )
    scope = scope_of(kept, Timeframe.H1, DAY.end)

    cut = settled.cut(scope)

    assert {series.symbol: series.window.start.hour for series in cut.series} == {
        "BTC": 10,
        "XRP": 0,
    }
    assert all(series.window.end == DAY.end for series in cut.series)


def test_only_a_symbol_that_lacks_its_first_bars_has_a_lead(settled):
    assert settled.leads.rows() == [("ETH", hour(0), hour(1))]


def test_the_states_are_counted_by_symbol():
    states = pl.DataFrame(
        {"symbol": ["BTC", "BTC", "ETH"], "state": ["stored", "open", "no_trade"]}
    )

    (btc, eth) = state_counts(states).sort("symbol").rows(named=True)

    none = dict.fromkeys(STATES, 0)
    assert btc == {**none, "symbol": "BTC", "expected": 2, "stored": 1, "open": 1}
    assert eth == {**none, "symbol": "ETH", "expected": 1, "no_trade": 1}


def test_texts_are_joined_without_an_empty_line():
    texts = pl.DataFrame({"before": ["a", None, "a", ""], "text": ["b", "b", None, ""]})

    assert texts.select(text=joined("before", "text"))["text"].to_list() == ["a\nb", "b", "a", ""]


def test_the_whole_is_what_was_settled_and_what_was_judged_since(settled, profile):
    kept = profile(
        """
        kind: CRYPTO
        start: 2025-02-26
        symbols: {BTC: {}, ETH: {}}
        timeframes: {fetch: [1h]}
        """
    )
    scope = scope_of(kept, Timeframe.H1, DAY.end)
    since = [("BTC", hour(10), "stored"), ("BTC", hour(11), "open"), ("ETH", hour(12), "stored")]
    judgement = Judgement(
        pl.DataFrame(since, schema={**ROWS, "state": pl.String}, orient="row"),
        rows=rows(("BTC", 10), ("ETH", 12)),
        gaps=LEDGER,
        violations=rows(("BTC", 11)),
        leads=pl.DataFrame(schema=LEADS),
        early=rows(("ETH", 12), ("BTC", 10)),
    )

    whole = Whole.of(judgement, settled, scope)

    counted = whole.table.sort("symbol").select("symbol", "expected", "stored", "open").rows()
    assert counted == [("BTC", 12, 11, 1), ("ETH", 13, 11, 2)]
    assert numbers(whole.violations) == [("BTC", 11), ("ETH", 4)]
    assert whole.early == {PARTITION.key: {"BTC": 1, "ETH": 4}}
    assert whole.leads.rows() == [("ETH", hour(0), hour(1))]
    assert whole.extents == {PARTITION.key: (20, hour(0), hour(11))}
    texts = dict(whole.texts.select("symbol", "text").rows())
    ((name, text),) = Whole.of(judgement, None, scope).texts.select("symbol", "text").rows()
    assert name == "BTC"
    assert texts == {"BTC": f"BTC before\n{text}", "ETH": "ETH before"}
