"""What the store knows of each bar that must exist: stored, explained, or to be asked for."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.calendars.bounds import CLOSURE
from market_assets.market.timeframes import Window
from market_assets.verdicts.evidence import State, believable, classify

if TYPE_CHECKING:
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot


def states_of(view: Snapshot, scope: Scope, window: Window, *, quiet: bool = True) -> pl.DataFrame:
    """The state of each bar of a window.

    Where all of them are stored, no evidence is read.

    Args:
        view: The store, with the candles' table.
        scope: What must exist: fetched candles, from their genesis on.
        window: Which bars.
        quiet: Whether any source of the series leaves quiet bars out. Coverage says which ones do;
            where none does, this looks at some bars in vain.

    Returns:
        symbol, ts, state; sorted by the first two.
    """
    rules = scope.profile.evidence
    # Whether a silence is short enough to be quiet bars shows only with the bars around the window.
    outer = _padded(scope, window) if quiet else window
    bars = scope.bars(outer)
    present = view.candles.opens(scope.dataset, scope.symbols, outer)
    inside = bars.filter(window.holds()) if quiet else bars
    if _are_stored(inside, present):
        return inside.select("symbol", "ts", state=pl.lit(State.STORED.value))

    coverage = view.coverage.of(scope.dataset, scope.symbols, outer)
    states = classify(
        bars,
        present,
        coverage=believable(coverage, scope.now, "answered_at"),
        ledger=ledger_of(view, scope, window),
        timeframe=scope.timeframe,
        rules=rules,
    )
    return states.filter(window.holds()) if quiet else states


def _are_stored(bars: pl.DataFrame, present: pl.DataFrame) -> bool:
    """Whether all of some bars are stored, so that no evidence is needed."""
    # Mostly the number alone says no.
    if len(present) < len(bars):
        return False
    return bars.join(present, on=["symbol", "ts"], how="anti").is_empty()


def ledger_of(view: Snapshot, scope: Scope, window: Window) -> pl.DataFrame:
    """The absences seen before in a window, without those stamped by a clock that was ahead."""
    gaps = view.gaps.of(scope.dataset, symbols=scope.symbols, window=window, who=True)
    return believable(gaps, scope.now, "first_seen", "asked_at", "confirmed_at")


def _padded(scope: Scope, window: Window) -> Window:
    """The window and, on both sides, the quiet limit's number of bars."""
    count = scope.profile.evidence.quiet_bars(scope.timeframe)
    before = scope.grid(Window(window.start - CLOSURE, window.start))["ts"].tail(count)
    after = scope.grid(Window(window.end, window.end + CLOSURE))["ts"].head(count)

    start = window.start if before.is_empty() else before[0].replace(tzinfo=UTC)
    end = window.end
    if not after.is_empty():
        end = after[-1].replace(tzinfo=UTC) + timedelta(microseconds=1)
    return Window(start, end)
