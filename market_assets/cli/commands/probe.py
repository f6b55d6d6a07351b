"""Asks a source for a few bars, and shows what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from market_assets.cli.completion import (
    offer_profiles,
    offer_sources,
    offer_symbols,
    offer_timeframes,
)
from market_assets.cli.console import INCOMPLETE, OUT, print_json
from market_assets.cli.guess import print_guess
from market_assets.cli.options import AsJson, choices, profiles_of, wrong
from market_assets.cli.places import places_of, universe_here
from market_assets.cli.tables import Column, minute, number, print_table
from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    import asyncio

    from market_assets.config.sources import source_of
    from market_assets.market.calendars.sessions import load_calendar
    from market_assets.reports.probe import kind_for, own_name, profile_for
    from market_assets.reports.probe import probe as probe_source
    from market_assets.sources.contract import brief
    from market_assets.sources.files.archive import ArchiveSource
    from market_assets.sources.files.inspect import inspect_file

if TYPE_CHECKING:
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.market.timeframes import Timeframe
    from market_assets.reports.probe import Probe
    from market_assets.sources.contract import Source


def probe(
    source: Annotated[
        str, typer.Argument(help="A source of the universe.", autocompletion=offer_sources)
    ],
    symbol: Annotated[
        str,
        typer.Argument(
            help="A symbol of a profile, or the source's own name for an instrument.",
            autocompletion=offer_symbols,
        ),
    ],
    timeframe: Annotated[
        str | None,
        typer.Option(
            help="How long a bar is; the shortest that the profile fetches if not given.",
            autocompletion=offer_timeframes,
        ),
    ] = None,
    bars: Annotated[
        int, typer.Option(help="How many of the newest closed bars.", min=1, max=1000)
    ] = 5,
    profile: Annotated[
        str | None,
        typer.Option(
            help="The profile to ask for; the first that uses the source if not given.",
            autocompletion=offer_profiles,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a source for a few bars, without storing anything.

    Shows the bars, the first bar that the source has, and what the requests cost.
    """
    universe = universe_here(quiet=as_json)
    if source not in universe.sources:
        raise wrong(f"{source}: no such source; {choices(source, universe.sources)}")
    profiles_of(universe, [profile] if profile else None)
    meant = profile or profile_for(universe, source, symbol)
    kind = kind_for(universe, source, meant)
    asked = source_of(universe, source, kind=kind)
    timeframes = sorted(asked.traits.timeframes_for(kind), key=lambda candidate: candidate.duration)
    fetched = universe.profiles[meant].timeframes.fetch if meant else ()
    # What nobody named is what is kept, where the source has it.
    wanted = timeframe or next(
        (candidate.value for candidate in fetched if candidate in timeframes), None
    )
    chosen = next(
        (candidate for candidate in timeframes if wanted in {None, candidate.value}), None
    )
    if chosen is None:
        raise wrong(f"--timeframe {timeframe}: {source} has {', '.join(timeframes)}")
    named = own_name(universe, source, symbol, profile)
    if meant:
        brief(asked, load_calendar(universe.profiles[meant].calendar), {named})
    try:
        result = asyncio.run(probe_source(asked, named, chosen, count=bars, now=present()))
    except SourceError as error:
        if not as_json:
            _guess_instead(
                asked,
                named,
                chosen,
                load_calendar(universe.profiles[meant].calendar) if meant else None,
            )
        raise SourceError(universe.redact(str(error))) from None
    if as_json:
        document = {"source": source, "symbol": named, "timeframe": chosen, **result.document()}
        print_json({**places_of(universe), **document})
    else:
        _print_probe(f"{source} {named} {chosen}", result, names_first=asked.traits.earliest_probe)
    raise typer.Exit(INCOMPLETE if result.bars.is_empty() else 0)


def _guess_instead(
    asked: Source, symbol: str, timeframe: Timeframe, calendar: SessionCalendar | None
) -> None:
    """Show how the first file of a symbol seems to be written.

    This helps where the file cannot be read as the universe says.
    """
    files = asked.files_of(symbol, timeframe) if isinstance(asked, ArchiveSource) else []
    for file in files[:1]:
        try:
            guess = inspect_file(file, calendar=calendar)
        except SourceError:
            return
        print_guess(str(file), guess)


def _print_probe(heading: str, result: Probe, *, names_first: bool) -> None:
    if result.bars.is_empty():
        OUT.print(f"{escape(heading)}: no closed bar was found.", highlight=False)
    else:
        columns = [Column(name, right=name != "ts") for name in result.bars.columns]
        rows = [[minute(row[0]), *map(number, row[1:])] for row in result.bars.iter_rows()]
        print_table(columns, rows, title=heading)
    if names_first:
        first = (
            result.first_bar and f"The first bar it has opens at {minute(result.first_bar)} UTC."
        )
        OUT.print(first or "It has no first bar.", highlight=False)
    else:
        OUT.print("It cannot name its first bar.", highlight=False)
    if result.horizon is not None:
        OUT.print(
            f"It serves bars from about {minute(result.horizon.start)} UTC on, "
            f"the newest {result.horizon.bars:,} or so, "
            f"and refuses what is older: {escape(result.horizon.words)}. "
            "A start in the universe before that finds nothing here.",
            highlight=False,
            soft_wrap=True,
        )
    cost = result.usage
    OUT.print(
        f"{cost.requests:,} {'request' if cost.requests == 1 else 'requests'} ({cost.retries:,} "
        f"sent again), {cost.bytes:,} bytes, "
        f"{result.seconds:.2f} s, {cost.waits:.2f} s of them waited. (Times are UTC.)",
        highlight=False,
    )
