"""Answers what is there: the completeness matrix, gaps, where series begin."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from market_assets.cli.console import (
    INCOMPLETE,
    OUT,
    AsJson,
    ProfileNames,
    Symbols,
    add_row,
    is_healthy,
    looking_store,
    matrix_now,
    minute,
    open_store,
    plain,
    print_json,
    print_matrix,
    profiles_of,
    symbols_of,
)

if TYPE_CHECKING:
    import polars as pl

    from market_assets.fill.story import Story
    from market_assets.universe import Profile


def status(profiles: ProfileNames = None, as_json: AsJson = False) -> None:
    """Show the completeness matrix: what must exist, what is stored, what is explained, what is missing."""
    from market_assets.universe import load_universe  # noqa: PLC0415 - a help text needs no pydantic

    chosen = profiles_of(load_universe(), profiles)
    matrix = matrix_now(chosen)
    if as_json:
        print_json(matrix)
    else:
        print_matrix(matrix)
    raise typer.Exit(0 if is_healthy(matrix) else INCOMPLETE)


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

    chosen = profiles_of(load_universe(), profiles)
    if explain is not None:
        _explain(chosen, *explain, as_json=as_json)
    found = listed_gaps(
        looking_store(),
        chosen,
        symbols=symbols_of(chosen, symbols) or None,
        now=datetime.now(UTC),
        explained=everything,
    )
    if as_json:
        print_json(found)
    else:
        _print_gaps(found, limit)
    raise typer.Exit(INCOMPLETE if found["status"].is_in(MISSING).any() else 0)


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

    named = profiles_of(load_universe(), profiles)
    names = symbols_of(named, reset)
    chosen = [profile for profile in named if not names or set(names) & set(profile.symbols)]
    store = open_store()
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
        print_json(found)
        return
    _print_genesis(found)
    if names and not found.is_empty():
        again = f"{' '.join(found['profile'].unique().sort())} --symbols {','.join(found['symbol'].unique().sort())}"
        OUT.print(
            f"Forgotten: what is older than the oldest stored bar is expected again. To look for it: [bold]market-assets backfill {escape(again)}[/]"
        )


def _explain(profiles: list[Profile], name: str, instant: str, *, as_json: bool) -> NoReturn:
    from market_assets.fill.story import story_of  # noqa: PLC0415 - a help text needs no polars

    (symbol,) = symbols_of(profiles, name) or [name]
    ts, now = _instant("--explain", instant), datetime.now(UTC)
    with looking_store().reading(f"explaining {symbol}") as view:
        stories = [
            story_of(view, profile, timeframe, symbol, ts, now=now)
            for profile in profiles
            if symbol in profile.symbols
            for timeframe in profile.timeframes.fetch
        ]
    if as_json:
        print(json.dumps([asdict(story) for story in stories], default=plain, indent=1))  # noqa: T201 - the answer
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


def _print_gaps(found: pl.DataFrame, limit: int) -> None:
    if found.is_empty():
        OUT.print("No gaps.")
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
        add_row(
            table, row["profile"], row["symbol"], row["timeframe"], minute(row["first_ts"]), minute(row["last_ts"]), f"{row['bars']:,}",
            row["priority"], row["status"], str(row["attempts"]), row["reason"],
        )  # fmt: skip
    OUT.print(table)
    if len(found) > limit:
        OUT.print(f"{len(found) - limit:,} more; --limit or --json shows them.")


def _print_genesis(found: pl.DataFrame) -> None:
    if found.is_empty():
        OUT.print("No first bar is recorded.")
        return
    table = Table("profile", "symbol", "timeframe", "first bar", "named by", "found")
    for row in found.iter_rows(named=True):
        own = (row[name] for name in ("profile", "symbol", "timeframe"))
        add_row(table, *own, minute(row["ts"]), row["source"], minute(row["found_at"]))
    OUT.print(table)


def _print_story(story: Story) -> None:
    colour = "red" if story.missing else "green"
    bar = story.bar and f"{minute(story.bar.opens_at)} to {minute(story.bar.closes_at)} UTC"
    heading = f"{story.profile} {story.symbol} {story.timeframe}, {bar or f'{minute(story.asked)} UTC'}"
    OUT.print(f"[bold]{escape(heading)}[/]: [{colour}]{story.state}[/]", highlight=False)
    OUT.print(escape(story.verdict), highlight=False)
    for event in story.events:
        OUT.print(f"  {event.at:%Y-%m-%d %H:%M:%S}  {escape(event.what)}", highlight=False)
    OUT.print(f"{escape(story.coming)}\n", highlight=False)
