"""Candles on their grid: every bar that a series must have.

A bar has its prices, or the reason why it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.series import base_of
from market_assets.expected.states import states_of
from market_assets.market.columns import OHLCV
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import TS, Window
from market_assets.verdicts.evidence import MISSING, State

if TYPE_CHECKING:
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot

_KEY = ["symbol", "ts"]

UNKNOWN = (*MISSING, State.OUTAGE)
"""The states of a bar whose events are unknown.

In a halted bar, and in one without a trade, nothing did.
"""

_STRETCHES = pl.Schema({"symbol": pl.String(), "start_at": TS, "end_at": TS, "state": pl.String()})


class Grid:
    """The bars that one profile must have of a timeframe, read from an open store.

    Args:
        view: The store.
        scope: What must exist: fetched or derived candles.

    Attributes:
        series: The series, each from its first bar on where that is known; sorted by symbol.
    """

    def __init__(self, view: Snapshot, scope: Scope) -> None:
        base = base_of(scope.profile, scope.timeframe)
        self._view = view
        self._scope = scope.since(view.genesis.of(scope.profile.candles(base)))
        self._base = self._scope.of(base)
        self.series = sorted(self._scope.series, key=lambda series: series.symbol)

    def bars(self, window: Window) -> pl.DataFrame:
        """Every bar whose `ts` lies in a window and that a series must have by now.

        Returns:
            symbol, ts, opens_at, closes_at (TS), session (Date), open, high, low, close, volume
            (null where nothing is stored), state (a `State`), broken (Boolean); sorted by symbol
            and ts. A bar is broken where it is unknown what happened in it: it is absent and open,
            abandoned or an outage, or one of the shorter bars that it is made of is.

        Raises:
            CalendarError: The window reaches beyond what the calendar knows.
        """
        derived = self._scope.is_derived
        closed = self._scope.closed(window)
        bars = pl.concat(
            closed.filter(self._scope.belonging(series)).select(
                pl.lit(series.symbol).alias("symbol"),
                "ts",
                "opens_at",
                "closes_at",
                "session",
                "halted",
            )
            for series in self.series
        )
        made_of = ("bars", "bars_expected") if derived else ()
        # A bar that somebody stored twice is one bar; the validity verdict reports it.
        candles = self._view.candles.of(self._scope.dataset, self._scope.symbols, window).unique(
            _KEY, keep="last"
        )
        bars = bars.join(
            candles.select(*_KEY, *OHLCV, *made_of), on=_KEY, how="left", maintain_order="left"
        )
        placed = self._derived(bars) if derived else self._fetched(bars, window)
        return placed.select(*_KEY, "opens_at", "closes_at", "session", *OHLCV, "state", "broken")

    def _fetched(self, bars: pl.DataFrame, window: Window) -> pl.DataFrame:
        if bars["close"].null_count() == 0:
            return bars.with_columns(state=pl.lit(State.STORED.value), broken=pl.lit(value=False))
        states = states_of(self._view, self._scope, window)
        placed = bars.join(states, on=_KEY, how="left", maintain_order="left")
        return placed.with_columns(broken=pl.col("state").is_in(UNKNOWN))

    def _derived(self, bars: pl.DataFrame) -> pl.DataFrame:
        stored = pl.col("close").is_not_null()
        whole = stored & (pl.col("bars") == pl.col("bars_expected"))
        bars = bars.with_columns(
            state=pl.when(stored).then(pl.lit(State.STORED.value)),
            whole=whole.fill_null(value=False),
        )
        unclear = bars.filter(~pl.col("whole"))
        if unclear.is_empty():
            return bars.with_columns(broken=pl.lit(value=False))
        unknown = self._unknown(Window.spanning(unclear["opens_at"], unclear["closes_at"]))
        unclear = unclear.with_columns(
            hidden=pl.coalesce(_overlapping(unclear, stretches) for stretches in unknown)
        )
        # Where no ledger of the input has a row, the market was halted, or nothing was traded.
        quiet = (
            pl.when("halted")
            .then(pl.lit(State.HALTED.value))
            .otherwise(pl.lit(State.NO_TRADE.value))
        )
        return bars.join(
            unclear.select(*_KEY, "hidden"), on=_KEY, how="left", maintain_order="left"
        ).with_columns(
            state=pl.coalesce("state", "hidden", quiet), broken=pl.col("hidden").is_not_null()
        )

    def _unknown(self, window: Window) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The stretches of the input that a ledger calls unknown, and the never judged ones."""
        base, symbols = self._base, self._base.symbols
        first, last = (
            Partition.holding(edge.date(), base.cadence).window
            for edge in (window.start, window.end)
        )
        window = Window(first.start, last.end)
        grid = base.grid(window)
        gaps = self._view.gaps.of(base.dataset, symbols=symbols, window=window)
        absent = (
            gaps.filter(pl.col("status").is_in(UNKNOWN))
            .join(grid.select(first_ts="ts", start_at="opens_at"), on="first_ts")
            .join(grid.select(last_ts="ts", end_at="closes_at"), on="last_ts")
            .select("symbol", "start_at", "end_at", state="status")
        )
        judged = self._view.partitions.counts(base.dataset).select(
            "symbol", "judged_at", part=pl.col("partition").str.to_date()
        )
        unjudged = (
            grid.group_by(base.part())
            .agg(start_at=pl.min("opens_at"), end_at=pl.max("closes_at"))
            .join(pl.DataFrame({"symbol": symbols}), how="cross")
            .join(judged, on=["symbol", "part"], how="left")
            .with_columns(start_at=pl.max_horizontal("start_at", "judged_at"))
            .filter(pl.col("start_at") < pl.col("end_at"))
            .select("symbol", "start_at", "end_at", state=pl.lit(State.OPEN.value))
        )
        return absent.match_to_schema(_STRETCHES), unjudged.match_to_schema(_STRETCHES)


def with_runs(bars: pl.DataFrame) -> pl.DataFrame:
    """Number the unbroken stretches of the stored bars.

    Args:
        bars: What `Grid.bars` gives, and severed (Boolean) where something cannot be measured from
            the bar before.

    Returns:
        The bars that are stored and not broken, with `run` (UInt32). Two neighbours of a symbol
        share a number where no broken bar lies between them, whatever else does: a closed market, a
        halt, minutes without a trade.
    """
    severed = pl.col("severed") if "severed" in bars.columns else pl.lit(value=False)
    return (
        bars.with_columns(breaks=(pl.col("broken") | severed).cum_sum().over("symbol"))
        .filter((pl.col("state") == State.STORED) & ~pl.col("broken"))
        .with_columns(run=pl.struct("symbol", "breaks").rle_id())
        .drop("breaks")
    )


def _overlapping(bars: pl.DataFrame, stretches: pl.DataFrame) -> pl.Series:
    """The state of the stretch that shares an instant with each bar; null where none does.

    The stretches of a symbol are disjoint.
    """
    ends = stretches.select(
        "symbol", "start_at", "state", last_at=pl.col("end_at") - pl.duration(microseconds=1)
    )
    placed = (
        bars.select("symbol", "opens_at", "closes_at")
        .with_row_index("place")
        .sort("opens_at")
        .join_asof(
            ends.sort("last_at"),
            left_on="opens_at",
            right_on="last_at",
            by="symbol",
            strategy="forward",
            check_sortedness=False,
        )
        .sort("place")
    )
    return placed.select(
        pl.when(pl.col("start_at") < pl.col("closes_at")).then("state").alias("state")
    )["state"]
