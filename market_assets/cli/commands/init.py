"""Writes a first universe, and tries its sources."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from market_assets.cli.console import ERR, INCOMPLETE, OUT, print_json
from market_assets.cli.options import AsJson, choices, day_of, wrong
from market_assets.config.places import UNIVERSE_VARIABLE
from market_assets.errors import CalendarError, StarterError, UniverseError
from market_assets.home import HOME_VARIABLE
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.cli.questions import Replies, replies_to
    from market_assets.config.kinds import Kind
    from market_assets.config.starter_parts import parts_of
    from market_assets.config.starter_text import (
        checked_text,
        need_room,
        read_back,
        universe_text,
        write_universe,
    )
    from market_assets.config.starters import Wishes
    from market_assets.market.timeframes import Timeframe
    from market_assets.reports.tries import try_sources

if TYPE_CHECKING:
    from market_assets.config.starters import Part
    from market_assets.reports.tries import Try


def init(
    market: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to keep: binance, binance-usdm, bybit, bybit-linear, bitfinex, coinbase, "
            "kraken, yahoo, polygon, alpaca, oanda, databento, files, practice; several are "
            "several profiles. Asked for at a terminal.",
        ),
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(help="What to begin with, separated by commas: NAME, or NAME=SOURCE'S NAME."),
    ] = None,
    timeframes: Annotated[
        str | None,
        typer.Option(help="Such as 1m,1h,1d: the shortest is fetched, the others are made of it."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="The first day to keep (UTC).")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the files are, for the market `files`.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="CRYPTO, EQUITY, FUTURES or FOREX, for `files` and `practice`."),
    ] = None,
    calendar: Annotated[
        str | None,
        typer.Option(help="The market's calendar, such as XLON; the kind's if not given."),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Another address of the source, such as a mirror's.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no source.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if it is there already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented universe, try its sources, and say the next command.

    The file is the one that --universe or MARKET_ASSETS_UNIVERSE names, else ./universe.yaml. A
    source that cannot be asked now does not keep it from being written.
    """
    path = Path(os.environ.get(UNIVERSE_VARIABLE) or "universe.yaml").expanduser().absolute()
    if not force:
        # Before anybody is asked anything.
        need_room(path)
    replies = _replies(market)
    wishes = Wishes(
        symbols=_words(symbols or replies.symbols),
        timeframes=_timeframes(timeframes),
        start=day_of("--start", start or replies.start or None),
        kind=_kind(kind) or replies.kind,
        calendar=calendar,
        base_url=base_url,
        folder=folder or replies.folder,
    )
    now = present()
    try:
        parts = parts_of(replies.markets, wishes, base=path.parent, today=now.date())
        text = checked_text(universe_text(parts, now.date()), os.environ)
    except (StarterError, CalendarError, UniverseError) as error:
        raise wrong(str(error)) from None
    write_universe(text, path, replace=force)
    universe = read_back(path, os.environ)
    tries = [] if offline else try_sources(universe, os.environ, now=now)
    commands = _next_commands(path)
    if as_json:
        print_json(
            {
                "universe": str(path),
                "profiles": [part.profile for part in parts],
                "tries": [asdict(result) for result in tries],
                "next": commands,
            }
        )
    else:
        _print_result(path, parts, tries, commands)
    raise typer.Exit(0 if all(result.is_well for result in tries) else INCOMPLETE)


def _replies(market: list[str] | None) -> Replies:
    if market:
        return Replies(tuple(market))
    if not sys.stdin.isatty():
        return Replies(())

    def ask(question: str, usual: str) -> str:
        # Typer's own prompt writes a blank on standard output, where only the answer goes.
        ERR.print(f"{escape(question)} {escape(f'[{usual}]')}: ", end="", highlight=False)
        line = sys.stdin.readline()
        if not line:
            raise typer.Abort
        return line.strip() or usual

    def show(line: str) -> None:
        ERR.print(escape(line), highlight=False, soft_wrap=True)

    return replies_to(ask, show)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _timeframes(text: str | None) -> tuple[Timeframe, ...]:
    names = [timeframe.value for timeframe in Timeframe]
    for word in _words(text):
        if word not in names:
            raise wrong(f"--timeframes {word}: no such timeframe; {choices(word, names)}")
    return tuple(Timeframe(word) for word in _words(text))


def _kind(text: str | None) -> Kind | None:
    names = [kind.value for kind in Kind]
    if text is not None and text.upper() not in names:
        raise wrong(f"--kind {text}: no such kind; {choices(text.upper(), names)}")
    return None if text is None else Kind(text.upper())


def _next_commands(path: Path) -> list[str]:
    """What to run now, oldest first."""
    # A home that an option has named, too: the next command would not know it.
    chosen = os.environ.get(HOME_VARIABLE)
    folder = Path(chosen).expanduser().absolute() if chosen else path.parent / "data"
    variables = {UNIVERSE_VARIABLE: str(path), HOME_VARIABLE: str(folder)}
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return [*exports, "market-assets backfill", "market-assets up"]


def _print_result(path: Path, parts: list[Part], tries: list[Try], commands: list[str]) -> None:
    OUT.print(f"[green]written[/]: {escape(str(path))}", highlight=False, soft_wrap=True)
    for part in parts:
        OUT.print(
            f"{escape(part.profile)}: {len(part.symbols):,} symbols of"
            f" {escape(part.source)}, {part.fetch} from {part.start} on",
            highlight=False,
            soft_wrap=True,
        )
    for result in tries:
        colour, word = ("green", "ok") if result.is_well else ("yellow", "not yet")
        OUT.print(
            f"[{colour}]{word}[/] {escape(f'{result.source} {result.symbol} {result.timeframe}')}:"
            f" {escape(result.words)} ({result.seconds:.1f} s)"
            + (f". {escape(result.advice)}" if result.advice else ""),
            highlight=False,
            soft_wrap=True,
        )
    OUT.print("Next:", highlight=False)
    for command in commands:
        OUT.print(f"  {escape(command)}", highlight=False, soft_wrap=True)
