"""Which bars a fill asks for, and in which pages. No source is asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.fill.answers import Page
from market_assets.market.calendars.bounds import CLOSURE
from market_assets.market.gaps import plan_requests
from market_assets.market.timeframes import Window, literal, micros_of
from market_assets.plan.repair import resting
from market_assets.verdicts.evidence import State
from market_assets.verdicts.ledger import askable
from market_assets.verdicts.stretches import as_stretches, within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.expected.scope import Scope
    from market_assets.fill.options import FillOptions
    from market_assets.sources.contract import Source
    from market_assets.store import Snapshot


def marked(
    view: Snapshot, scope: Scope, states: pl.DataFrame, window: Window, options: FillOptions
) -> pl.DataFrame:
    """The states of a window's bars with the mark `wanted`: which of them to ask for."""
    if options.refetch:
        return states.with_columns(wanted=pl.lit(value=True))
    profile = scope.profile
    wanted = pl.col("state") == State.OPEN
    if options.only_due:
        ledger = view.gaps.of(scope.dataset, window=window)
        rests = resting(ledger, profile.evidence, profile.repair, scope.now)
        states = within(states, as_stretches(rests, "due_at"))
        wanted &= pl.col("due_at").is_null()
    elif (states["state"] == State.ABANDONED).any():
        again = askable(view.gaps.of(scope.dataset, window=window, who=True))
        states = within(states, as_stretches(again, again=pl.lit(value=True)))
        wanted |= pl.col("again").fill_null(value=False) & (pl.col("state") == State.ABANDONED)

    if options.recheck:
        # A stretch up to the present that holds so many bars.
        length = options.recheck * scope.timeframe.duration * 2 + CLOSURE
        newest = scope.closed(Window(scope.now - length, scope.now))
        recent = newest["ts"].tail(options.recheck)
        wanted |= (pl.col("state") != State.HALTED) & pl.col("ts").is_in(recent.implode())
    if options.since is not None:
        wanted &= pl.col("ts") >= literal(options.since)
    return states.with_columns(wanted=wanted)


def pages_of(
    asked: Scope,
    states: pl.DataFrame,
    window: Window,
    *,
    sources: Mapping[str, Source],
    newest_first: bool,
) -> list[Page]:
    """The pages that hold the wanted bars of a window, in the order in which to ask for them.

    Args:
        asked: The series that are asked for, each from its genesis on.
        states: What `marked` gives.
        window: The window.
        sources: The sources, by name.
        newest_first: The newest page first, else the oldest.
    """
    series_by_symbol = {series.symbol: series for series in asked.series}
    grid = asked.grid(window)
    is_closed = pl.col("closes_at") <= literal(asked.now)
    closed, unfinished = grid.filter(is_closed)["ts"], grid.filter(~is_closed)["ts"]
    pages: list[Page] = []
    for (symbol,), symbol_states in states.partition_by("symbol", as_dict=True).items():
        series = series_by_symbol.get(str(symbol))
        if series is None:
            continue
        wanted = symbol_states["ts"].filter(symbol_states["wanted"])
        if wanted.is_empty():
            continue
        page_size = sources[series.sources[0].source].traits.page_size
        stretches = plan_requests(wanted, asked.timeframe, page_size, newest_first=newest_first)
        parts = (_cut(opens, stretches) for opens in (wanted, closed, unfinished))
        pages += [
            Page(
                series.symbol,
                series.sources,
                stretch,
                wanted=wanted_bars,
                bars=bars.to_frame(),
                unfinished=still_open,
                apart=series.apart,
            )
            for stretch, wanted_bars, bars, still_open in zip(stretches, *parts, strict=True)
        ]
    return sorted(pages, key=lambda page: page.window.start, reverse=newest_first)


def _cut(opens: pl.Series, windows: Sequence[Window]) -> list[pl.Series]:
    """The parts of a sorted series of opens that lie in some windows."""
    edges = np.searchsorted(micros_of(opens), [window.micros for window in windows])
    return [opens.slice(int(first), int(after - first)) for first, after in edges]
