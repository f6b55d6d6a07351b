"""Shows what is there: the completeness matrix, gaps, where series begin."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.markup import escape

from market_assets.cli.console import (
    ERR,
    INCOMPLETE,
    OUT,
    AsJson,
    Column,
    ProfileNames,
    Symbols,
    Wide,
    has_store,
    is_healthy,
    jumps_now,
    matrix_now,
    minute,
    open_store,
    orphans_in,
    print_json,
    print_jumps,
    print_matrix,
    print_refused,
    print_table,
    profiles_of,
    refused_now,
    store_to_read,
    symbols_of,
    universe_here,
    wrong,
)
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.instants import bare_second

with late_imports():
    import polars as pl

    from market_assets.expected.counts import count_profile
    from market_assets.expected.scope import scope_of
    from market_assets.reports.doubts import doubts_of
    from market_assets.reports.gaps import bare_profiles, listed_gaps
    from market_assets.reports.story import story_of
    from market_assets.verdicts import evidence
    from market_assets.verdicts.colour import names_of


if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.config.universe import Profile, Universe
    from market_assets.reports.story import Story


def status(profiles: ProfileNames = None, wide: Wide = False, as_json: AsJson = False) -> None:
    """Show the completeness matrix.

    It says what must exist, what is stored, what is explained, and what is missing.
    """
    universe = universe_here(quiet=as_json)
    chosen = profiles_of(universe, profiles)
    matrix = matrix_now(chosen)
    if as_json:
        print_json(matrix)
    else:
        print_matrix(matrix, wide=wide)
        print_refused(refused_now(chosen))
    if has_store():
        _tell_doubts(profiles_of(universe, profiles))
        _tell_orphans(universe)
    jumps = jumps_now(chosen)
    print_jumps(jumps)
    raise typer.Exit(0 if is_healthy(matrix) and not jumps else INCOMPLETE)


def gaps(
    profiles: ProfileNames = None,
    symbols: Symbols = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are explained.")
    ] = False,
    limit: Annotated[int, typer.Option(help="How many to print; JSON has them all.")] = 50,
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="SYMBOL TS",
            help="Tell the story of the bar at an instant (ISO, UTC without a zone).",
        ),
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """List the gaps that were found, newest first; or explain one bar.

    Each gap is shown with what is known of it.
    """
    chosen = profiles_of(universe_here(quiet=as_json), profiles)
    if explain is not None:
        _explain(chosen, *explain, as_json=as_json)
    names = symbols_of(chosen, symbols) or None
    with store_to_read() as store:
        listing = listed_gaps(store, chosen, symbols=names, now=present(), explained=everything)
        bare = bare_profiles(store, chosen)
    if as_json:
        print_json(listing)
    else:
        _print_gaps(listing, limit, bare, wide=wide)
        print_refused(refused_now(chosen, symbols=names))
    # Where nothing was ever filled, all of it is missing, though no gap was seen.
    raise typer.Exit(INCOMPLETE if bare or listing["status"].is_in(evidence.MISSING).any() else 0)


def genesis(
    profiles: ProfileNames = None,
    reset: Annotated[
        str | None,
        typer.Option(
            metavar="SYMBOLS",
            help="Forget those of these symbols, separated by commas, "
            "so that they are looked for again.",
        ),
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """List where series begin that begin later than the universe says, or forget it."""
    named = profiles_of(universe_here(quiet=as_json), profiles)
    names = symbols_of(named, reset)
    chosen = [profile for profile in named if not names or set(names) & set(profile.symbols)]
    with store_to_read() as store, store.reading("listing where series begin") as view:
        starts = view.genesis.all().filter(
            pl.col("profile").is_in([profile.name for profile in chosen])
        )
    if names:
        starts = starts.filter(pl.col("symbol").is_in(names))
    if names and not starts.is_empty():
        store = open_store()
        with store.writing(f"forgetting where {', '.join(names)} begins") as transaction:
            for profile in chosen:
                transaction.genesis.forget(profile.name, names)
        for profile in chosen:
            count_profile(store, profile, present())
    if as_json:
        print_json(starts)
        return
    _print_genesis(starts, wide=wide)
    if names and not starts.is_empty():
        again = (
            f"{' '.join(starts['profile'].unique().sort())} --symbols "
            f"{','.join(starts['symbol'].unique().sort())}"
        )
        OUT.print(
            "Forgotten: what is older than the oldest stored bar is expected again. "
            f"To look for it: [bold]market-assets backfill {escape(again)}[/]"
        )


def _explain(profiles: list[Profile], name: str, instant: str, *, as_json: bool) -> NoReturn:
    # A help text needs no polars.

    (symbol,) = symbols_of(profiles, name) or [name]
    ts, now = _instant("--explain", instant), present()
    with store_to_read() as store, store.reading(f"explaining {symbol}") as view:
        stories = [
            story_of(view, scope_of(profile, timeframe, now), symbol, ts)
            for profile in profiles
            if symbol in profile.symbols
            for timeframe in profile.timeframes.fetch
        ]
    if as_json:
        print_json([asdict(story) for story in stories])
    else:
        for story in stories:
            _print_story(story)
    raise typer.Exit(INCOMPLETE if any(story.missing for story in stories) else 0)


def _instant(option: str, text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise wrong(f"{option} {text}: write an instant like 2024-01-31T15:30Z") from None
    return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)


def _tell_doubts(profiles: Sequence[Profile]) -> None:
    """Say where the bars contradict a calendar, and which of its sessions nobody traded."""
    with store_to_read() as store, store.reading("looking for doubtful calendars") as view:
        findings = [(profile, doubts_of(view, profile)) for profile in profiles]
    for profile, doubted in findings:
        for timeframe, doubts in doubted.items():
            for doubt in doubts:
                words = (
                    f"[yellow]The calendar {escape(profile.calendar)} "
                    f"of {escape(profile.name)} may be wrong[/] ({timeframe}, "
                    f"{escape(names_of(doubt.symbols))}): {escape(doubt.words)}. "
                    "What is right goes into [bold]calendar_changes[/] of the universe."
                )
                ERR.print(words, highlight=False, soft_wrap=True)


def _tell_orphans(universe: Universe) -> None:
    """Name what the store holds of profiles that the universe does not have.

    A profile that was renamed is one of these.
    """
    with store_to_read() as store, store.reading("looking for orphans") as view:
        held = view.catalog.holdings()
    for name, bars in orphans_in(held, universe):
        ERR.print(
            f"[yellow]The store also holds {escape(name)} ({bars:,} candles), "
            "which no profile is called.[/] To keep it, give a profile that name again; "
            f"to remove it: [bold]market-assets forget {escape(name)}[/]",
            highlight=False,
            soft_wrap=True,
        )


def _print_gaps(listing: pl.DataFrame, limit: int, bare: list[str], *, wide: bool) -> None:
    if bare:
        names = " ".join(bare)
        OUT.print(
            f"Nothing was filled yet of {escape(names)}: all of it is missing, "
            "and no gap is listed.\n"
            f"To fill it: [bold]market-assets backfill {escape(names)}[/]",
            highlight=False,
        )
    if listing.is_empty():
        if not bare:
            OUT.print("No gaps.")
        return
    columns = [
        Column("series"),
        Column("first bar"),
        Column("last bar"),
        Column("bars", right=True),
        Column("status"),
        Column("what is known", prose=True),
        Column("priority"),
        Column("tries", right=True),
    ]
    rows = [
        [
            f"{row['profile']} {row['symbol']} {row['timeframe']}",
            minute(row["first_ts"]),
            minute(row["last_ts"]),
            f"{row['bars']:,}",
            row["status"],
            row["reason"],
            row["priority"],
            str(row["attempts"]),
        ]
        for row in listing.head(limit).iter_rows(named=True)
    ]
    print_table(columns, rows, wide=wide)
    if len(listing) > limit:
        OUT.print(f"{len(listing) - limit:,} more; --limit or --json shows them.")


def _print_genesis(starts: pl.DataFrame, *, wide: bool) -> None:
    if starts.is_empty():
        OUT.print("No first bar is recorded.")
        return
    columns = [
        Column(name)
        for name in ("profile", "symbol", "timeframe", "first bar", "named by", "found")
    ]
    rows = [
        [
            row["profile"],
            row["symbol"],
            row["timeframe"],
            minute(row["ts"]),
            row["source"],
            minute(row["found_at"]),
        ]
        for row in starts.iter_rows(named=True)
    ]
    print_table(columns, rows, wide=wide)


def _print_story(story: Story) -> None:
    colour = "red" if story.missing else "green"
    bar = story.bar and f"{minute(story.bar.opens_at)} to {minute(story.bar.closes_at)} UTC"
    heading = (
        f"{story.profile} {story.symbol} {story.timeframe}, {bar or f'{minute(story.asked)} UTC'}"
    )
    OUT.print(f"[bold]{escape(heading)}[/]: [{colour}]{story.state}[/]", highlight=False)
    OUT.print(escape(story.verdict), highlight=False)
    for event in story.events:
        OUT.print(f"  {bare_second(event.at)}  {escape(event.what)}", highlight=False)
    OUT.print(f"{escape(story.coming)}\n", highlight=False)
