"""What was judged of a partition up to a border of each symbol, and the whole that it is part of.

Whether it still holds is found out in `memory`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import polars as pl

from market_assets.fill.tallies import tally
from market_assets.market.timeframes import TS, Window, from_micros
from market_assets.verdicts.evidence import State
from market_assets.verdicts.ledger import LEDGER_SCHEMA, WHO_SCHEMA
from market_assets.work.publish import state_texts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.fill.tallies import Tally
    from market_assets.market.partitions import Partition

LEDGER = [*LEDGER_SCHEMA, *WHO_SCHEMA]
"""The columns of the ledger that are compared."""

STATES = [state.value for state in State]

TABLE = pl.Schema(
    {
        "symbol": pl.String(),
        "start": TS,
        "border": TS,
        "mark": pl.UInt64(),
        "held": pl.Int64(),
        "rows": pl.Int64(),
        "first": TS,
        "last": TS,
        "expected": pl.Int64(),
        **dict.fromkeys(STATES, pl.Int64()),
        "early": pl.Int64(),
        "text": pl.String(),
        "lead_first": TS,
        "lead_last": TS,
    }
)
"""A row a symbol: from `start`, where its series begins in the partition, to `border`.

`mark` is a checksum of its `held` candles, also of those that a silence at the beginning may reach
back to. `rows` are those of the partition alone, `first` and `last` their opens; `expected` and the
states count its bars, `early` its candles before its genesis; `text` are the changes of state, and
`lead_first` and `lead_last` the bars that are missing at its beginning.
"""


@dataclass(frozen=True)
class Settled:
    """What was judged of a partition.

    Attributes:
        partition: Which one.
        table: A frame of TABLE.
        gaps: The ledger before the borders: the columns LEDGER.
        quiet: symbol, start_ts, end_ts: what sources have answered for that leave quiet bars out.
        violations: Stored candles before the borders that cannot be: see `faults.violations`.
    """

    partition: Partition
    table: pl.DataFrame
    gaps: pl.DataFrame
    quiet: pl.DataFrame
    violations: pl.DataFrame

    @property
    def symbols(self) -> list[str]:
        """The symbols that it is about."""
        return self.table["symbol"].to_list()

    @property
    def window(self) -> Window:
        """From the first border to the end of the partition."""
        first = self.table["border"].to_physical().min()
        return Window(from_micros(int(first)), self.partition.window.end)  # type: ignore[arg-type]

    def behind(self, rows: pl.DataFrame, column: str = "ts") -> pl.DataFrame:
        """The rows that lie before the border of their symbol."""
        return self.placed(rows).filter(pl.col(column) < pl.col("border")).drop("border")

    def ahead(self, rows: pl.DataFrame, column: str = "ts") -> pl.DataFrame:
        """The rows that lie after it, and all of symbols that it is not about."""
        is_ahead = pl.col("border").is_null() | (pl.col(column) >= pl.col("border"))
        return self.placed(rows).filter(is_ahead).drop("border")

    def cut(self, scope: Scope) -> Scope:
        """The scope without what lies before the borders."""
        borders = {
            symbol: from_micros(border)
            for symbol, border in self.table.select("symbol", pl.col("border").to_physical()).rows()
        }
        series = tuple(
            replace(kept, window=Window(borders[kept.symbol], kept.window.end))
            if kept.symbol in borders
            else kept
            for kept in scope.series
        )
        return replace(scope, series=series)

    @property
    def leads(self) -> pl.DataFrame:
        """The bars that are missing at the beginning: see `heads.leads_of`."""
        return self.table.drop_nulls("lead_first").select(
            "symbol", first="lead_first", last="lead_last"
        )

    def unlike(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of symbols that it is not about."""
        return rows.filter(~pl.col("symbol").is_in(self.symbols))

    def only(self, symbols: Collection[str]) -> Settled:
        """The same about fewer symbols."""
        is_kept = pl.col("symbol").is_in(sorted(symbols))
        return replace(
            self,
            table=self.table.filter(is_kept),
            gaps=self.gaps.filter(is_kept),
            quiet=self.quiet.filter(is_kept),
            violations=self.violations.filter(is_kept),
        )

    def placed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the border of their symbol, null where it is not about that."""
        borders = self.table.select("symbol", "border")
        return rows.join(borders, on="symbol", how="left", maintain_order="left")


@dataclass(frozen=True)
class Judgement:
    """What was found of a partition after its border, or of the whole of it.

    Attributes:
        states: symbol, ts, state; sorted by the first two.
        rows: symbol, ts of the stored candles.
        gaps: The ledger's rows.
        violations: Stored candles that cannot be.
        leads: symbol, first, last: the bars that are missing at the beginning.
        early: symbol, ts of the stored candles before the genesis of their symbol.
    """

    states: pl.DataFrame
    rows: pl.DataFrame
    gaps: pl.DataFrame
    violations: pl.DataFrame
    leads: pl.DataFrame
    early: pl.DataFrame


@dataclass(frozen=True)
class Whole:
    """What is known of partitions after a judgement, with what was settled before.

    Attributes:
        table: How many bars of each state there are: part, symbol, expected, and the states.
        texts: See `publish.state_texts`.
        gaps: The ledger's rows, sorted by symbol and time.
        violations: Stored candles that cannot be.
        leads: The bars that are missing at the beginning.
        early: Stored candles before the genesis of their symbol, by partition key and symbol.
        extents: By partition key, how many candles were settled, and the first and the last `ts`.
    """

    table: pl.DataFrame
    texts: pl.DataFrame
    gaps: pl.DataFrame
    violations: pl.DataFrame
    leads: pl.DataFrame
    early: Tally
    extents: Mapping[str, tuple[int, datetime, datetime]]

    @classmethod
    def of(cls, judgement: Judgement, settled: Settled | None, scope: Scope) -> Self:
        """Put both together."""
        counts = state_counts(judgement.states, scope.part())
        # Of nearly every partition of a backfill there is no other state.
        is_stored = bool((counts["expected"] == counts[State.STORED]).all())
        states = judgement.states.clear() if is_stored else judgement.states
        texts = state_texts(states, scope.cadence)
        early = tally(scope, judgement.early)
        newer = cls(counts, texts, judgement.gaps, judgement.violations, judgement.leads, early, {})
        return newer if settled is None else newer._with(settled)

    def _with(self, settled: Settled) -> Self:
        key, table = settled.partition.key, settled.table
        part = pl.lit(settled.partition.window.start.date()).alias("part")
        counts = table.select(part, "symbol", "expected", *STATES)
        texts = table.filter(pl.col("text") != "").select(part, "symbol", before="text")
        early = dict(table.filter(pl.col("early") > 0).select("symbol", "early").iter_rows())
        newer = self.early.get(key, {})
        violated = pl.concat([settled.violations, self.violations])
        number, first, last = table.select(pl.sum("rows"), pl.min("first"), pl.max("last")).row(0)
        return replace(
            self,
            table=pl.concat([counts, self.table.select(counts.columns)])
            .group_by("part", "symbol")
            .sum(),
            texts=texts.join(self.texts, on=["part", "symbol"], how="full", coalesce=True).select(
                "part", "symbol", text=joined("before", "text")
            ),
            gaps=pl.concat([settled.gaps, self.gaps]).sort("symbol", "first_ts"),
            violations=violated.sort(violated.columns),
            leads=pl.concat([settled.leads, self.leads]).sort("symbol"),
            early={key: {s: early.get(s, 0) + newer.get(s, 0) for s in {**early, **newer}}},
            extents={key: (number, first, last)} if number else {},
        )


def state_counts(states: pl.DataFrame, *by: pl.Expr) -> pl.DataFrame:
    """How many bars of each state each symbol has."""
    present = states["state"].unique()
    return states.group_by(*by, "symbol").agg(
        expected=pl.len().cast(pl.Int64),
        **{
            name: (pl.col("state") == name).sum().cast(pl.Int64)
            if name in present
            else pl.lit(0, pl.Int64)
            for name in STATES
        },
    )


def joined(*columns: str) -> pl.Expr:
    """The changes of state that some columns have, one after another."""
    filled = [pl.col(name).fill_null("") for name in columns]
    return pl.concat_str(*filled, separator="\n").str.strip_chars("\n")
