"""Shows what is absent and why, and the story of one bar."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.markup import escape

from market_assets.cli.completion import offer_symbols
from market_assets.cli.console import INCOMPLETE, OUT, print_json
from market_assets.cli.options import (
    AsJson,
    ProfileNames,
    Symbols,
    Wide,
    profiles_of,
    symbols_of,
    wrong,
)
from market_assets.cli.places import store_to_read, universe_here
from market_assets.cli.refused import print_refused, refused_now
from market_assets.cli.tables import Column, minute, print_table
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.instants import bare_second

with late_imports():
    from market_assets.reports.gaps import bare_profiles, listed_gaps
    from market_assets.reports.story import stories_of
    from market_assets.verdicts import evidence


if TYPE_CHECKING:
    import polars as pl

    from market_assets.config.universe import Profile
    from market_assets.reports.story import Story


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
            autocompletion=offer_symbols,
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


def _explain(profiles: list[Profile], name: str, instant: str, *, as_json: bool) -> NoReturn:
    # A help text needs no polars.

    (symbol,) = symbols_of(profiles, name) or [name]
    ts, now = _instant("--explain", instant), present()
    with store_to_read() as store, store.reading(f"explaining {symbol}") as view:
        stories = [
            story
            for profile in profiles
            if symbol in profile.symbols
            for story in stories_of(view, profile, symbol, ts, now)
        ]
    if as_json:
        print_json([asdict(story) for story in stories])
    else:
        for place, story in enumerate(stories):
            if place:
                OUT.print()
            _print_story(story)
    raise typer.Exit(INCOMPLETE if any(story.missing for story in stories) else 0)


def _instant(option: str, text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise wrong(f"{option} {text}: write an instant like 2024-01-31T15:30Z") from None
    return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)


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
    OUT.print(escape(story.coming), highlight=False)
