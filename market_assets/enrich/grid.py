"""Candles on their grid: every bar that a series must have.

A bar has its prices, or the reason why it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.series import base_of
from market_assets.expected.states import states_of
from market_assets.imports import late_imports
from market_assets.market.columns import OHLCV
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import TS, Window
from market_assets.verdicts.evidence import MISSING, State

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from market_assets.expected.scope import Scope
    from market_assets.expected.series import Series
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
        made_of = ("bars", "bars_expected") if derived else ()
        places = _Places(self._scope, self.series, self._scope.closed(window))
        symbols = [series.symbol for series in self.series]
        candles = self._view.candles.prices(
            self._scope.dataset, symbols, window, (*OHLCV, *made_of)
        )
        bars = places.with_candles(candles)
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


class _Places:
    """Where each bar of some series stands in a frame of all of them.

    Args:
        scope: Whose bars.
        members: The series, in the order in which the frame has them.
        closed: The bars of the calendar, sorted by `ts`.
    """

    def __init__(self, scope: Scope, members: Sequence[Series], closed: pl.DataFrame) -> None:
        self._symbols = [series.symbol for series in members]
        self._opens = closed["ts"].to_physical().to_numpy()
        columns = closed.select("ts", "opens_at", "closes_at", "session", "halted")

        # Most series have one window: what is cut out is shared.
        cuts = {(series.window, series.floor): scope.belonging(series) for series in members}
        masks = [
            columns.select(belongs=belonging)["belongs"].to_numpy() for belonging in cuts.values()
        ]
        parts = [columns.filter(pl.Series(mask)) for mask in masks]
        numbers = {cut: number for number, cut in enumerate(cuts)}
        self._cut_of_series = np.array(
            [numbers[series.window, series.floor] for series in members], dtype=np.int64
        )
        self._places = np.stack([np.where(mask, np.cumsum(mask) - 1, -1) for mask in masks])
        self._lengths = np.array([len(part) for part in parts])[self._cut_of_series]
        self._bars = pl.concat([parts[cut] for cut in self._cut_of_series])

    def with_candles(self, candles: pl.DataFrame) -> pl.DataFrame:
        """Every bar with its candle, sorted by series and `ts`.

        A bar that somebody stored twice is one bar, with the values that stand later in the table;
        the validity verdict reports it.

        Args:
            candles: number (the place of the series), ts and any other columns. Those without a
                bar are left out.

        Returns:
            symbol, the columns of the calendar's bars, and those of the candles: null where a bar
            has none.
        """
        rows = pl.Series(self._rows_of(candles), dtype=pl.Int64, nan_to_null=False)
        rows = rows.set(rows < 0, None)
        names = pl.Series("symbol", self._symbols, pl.String)
        symbol = names.gather(np.repeat(np.arange(len(self._symbols)), self._lengths))
        prices = candles.select(pl.exclude("number", "ts").gather(rows))
        frames: list[pl.DataFrame] = [symbol.to_frame(), self._bars, prices]
        return pl.concat(frames, how="horizontal")

    def _rows_of(self, candles: pl.DataFrame) -> NDArray[np.int64]:
        """The row of each bar's candle, -1 where it has none."""
        rows = np.full(len(self._bars), -1, dtype=np.int64)
        if candles.is_empty() or not len(self._opens):
            return rows
        series = candles["number"].to_numpy()
        opens = candles["ts"].to_physical().to_numpy()
        bar = np.minimum(np.searchsorted(self._opens, opens), len(self._opens) - 1)

        place = self._places[self._cut_of_series[series], bar]
        is_bar = (self._opens[bar] == opens) & (place >= 0)
        first = np.cumsum(self._lengths) - self._lengths
        # Of rows with the same place the last one stays.
        rows[(first[series] + place)[is_bar]] = np.flatnonzero(is_bar)
        return rows


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
    breaks = (pl.col("broken") | severed).cum_sum()
    starts = pl.any_horizontal(
        name != name.shift() for name in (pl.col("symbol"), pl.col("breaks"))
    ).fill_null(value=False)
    return (
        bars.with_columns(breaks=breaks)
        .filter((pl.col("state") == State.STORED) & ~pl.col("broken"))
        .with_columns(run=starts.cum_sum())
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
