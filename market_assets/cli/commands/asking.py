"""Sources from the terminal: what there is, what one answers, and the practice vendor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from market_assets.cli.console import (
    INCOMPLETE,
    OUT,
    AsJson,
    Column,
    Wide,
    choices,
    has_store,
    minute,
    number,
    places_of,
    print_json,
    print_table,
    profiles_of,
    store_to_read,
    universe_here,
    wrong,
)
from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    import asyncio

    import pydantic
    import yaml

    from market_assets.config.sources import source_of
    from market_assets.market.calendars.sessions import load_calendar
    from market_assets.practice.book import Market
    from market_assets.practice.vendor import serve
    from market_assets.reports.probe import (
        kind_for,
        listed_sources,
        listed_types,
        own_name,
        profile_for,
    )
    from market_assets.reports.probe import probe as probe_source
    from market_assets.sources.contract import brief
    from market_assets.sources.files.archive import ArchiveSource
    from market_assets.sources.files.inspect import inspect_file

if TYPE_CHECKING:
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.market.timeframes import Timeframe
    from market_assets.reports.probe import Probe
    from market_assets.sources.contract import Source
    from market_assets.sources.files.inspect import Guess


def sources(wide: Wide = False, as_json: AsJson = False) -> None:
    """List the installed types of sources and those of the universe.

    Each is shown with what it has, and whether its key is set.
    """
    listing = {"types": listed_types(), "sources": listed_sources()}
    horizons = _learned_horizons()
    for row in listing["sources"]:
        row["horizons"] = [horizon for horizon in horizons if horizon["source"] == row["source"]]
    if as_json:
        print_json(listing)
    else:
        _print_sources(**listing, wide=wide)
    raise typer.Exit(0 if all(row["keys_set"] for row in listing["sources"]) else INCOMPLETE)


def probe(
    source: Annotated[str, typer.Argument(help="A source of the universe.")],
    symbol: Annotated[
        str,
        typer.Argument(help="A symbol of a profile, or the source's own name for an instrument."),
    ],
    timeframe: Annotated[
        str | None,
        typer.Option(help="How long a bar is; the shortest that the profile fetches if not given."),
    ] = None,
    bars: Annotated[
        int, typer.Option(help="How many of the newest closed bars.", min=1, max=1000)
    ] = 5,
    profile: Annotated[
        str | None,
        typer.Option(help="The profile to ask for; the first that uses the source if not given."),
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


def inspect(
    file: Annotated[
        Path, typer.Argument(help="A file of candles: Parquet, or text, packed or not.")
    ],
    calendar: Annotated[
        str | None,
        typer.Option(help="The market's calendar, such as XNYS, to see whether its times fit."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Guess how a file of candles is written.

    Prints the settings to paste into a universe, and the file's first bars.
    """
    guess = inspect_file(file, calendar=load_calendar(calendar) if calendar else None)
    if as_json:
        print_json({"file": str(file), **guess.document()})
    else:
        _print_guess(str(file), guess)
    raise typer.Exit(INCOMPLETE if guess.bars.is_empty() else 0)


def practice_vendor(
    port: Annotated[
        int, typer.Option(help="Where it listens on this machine; 0 for any free port.")
    ] = 8765,
    market: Annotated[
        Path | None, typer.Option(help="A YAML file: seed, symbols, data, faults.")
    ] = None,
) -> None:
    """Serve simulated candles in Binance's format on this machine, for tests and rehearsals."""
    try:
        served = Market.model_validate(yaml.safe_load(market.read_text()) if market else {})
    except (OSError, yaml.YAMLError, pydantic.ValidationError) as error:
        raise wrong(f"{market} describes no market: {error}") from error
    serve(served, port=port, announce=lambda url: print(url, flush=True))  # noqa: T201 - the answer


def _print_sources(
    types: list[dict[str, Any]], sources: list[dict[str, Any]], *, wide: bool
) -> None:
    columns = [Column(name) for name in ("source", "type", "profiles", "key", "venue", *_TRAITS)]
    print_table(
        columns, [_source_row(row) for row in sources], wide=wide, title="the universe's sources"
    )
    _print_horizons(sources)
    columns = [Column(name) for name in ("type", "needs a key", *_TRAITS)]
    print_table(columns, [_type_row(row) for row in types], wide=wide, title="installed types")


def _learned_horizons() -> list[dict[str, Any]]:
    """From when on sources serve that refuse what is older, as fills have learned it."""
    if not has_store():
        return []
    with store_to_read() as store, store.reading("reading how far back sources serve") as view:
        return view.horizons.all().to_dicts()


def _print_horizons(sources: list[dict[str, Any]]) -> None:
    for horizon in (entry for row in sources for entry in row["horizons"]):
        OUT.print(
            f"{escape(horizon['source'])} serves {escape(horizon['symbol'])} "
            f"{horizon['timeframe']} from about {minute(horizon['start_ts'])} on, "
            f"{horizon['bars']:,} bars of it, and refuses "
            f"what is older (learned {minute(horizon['learned_at'])}): {escape(horizon['words'])}",
            highlight=False,
            soft_wrap=True,
        )


def _source_row(row: dict[str, Any]) -> list[str]:
    missing = [name for name, is_set in row["keys"].items() if not is_set]
    named = "set" if row["keys"] else "in the file" if row["traits"]["needs_key"] else "-"
    key = f"{', '.join(missing)} not set" if missing else named
    users = [
        name + (" (another venue)" if name in row["other_venue"] else "")
        for name in row["profiles"]
    ]
    profiles, venue = ", ".join(users) or "-", row["venue"] or "-"
    return [row["source"], row["type"], profiles, key, venue, *_traits(row["traits"])]


def _type_row(row: dict[str, Any]) -> list[str]:
    traits = row["traits"]
    if traits is None:
        return [row["type"], "-", row["error"] or "by its settings", *("-" for _ in _TRAITS[1:])]
    return [row["type"], "yes" if traits["needs_key"] else "no", *_traits(traits)]


_TRAITS = ("kinds", "timeframes", "page", "quiet minutes", "names a genesis", "latest only")


def _traits(traits: dict[str, Any]) -> list[str]:
    return [
        " ".join(traits["kinds"]),
        " ".join(traits["timeframes"])
        + "".join(
            f"; {kind} without {' '.join(absent)}" for kind, absent in traits["lacks"].items()
        ),
        f"{traits['page_size']:,}",
        traits["quiet_minutes"],
        "yes" if traits["names_genesis"] else "no",
        f"{traits['latest_only']:,}" if traits["latest_only"] else "-",
    ]


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
        _print_guess(str(file), guess)


def _print_guess(file: str, guess: Guess) -> None:
    length = f", bars of {guess.timeframe}" if guess.timeframe else ""
    OUT.print(f"{escape(file)}: {guess.layout or 'no known layout'}{length}", highlight=False)
    if guess.symbols:
        OUT.print(f"symbols: {escape(', '.join(guess.symbols))} ...", highlight=False)
    for note in guess.notes:
        OUT.print(f"- {escape(note)}", highlight=False, soft_wrap=True)
    for reason, example in guess.refused.items():
        OUT.print(
            f"- refused, {escape(reason)}, such as {escape(example)}",
            highlight=False,
            soft_wrap=True,
        )
    OUT.print()
    OUT.print(escape(guess.yaml()), highlight=False, soft_wrap=True)
    columns = [Column("open (UTC)"), *(Column(name, right=True) for name in guess.bars.columns[1:])]
    rows = [[str(row[0]), *map(number, row[1:])] for row in guess.bars.rows()]
    if rows:
        print_table(columns, rows)


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
