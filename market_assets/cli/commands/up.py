"""Starts the platform: the pages and the daemon over a home folder."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from market_assets.cli.console import OUT
from market_assets.cli.garbage import search_as_usual
from market_assets.cli.options import AsJson
from market_assets.config.places import keep_practice, universe_path
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.instants import clock_time, iso_second
from market_assets.up.options import PAGES_PORT, Options

with late_imports():
    from market_assets.up.supervisor import Supervisor


if TYPE_CHECKING:
    from collections.abc import Mapping


def up(
    port: Annotated[int, typer.Option(help="Where the pages listen.")] = PAGES_PORT,
    host: Annotated[str, typer.Option(help="The address they listen on.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name by which browsers ask for the pages, such as that of a proxy."
        ),
    ] = None,
    allow_reports: Annotated[
        bool,
        typer.Option(
            "--allow-reports", help="Let other programs report materializations over HTTP."
        ),
    ] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Let nobody change anything in the pages.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the Dagster pages and the daemon over this home folder, until Ctrl-C."""
    search_as_usual()
    # What is wrong with the folder is said when it is checked, before anything starts.
    with suppress(OSError):
        keep_practice()
    options = Options(
        home=home(),
        universe=universe_path(),
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        reports=allow_reports,
        read_only=read_only,
    )

    def say(line: str) -> None:
        now = present()
        if as_json:
            _print_json({"at": iso_second(now), "line": line})
            return
        _print(f"[dim]{clock_time(now)}[/] {_coloured(line)}")

    def ready(facts: Mapping[str, str]) -> None:
        if as_json:
            _print_json(facts)
            return
        _print(f"[bold]market_assets[/] {escape(facts['url'])}  home {escape(facts['home'])}")
        _print(
            f"universe {escape(facts['universe'])}  log {escape(facts['home'])}/log/up.log  "
            "Ctrl-C ends it."
        )

    raise typer.Exit(Supervisor(options, say, present).run(ready))


def _coloured(line: str) -> str:
    word = line.partition(":")[0]
    colour = {"wrong": "red", "over": "green"}.get(word)
    return f"[{colour}]{word}[/]{escape(line[len(word) :])}" if colour else escape(line)


def _print_json(document: Mapping[str, str]) -> None:
    with suppress(OSError):
        print(json.dumps(document), flush=True)  # noqa: T201 - the answer


def _print(markup: str) -> None:
    # A terminal or pipe that was closed is no reason to end; rich raises SystemExit for a pipe.
    try:
        OUT.print(markup, highlight=False, soft_wrap=True)
    except (OSError, SystemExit):
        OUT.quiet = True
