"""Rows of a file that nobody can read: whose they are, where they stand, and why.

Pure functions on frames. What such rows leave unknown is found here too; which bars are missed
because of it, in `losses`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.contract import Unread
from market_assets.sources.files.layouts import PRICES
from market_assets.sources.files.stamps import NO_TIME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.sources.files.tables import BadLine

NO_REFUSED = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "ts": TS,
        "refused": pl.String,
        "said": pl.String,
        "member": pl.String,
        "line": pl.Int64,
        "after": TS,
        "before": TS,
    }
)
"""Rows that nobody can read: whose they are, where they stand, why, how they are written, where in
the file, and the stretch between the rows around them, where these have bars between them."""

_MOST_UNREAD = 100
"""Where rows leave more stretches unknown, all that lies between the first and the last is."""


def part_refused(
    rows: pl.DataFrame,
    bad: Sequence[tuple[BadLine, str]],
    name: str,
    timeframe: Timeframe,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part rows into good ones, and those that nobody can read (NO_REFUSED).

    Args:
        rows: symbol, ts, refused (why not; null for a good one), prices, text, line, member.
        bad: Lines that are no rows, each with its member.
        name: The file's.
        timeframe: The length of the bars.
    """
    if not bad and _is_flawless(rows):
        return rows, NO_REFUSED
    priced = pl.any_horizontal(pl.col(column).is_not_null() for column in PRICES)
    rows = rows.with_columns(priced=priced)
    is_good = pl.col("refused").is_null() & pl.col("ts").is_not_null()
    sound = rows.filter(is_good & pl.col("priced"))["ts"]
    # A line that ends within its time has no prices, and may have any time.
    stray = (
        is_good & ~pl.col("priced") & ~pl.col("ts").is_between(sound.min(), sound.max())
        if len(sound)
        else pl.lit(value=False)
    )
    rows = rows.with_columns(
        refused=pl.when(stray).then(pl.lit(Unread.UNREADABLE.value)).otherwise("refused")
    )
    is_good = pl.col("refused").is_null() & pl.col("ts").is_not_null()
    good = rows.filter(is_good)
    if len(good) == len(rows) and not bad:
        return good, NO_REFUSED
    placed = _placed(rows, is_good, timeframe)
    refused = _labelled(placed.filter(~is_good), name)
    extra = [
        (
            *_standing(placed, line.number, member),
            Unread.UNREADABLE.value,
            _words_of(name, member, line),
            member,
            line.number,
            *_around(placed, line, member, timeframe),
        )
        for line, member in bad
    ]
    more = pl.DataFrame(extra, schema=NO_REFUSED.schema, orient="row")
    return good, pl.concat([refused.cast(NO_REFUSED.schema), more])


def _is_flawless(rows: pl.DataFrame) -> bool:
    """Whether each row has a time, a price, and no reason against it."""
    nulls = {name: rows[name].null_count() for name in ("ts", "refused", *PRICES)}
    return (
        not nulls["ts"]
        and nulls["refused"] == len(rows)
        and not all(nulls[column] for column in PRICES)
    )


def _placed(rows: pl.DataFrame, is_good: pl.Expr, timeframe: Timeframe) -> pl.DataFrame:
    """Rows with where they stand: at, after and before (the good rows around them), whose."""
    times = pl.when(is_good).then(pl.col("ts"))
    near = times.forward_fill().over("symbol"), times.backward_fill().over("symbol")
    anywhere = times.forward_fill(), times.backward_fill()
    edges = pl.min_horizontal(*near), pl.max_horizontal(*near)
    has_both = pl.all_horizontal(neighbour.is_not_null() for neighbour in near)
    return rows.with_columns(
        at=pl.coalesce(*near, *anywhere),
        after=pl.when(has_both).then(edges[0] + timeframe.duration),
        before=pl.when(has_both).then(edges[1]),
        whose=pl.coalesce(pl.col("symbol").replace("", None).forward_fill(), pl.lit("")),
    )


def _labelled(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Rows that were placed, as NO_REFUSED has them."""
    label = pl.format(
        "{}{} line {}: {}",
        pl.lit(name),
        pl.when(pl.col("member") == "").then(pl.lit("")).otherwise(" " + pl.col("member")),
        "line",
        pl.col("text").fill_null("nothing"),
    )
    return rows.select(
        symbol=pl.when(pl.col("symbol").is_null()).then("whose").otherwise("symbol"),
        ts="at",
        refused=pl.col("refused").fill_null(NO_TIME),
        said=label,
        member="member",
        line="line",
        # What repeats the names of the columns is no bar.
        after=pl.when(pl.col("priced") | pl.col("text").str.contains(r"\d")).then("after"),
        before="before",
    )


def unread_in(refused: pl.DataFrame) -> list[tuple[Window, str]]:
    """The stretches that rows (NO_REFUSED) leave unknown, each with the words of its first row."""
    gaps = refused.filter(pl.col("after") < pl.col("before")).sort("after", "line")
    gaps = gaps.group_by("after", "before", maintain_order=True).agg(pl.first("said"))
    if len(gaps) > _MOST_UNREAD:
        gaps = gaps.select(pl.min("after"), pl.max("before"), pl.first("said"))
    return [
        (Window.spanning(gap["after"], gap["before"]), gap["said"][0])
        for gap in gaps.iter_slices(1)
    ]


def _words_of(name: str, member: str, line: BadLine) -> str:
    """How a line is told that is no row."""
    place = f"{name}{member and ' ' + member}" + (f" line {line.number}" if line.number else "")
    return f"{place}: {line.reason}: {line.text}".rstrip(": ")


def _around(
    rows: pl.DataFrame, line: BadLine, member: str, timeframe: Timeframe
) -> tuple[datetime | None, datetime | None]:
    """The stretch between the rows around a broken line.

    Both ends are None for a header, or for what is no line of rows.
    """
    if not line.number or (line.text and not any(sign.isdigit() for sign in line.text)):
        return None, None
    rows_of_member = rows.filter(
        pl.col("member") == member, pl.col("refused").is_null(), pl.col("ts").is_not_null()
    )
    ends = rows_of_member.filter(pl.col("line") < line.number).tail(1)["ts"].to_list()
    ends += rows_of_member.filter(pl.col("line") > line.number).head(1)["ts"].to_list()
    return (min(ends) + timeframe.duration, max(ends)) if len(ends) == 2 else (None, None)


def _standing(rows: pl.DataFrame, number: int, member: str) -> tuple[str, datetime | None]:
    """Whose row a broken line follows, and when that is."""
    rows_of_member = rows.filter(pl.col("member") == member)
    before = (
        (rows_of_member if len(rows_of_member) else rows).filter(pl.col("line") <= number).tail(1)
    )
    near = before if len(before) else rows.head(1)
    if near.is_empty():
        return "", None
    whose, at = near.select("whose", "at").row(0)
    return whose, at
