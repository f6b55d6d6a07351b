"""How far each bar can be relied on, by what the ledgers know of it.

Pure: a bar and marks in, a word out.

A bar is a stretch of time here, and so is a mark. A bar of a fetched timeframe is the instant of
its open; a derived one holds the opens of all bars that it is made of.
"""

from __future__ import annotations

from enum import StrEnum

import polars as pl

from market_assets.market.timeframes import TS


class Quality(StrEnum):
    """What is known of a bar beyond its values; of several the first one that holds."""

    DISPUTED = "disputed"
    REVISED = "revised"
    LATE = "late"
    CONFIRMED = "confirmed"
    SINGLE = "single"


TRUST_SCHEMA = pl.Schema({"symbol": pl.String(), "since": TS, "until": TS, "quality": pl.String()})
"""A mark: a stretch of a symbol's opens, and one of Quality or ALONE that it says of them.

The stretch is from `since` on, and without `until`.
"""

ALONE = "alone"
"""Inside of what another source has confirmed, a bar that it does not have."""


def quality_of(bars: pl.DataFrame, marks: pl.DataFrame) -> pl.Series:
    """Say of each bar how far it can be relied on.

    A bar is confirmed where marks of that kind cover all of it, and none says that a part is
    `alone`. One touch of any other mark is enough.

    Args:
        bars: symbol, since, until: which opens each holds.
        marks: Frame of TRUST_SCHEMA, in any order; they may overlap.

    Returns:
        quality (String), a word a bar, in their order.
    """
    words = [
        (Quality.DISPUTED, _touched(bars, marks, Quality.DISPUTED)),
        (Quality.REVISED, _touched(bars, marks, Quality.REVISED)),
        (Quality.LATE, _touched(bars, marks, Quality.LATE)),
        (Quality.CONFIRMED, _covered(bars, marks) & ~_touched(bars, marks, ALONE)),
    ]
    quality = pl.repeat(Quality.SINGLE.value, len(bars), dtype=pl.String, eager=True)
    for word, holds in reversed(words):
        if holds.any():
            quality = quality.set(holds, word.value)
    return quality.alias("quality")


def _touched(bars: pl.DataFrame, marks: pl.DataFrame, quality: str) -> pl.Series:
    """Whether a bar shares an open with a mark."""
    # The last mark that begins before the bar ends, and the latest end of all that began by then.
    spans = (
        marks.filter(pl.col("quality") == quality)
        .sort("since")
        .select("symbol", mark="since", end=pl.col("until").cum_max().over("symbol"))
    )
    return _beside(bars, spans, at="until", is_open=True, holds=pl.col("end") > pl.col("since"))


def _covered(bars: pl.DataFrame, marks: pl.DataFrame) -> pl.Series:
    """Whether confirmations that meet or overlap cover all of a bar."""
    confirmations = marks.filter(pl.col("quality") == Quality.CONFIRMED).sort("since")
    reached = pl.col("until").cum_max().shift().over("symbol")
    parted = (pl.col("since") > reached).fill_null(value=False).cum_sum().over("symbol")
    spans = (
        confirmations.with_columns(span=parted)
        .group_by("symbol", "span")
        .agg(mark=pl.min("since"), end=pl.max("until"))
        .drop("span")
    )
    return _beside(
        bars, spans.sort("mark"), at="since", is_open=False, holds=pl.col("end") >= pl.col("until")
    )


def _beside(
    bars: pl.DataFrame, marks: pl.DataFrame, *, at: str, is_open: bool, holds: pl.Expr
) -> pl.Series:
    """Whether something holds of a bar and the last mark up to one of its ends.

    Where `is_open`, the mark is before that end.
    """
    if marks.is_empty() or bars.is_empty():
        return pl.repeat(value=False, n=len(bars), eager=True)
    marked = bars.with_row_index("row").filter(
        pl.col("symbol").is_in(marks["symbol"].unique().implode())
    )
    beside = marked.sort(at).join_asof(
        marks,
        left_on=at,
        right_on="mark",
        by="symbol",
        strategy="backward",
        allow_exact_matches=not is_open,
        check_sortedness=False,
    )
    rows = beside.filter(holds.fill_null(value=False))["row"]
    flags = pl.repeat(value=False, n=len(bars), eager=True)
    return flags.scatter(rows, values=True) if len(rows) else flags
