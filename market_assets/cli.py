"""The terminal: the same operations as in the UI, with progress, `--json` and exit codes for scripts."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from market_assets.errors import MarketAssetsError, SourceError, UniverseError

if TYPE_CHECKING:
    import polars as pl
    from dagster import DagsterInstance, Definitions

    from market_assets.defs.runs import RangeRun
    from market_assets.export import Exported
    from market_assets.fill.story import Story
    from market_assets.market_time.timeframes import Window
    from market_assets.sources.probe import Probe
    from market_assets.store import Store
    from market_assets.universe import Profile, Universe

INCOMPLETE = 3
"""Exit code of a command that did its work and found something missing; 1 is an error, 2 a wrong use."""

app = typer.Typer(
    help="Keeps market candles complete, and proves it.", no_args_is_help=True, pretty_exceptions_enable=False
)
# A table that goes to a file or a pipe is not squeezed into 80 columns.
_out = Console(width=None if sys.stdout.isatty() else 200)
_err = Console(stderr=True)

ProfileNames = Annotated[
    list[str] | None, typer.Argument(help="Profiles of the universe; all of them if none is named.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")]
Symbols = Annotated[str | None, typer.Option(help="Only these symbols, separated by commas.")]


def main() -> NoReturn:
    """Run the terminal; errors that were raised on purpose are printed without a traceback."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    # Dagster's handler, which a run adds to this logger, writes the run's id before every message that comes after it.
    ours = logging.getLogger("market_assets")
    ours.addHandler(logging.getLogger().handlers[0])
    ours.propagate = False
    ours.setLevel(logging.INFO)
    try:
        app()
    except MarketAssetsError as error:
        _err.print(f"[bold red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    sys.exit(0)


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Where the UI listens.")] = 3000,
    host: Annotated[str, typer.Option(help="The address it listens on.")] = "127.0.0.1",
    as_json: AsJson = False,
) -> None:
    """Start the Dagster UI and the daemon over this home folder, until Ctrl-C."""
    from market_assets.defs.adapter import wake_sensors  # noqa: PLC0415 - Dagster takes seconds to import
    from market_assets.defs.runs import instance_at  # noqa: PLC0415
    from market_assets.universe import UNIVERSE_VARIABLE, home, load_universe  # noqa: PLC0415

    universe = load_universe()
    folder = home()
    with _store().reading("starting up"), instance_at(folder) as instance:
        wake_sensors(instance)
    os.environ["MARKET_ASSETS_HOME"] = str(folder)
    if os.environ.get(UNIVERSE_VARIABLE):
        os.environ[UNIVERSE_VARIABLE] = str(universe.path)
    url = f"http://{host}:{port}"
    if as_json:
        print(json.dumps({"url": url, "home": str(folder), "universe": str(universe.path)}), flush=True)  # noqa: T201 - the answer
    else:
        _out.print(
            f"The UI will be at [bold]{url}[/] in some seconds; its data is in {folder}. Ctrl-C stops it.",
            highlight=False,
        )
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "dagster",
        "dev",
        "-m",
        "market_assets.definitions",
        "-h",
        host,
        "-p",
        str(port),
    ]
    os.execv(sys.executable, command)  # noqa: S606 - no shell, fixed words


@app.command()
def backfill(
    profiles: ProfileNames = None,
    symbols: Symbols = None,
    first: Annotated[
        str | None, typer.Option("--from", help="The first day; the profile's start if not given.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--to", help="The first day no longer filled; the profile's end, or now.")
    ] = None,
    refetch: Annotated[bool, typer.Option(help="Ask also for what is stored or explained, to find revisions.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fill every gap of a window and derive all that is made of it; what is there is not asked for again."""
    from market_assets.universe import home, load_universe  # noqa: PLC0415 - a help text needs no pydantic

    universe = load_universe()
    now = datetime.now(UTC)
    named = _profiles(universe, profiles)
    names = _symbols(named, symbols)
    # No symbols at all would mean all of them.
    chosen = [profile for profile in named if not names or set(names) & set(profile.symbols)]
    windows = {profile.name: _window(profile, *_days(first, after), now) for profile in chosen}

    from market_assets.definitions import build_definitions  # noqa: PLC0415 - Dagster takes seconds to import
    from market_assets.defs.keys import BACKFILL  # noqa: PLC0415
    from market_assets.defs.runs import instance_at, plan_backfill, plan_markets  # noqa: PLC0415

    plans = []
    for profile in chosen:
        own = {"symbols": [name for name in names if name in profile.symbols], "refetch": refetch}
        runs = plan_backfill(profile, windows[profile.name], now)
        plans += [(run, own if run.fetches(profile) else {}) for run in runs]
    plans += [(run, {}) for run in plan_markets(universe, windows, now)]
    if not plans:
        _err.print("No partition lies between these days.")
    with instance_at(home()) as instance:
        definitions = build_definitions(universe)
        failed = _execute(definitions, instance, plans, trigger=BACKFILL, quiet=as_json)
        failed += _record_actions(definitions, instance, chosen, names, quiet=as_json)
    _finish(chosen, failed, as_json=as_json)


@app.command()
def repair(
    profiles: ProfileNames = None,
    abandoned: Annotated[bool, typer.Option(help="Ask once more for gaps that were abandoned.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fill what failed, was never filled or has a gap that is due, newest first, as the repair sensors do; then derive."""
    from market_assets.universe import home, load_universe  # noqa: PLC0415 - a help text needs no pydantic

    universe = load_universe()
    now = datetime.now(UTC)
    chosen = _profiles(universe, profiles)

    from market_assets.definitions import build_definitions  # noqa: PLC0415 - Dagster takes seconds to import
    from market_assets.defs.keys import REPAIR  # noqa: PLC0415
    from market_assets.defs.repair import describe, look_everywhere, reopen, runs_of  # noqa: PLC0415
    from market_assets.defs.runs import instance_at, plan_markets  # noqa: PLC0415
    from market_assets.market_time.partitions import hull  # noqa: PLC0415
    from market_assets.sources.configured import sources_of  # noqa: PLC0415

    store = _store()
    with instance_at(home()) as instance:
        if abandoned and not dry_run:
            for profile in chosen:
                reopen(store, profile)
        plans: list[tuple[RangeRun, dict[str, Any]]] = []
        repaired: dict[str, Window] = {}
        told: dict[str, str] = {}
        troubled = 0
        for profile in chosen:
            looks = look_everywhere(
                profile, instance=instance, store=store, sources=sources_of(universe, profile), now=now
            )
            told |= {f"{profile.name} {timeframe}": describe(look) for timeframe, look in looks.items()}
            troubled += sum(len(look.troubled) for look in looks.values())
            planned = runs_of(profile, looks, now)
            plans += planned
            if planned:
                repaired[profile.name] = hull([part for run, _ in planned for part in run.ends(profile)])
        plans += [(run, {}) for run in plan_markets(universe, repaired, now)]
        if not as_json:
            for name, words in told.items():
                _out.print(f"[bold]{name}[/] {escape(words)}", highlight=False, soft_wrap=True)
        if dry_run:
            if as_json:
                print(json.dumps({"troubled": troubled, "repairs": len(plans), "found": told}, indent=1))  # noqa: T201 - the answer
            raise typer.Exit(INCOMPLETE if troubled else 0)
        failed = _execute(build_definitions(universe), instance, plans, trigger=REPAIR, quiet=as_json)
    _finish(chosen, failed, as_json=as_json)


@app.command()
def status(profiles: ProfileNames = None, as_json: AsJson = False) -> None:
    """Show the completeness matrix: what must exist, what is stored, what is explained, what is missing."""
    from market_assets.universe import load_universe  # noqa: PLC0415 - a help text needs no pydantic

    chosen = _profiles(load_universe(), profiles)
    matrix = _matrix(chosen)
    if as_json:
        _print_json(matrix)
    else:
        _print_matrix(matrix)
    raise typer.Exit(0 if _healthy(matrix) else INCOMPLETE)


@app.command()
def gaps(
    profiles: ProfileNames = None,
    symbols: Symbols = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are explained.")] = False,
    limit: Annotated[int, typer.Option(help="How many to print; JSON has them all.")] = 50,
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="SYMBOL TS", help="Tell the story of the bar at an instant (ISO, UTC without a zone)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the gaps that were found, newest first, with what is known of each; or explain one bar."""
    from market_assets.fill.listing import listed_gaps  # noqa: PLC0415 - a help text needs no polars
    from market_assets.quality.evidence import MISSING  # noqa: PLC0415
    from market_assets.universe import load_universe  # noqa: PLC0415

    chosen = _profiles(load_universe(), profiles)
    if explain is not None:
        _explain(chosen, *explain, as_json=as_json)
    found = listed_gaps(
        _store(), chosen, symbols=_symbols(chosen, symbols) or None, now=datetime.now(UTC), explained=everything
    )
    if as_json:
        _print_json(found)
    else:
        _print_gaps(found, limit)
    raise typer.Exit(INCOMPLETE if found["status"].is_in(MISSING).any() else 0)


@app.command()
def jobs(
    limit: Annotated[
        int | None, typer.Option(help="How many of the newest; 20 if no day is given either.", min=1)
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only those that started on this day (UTC) or later.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what was done: each fill and derivation with its rows, repairs, requests and what is still missing.

    JSON is the audit document: timestamp, symbols_processed, gaps_detected, retry_results, summary, jobs.
    """
    from market_assets.fill.audit import audit  # noqa: PLC0415 - a help text needs no polars
    from market_assets.market_time.timeframes import midnight  # noqa: PLC0415

    day = _day("--since", since)
    document = audit(
        _store(),
        limit=limit or (None if day else 20),
        since=midnight(day) if day else None,
        now=datetime.now(UTC),
    )
    if as_json:
        print(json.dumps(document, indent=1))  # noqa: T201 - the answer
    else:
        _print_jobs(document)
    ended_well = all(job["status"] in {"SUCCEEDED", "RUNNING"} for job in document["jobs"])
    raise typer.Exit(0 if ended_well else INCOMPLETE)


@app.command()
def genesis(
    profiles: ProfileNames = None,
    reset: Annotated[
        str | None,
        typer.Option(
            metavar="SYMBOLS",
            help="Forget those of these symbols, separated by commas, so that they are looked for again.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List where series begin that begin later than the universe says, or forget it."""
    import polars as pl  # noqa: PLC0415 - a help text needs no polars

    from market_assets.fill.series import count_profile  # noqa: PLC0415
    from market_assets.universe import load_universe  # noqa: PLC0415

    named = _profiles(load_universe(), profiles)
    names = _symbols(named, reset)
    chosen = [profile for profile in named if not names or set(names) & set(profile.symbols)]
    store = _store()
    with store.reading("listing where series begin") as view:
        found = view.geneses().filter(pl.col("profile").is_in([profile.name for profile in chosen]))
    if names:
        found = found.filter(pl.col("symbol").is_in(names))
        with store.writing(f"forgetting where {', '.join(names)} begins") as transaction:
            for profile in chosen:
                transaction.forget_genesis(profile.name, names)
        for profile in chosen:
            count_profile(store, profile, datetime.now(UTC))
    if as_json:
        _print_json(found)
        return
    _print_genesis(found)
    if names and not found.is_empty():
        again = f"{' '.join(found['profile'].unique().sort())} --symbols {','.join(found['symbol'].unique().sort())}"
        _out.print(
            f"Forgotten: what is older than the oldest stored bar is expected again. To look for it: [bold]market-assets backfill {escape(again)}[/]"
        )


@app.command()
def alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a test message through each channel instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the troubles that the alerts sensor saw at its last look, and whether somebody was told."""
    from market_assets.alerts import try_channels  # noqa: PLC0415 - a help text needs no polars
    from market_assets.universe import load_universe  # noqa: PLC0415

    universe = load_universe()
    if test:
        tried = try_channels(universe)
        if as_json:
            print(json.dumps(tried, indent=1))  # noqa: T201 - the answer
        for name, error in {} if as_json else tried.items():
            _out.print(f"{name}: {escape(error) or 'took the message'}", highlight=False, soft_wrap=True)
        if not tried:
            _err.print("The universe names no channel: write their URLs under alerts: channels:.")
        raise typer.Exit(0 if tried and not any(tried.values()) else INCOMPLETE)
    with _store().reading("listing alerts") as view:
        found = view.alerts(everything=True)
    present = found["over_at"].is_null()
    shown = found if everything else found.filter(present)
    if as_json:
        print(universe.redact(json.dumps(shown.to_dicts(), default=_plain, indent=1)))  # noqa: T201 - the answer
    else:
        _print_alerts(shown, universe)
    raise typer.Exit(INCOMPLETE if present.any() else 0)


@app.command()
def returns(
    name: Annotated[str, typer.Argument(help="A profile, or the matrix across profiles.")],
    timeframe: Annotated[
        str | None, typer.Option(help="Of which candles; the longest that has returns by default.")
    ] = None,
    symbols: Symbols = None,
    first: Annotated[str | None, typer.Option("--from", help="The first day.")] = None,
    after: Annotated[str | None, typer.Option("--to", help="The first day no longer wanted.")] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Write the matrix to Parquet, a column a symbol, and its mask beside it.")
    ] = False,
    value: Annotated[str, typer.Option(help="What the matrix holds: log_return or simple_return.")] = "log_return",
    out: Annotated[Path | None, typer.Option(help="The Parquet file; NAME_returns_TF.parquet here by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how much of each symbol's aligned returns is neutral, and why; or write them as a matrix."""
    from market_assets.enrich.align import neutral_shares  # noqa: PLC0415 - a help text needs no polars
    from market_assets.reading import read, returns_timeframe, write_matrix  # noqa: PLC0415
    from market_assets.universe import load_universe  # noqa: PLC0415

    universe = load_universe()
    frame = returns_timeframe(universe, name, timeframe)
    start, end = _days(first, after)
    found = read(
        name,
        f"returns_{frame}",
        symbols=symbols.split(",") if symbols else None,
        start=start,
        end=end,
        universe=universe,
    )
    limit = (universe.profiles[name].returns if name in universe.profiles else universe.markets).neutral_limit
    shares = neutral_shares(found)
    written = write_matrix(found, value, out or Path(f"{name}_returns_{frame}.parquet")) if wide or out else ()
    if as_json:
        answer = {"symbols": shares.to_dicts(), "neutral_limit": limit, "written": [str(path) for path in written]}
        print(json.dumps(answer, default=_plain, indent=1))  # noqa: T201 - the answer
    else:
        _print_shares(shares, limit)
        for path in written:
            _out.print(f"Written: [bold]{escape(str(path))}[/]", highlight=False, soft_wrap=True)
    raise typer.Exit(INCOMPLETE if (shares["share"] > limit).any() else 0)


@app.command()
def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROFILE", help="Profiles, or the matrix across profiles; all if none is named."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="The folder; the universe's, or lake in the home folder, if not given.")
    ] = None,
    timeframes: Annotated[
        str | None, typer.Option(help="Only these, separated by commas; the universe's, or all, if not given.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file and compare its checksum, not its length alone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write what is stored as Parquet files, or what has changed since; a damaged or missing file is written again."""
    from market_assets.export import Lake, tables_of  # noqa: PLC0415 - a help text needs no polars
    from market_assets.market_time.timeframes import Timeframe  # noqa: PLC0415
    from market_assets.universe import ExportSettings, home, load_universe  # noqa: PLC0415

    universe = load_universe()
    settings = universe.export or ExportSettings()
    wanted = [name.strip() for name in timeframes.split(",")] if timeframes else settings.timeframes
    if unknown := [name for name in wanted if name not in list(Timeframe)]:
        raise typer.BadParameter(f"--timeframes {unknown[0]}: no such timeframe; there are {', '.join(Timeframe)}")
    tables = tables_of(universe, names, wanted)
    lake = Lake(
        _store(), to.expanduser().absolute() if to else settings.folder_in(home()), clock=lambda: datetime.now(UTC)
    )
    done = []
    with _progress(quiet=as_json, what="files") as progress:
        for table in tables:
            bar = progress.add_task(str(table), total=None)
            exported = lake.export(table, verify=verify, told=partial(_show, progress, bar))
            progress.update(bar, visible=False)
            if exported is not None:
                done.append(exported)
    if as_json:
        rows = [asdict(one) for one in done]
        print(json.dumps({"folder": str(lake.folder), "tables": rows}, default=_plain, indent=1))  # noqa: T201 - the answer
    else:
        _print_exported(done, lake.folder)
    raise typer.Exit(0 if done else INCOMPLETE)


@app.command()
def sources(as_json: AsJson = False) -> None:
    """List the installed types of sources and those of the universe: what each has, and whether its key is set."""
    from market_assets.sources.probe import listed_sources, listed_types  # noqa: PLC0415 - a help text needs no polars

    found = {"types": listed_types(), "sources": listed_sources()}
    if as_json:
        print(json.dumps(found, indent=1))  # noqa: T201 - the answer
    else:
        _print_sources(**found)
    raise typer.Exit(0 if all(row["keys_set"] for row in found["sources"]) else INCOMPLETE)


@app.command()
def probe(
    source: Annotated[str, typer.Argument(help="A source of the universe.")],
    symbol: Annotated[str, typer.Argument(help="A symbol of a profile, or the source's own name for an instrument.")],
    timeframe: Annotated[
        str | None, typer.Option(help="How long a bar is; the source's shortest if not given.")
    ] = None,
    bars: Annotated[int, typer.Option(help="How many of the newest closed bars.", min=1, max=1000)] = 5,
    profile: Annotated[
        str | None, typer.Option(help="The profile to ask for; the first that uses the source if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a source for a few bars: show them, the first bar it has, and what that cost. Nothing is stored."""
    import asyncio  # noqa: PLC0415 - only here

    from market_assets.sources.configured import source_of  # noqa: PLC0415 - a help text needs no polars
    from market_assets.sources.probe import kind_for, own_name, probe  # noqa: PLC0415
    from market_assets.universe import load_universe  # noqa: PLC0415

    universe = load_universe()
    if source not in universe.sources:
        raise typer.BadParameter(f"{source}: no such source; there are {', '.join(universe.sources)}")
    _profiles(universe, [profile] if profile else None)
    kind = kind_for(universe, source, profile)
    asked = source_of(universe, source, kind=kind)
    there = sorted(asked.traits.timeframes_for(kind), key=lambda each: each.duration)
    chosen = next((each for each in there if timeframe in {None, each.value}), None)
    if chosen is None:
        raise typer.BadParameter(f"--timeframe {timeframe}: {source} has {', '.join(there)}")
    named = own_name(universe, source, symbol, profile)
    try:
        found = asyncio.run(probe(asked, named, chosen, count=bars, now=datetime.now(UTC)))
    except SourceError as error:
        raise SourceError(universe.redact(str(error))) from None
    if as_json:
        document = {"source": source, "symbol": named, "timeframe": chosen, **found.document()}
        print(json.dumps(document, default=_plain, indent=1))  # noqa: T201 - the answer
    else:
        _print_probe(f"{source} {named} {chosen}", found, names_first=asked.traits.earliest_probe)
    raise typer.Exit(INCOMPLETE if found.bars.is_empty() else 0)


@app.command("practice-vendor")
def practice_vendor(
    port: Annotated[int, typer.Option(help="Where it listens on this machine; 0 for any free port.")] = 8765,
    market: Annotated[Path | None, typer.Option(help="A YAML file: seed, symbols, data, faults.")] = None,
) -> None:
    """Serve simulated candles in Binance's format on this machine, for tests and rehearsals."""
    import yaml  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    from market_assets.practice.book import Market  # noqa: PLC0415 - a web server that no other command needs
    from market_assets.practice.vendor import serve  # noqa: PLC0415

    try:
        served = Market.model_validate(yaml.safe_load(market.read_text()) if market else {})
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise typer.BadParameter(f"{market} describes no market: {error}") from error
    serve(served, port=port, announce=lambda url: print(url, flush=True))  # noqa: T201 - the answer


def _store() -> Store:
    from market_assets.store import Store  # noqa: PLC0415 - DuckDB is not needed for a help text
    from market_assets.universe import home  # noqa: PLC0415

    return Store(home(), clock=lambda: datetime.now(UTC))


def _profiles(universe: Universe, names: list[str] | None) -> list[Profile]:
    unknown = [name for name in names or [] if name not in universe.profiles]
    if unknown:
        there = ", ".join(universe.profiles)
        raise UniverseError(universe.path, [f"profiles.{name}: no such profile; there are {there}" for name in unknown])
    return [universe.profiles[name] for name in names or universe.profiles]


def _symbols(profiles: list[Profile], given: str | None) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()] if given else []
    known = {name for profile in profiles for name in profile.symbols}
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: no such symbol; there are {', '.join(sorted(known))}")
    return names


def _days(first: str | None, after: str | None) -> tuple[date | None, date | None]:
    days = _day("--from", first), _day("--to", after)
    if days[0] and days[1] and days[1] < days[0]:
        raise typer.BadParameter(f"--to {after} lies before --from {first}")
    return days


def _window(profile: Profile, first: date | None, after: date | None, now: datetime) -> Window:
    """The window of a profile from a first day to one that no longer belongs to it; empty where the profile has none of it."""
    from market_assets.market_time.timeframes import Window, midnight  # noqa: PLC0415 - a help text needs no polars

    whole = profile.window(now)
    start = midnight(first) if first else whole.start
    return Window(start, max(start, midnight(after) if after else whole.end))


def _day(option: str, text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: write a day like 2024-01-31") from None


def _explain(profiles: list[Profile], name: str, instant: str, *, as_json: bool) -> NoReturn:
    from market_assets.fill.story import story_of  # noqa: PLC0415 - a help text needs no polars

    (symbol,) = _symbols(profiles, name) or [name]
    ts, now = _instant("--explain", instant), datetime.now(UTC)
    with _store().reading(f"explaining {symbol}") as view:
        stories = [
            story_of(view, profile, timeframe, symbol, ts, now=now)
            for profile in profiles
            if symbol in profile.symbols
            for timeframe in profile.timeframes.fetch
        ]
    if as_json:
        print(json.dumps([asdict(story) for story in stories], default=_plain, indent=1))  # noqa: T201 - the answer
    else:
        for story in stories:
            _print_story(story)
    raise typer.Exit(INCOMPLETE if any(story.missing for story in stories) else 0)


def _instant(option: str, text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: write an instant like 2024-01-31T15:30Z") from None
    return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)


def _matrix(profiles: list[Profile]) -> pl.DataFrame:
    """The completeness matrix of some profiles, counted up to now, also for what was never filled."""
    from market_assets.fill.matrix import matrix_of  # noqa: PLC0415 - a help text needs no polars

    return matrix_of(_store(), profiles, datetime.now(UTC))


def _healthy(matrix: pl.DataFrame) -> bool:
    return bool((matrix["health"] == "HEALTHY").all())


def _execute(
    definitions: Definitions,
    instance: DagsterInstance,
    plans: list[tuple[RangeRun, dict[str, Any]]],
    *,
    trigger: str,
    quiet: bool,
) -> list[str]:
    """Execute runs one after the other, and give the ids of those that failed."""
    from market_assets.defs.runs import execute  # noqa: PLC0415 - Dagster takes seconds to import

    failed: list[str] = []
    with _progress(quiet=quiet) as progress:
        try:
            for run, config in plans:
                words = f"{run.profile} {'' if run.family == 'candles' else run.family + ' '}{' '.join(run.timeframes)}"
                bar = progress.add_task(words, total=len(run.partitions) * len(run.timeframes))
                done = partial(progress.advance, bar)
                run_id, success = execute(definitions, instance, run, trigger=trigger, config=config, done=done)
                if not success:
                    failed.append(run_id)
        except KeyboardInterrupt:
            _err.print("Stopped. What was committed is kept, and the same command goes on from there.")
            raise
    return failed


def _record_actions(
    definitions: Definitions, instance: DagsterInstance, profiles: list[Profile], symbols: list[str], *, quiet: bool
) -> list[str]:
    """Ask for the corporate actions of the profiles that keep them, and give the ids of the runs that failed."""
    from market_assets.defs.actions import actions_key  # noqa: PLC0415 - Dagster takes seconds to import
    from market_assets.defs.keys import BACKFILL  # noqa: PLC0415
    from market_assets.defs.runs import execute_asset  # noqa: PLC0415

    failed = []
    with _progress(quiet=quiet) as progress:
        for profile in (one for one in profiles if one.has_actions):
            bar = progress.add_task(f"{profile.name} corporate actions", total=1)
            config = {"symbols": [name for name in symbols if name in profile.symbols]}
            run_id, success = execute_asset(
                definitions, instance, actions_key(profile.name), trigger=BACKFILL, config=config
            )
            progress.advance(bar)
            if not success:
                failed.append(run_id)
    return failed


def _finish(profiles: list[Profile], failed: list[str], *, as_json: bool) -> NoReturn:
    matrix = _matrix(profiles)
    with _store().reading("reading what failed") as view:
        done = {row["run_id"]: row for row in view.jobs(1000).iter_rows(named=True) if row["run_id"] in failed}
    details = {run_id: json.loads(row["detail"] or "{}") for run_id, row in done.items()}
    fills = [run_id for run_id, row in done.items() if row["kind"] == "fill"]
    failures = [
        {"profile": done[run_id]["profile"], "timeframe": done[run_id]["timeframe"], "partition": key, "why": why}
        for run_id in fills
        for key, whys in details[run_id].get("failures", {}).items()
        for why in whys
    ]
    count = sum(details[run_id].get("partitions_failed", 0) for run_id in fills)
    broken = [run_id for run_id in failed if not details.get(run_id, {}).get("partitions_failed")]
    complete = not failed and _healthy(matrix)
    if as_json:
        answer = {
            "complete": complete,
            "failed_runs": failed,
            "failed_partitions": count,
            "failures": failures,
            "completeness": matrix.to_dicts(),
        }
        print(json.dumps(answer, default=_plain, indent=1))  # noqa: T201 - the answer
    else:
        _print_matrix(matrix)
        _print_failures(failures, count)
        if broken:
            _err.print(
                f"[red]{len(broken)} runs broke off[/]; market-assets up shows their logs: {', '.join(broken)}",
                soft_wrap=True,
            )
        if not complete:
            _out.print(
                "What is missing: [bold]market-assets gaps[/]. Asking for it again: the same backfill; it asks for nothing else."
            )
        _out.print("The UI: [bold]market-assets up[/]", highlight=False)
    raise typer.Exit(0 if complete else INCOMPLETE)


def _print_matrix(matrix: pl.DataFrame) -> None:
    import polars as pl  # noqa: PLC0415 - a help text needs no polars

    if matrix.is_empty():
        _out.print("Nothing is kept yet.")
        return
    order = sorted(matrix["timeframe"].unique(), key=_length)
    table = Table(
        "profile",
        "symbol",
        *order,
        "health",
        "missing",
        "first bar",
        "last bar",
        title="completeness, % of the bars that must exist",
        title_justify="left",
    )
    for heading in (*order, "missing"):
        table.columns[[column.header for column in table.columns].index(heading)].justify = "right"
    colour = {"HEALTHY": "green", "DEGRADED": "yellow", "MISSING": "red"}
    for (profile, symbol), rows in matrix.group_by("profile", "symbol", maintain_order=True):
        cells = {row["timeframe"]: f"[{colour[row['health']]}]{_percent(row)}[/]" for row in rows.iter_rows(named=True)}
        longest = rows.sort("expected", descending=True).row(0, named=True)
        worst = next(word for word in reversed(colour) if word in rows["health"])
        abandoned = f" ({longest['abandoned']:,} abandoned)" if longest["abandoned"] else ""
        table.add_row(
            escape(str(profile)),
            escape(str(symbol)),
            *(cells.get(one, "") for one in order),
            f"[{colour[worst]}]{worst}[/]",
            f"{longest['missing']:,}{abandoned}",
            _minute(longest["first_ts"]),
            _minute(longest["last_ts"]),
        )
    _out.print(table)
    base = matrix.filter(pl.col("expected") == pl.col("expected").max().over("profile", "symbol"))
    counts = ("expected", "stored", "explained", "missing", "abandoned")
    expected, stored, explained, missing, abandoned = base.select(counts).sum().row(0)
    given_up = f", {abandoned:,} of them abandoned" if abandoned else ""
    _out.print(
        f"{expected:,} bars must exist: {stored:,} are stored, {explained:,} are absent for a known reason, {missing:,} are missing"
        f"{given_up}. (Times are UTC; the shortest timeframe of each symbol is counted.)",
        highlight=False,
    )


def _percent(row: dict[str, Any]) -> str:
    # Rounded down, so that 100 % means that not one bar is missing.
    return f"{int(row['completeness'] * 10_000) / 100:.2f}" if row["missing"] else "100"


def _print_shares(shares: pl.DataFrame, limit: float) -> None:
    if shares.is_empty():
        _out.print("No returns are stored in this window.")
        return
    reasons = [name for name in shares.columns[4:] if shares[name].sum()]
    headings = ("symbol", "bars", "neutral", "share", *(name.replace("_", " ") for name in reasons), "health")
    table = Table(*headings, title="aligned returns: how many are neutral, and why", title_justify="left")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for row in shares.iter_rows(named=True):
        degraded = row["share"] > limit
        table.add_row(
            escape(row["symbol"]),
            f"{row['bars']:,}",
            f"{row['neutral']:,}",
            f"{row['share']:.2%}",
            *(f"{row[name]:,}" for name in reasons),
            "[yellow]DEGRADED[/]" if degraded else "[green]HEALTHY[/]",
        )
    _out.print(table)
    _out.print(
        f"Bars are those to which a symbol's own calendar calls for a return; above {limit:.0%} of them neutral it is DEGRADED.",
        highlight=False,
    )


def _print_gaps(found: pl.DataFrame, limit: int) -> None:
    if found.is_empty():
        _out.print("No gaps.")
        return
    table = Table(
        "profile",
        "symbol",
        "timeframe",
        "first bar",
        "last bar",
        "bars",
        "priority",
        "status",
        "tries",
        "what is known",
    )
    for row in found.head(limit).iter_rows(named=True):
        _add_row(
            table, row["profile"], row["symbol"], row["timeframe"], _minute(row["first_ts"]), _minute(row["last_ts"]), f"{row['bars']:,}",
            row["priority"], row["status"], str(row["attempts"]), row["reason"],
        )  # fmt: skip
    _out.print(table)
    if len(found) > limit:
        _out.print(f"{len(found) - limit:,} more; --limit or --json shows them.")


def _print_genesis(found: pl.DataFrame) -> None:
    if found.is_empty():
        _out.print("No first bar is recorded.")
        return
    table = Table("profile", "symbol", "timeframe", "first bar", "named by", "found")
    for row in found.iter_rows(named=True):
        own = (row[name] for name in ("profile", "symbol", "timeframe"))
        _add_row(table, *own, _minute(row["ts"]), row["source"], _minute(row["found_at"]))
    _out.print(table)


def _print_story(story: Story) -> None:
    colour = "red" if story.missing else "green"
    bar = story.bar and f"{_minute(story.bar.opens_at)} to {_minute(story.bar.closes_at)} UTC"
    heading = f"{story.profile} {story.symbol} {story.timeframe}, {bar or f'{_minute(story.asked)} UTC'}"
    _out.print(f"[bold]{escape(heading)}[/]: [{colour}]{story.state}[/]", highlight=False)
    _out.print(escape(story.verdict), highlight=False)
    for event in story.events:
        _out.print(f"  {event.at:%Y-%m-%d %H:%M:%S}  {escape(event.what)}", highlight=False)
    _out.print(f"{escape(story.coming)}\n", highlight=False)


def _print_jobs(document: dict[str, Any]) -> None:
    jobs, total = document["jobs"], document["summary"]
    if not jobs:
        _out.print("No jobs.")
        return
    table = Table(
        "started", "trigger", "job", "window", "status", "done", "rows", "repaired", "missing", "requests", "took"
    )
    for heading in ("done", "rows", "repaired", "missing", "requests", "took"):
        table.columns[[column.header for column in table.columns].index(heading)].justify = "right"
    for job in jobs:
        detail, rows = job["detail"], job["detail"]["rows"]
        asked = (int(sum(own[name] for own in detail["requests"].values())) for name in ("requests", "retries"))
        _add_row(
            table, job["started_at"][:19].replace("T", " "), job["trigger"] or "-", f"{job['kind']} {job['profile']} {job['timeframe']}",
            f"{job['start_ts'][:10]}..{job['end_ts'][:10]}", job["status"], f"{job['progress']:.0%}",
            _and(rows["new"], revised=rows["revised"], refused=rows["rejected"]), f"{detail['repaired']:,}",
            f"{detail['missing_before']:,} to {detail['missing_after']:,}", _and(next(asked), again=next(asked)),
            str(timedelta(seconds=round(detail["seconds"]))),
        )  # fmt: skip
    _out.print(table)
    _out.print(
        f"{total['jobs']} {'job' if total['jobs'] == 1 else 'jobs'}: {total['rows_new']:,} new rows, {total['bars_repaired']:,} bars repaired, {total['requests']:,} requests "
        f"({total['retries']:,} sent again, {total['waits_seconds']:,.0f} s waited). (Times are UTC; --json tells it symbol by symbol.)",
        highlight=False,
    )


def _and(count: int, **others: int) -> str:
    """A count, and those of the others that are not 0 with their names."""
    return ", ".join([f"{count:,}", *(f"{number:,} {name}" for name, number in others.items() if number)])


def _print_failures(failures: list[dict[str, Any]], count: int) -> None:
    if not failures:
        return
    table = Table(
        "profile", "timeframe", "partition", "why it is not filled", title="failed partitions", title_justify="left"
    )
    for row in failures[:20]:
        _add_row(table, row["profile"], row["timeframe"], row["partition"], row["why"])
    _err.print(table)
    if more := count - len({(row["profile"], row["timeframe"], row["partition"]) for row in failures[:20]}):
        _err.print(f"{more:,} more partitions failed; the UI shows them all.")


def _print_alerts(found: pl.DataFrame, universe: Universe) -> None:
    if found.is_empty():
        _out.print("No trouble.")
        return
    table = Table("since", "level", "where", "what", "told", "over")
    for row in found.iter_rows(named=True):
        words = universe.redact("\n".join([row["summary"], *(f"  {line}" for line in row["details"][:3])]))
        told = row["error"] if row["error"] and not row["told_at"] else _minute(row["told_at"])
        where = " ".join(part for part in (row["profile"], row["kind"], row["subject"]) if part)
        _add_row(table, _minute(row["opened_at"]), row["level"], where, words, told, _minute(row["over_at"]))
    _out.print(table)
    if not universe.alerts.channels:
        _out.print("Nobody is told: the universe names no channel under alerts: channels:.")


def _print_exported(done: list[Exported], folder: Path) -> None:
    if not done:
        _out.print("Nothing of this is stored yet: [bold]market-assets backfill[/] fills it.")
        return
    table = Table("table", "files", "rows", "MB", "written", "removed")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in done:
        counts = (f"{count:,}" for count in (one.written, one.removed))
        _add_row(table, one.table, f"{one.files:,}", f"{one.rows:,}", f"{one.bytes / 1e6:,.1f}", *counts)
    _out.print(table)
    for one in done:
        for name in one.damaged:
            _out.print(
                f"[yellow]was missing or damaged[/]: {escape(str(one.folder / name))}", highlight=False, soft_wrap=True
            )
    _out.print(f"The files are in [bold]{escape(str(folder))}[/].", highlight=False, soft_wrap=True)


def _print_sources(types: list[dict[str, Any]], sources: list[dict[str, Any]]) -> None:
    table = Table(
        "source", "type", "profiles", "key", "venue", *_TRAITS, title="the universe's sources", title_justify="left"
    )
    for row in sources:
        missing = [name for name, is_set in row["keys"].items() if not is_set]
        named = "set" if row["keys"] else "in the file" if row["traits"]["needs_key"] else "-"
        key = f"{', '.join(missing)} not set" if missing else named
        users = [name + (" (another venue)" if name in row["other_venue"] else "") for name in row["profiles"]]
        profiles, venue = ", ".join(users) or "-", row["venue"] or "-"
        _add_row(table, row["source"], row["type"], profiles, key, venue, *_traits(row["traits"]))
    _out.print(table)
    table = Table("type", "needs a key", *_TRAITS, title="installed types", title_justify="left")
    for row in types:
        traits = row["traits"]
        key = "-" if traits is None else "yes" if traits["needs_key"] else "no"
        _add_row(table, row["type"], key, *(_traits(traits) if traits else [row["error"] or "by its settings"]))
    _out.print(table)


_TRAITS = ("kinds", "timeframes", "page", "quiet minutes", "names a genesis", "latest only")


def _traits(traits: dict[str, Any]) -> list[str]:
    return [
        " ".join(traits["kinds"]),
        " ".join(traits["timeframes"])
        + "".join(f"; {kind} without {' '.join(absent)}" for kind, absent in traits["lacks"].items()),
        f"{traits['page_size']:,}",
        traits["quiet_minutes"],
        "yes" if traits["names_genesis"] else "no",
        f"{traits['latest_only']:,}" if traits["latest_only"] else "-",
    ]


def _print_probe(heading: str, found: Probe, *, names_first: bool) -> None:
    if found.bars.is_empty():
        _out.print(f"{escape(heading)}: no closed bar was found.", highlight=False)
    else:
        table = Table(*found.bars.columns, title=escape(heading), title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in found.bars.iter_rows():
            _add_row(table, _minute(row[0]), *("-" if cell is None else f"{cell:,.10g}" for cell in row[1:]))
        _out.print(table)
    if names_first:
        first = found.first_bar and f"The first bar it has opens at {_minute(found.first_bar)} UTC."
        _out.print(first or "It has no first bar.", highlight=False)
    else:
        _out.print("It cannot name its first bar.", highlight=False)
    cost = found.usage
    _out.print(
        f"{cost.requests:,} {'request' if cost.requests == 1 else 'requests'} ({cost.retries:,} sent again), {cost.bytes:,} bytes, "
        f"{found.seconds:.2f} s, {cost.waits:.2f} s of them waited. (Times are UTC.)",
        highlight=False,
    )


def _add_row(table: Table, *cells: str) -> None:
    """Add a row as it is written: what a source says may look like rich's markup."""
    table.add_row(*map(escape, cells))


def _progress(*, quiet: bool, what: str = "partitions") -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=_err, disable=quiet)


def _show(progress: Progress, bar: TaskID, done: int, due: int) -> None:
    progress.update(bar, completed=done, total=due)


def _print_json(frame: pl.DataFrame) -> None:
    print(json.dumps(frame.to_dicts(), default=_plain, indent=1))  # noqa: T201 - the answer


def _plain(value: object) -> object:
    """A time of the store (UTC, with or without its zone) as ISO text with its zone."""
    return f"{value.replace(tzinfo=None).isoformat()}Z" if isinstance(value, datetime) else str(value)


def _minute(ts: datetime | None) -> str:
    return f"{ts:%Y-%m-%d %H:%M}" if ts else "-"


def _length(timeframe: str) -> timedelta:
    from market_assets.market_time.timeframes import Timeframe  # noqa: PLC0415 - a help text needs no polars

    return Timeframe(timeframe).duration


if __name__ == "__main__":
    main()
