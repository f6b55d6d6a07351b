"""How long the bars of a chart are, so that a window has no more of them than can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.series import base_of, calendar_of
from market_assets.market.timeframes import Timeframe, Window, literal

if TYPE_CHECKING:
    from market_assets.config.universe import Profile
    from market_assets.market.datasets import Dataset
    from market_assets.store import Snapshot

_FEWEST = 6
"""Stored candles are shown where a window has at least a sixth of the bars that may be shown."""


@dataclass(frozen=True)
class Level:
    """How long the bars of a chart are, and where their candles come from.

    Attributes:
        timeframe: The length of a bar.
        made_of: The stored candles that its candles are made of while they are read; None where
            they are stored themselves.
    """

    timeframe: Timeframe
    made_of: Timeframe | None = None


def level_of(
    view: Snapshot,
    profile: Profile,
    symbol: str,
    timeframe: Timeframe,
    *,
    window: Window,
    most: int,
) -> Level:
    """The shortest bars, from a timeframe on, of which a window has at most so many.

    Longer candles that are stored are taken where they reach as far as the shorter ones and are not
    much coarser than others that could be made.

    Args:
        view: The store, which has fetched candles that the timeframe is made of.
        profile: What is kept.
        symbol: Whose candles.
        timeframe: The shortest bars that are wanted: fetched or derived.
        window: A part of what the calendar knows.
        most: How many bars at most, about: at a window's edges there is one more.
    """
    spans = _spans(profile, window)
    counts = {length: _bars_in(spans, length, window) for length in Timeframe}
    fitting = [
        length
        for length in Timeframe
        if length.duration >= timeframe.duration and counts[length] <= most
    ] or [Timeframe.W1]
    base = base_of(profile, timeframe)
    reached = view.served.span(profile.candles(base), symbol, window)
    longer = [length for length in profile.timeframes.kept if length.duration > base.duration]
    stored = [
        base,
        *(
            length
            for length in sorted(longer, key=lambda length: length.duration)
            if _reaches(view, profile.candles(length), symbol, window, reached)
        ),
    ]
    enough = min(most, counts[fitting[0]])
    for length in fitting:
        is_fine = length is timeframe or _FEWEST * counts[length] >= enough
        if length in stored and is_fine:
            return Level(length)
    shorter = [length for length in stored if length.duration < fitting[0].duration]
    return Level(fitting[0], shorter[-1])


def _spans(profile: Profile, window: Window) -> pl.DataFrame:
    """When the market is open in a window: start, end, session."""
    return (
        calendar_of(profile)
        .spans(window)
        .select(
            start=pl.max_horizontal("open", literal(window.start)),
            end=pl.min_horizontal("close", literal(window.end)),
            session="session",
        )
    )


def _bars_in(spans: pl.DataFrame, length: Timeframe, window: Window) -> int:
    """About how many bars of a length a window has: by its sessions, without their bars."""
    if length.intraday:
        open_for = spans.select((pl.col("end") - pl.col("start")).sum()).item()
        return 0 if open_for is None else -(-open_for // length.duration)
    sessions = spans["session"].n_unique()
    return min(sessions, 1 + (window.end - window.start) // length.duration)


def _reaches(
    view: Snapshot,
    dataset: Dataset,
    symbol: str,
    window: Window,
    reached: tuple[datetime, datetime, int] | None,
) -> bool:
    """Whether longer candles are stored as far as the shorter ones are."""
    if reached is None or not view.candles.has(dataset):
        return False
    length = dataset.timeframe.duration
    span = view.served.span(dataset, symbol, Window(window.start - length, window.end))
    if span is None:
        return False
    # The last one may not have closed yet, and a week is made some days later.
    slack = 2 * length + timedelta(days=4)
    return span[0] <= reached[0] + length and span[1] + slack >= reached[1]
