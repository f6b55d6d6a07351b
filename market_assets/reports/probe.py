"""A try of one source: some of its newest bars, its first one, and what they cost.

The sources and source types that there are to try are listed here, too.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import UTC
from time import monotonic
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.config.load import AsIfSet, load_universe
from market_assets.config.sources import source_of
from market_assets.errors import UniverseError
from market_assets.market.timeframes import literal
from market_assets.secrets import variables_in
from market_assets.sources.contract import (
    CANDLE_SCHEMA,
    PartialAnswerError,
    Traits,
    source_types,
    venue_of,
)
from market_assets.sources.transport.horizon import probed_horizon

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from market_assets.config.universe import Universe
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source, Usage
    from market_assets.sources.transport.horizon import Horizon

# A page of 1000 minutes reaches back over 16 hours, and markets close for four days at a time.
_LOOKS = 10


@dataclass(frozen=True)
class Probe:
    """The result of a probe.

    Attributes:
        bars: The newest closed bars that it has, oldest first: a frame of CANDLE_SCHEMA.
        first_bar: The open of its first bar of all, aware; None where there is none, or where it
            cannot name it.
        usage: What it cost.
        seconds: How long it took.
        horizon: Since when it serves, where it refuses what is older; None where it does not, or
            was not asked.
    """

    bars: pl.DataFrame
    first_bar: datetime | None
    usage: Usage
    seconds: float
    horizon: Horizon | None = None

    def document(self) -> dict[str, Any]:
        """All of it in plain values: bars, first_bar, serves_since and cost.

        A number that is not finite is None.
        """
        numbers = pl.col(pl.Float64)
        return {
            "bars": self.bars.with_columns(pl.when(numbers.is_finite()).then(numbers)).to_dicts(),
            "first_bar": self.first_bar,
            "serves_since": self.horizon and self.horizon.start,
            "cost": {**asdict(self.usage), "seconds": self.seconds},
        }


async def probe(
    source: Source, symbol: str, timeframe: Timeframe, *, count: int, now: datetime
) -> Probe:
    """Ask a source for its newest closed bars and its first one.

    It looks back over some pages, so that bars are found behind a weekend or a holiday too.

    Args:
        source: Not entered yet.
        symbol: The source's own name for the instrument.
        timeframe: One of its timeframes.
        count: How many bars, at most.
        now: The present, aware: a bar is closed when it has lasted its whole length.

    Raises:
        SourceError: The source does not answer.
    """
    began = monotonic()
    async with source:
        bars = await _newest(source, symbol, timeframe, count, now)
        first = await source.earliest(symbol, timeframe) if source.traits.earliest_probe else None
        horizon = await _horizon(source, symbol, timeframe, bars, now)
    return Probe(bars, first, source.usage, monotonic() - began, horizon)


async def _horizon(
    source: Source, symbol: str, timeframe: Timeframe, bars: pl.DataFrame, now: datetime
) -> Horizon | None:
    """Since when a source serves, where it does not say so itself."""
    says_it = (
        source.traits.earliest_probe
        or source.traits.latest_only is not None
        or source.answers_for(symbol, timeframe) is not None
    )
    if says_it or bars.is_empty():
        return None
    newest = bars["ts"][-1].replace(tzinfo=UTC)
    return await probed_horizon(source, symbol, timeframe, newest=newest, now=now)


async def _newest(
    source: Source, symbol: str, timeframe: Timeframe, count: int, now: datetime
) -> pl.DataFrame:
    traits, spoken = source.traits, source.answers_for(symbol, timeframe)
    end = now if spoken is None else min(now, spoken.end)
    candles, width, seen = CANDLE_SCHEMA.to_frame(), min(count + 1, traits.page_size), 0
    for _ in range(_LOOKS):
        start = end - width * timeframe.duration
        try:
            page = await source.fetch(symbol, timeframe, start, end)
        except PartialAnswerError as part:
            page = part.frame
        if "refused" in page.columns:
            page = page.filter(pl.col("refused").is_null())
        closed = page.select(CANDLE_SCHEMA.names()).filter(
            pl.col("ts") <= literal(now - timeframe.duration)
        )
        candles = pl.concat([closed, candles]).unique("ts").sort("ts").tail(count)
        seen += width
        at_the_first = spoken is not None and start <= spoken.start
        at_the_last = traits.latest_only is not None and seen >= traits.latest_only
        if len(candles) == count or at_the_first or at_the_last:
            break
        end, width = start, traits.page_size
    return candles


def listed_types() -> list[dict[str, Any]]:
    """The installed source types with their traits.

    The traits are None where they follow from the settings; `error` says why a type cannot be
    loaded.
    """
    return [{"type": name, **_described(name)} for name in source_types()]


def _described(name: str) -> dict[str, Any]:
    try:
        traits = getattr(source_types()[name], "traits", None)
    # Another package's code runs here: its bug does not hide the others.
    except Exception as error:  # noqa: BLE001
        return {"traits": None, "error": repr(error)}
    return {"traits": _traits(traits) if isinstance(traits, Traits) else None, "error": None}


def listed_sources(environ: Mapping[str, str] = os.environ) -> list[dict[str, Any]]:
    """The sources of the universe with their traits, their venues and their keys.

    `keys` says of each `${NAME}` in the settings whether it is set.

    Raises:
        UniverseError: The universe cannot be used, for another reason than a key that is not set;
            it names all that are not.
    """
    try:
        universe = load_universe(environ=AsIfSet(environ))
    except UniverseError:
        # The file as it is reports a variable that is not set, for instance an address.
        universe = load_universe(environ=environ)
    rows = []
    for name, settings in universe.sources.items():
        keys = {variable: bool(environ.get(variable)) for variable in variables_in(settings)}
        kind = kind_for(universe, name)
        source_type = source_types()[str(settings.get("type") or name)]
        rows.append(
            {
                "source": name,
                "type": str(settings.get("type") or name),
                "profiles": _users_of(universe, name),
                "keys": keys,
                "keys_set": all(keys.values()),
                "venue": venue_of(source_type, source_type.Settings.model_validate(settings), kind),
                "traits": _traits(source_of(universe, name, kind=kind).traits),
                "other_venue": [
                    profile.name
                    for profile in universe.profiles.values()
                    if any(
                        name == choice.source
                        for symbol in profile.symbols.values()
                        for choice in symbol.compared
                    )
                ],
            }
        )
    return rows


def _users_of(universe: Universe, source: str) -> list[str]:
    """The profiles with a symbol that the source is asked for, or may be compared with."""
    return [
        profile.name
        for profile in universe.profiles.values()
        if any(
            source == choice.source
            for symbol in profile.symbols.values()
            for choice in symbol.choices
        )
    ]


def profile_for(universe: Universe, source: str, symbol: str) -> str | None:
    """The profile that is meant where none is named.

    It is the first that asks the source for the symbol, else the first that uses the source; None
    where none does.
    """
    users = _users_of(universe, source)
    named = (name for name in users if symbol in universe.profiles[name].symbols)
    return next(named, next(iter(users), None))


def kind_for(universe: Universe, source: str, profile: str | None = None) -> str:
    """The kind that a source is built for, in lower case.

    It is a profile's, by default that of the first that uses it.
    """
    named = profile or next(iter(_users_of(universe, source)), None)
    return universe.profiles[named].kind.value.lower() if named else "crypto"


def own_name(universe: Universe, source: str, symbol: str, profile: str | None = None) -> str:
    """What the source calls a symbol of the universe.

    A name that is no symbol of the profile (by default, of any profile) is taken for the source's
    own.
    """
    for candidate in [universe.profiles[profile]] if profile else universe.profiles.values():
        for choice in candidate.symbols[symbol].choices if symbol in candidate.symbols else ():
            if choice.source == source:
                return choice.symbol
    return symbol


def _traits(traits: Traits) -> dict[str, Any]:
    return {
        "timeframes": _shortest_first(traits.timeframes),
        "page_size": traits.page_size,
        "quiet_minutes": "present" if traits.emits_empty_bars else "omitted",
        "names_genesis": traits.earliest_probe,
        "latest_only": traits.latest_only,
        "kinds": sorted(traits.kinds),
        "needs_key": traits.needs_key,
        "lacks": {kind: _shortest_first(absent) for kind, absent in sorted(traits.lacks.items())},
    }


def _shortest_first(timeframes: Iterable[Timeframe]) -> list[Timeframe]:
    return sorted(timeframes, key=lambda timeframe: timeframe.duration)
