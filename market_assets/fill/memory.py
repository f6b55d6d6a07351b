"""What was judged last, to be compared with the store: where it is as it was it need not be judged.

A stream adds a bar to the end of a day. What lies before is as it was, unless somebody has written
there: candles, absences and answers are compared with what they were, and where they differ the
symbol is judged whole. Nothing rests on this memory that the store does not prove.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from market_assets.fill.settled import LEDGER, STATES, TABLE, Settled, joined, state_counts
from market_assets.market.calendars.sessions import ALWAYS_OPEN
from market_assets.market.timeframes import TS, Window, literal
from market_assets.store.database import windows_frame
from market_assets.verdicts.evidence import State, believable, quiet_stretches
from market_assets.verdicts.ledger import LEDGER_SCHEMA, WHO_SCHEMA
from market_assets.work.publish import state_texts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from market_assets.expected.scope import Scope
    from market_assets.fill.settled import Judgement
    from market_assets.market.partitions import Partition
    from market_assets.store import Transaction

_BEHIND = 32
"""So many of the newest bars are always judged: a stream remembers, and may revise, that many."""

_MOST = 2 * _BEHIND
"""A border is moved once so many bars lie after it."""

_FARTHEST = 8 * _BEHIND
"""A symbol whose border lies farther back than that is judged whole."""

_KEPT = 2
"""Of so many partitions: a stream writes into this day and the one before."""


class Memory:
    """What was judged last of some partitions. To be used while the store is written only."""

    def __init__(self) -> None:
        self._settled: dict[str, Settled] = {}

    def of(
        self,
        transaction: Transaction,
        scope: Scope,
        partitions: Sequence[Partition],
        *,
        ledger: pl.DataFrame,
        incoming: pl.DataFrame,
        apart: Collection[str] = (),
    ) -> Settled | None:
        """What is known of a partition and still holds.

        Args:
            transaction: The store, before anything is written.
            scope: What must exist, each series from its genesis on.
            partitions: What is to be judged.
            ledger: Its rows in the ledger, with the columns of WHO_SCHEMA.
            incoming: symbol, ts of candles that are about to be stored.
            apart: Symbols that are judged whole.

        Returns:
            None where the whole partition has to be judged.
        """
        if not _is_simple(scope, partitions):
            return None
        settled = self._settled.get(partitions[0].key)
        if settled is None:
            return None
        farthest = scope.now - _FARTHEST * scope.timeframe.duration
        table = settled.table.join(_starts(scope, settled.partition), on=["symbol", "start"])
        table = table.filter(
            pl.col("border") <= pl.col("end"), pl.col("border") >= literal(farthest)
        ).drop("end")
        settled = settled.only({*table["symbol"]} - {*apart})
        if settled.table.is_empty():
            return None

        changed = {*settled.behind(incoming)["symbol"]}
        recorded = believable(
            ledger.select(LEDGER), scope.now, "first_seen", "asked_at", "confirmed_at"
        )
        changed |= _differing(settled.gaps, settled.behind(recorded, "first_ts"))
        changed |= _differing(settled.quiet, _quiet_of(transaction, scope, settled))
        reach = literal(_reach(scope, settled.partition).start)
        held = settled.table.select("symbol", begin=reach, end="border")
        marks = transaction.candles.marks(scope.dataset, held)
        changed |= _differing(settled.table.select("symbol", "held", "mark"), marks)
        settled = settled.only({*settled.symbols} - changed)
        return None if settled.table.is_empty() else settled

    def put(
        self,
        transaction: Transaction,
        scope: Scope,
        partitions: Sequence[Partition],
        settled: Settled | None,
        judgement: Judgement,
    ) -> None:
        """Remember what was judged.

        Args:
            transaction: The store, after everything was written.
            scope: What must exist, each series from its genesis on.
            partitions: What was judged.
            settled: What was not judged again.
            judgement: What was found of the rest.
        """
        if not _is_simple(scope, partitions):
            return
        partition = partitions[0]
        if settled is None:
            nothing = TABLE.to_frame()
            gaps = pl.DataFrame(schema={**LEDGER_SCHEMA, **WHO_SCHEMA})
            quiet = pl.DataFrame(schema={"symbol": pl.String, "start_ts": TS, "end_ts": TS})
            settled = Settled(partition, nothing, gaps, quiet, judgement.violations.clear())
        moved = _moved(scope, settled, judgement.states)
        if not moved.is_empty():
            settled = _advanced(transaction, scope, settled, judgement, moved)
        self._keep(settled)

    def _keep(self, settled: Settled) -> None:
        self._settled[settled.partition.key] = settled
        while len(self._settled) > _KEPT:
            del self._settled[min(self._settled)]


def _is_simple(scope: Scope, partitions: Sequence[Partition]) -> bool:
    """Whether a bar of a partition depends on those of its own symbol alone."""
    profile = scope.profile
    return (
        len(partitions) == 1 and profile.calendar == ALWAYS_OPEN and not profile.checks.plausibility
    )


def _starts(scope: Scope, partition: Partition) -> pl.DataFrame:
    """Where the series begin and end in a partition: symbol, start, end."""
    inside = {
        series.symbol: stretch
        for series in scope.series
        if (stretch := series.window.intersect(partition.window)) is not None
    }
    return windows_frame(inside).rename({"start_ts": "start", "end_ts": "end"})


def _reach(scope: Scope, partition: Partition) -> Window:
    """A partition, and before it the bars that a silence at its beginning may reach back to."""
    quiet = scope.profile.evidence.quiet_limit + scope.timeframe.duration
    return Window(partition.window.start - quiet, partition.window.end)


def _differing(before: pl.DataFrame, after: pl.DataFrame) -> set[str]:
    """The symbols of which two frames have other rows."""
    after = after.select(before.columns).cast(before.schema)
    if before.equals(after):
        return set()
    on = before.columns
    gone = before.join(after, on=on, how="anti", nulls_equal=True)
    come = after.join(before, on=on, how="anti", nulls_equal=True)
    return {*gone["symbol"], *come["symbol"]}


def _quiet_of(transaction: Transaction, scope: Scope, settled: Settled) -> pl.DataFrame:
    """What was answered for before the borders by sources that leave quiet bars out."""
    window = _reach(scope, settled.partition)
    coverage = transaction.coverage.of(scope.dataset, settled.symbols, window)
    stretches = quiet_stretches(believable(coverage, scope.now, "answered_at")).drop("covered")
    first = literal(window.start)
    return (
        settled.placed(stretches)
        .with_columns(
            start_ts=pl.max_horizontal("start_ts", first),
            end_ts=pl.min_horizontal("end_ts", "border"),
        )
        .filter(pl.col("start_ts") < pl.col("end_ts"))
        .select("symbol", "start_ts", "end_ts")
    )


def _moved(scope: Scope, settled: Settled, states: pl.DataFrame) -> pl.DataFrame:
    """The borders that are to be moved, or set for the first time: symbol, start, border.

    A border lies behind a stored bar, so that no silence reaches over it.
    """
    step = scope.timeframe.duration
    newest = states["ts"].max()
    if newest is None:
        return pl.DataFrame()
    target, due = newest - _BEHIND * step, newest - _MOST * step  # type: ignore[operator]
    is_stored = (pl.col("state") == State.STORED) & (pl.col("ts") <= target)
    borders = states.filter(is_stored).group_by("symbol").agg(pl.max("ts") + step)
    borders = borders.rename({"ts": "border"}).join(
        settled.table.select("symbol", before="border"), on="symbol", how="left"
    )
    is_due = pl.col("before").is_null() | (pl.col("before") <= due)
    starts = _starts(scope, settled.partition).select("symbol", "start")
    return (
        borders.filter(
            is_due,
            pl.col("border") > pl.col("before").fill_null(literal(scope.calendar.known.start)),
        )
        .join(starts, on="symbol")
        .select("symbol", "start", "border", "before")
    )


def _advanced(
    transaction: Transaction,
    scope: Scope,
    settled: Settled,
    judgement: Judgement,
    moved: pl.DataFrame,
) -> Settled:
    """What was settled, with the borders moved."""
    borders = moved.select("symbol", to="border")

    def passed(rows: pl.DataFrame, column: str = "ts") -> pl.DataFrame:
        """The rows that lie between the borders before and now."""
        placed = rows.join(borders, on="symbol", how="inner", maintain_order="left")
        return placed.filter(pl.col(column) < pl.col("to")).drop("to")

    states, rows = passed(judgement.states), passed(judgement.rows)
    counts = state_counts(states)
    extents = rows.group_by("symbol").agg(
        rows=pl.len().cast(pl.Int64), first=pl.min("ts"), last=pl.max("ts")
    )
    early = passed(judgement.early).group_by("symbol").agg(early=pl.len().cast(pl.Int64))
    texts = state_texts(states, scope.cadence).select("symbol", "text")
    leads = judgement.leads.select("symbol", lead_first="first", lead_last="last")
    begin = literal(_reach(scope, settled.partition).start)
    marks = transaction.candles.marks(
        scope.dataset,
        moved.select("symbol", begin=pl.coalesce("before", begin), end="border"),
    )
    on = {"on": "symbol", "how": "left"}
    added = moved.select("symbol", "start", "border")
    for part in (counts, extents, early, texts, leads, marks):
        added = added.join(part, **on)  # type: ignore[arg-type]
    added = added.with_columns(
        pl.col("mark", "held", "rows", "expected", "early", *STATES).fill_null(0),
        pl.col("text").fill_null(""),
    )

    before = settled.table.filter(pl.col("symbol").is_in(moved["symbol"].implode()))
    added = added.join(before, on="symbol", how="left", suffix="_before").select(
        "symbol",
        "start",
        "border",
        mark=pl.col("mark").xor(pl.col("mark_before").fill_null(0)),
        **{
            name: pl.col(name) + pl.col(f"{name}_before").fill_null(0)
            for name in ("held", "rows", "expected", *STATES, "early")
        },
        first=pl.min_horizontal("first", "first_before"),
        last=pl.max_horizontal("last", "last_before"),
        text=joined("text_before", "text"),
        # What is missing at the beginning lies before the first border.
        lead_first=pl.when(pl.col("mark_before").is_null())
        .then("lead_first")
        .otherwise("lead_first_before"),
        lead_last=pl.when(pl.col("mark_before").is_null())
        .then("lead_last")
        .otherwise("lead_last_before"),
    )
    rest = settled.table.filter(~pl.col("symbol").is_in(moved["symbol"].implode()))
    table = pl.concat([rest, added.match_to_schema(TABLE)]).sort("symbol")
    placed = replace(
        settled,
        table=table,
        gaps=pl.concat([settled.gaps, passed(judgement.gaps.select(LEDGER), "first_ts")]).sort(
            "symbol", "first_ts"
        ),
        violations=pl.concat([settled.violations, passed(judgement.violations)]),
    )
    return replace(placed, quiet=_quiet_of(transaction, scope, placed))
