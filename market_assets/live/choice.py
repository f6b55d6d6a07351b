"""Which source streams which symbol of a profile, and which symbols are left to REST."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from market_assets.errors import SourceError
from market_assets.expected.scope import scope_of
from market_assets.sources.contract import source_types
from market_assets.sources.streaming import Streaming, has_stream
from market_assets.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source
    from market_assets.sources.streaming import StreamFormat


@dataclass
class Choice:
    """Who streams what.

    Attributes:
        makers: By source, what gives a format for one more connection.
        symbols: By source, the source's own names of the symbols that it streams, each with what
            the universe calls it.
        rest: Why a symbol is not streamed, by symbol as the universe calls it.
    """

    makers: dict[str, Callable[[], StreamFormat]] = field(default_factory=dict)
    symbols: dict[str, dict[str, str]] = field(default_factory=dict)
    rest: dict[str, str] = field(default_factory=dict)

    @property
    def streamed(self) -> dict[str, str]:
        """The source of each symbol that is streamed, by what the universe calls the symbol."""
        return {
            symbol: source for source, names in self.symbols.items() for symbol in names.values()
        }


def choose(
    profile: Profile,
    timeframe: Timeframe,
    sources: Mapping[str, Source],
    now: datetime,
    symbols: Sequence[str] = (),
) -> Choice:
    """Give each symbol that is kept now to the first of its sources that has a stream.

    Args:
        profile: What is kept.
        timeframe: A fetched timeframe of it.
        sources: The sources that it names, by name.
        now: The present instant, aware.
        symbols: Only these; all where none is named.

    Raises:
        SourceError: No symbol has a source with a stream of the timeframe.
        UniverseError: A symbol is not in the profile.
    """
    if timeframe not in profile.timeframes.fetch:
        raise SourceError(
            f"profile {profile.name} does not fetch {timeframe}: only what is fetched is streamed; "
            f"it fetches {listed(profile.timeframes.fetch)}",
            permanent=True,
        )
    choice = Choice()
    faults: dict[str, str] = {}
    for series in scope_of(profile, timeframe, now, symbols).series:
        if series.window.empty or series.window.end < now:
            choice.rest[series.symbol] = "it is not kept now"
            continue
        for reference in series.sources:
            name = reference.source
            if name not in faults:
                faults[name] = _fault(sources[name], timeframe)
                if not faults[name]:
                    choice.makers[name] = partial(_streaming(sources[name]).stream, timeframe)
            names = choice.symbols.get(name, {})
            if not faults[name] and reference.symbol not in names:
                choice.symbols[name] = {**names, reference.symbol: series.symbol}
                break
        else:
            choice.rest[series.symbol] = "none of its sources has a stream"
    if not choice.symbols:
        reasons = "; ".join(dict.fromkeys(filter(None, faults.values())))
        raise SourceError(
            f"profile {profile.name}: nothing of {timeframe} can be streamed"
            f"{f': {reasons}' if reasons else ''}; the types with a stream are "
            f"{listed(streaming_types())}: name one in `sources`",
            permanent=True,
        )
    return choice


def streaming_types() -> list[str]:
    """The installed types of sources that have a stream."""
    types = source_types()
    names = []
    for name in types:
        try:
            if has_stream(types[name]):
                names.append(name)
        # Another package's code: one that is broken has no stream.
        except Exception:  # noqa: BLE001, S112
            continue
    return names


def _streaming(source: Source) -> Streaming:
    assert isinstance(source, Streaming)  # noqa: S101 - `_fault` has looked
    return source


def _fault(source: Source, timeframe: Timeframe) -> str:
    """Why a source cannot stream a timeframe; empty where it can."""
    if not isinstance(source, Streaming):
        return f"source {source.name} has no stream"
    try:
        source.stream(timeframe)
    except SourceError as error:
        return str(error)
    return ""
