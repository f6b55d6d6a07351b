"""Which partitions are filled by a request that starts work. Pure but for a look at the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.scope import scope_of
from market_assets.serve.platform import Range

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.market.timeframes import Window
    from market_assets.store import Snapshot

_LONGEST = 400
"""Partitions of a run."""


def backfill_ranges(profile: Profile, window: Window, now: datetime) -> list[Range]:
    """All partitions of a window that a profile keeps, in runs, of each fetched timeframe."""
    ranges: list[Range] = []
    for timeframe in profile.timeframes.fetch:
        scope = scope_of(profile, timeframe, now)
        ranges += _runs(scope, _keys(scope, window))
    return ranges


def repair_ranges(
    view: Snapshot, profile: Profile, symbols: Sequence[str], window: Window, now: datetime
) -> list[Range]:
    """The partitions of a window that lack a bar or were never filled, in runs, newest first.

    Args:
        view: The store.
        profile: Whose partitions.
        symbols: Whose bars count; all of the profile if none is named.
        window: Where.
        now: The present instant.
    """
    ranges: list[Range] = []
    for timeframe in profile.timeframes.fetch:
        scope = scope_of(profile, timeframe, now)
        names = list(symbols) or scope.symbols
        keys = _keys(scope, window)
        gaps = view.gaps.unexplained(scope.dataset, names)
        lacking = set(gaps.select(scope.part("first_ts").cast(pl.String))["part"])
        filled = view.partitions.keys(scope.dataset)
        wanted = {key for key in keys if key in lacking or key not in filled}
        ranges += reversed(_runs(scope, keys, wanted))
    return ranges


def _keys(scope: Scope, window: Window) -> list[str]:
    inside = window.intersect(scope.window)
    return [] if inside is None else [part.key for part in scope.partitions(inside)]


def _runs(scope: Scope, keys: Sequence[str], wanted: Collection[str] | None = None) -> list[Range]:
    """Ranges of neighbours among some keys, oldest first."""
    ranges: list[list[str]] = []
    follows = False
    for key in keys:
        is_wanted = wanted is None or key in wanted
        if is_wanted and follows and len(ranges[-1]) < _LONGEST:
            ranges[-1].append(key)
        elif is_wanted:
            ranges.append([key])
        follows = is_wanted
    return [Range(scope.dataset, part[0], part[-1]) for part in ranges]
