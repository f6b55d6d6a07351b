"""What the tools answer: plain values of bounded size, out of copies of the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.errors import ReadError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets.reports.completeness import is_healthy
from market_assets.reports.gaps import bare_profiles, listed_gaps
from market_assets.reports.plain import plain
from market_assets.reports.probe import listed_sources
from market_assets.reports.question import FIRST, LAST, Question
from market_assets.reports.read import instant_of
from market_assets.reports.story import stories_of
from market_assets.serve.parameters import profiles_named, symbols_named
from market_assets.serve.rows import Cursor, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from market_assets.config.universe import Profile, Universe
    from market_assets.serve.editions import Editions

MOST_SERIES, MOST_GAPS, MOST_CANDLES = 100, 100, 500
"""How many series, gaps and candles an answer has at most; it says what it leaves out."""

_COUNTS = ("expected", "stored", "explained", "missing")


class Answers:
    """What is asked about a home folder.

    Args:
        universe: What is kept.
        home: The home folder.
        store: Its store, as readers have it.
        clock: Gives the present instant (aware).
    """

    def __init__(
        self, universe: Universe, home: Path, store: Editions, clock: Callable[[], datetime]
    ) -> None:
        self._universe = universe
        self._home = home
        self._store = store
        self._clock = clock

    def status(self, profile: str | None) -> dict[str, Any]:
        """How complete everything is, with the series that lack most."""
        profiles = self._profiles(profile)
        with self._store.edition("reading the matrix") as (edition, view):
            matrix = view.completeness.matrix()
            as_of = edition.as_of
        names = [kept.name for kept in profiles]
        rows = matrix.filter(pl.col("profile").is_in(names))
        worst = rows.sort("missing", "profile", "symbol", descending=[True, False, False])
        bare = bare_profiles(self._store, profiles)
        by_timeframe = (
            rows.group_by("profile", "timeframe", maintain_order=True)
            .agg(pl.col(_COUNTS).sum().cast(pl.Int64), symbols=pl.len())
            .to_dicts()
        )
        return _document(
            {
                "as_of": as_of,
                "complete": is_healthy(rows) and not bare,
                "never_filled": bare,
                "timeframes": by_timeframe,
                "series": worst.head(MOST_SERIES).to_dicts(),
                "series_left_out": max(0, len(worst) - MOST_SERIES),
            }
        )

    def gaps(
        self, profile: str | None, symbols: Sequence[str], *, explained: bool, limit: int
    ) -> dict[str, Any]:
        """What is absent, newest first."""
        profiles = self._profiles(profile)
        names = symbols_named(profiles, symbols) or None
        rows = listed_gaps(
            self._store, profiles, symbols=names, now=self._clock(), explained=explained
        )
        return _document(
            {
                "total": len(rows),
                "never_filled": bare_profiles(self._store, profiles),
                "gaps": rows.head(limit).to_dicts(),
            }
        )

    def explain(self, profile: str, symbol: str, ts: str, timeframe: str | None) -> dict[str, Any]:
        """The story of one bar, for each fetched timeframe, or for one."""
        (kept,) = profiles_named(self._universe, [profile])
        (name,) = symbols_named([kept], [symbol], "symbol")
        instant = _instant("ts", ts)
        timeframes = [_timeframe(kept, timeframe)] if timeframe else ()
        with self._store.reading("explaining a bar") as view:
            stories = stories_of(view, kept, name, instant, self._clock(), timeframes=timeframes)
        if not stories:
            raise ReadError(
                f"timeframe: {kept.name} does not fetch {timeframe}: its bars are made of shorter "
                "ones, so ask for those",
                key="timeframe",
            )
        return _document({"stories": [asdict(story) for story in stories]})

    def candles(
        self,
        profile: str,
        symbols: Sequence[str],
        timeframe: str,
        *,
        start: str | None,
        end: str | None,
        adjusted: bool,
        limit: int,
        cursor: str | None,
    ) -> dict[str, Any]:
        """Stored candles, oldest first, a page at a time."""
        (kept,) = profiles_named(self._universe, [profile])
        dataset = Dataset.candles(kept.name, _timeframe(kept, timeframe))
        question = Question.about(self._universe, dataset, symbols or None, adjusted=adjusted)
        window = _window(start, end)
        after = None if cursor is None else Cursor.read(cursor)
        with self._store.edition(f"reading {dataset}") as (edition, view):
            question.check_stored(view, self._store.path)
            rows = Rows(question, view, self._home, window=window, after=after, limit=limit)
            frame = pl.concat(rows.frames())
            as_of = edition.as_of
        return _document(
            {
                "as_of": as_of,
                "table": f"{dataset.owner}.{dataset.name}",
                "candles": frame.to_dicts(),
                "next": None if rows.next is None else str(rows.next),
            }
        )

    def sources(self) -> dict[str, Any]:
        """The sources of the universe: what they serve, and whether their keys are set."""
        return _document({"sources": listed_sources()})

    def _profiles(self, profile: str | None) -> list[Profile]:
        return profiles_named(self._universe, [] if profile is None else [profile])


def _timeframe(profile: Profile, text: str) -> Timeframe:
    kept = {str(timeframe): timeframe for timeframe in profile.timeframes.kept}
    if text not in kept:
        raise ReadError(
            f"timeframe: {profile.name} keeps no {text[:20]!r}; it keeps {', '.join(kept)}",
            key="timeframe",
        )
    return kept[text]


def _instant(key: str, text: str) -> datetime:
    instant = instant_of(key, text)
    return min(max(instant, FIRST), LAST)


def _window(start: str | None, end: str | None) -> Window:
    first = FIRST if start is None else _instant("start", start)
    after = LAST if end is None else _instant("end", end)
    if after < first:
        raise ReadError(f"end: {end} lies before start, {start}", key="end")
    return Window(first, after)


def _document(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(part) for name, part in parts.items()}
