"""Days and corporate actions made up, for those who adjust the ones by the others."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from hypothesis import strategies as st

from market_assets.sources.actions import ACTION_SCHEMA

FIRST = date(2024, 1, 1)
ACTIONS = pl.Schema({"symbol": pl.String(), **ACTION_SCHEMA})


def acts(*rows: tuple[object, ...], symbol: str = "A") -> pl.DataFrame:
    """Actions of a symbol: (ex_date, ratio) for a split, (ex_date, "amount") for a dividend.

    A ratio is a number, an amount a text.
    """
    made = [
        (symbol, day, "dividend", None, float(what), "USD", None)
        if isinstance(what, str)
        else (symbol, day, "split", float(what), None, None, None)
        for day, what in rows
    ]
    return pl.DataFrame(made, schema=ACTIONS, orient="row")


def days(closes: dict[date, float], symbol: str = "A") -> pl.DataFrame:
    """Raw daily candles around their closes, 1,000 shares a day."""
    rows = [(symbol, day, close) for day, close in closes.items()]
    frame = pl.DataFrame(
        rows, schema={"symbol": pl.String, "session": pl.Date, "close": pl.Float64}, orient="row"
    )
    return frame.with_columns(
        ts=pl.col("session").cast(pl.Datetime("us")),
        open=pl.col("close") - 1,
        high=pl.col("close") + 2,
        low=pl.col("close") - 3,
        volume=1000.0,
    )


def at(day: int) -> date:
    return FIRST + timedelta(days=day)


@st.composite
def histories(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A month or two of days, and actions on some of them, some on days without a candle."""
    count = draw(st.integers(3, 40))
    closes = {
        at(day): draw(st.floats(5, 500))
        for day in range(count)
        if day % 7 < 5 and draw(st.integers(0, 9))
    }
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, count + 5).map(at),
                st.sampled_from([2.0, 4.0, 0.1, 1.5]) | st.sampled_from(["0.1", "1", "2.5"]),
            ),
            max_size=6,
        )
    )
    return days(closes), acts(*rows)
