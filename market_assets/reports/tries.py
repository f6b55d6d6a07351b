"""A try of each source of a universe: one small request, and what it says in a sentence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from market_assets.config.sources import source_of
from market_assets.errors import MarketAssetsError, SourceError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Window, from_micros
from market_assets.secrets import variables_in
from market_assets.sources.contract import PartialAnswerError, brief, source_types
from market_assets.words import are, listed, many

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import polars as pl

    from market_assets.config.universe import Profile, Universe
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source

_PATIENCE = {"retries": 0, "timeout": 8, "total_timeout": 12, "max_elapsed": 15}
"""The settings of a source that speaks HTTP while it is tried: somebody waits for it."""
_LIMIT = 30.0
"""Seconds for one try, whatever the source does."""
_BARS = 5
_LOOK_BACK = timedelta(days=21)
"""How far back the newest bars that must exist may lie: behind holidays, and three weeks."""


@dataclass(frozen=True)
class Try:
    """What came of asking a source for a few bars.

    Attributes:
        profile: The profile that it was asked for.
        source: The source.
        symbol: The symbol, as the universe calls it.
        timeframe: The length of the bars.
        is_well: Whether it gave bars.
        words: What it said, in a sentence.
        advice: What to do about it; empty where there is nothing to do.
        bars: How many bars came.
        seconds: How long it took.
    """

    profile: str
    source: str
    symbol: str
    timeframe: Timeframe
    is_well: bool
    words: str
    advice: str = ""
    bars: int = 0
    seconds: float = 0.0


def try_sources(universe: Universe, environ: Mapping[str, str], *, now: datetime) -> list[Try]:
    """Ask each source of each profile for the newest bars of its first symbol.

    Args:
        universe: Whose sources are asked; keys that are not set may stand for any text.
        environ: Where the keys are set, or not.
        now: The present, aware.
    """
    return [
        _try(universe, profile, source, environ, now)
        for profile in universe.profiles.values()
        for source in dict.fromkeys(
            choice.source for symbol in profile.symbols.values() for choice in symbol.sources
        )
    ]


def _try(
    universe: Universe, profile: Profile, source: str, environ: Mapping[str, str], now: datetime
) -> Try:
    symbol, own_name = next(
        (symbol.name, choice.symbol)
        for symbol in profile.symbols.values()
        for choice in symbol.sources
        if choice.source == source
    )
    timeframe = profile.timeframes.fetch[0]

    def result(words: str, advice: str = "", *, bars: int = 0, seconds: float = 0.0) -> Try:
        well = bars > 0
        return Try(profile.name, source, symbol, timeframe, well, words, advice, bars, seconds)

    keys = variables_in(universe.sources[source])
    if lacking := [name for name in keys if not environ.get(name)]:
        return result(
            f"it was not asked: {listed(lacking)} {are(len(lacking))} not set",
            f"Set it (export {lacking[0]}=...), then ask: market-assets probe {source} {symbol}",
        )
    advice = f"Ask again: market-assets probe {source} {symbol}"
    began = monotonic()
    try:
        asked = source_of(_patient(universe, source), source, kind=profile.kind.value.lower())
        window = _newest(asked, profile, own_name, timeframe, now)
        frame = asyncio.run(asyncio.wait_for(_ask(asked, own_name, timeframe, window), _LIMIT))
    except TimeoutError:
        return result(f"no answer within {_LIMIT:.0f} s", advice, seconds=monotonic() - began)
    except MarketAssetsError as error:
        return result(universe.redact(str(error)), advice, seconds=monotonic() - began)
    seconds = monotonic() - began
    if frame.is_empty():
        return result(
            f"it answered, and has no bar from {window.start:%Y-%m-%d %H:%M} on",
            f"See that {source} has {own_name}. {advice}",
            seconds=seconds,
        )
    last: datetime = frame["ts"][-1]
    return result(
        f"{many(frame.height, 'bar')}, the last one of {last:%Y-%m-%d %H:%M} UTC",
        bars=frame.height,
        seconds=seconds,
    )


def _patient(universe: Universe, source: str) -> Universe:
    """The universe with a source that gives up soon, where it speaks HTTP."""
    settings = universe.sources[source]
    fields = source_types()[str(settings.get("type") or source)].Settings.model_fields
    hurry = {key: value for key, value in _PATIENCE.items() if key in fields}
    return universe.model_copy(
        update={"sources": {**universe.sources, source: {**settings, **hurry}}}
    )


def _newest(
    source: Source, profile: Profile, own_name: str, timeframe: Timeframe, now: datetime
) -> Window:
    """The stretch of the newest bars that must exist and that the source may have."""
    calendar = load_calendar(profile.calendar)
    brief(source, calendar, {own_name})
    spoken = source.answers_for(own_name, timeframe)
    if spoken is not None:
        return Window(max(spoken.start, spoken.end - _LOOK_BACK), spoken.end)
    end = now - profile.update.settle
    look_back = max(_LOOK_BACK, 2 * _BARS * timeframe.duration)
    opens = calendar.expected(timeframe, Window(end - look_back, end), until=end).tail(_BARS)
    if opens.is_empty():
        raise SourceError(f"the calendar {profile.calendar} has no session before {end:%Y-%m-%d}")
    first, last = (from_micros(int(opens.to_physical()[place])) for place in (0, -1))
    return Window(first, last + timeframe.duration)


async def _ask(source: Source, own_name: str, timeframe: Timeframe, window: Window) -> pl.DataFrame:
    async with source:
        try:
            frame = await source.fetch(own_name, timeframe, window.start, window.end)
        except PartialAnswerError as part:
            frame = part.frame
    if "refused" in frame.columns:
        frame = frame.filter(frame["refused"].is_null())
    return frame.filter(window.holds()).sort("ts").tail(_BARS)
