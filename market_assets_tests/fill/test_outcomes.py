"""What the outcome of a partition says, from what was found of it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from market_assets.expected.scope import scope_of
from market_assets.fill.answers import Answer, Page
from market_assets.fill.outcomes import Details, Findings, counts_of
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe, Window
from market_assets.verdicts.evidence import State
from market_assets.verdicts.ledger import LEDGER_SCHEMA
from market_assets.verdicts.verdicts import SymbolCounts

KEY = "2025-02-26"
PARTITION = Partition.holding(date(2025, 2, 26), Cadence.DAY)
NOW = datetime(2025, 3, 1, tzinfo=UTC)
FULL, EMPTY = (24, 0), (0, 24)
"""How many of the day's bars are stored, and how many are missing."""


def answer(symbol: str, error: str, *, failed: bool = False, spoken: bool = False) -> Answer:
    """The answers for a day of a symbol, one of which is an error."""
    window = PARTITION.window
    nothing = pl.Series(dtype=pl.Datetime("us"))
    page = Page(symbol, (), window, nothing, pl.DataFrame(), nothing)
    said = [(window, False)] if spoken else []
    return Answer(page, errors=[error], failed=failed, spoken=said)


@pytest.fixture
def failures(profile):
    """Why a day does not count as filled, from the bars of each symbol and the answers."""
    kept = profile(
        """
        kind: CRYPTO
        start: 2025-02-26
        symbols: {BTC: {}, ETH: {}}
        timeframes: {fetch: [1h]}
        """
    )

    def found(
        bars: dict[str, tuple[int, int]], *answers: Answer, refetch: bool = False
    ) -> tuple[str, ...]:
        counts = tuple(
            SymbolCounts(symbol, stored + missing, stored, 0, missing)
            for symbol, (stored, missing) in bars.items()
        )
        nothing = {name: {} for name in ("new", "revised", "repaired")}
        findings = Findings(
            counts={KEY: counts},
            tallies=nothing,
            sources={},
            rejects={},
            refused=pl.DataFrame(),
            outside={},
            violations={},
            nulled={},
            strange={},
            gaps={KEY: pl.DataFrame(schema=LEDGER_SCHEMA)},
            heads={},
            early={},
        )
        scope = scope_of(kept, Timeframe.H1, NOW)
        starts = {series.symbol: series.window.start for series in scope.series}
        details = Details(scope, starts, {}, findings, answers, refetch)
        return details.of(PARTITION)["failures"]

    return found


def test_the_counts_of_a_partition_are_sorted_by_symbol_with_the_states_apart():
    states = dict.fromkeys(State, 0)
    rows = [
        {"symbol": "ETH", "expected": 5, **states, "stored": 2, "open": 1, "abandoned": 2},
        {"symbol": "BTC", "expected": 6, **states, "stored": 3, "halted": 1, "no_trade": 2},
    ]
    table = pl.DataFrame(rows).with_columns(part=pl.lit(date(2025, 2, 26)))

    assert counts_of(table) == {
        KEY: (
            SymbolCounts("BTC", 6, stored=3, explained=3, missing=0, halted=1, no_trade=2),
            SymbolCounts("ETH", 5, stored=2, explained=0, missing=3, abandoned=2),
        )
    }


def test_what_is_whole_has_no_failure_whatever_a_source_said(failures):
    assert failures({"BTC": FULL, "ETH": FULL}, answer("BTC", "HTTP 503", spoken=True)) == ()


def test_where_nothing_is_there_the_words_of_the_sources_follow_the_sentence(failures):
    errors = [answer("BTC", "HTTP 503", failed=True), answer("ETH", "HTTP 404")]

    why, *words = failures({"BTC": EMPTY, "ETH": EMPTY}, *errors)

    assert why == "not one of 48 expected bars is stored or explained (BTC, ETH)"
    assert words == ["HTTP 503", "HTTP 404"]


def test_a_symbol_that_has_nothing_is_its_own_matter_unless_its_source_may_still_answer(failures):
    bars = {"BTC": FULL, "ETH": EMPTY}

    assert failures(bars, answer("ETH", "HTTP 404")) == ()
    why, words = failures(bars, answer("ETH", "HTTP 503", failed=True))
    assert why.startswith("24 of 48 bars are missing (ETH): 50 %")
    assert words == "HTTP 503"


def test_words_for_another_day_are_not_those_of_this_one(failures):
    other = answer("BTC", "HTTP 503", failed=True)
    day = PARTITION.window
    other.page = Page(
        "BTC",
        (),
        Window(day.end, day.end + (day.end - day.start)),
        *(other.page.wanted, other.page.bars, other.page.unfinished),
    )

    assert failures({"BTC": EMPTY, "ETH": EMPTY}, other) == (
        "not one of 48 expected bars is stored or explained (BTC, ETH)",
    )


def test_whole_symbols_for_which_a_refetch_asked_in_vain_count_as_having_nothing(failures):
    silent = answer("BTC", "HTTP 503", failed=True)

    assert failures({"BTC": FULL, "ETH": FULL}, silent) == ()
    assert failures({"BTC": FULL, "ETH": FULL}, silent, refetch=True) == (
        "nobody answered when bars were asked for again (BTC)",
        "HTTP 503",
    )
