"""Returns stand on one grid; what was not measured is 0.0, and the mask says why."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from market_assets.enrich.returns.align import (
    RETURNS_SCHEMA,
    Neutral,
    align,
    common_grid,
    neutral_shares,
    wide,
)
from market_assets.market.timeframes import TS

START = datetime.fromisoformat("2025-03-03")


def at(place: int) -> datetime:
    return START + timedelta(hours=place)


def times_of(*places: int) -> pl.Series:
    return pl.Series("ts", [at(place) for place in places], TS)


def grid_of(*places: int) -> pl.DataFrame:
    return reaching(times_of(*places))


def reaching(times: pl.Series) -> pl.DataFrame:
    return times.to_frame().with_columns(since=pl.lit(at(-1000)).cast(TS))


def bars_of(**symbols: str) -> pl.DataFrame:
    """Bars of a symbol as words, one per place.

    A word is a price, a state, or a point where the symbol's calendar has no bar.
    """
    rows = []
    for symbol, words in symbols.items():
        for place, word in enumerate(words.split()):
            price = None if word[0].isalpha() else word
            if word != ".":
                rows.append(
                    (symbol, at(place), price and float(price), "stored" if price else word)
                )
    return pl.DataFrame(
        rows, {"symbol": pl.String, "ts": TS, "close": pl.Float64, "state": pl.String}, orient="row"
    )


def series_of(**bounds: tuple[int, int]) -> pl.DataFrame:
    rows = [(symbol, at(first), at(end)) for symbol, (first, end) in bounds.items()]
    return pl.DataFrame(rows, {"symbol": pl.String, "start": TS, "end": TS}, orient="row")


def story(returns: pl.DataFrame, symbol: str = "A") -> list[tuple[float, int, str | None]]:
    rows = (
        returns.filter(pl.col("symbol") == symbol)
        .select(pl.col("simple_return").round(10), "bars", "neutral")
        .rows()
    )
    return [(value, bars, reason) for value, bars, reason in rows]


def test_every_reason_has_its_name_and_its_zero():
    bars = bars_of(A="100 110 open no_trade halted outage abandoned 121 . 121 -5 7")
    returns = align(bars, grid_of(*range(-2, 14)), series_of(A=(0, 12)))
    assert returns.schema == RETURNS_SCHEMA
    assert story(returns) == [
        (0.0, 0, "before_genesis"),
        (0.0, 0, "before_genesis"),
        (0.0, 0, "no_previous"),
        (0.1, 1, None),
        (0.0, 0, "open_gap"),
        (0.0, 0, "no_trade"),
        (0.0, 0, "halted"),
        (0.0, 0, "outage"),
        (0.0, 0, "open_gap"),
        # What happened meanwhile is in the first return afterwards.
        (0.1, 6, None),
        (0.0, 0, "closed_market"),
        # A return that was measured to be nothing is not neutral.
        (0.0, 1, None),
        (0.0, 0, "undefined"),
        (0.0, 0, "undefined"),
        (0.0, 0, "after_end"),
        (0.0, 0, "after_end"),
    ]


def test_the_intersection_measures_over_the_times_in_between():
    bars = bars_of(A="100 101 102 103 104", B="10 . . 11 12")
    times = common_grid([times_of(0, 1, 2, 3, 4), times_of(0, 3, 4)], intersection=True)
    assert times.to_list() == [at(0), at(3), at(4)]
    returns = align(bars, reaching(times), series_of(A=(0, 9), B=(0, 9)))
    assert story(returns, "A")[1:] == [(0.03, 3, None), (round(1 / 103, 10), 1, None)]
    assert story(returns, "B")[1:] == [(0.1, 1, None), (round(1 / 11, 10), 1, None)]
    union = common_grid([times_of(0, 1, 2, 3, 4), times_of(0, 3, 4)], intersection=False)
    assert [
        reason
        for *_, reason in story(align(bars, reaching(union), series_of(A=(0, 9), B=(0, 9))), "B")
    ] == ["no_previous", "closed_market", "closed_market", None, None]


def test_a_close_that_is_too_old_is_no_beginning_of_a_return():
    grid = (
        times_of(0, 1, 2, 3)
        .to_frame()
        .with_columns(since=pl.Series([at(0), at(0), at(1), at(1)], dtype=TS))
    )
    returns = align(bars_of(A="100 no_trade 101 102"), grid, series_of(A=(0, 9)))
    assert [reason for *_, reason in story(returns)] == [
        "no_previous",
        "no_trade",
        "no_previous",
        None,
    ]


def test_the_wide_matrix_and_its_mask_have_one_shape():
    returns = align(
        bars_of(A="100 110 open", B="10 . 11"), grid_of(0, 1, 2), series_of(A=(0, 9), B=(0, 9))
    )
    values, mask = wide(returns, "simple_return"), wide(returns, "neutral")
    assert values.columns == mask.columns == ["ts", "A", "B"]
    assert values.shape == mask.shape == (3, 3)
    assert mask.rows() == [
        (at(0), "no_previous", "no_previous"),
        (at(1), None, "closed_market"),
        (at(2), "open_gap", None),
    ]
    assert values["B"].round(10).to_list() == [0.0, 0.0, 0.1]


def test_a_symbol_is_judged_by_the_bars_to_which_its_own_calendar_calls_for_a_return():
    returns = align(
        bars_of(A="100 open 100 no_trade", B="10 . . ."),
        grid_of(*range(4)),
        series_of(A=(0, 9), B=(0, 9)),
    )
    shares = (
        neutral_shares(returns)
        .select("symbol", "bars", "neutral", "share", "open_gap", "closed_market")
        .rows()
    )
    # No return leads to a first bar.
    assert shares == [("A", 3, 2, 2 / 3, 1, 0), ("B", 0, 0, 0.0, 0, 3)]


def test_shares_are_told_apart_by_any_columns():
    returns = align(
        bars_of(A="100 open 100 no_trade"), grid_of(*range(4)), series_of(A=(0, 9))
    ).with_columns(half=pl.col("ts") >= at(2))
    shares = neutral_shares(returns, by=("half", "symbol"))
    assert shares.select("half", "symbol", "bars", "neutral").rows() == [
        (False, "A", 1, 1),
        (True, "A", 2, 1),
    ]


def test_a_log_return_is_the_logarithm_of_the_ratio():
    returns = align(bars_of(A="100 110"), grid_of(0, 1), series_of(A=(0, 9)))
    assert returns["log_return"].to_list() == pytest.approx([0.0, math.log(1.1)], abs=1e-15)


WORDS = st.sampled_from(["100", "101", "99.5", "open", "no_trade", "outage", "halted", "."])


@given(st.lists(WORDS, min_size=2, max_size=30), st.integers(1, 29))
def test_no_return_knows_of_anything_after_it(words: list[str], cut: int):
    bars, series = bars_of(A=" ".join(words)), series_of(A=(0, len(words)))
    whole = align(bars, grid_of(*range(len(words))), series)
    cut = min(cut, len(words))
    known = align(bars.filter(pl.col("ts") < at(cut)), grid_of(*range(cut)), series)
    assert_frame_equal(known, whole.head(cut), check_exact=True)


@given(st.lists(WORDS, min_size=2, max_size=30))
def test_the_returns_lead_from_the_first_price_to_the_last_and_a_zero_has_a_reason_or_was_measured(
    words: list[str],
):
    returns = align(
        bars_of(A=" ".join(words)), grid_of(*range(len(words))), series_of(A=(0, len(words)))
    )
    prices = [float(word) for word in words if word[0].isdigit()]
    if prices:
        assert (1 + returns["simple_return"]).product() == pytest.approx(prices[-1] / prices[0])
    measured = returns.filter(pl.col("neutral").is_null())
    assert len(measured) == max(0, len(prices) - 1)
    assert (measured["bars"] > 0).all()
    neutral = returns.filter(pl.col("neutral").is_not_null())
    assert set(neutral["neutral"]) <= {reason.value for reason in Neutral}
    assert neutral.select(pl.col("simple_return", "log_return", "bars").abs().sum()).row(0) == (
        0,
        0,
        0,
    )
