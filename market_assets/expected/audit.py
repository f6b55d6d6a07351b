"""An audit of one timeframe: what must exist, minus what is stored, minus what is explained.

Bars are counted by partition first. Where the counts are those of the latest judgement, its
evidence holds; only where they differ is each bar looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.called import called_of
from market_assets.expected.states import states_of
from market_assets.expected.stored import stored_in
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import TS
from market_assets.store.database import naive
from market_assets.verdicts.evidence import EXPLAINED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, datetime

    from market_assets.expected.called import Called
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot

_KEY = ["symbol", "part"]
_AT_ONCE = 31
"""How many partitions are looked at bar by bar in one piece: a month of minutes."""

PARTS = pl.Schema(
    {
        "symbol": pl.String(),
        "part": pl.Date(),
        "expected": pl.Int64(),
        "stored": pl.Int64(),
        "explained": pl.Int64(),
        "missing": pl.Int64(),
        "is_judged": pl.Boolean(),
    }
)
"""The counts of a series in a partition, in bars: expected = stored + explained + missing.

`part` is the partition's first day; `is_judged`: it was judged when a bar was expected in it.
"""

_EXPECTED, _STORED = pl.col("expected"), pl.col("stored")


@dataclass(frozen=True)
class Audit:
    """What an audit has found.

    Attributes:
        scope: What must exist.
        parts: A frame of PARTS: a row for each series and partition in which a bar must exist.
        series: symbol, expected, stored, explained, missing, doubled (rows beyond one a bar),
            first_ts, last_ts (opens of the first and the last stored bar), judged_stored and
            judged_missing (the same counts as its partitions were judged); a row for each series.
    """

    scope: Scope
    parts: pl.DataFrame
    series: pl.DataFrame


def audit_of(view: Snapshot, scope: Scope, until: datetime) -> Audit:
    """Audit the candles of a scope.

    Args:
        view: The store.
        scope: What must exist, each series from its genesis on.
        until: Bars that have closed since are not called for yet.
    """
    called = called_of(scope, until)
    counts = _counted(view, scope, called)
    if scope.is_derived:
        explained = counts.with_columns(explained=_explained_inputs())
    else:
        explained = _explained(view, scope, called, counts)
    parts = explained.with_columns(
        missing=_EXPECTED - _STORED - pl.col("explained"),
        is_judged=pl.col("judged_expected").fill_null(0) > 0,
    )
    totals = parts.group_by("symbol").agg(
        pl.sum(
            "expected",
            "stored",
            "explained",
            "missing",
            "doubled",
            "judged_stored",
            "judged_missing",
        ),
        pl.min("first_ts"),
        pl.max("last_ts"),
    )
    series = pl.DataFrame({"symbol": scope.symbols}, schema={"symbol": pl.String})
    numbers = pl.selectors.integer()
    series = series.join(totals, on="symbol", how="left", maintain_order="left")
    return Audit(scope, parts.select(PARTS.names()), series.with_columns(numbers.fill_null(0)))


def _counted(view: Snapshot, scope: Scope, called: Called) -> pl.DataFrame:
    """The partitions of each series: what must exist, what does, and what was judged."""
    ledger = view.gaps.of(scope.dataset, symbols=scope.symbols)
    settled = ledger.filter(pl.col("status").is_in(EXPLAINED))
    stored = stored_in(view, called, settled)
    judged = view.partitions.counts(scope.dataset).select(
        "symbol",
        pl.col("partition").str.to_date().alias("part"),
        pl.col("expected", "stored", "explained", "missing").name.prefix("judged_"),
    )
    return (
        called.partitions.join(stored, on=_KEY, how="left", maintain_order="left")
        .join(judged, on=_KEY, how="left", maintain_order="left")
        .with_columns(pl.col("stored", "doubled", "denied").fill_null(0))
    )


def _explained_inputs() -> pl.Expr:
    """How many derived bars are absent because nothing is there to make them of.

    A bar that is stored beyond those that were judged may be one of them.
    """
    beyond = (_STORED - pl.col("judged_stored")).clip(lower_bound=0)
    left = (pl.col("judged_explained") - beyond).fill_null(0)
    return pl.min_horizontal(left.clip(lower_bound=0), _EXPECTED - _STORED)


def _explained(view: Snapshot, scope: Scope, called: Called, counts: pl.DataFrame) -> pl.DataFrame:
    """The counts of fetched candles with `explained`.

    Counts as they were judged prove nothing where the ledger calls a bar absent that is stored, nor
    in a halt, of which it has no rows.
    """
    halts = called.grid.filter(pl.col("halted") != 0)["part"].unique()
    in_halt = pl.col("part").is_in(halts.implode())
    as_judged = (
        (pl.col("judged_expected") == _EXPECTED)
        & (pl.col("judged_stored") == _STORED)
        & (pl.col("denied") == 0)
        & ~in_halt
    ).fill_null(value=False)
    is_whole = pl.col("stored") == pl.col("expected")
    off = counts.filter(~is_whole & ~as_judged)

    doubtful = _with_evidence(view, scope, off, in_halt)
    seen = _bar_by_bar(view, scope, called, doubtful)
    explained = (
        pl.when(is_whole)
        .then(0)
        .otherwise(pl.coalesce("seen", pl.when(as_judged).then("judged_explained"), 0))
    )
    # No more than are absent, whatever was noted.
    explained = pl.min_horizontal(explained, _EXPECTED - _STORED)
    return counts.join(seen, on=_KEY, how="left", maintain_order="left").with_columns(
        explained=explained
    )


def _with_evidence(
    view: Snapshot, scope: Scope, off: pl.DataFrame, in_halt: pl.Expr
) -> pl.DataFrame:
    """The partitions of which something may explain a bar: symbol, part."""
    if off.is_empty():
        return off.select(_KEY)
    days = sorted(set(off["part"]))
    edges = [Partition.holding(day, scope.cadence) for day in (days[0], days[-1])]
    window = hull(edges)
    symbols = off["symbol"].unique().to_list()
    ledger = view.gaps.of(scope.dataset, symbols=symbols, window=window)
    settled = ledger.filter(pl.col("status").is_in(EXPLAINED)).select(
        "symbol", scope.part("first_ts")
    )
    coverage = view.coverage.of(scope.dataset, symbols, window)
    quiet = coverage.filter(pl.col("omits_quiet") & (pl.col("bars") > 0))
    length = "1d" if scope.cadence.value == "day" else "1mo"
    heard = (
        off.select(*_KEY, end=pl.col("part").dt.offset_by(length))
        .join(quiet.select("symbol", "start_ts", "end_ts"), on="symbol")
        .filter(pl.col("start_ts") < pl.col("end"), pl.col("end_ts") > pl.col("part"))
    )
    halted = off.filter(in_halt)
    return (
        pl.concat([frame.select(_KEY) for frame in (settled, heard, halted)])
        .unique()
        .join(off, on=_KEY, how="semi")
    )


def _bar_by_bar(
    view: Snapshot, scope: Scope, called: Called, doubtful: pl.DataFrame
) -> pl.DataFrame:
    """How many bars of some partitions are explained, by what the store knows of each.

    Returns:
        symbol, part, seen.
    """
    counted = [pl.DataFrame(schema={**doubtful.schema, "seen": pl.Int64})]
    lasts = pl.DataFrame(
        [(symbol, naive(stretch.last)) for symbol, stretch in called.stretches.items()],
        schema={"symbol": pl.String, "last": TS},
        orient="row",
    )
    for days in _pieces(called, doubtful):
        asked = doubtful.filter(pl.col("part").is_in(days))
        symbols = set(asked["symbol"])
        near = replace(scope, series=tuple(s for s in scope.series if s.symbol in symbols))
        window = hull([Partition.holding(day, scope.cadence) for day in days])
        explained = (
            states_of(view, near, window)
            .filter(pl.col("state").is_in(EXPLAINED))
            .join(lasts, on="symbol")
            .filter(pl.col("ts") <= pl.col("last"))
        )
        tally = explained.group_by("symbol", scope.part()).agg(seen=pl.len().cast(pl.Int64))
        counted.append(
            asked.join(tally, on=_KEY, how="left").with_columns(pl.col("seen").fill_null(0))
        )
    return pl.concat(counted)


def _pieces(called: Called, doubtful: pl.DataFrame) -> Iterator[list[date]]:
    """The partitions of some rows, oldest first, in pieces of neighbours."""
    chosen = set(doubtful["part"])
    piece: list[date] = []
    for part in called.grid["part"].unique(maintain_order=True) if chosen else []:
        if part in chosen:
            piece.append(part)
        if piece and (part not in chosen or len(piece) == _AT_ONCE):
            yield piece
            piece = []
    if piece:
        yield piece
