"""Writes Parquet files for other programs."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from market_assets.cli.completion import offer_owners, offer_timeframe_list
from market_assets.cli.console import INCOMPLETE, OUT, print_json
from market_assets.cli.options import AsJson, check_names, choices, wrong
from market_assets.cli.places import need_store, open_store, places_of, universe_here
from market_assets.cli.progress import Progress
from market_assets.cli.tables import Column, print_table
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.config.services import ExportSettings
    from market_assets.export import Lake, tables_of
    from market_assets.market.timeframes import Timeframe


if TYPE_CHECKING:
    from market_assets.export import Exported


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROFILE",
            help="Profiles, or the matrix across profiles; all if none is named.",
            autocompletion=offer_owners,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="The folder; the universe's, or lake in the home folder, if not given."),
    ] = None,
    timeframes: Annotated[
        str | None,
        typer.Option(
            help="Only these, separated by commas; the universe's, or all, if not given.",
            autocompletion=offer_timeframe_list,
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read every file and compare its checksum, not its length alone."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write what is stored as Parquet files, or what has changed since.

    A damaged or missing file is written again.
    """
    universe = universe_here(quiet=as_json)
    settings = universe.export or ExportSettings()
    wanted = [name.strip() for name in timeframes.split(",")] if timeframes else settings.timeframes
    if unknown := [name for name in wanted if name not in list(Timeframe)]:
        raise wrong(
            f"--timeframes {unknown[0]}: no such timeframe; {choices(unknown[0], list(Timeframe))}"
        )
    owners = [*universe.profiles, *([universe.markets.name] if universe.markets.timeframes else [])]
    check_names("profile", names or [], owners)
    tables = tables_of(universe, names, wanted)
    need_store()
    lake = Lake(
        open_store(),
        to.expanduser().absolute() if to else settings.folder_in(home()),
        clock=present,
    )
    done = []
    with Progress(quiet=as_json) as progress:
        progress.plan("export", len(tables), "tables")
        for table in tables:
            with progress.work("export", str(table), 1) as advance:
                exported = lake.export(
                    table, verify=verify, told=partial(_show, progress, str(table))
                )
                advance()
            if exported is not None:
                done.append(exported)
    if as_json:
        rows = [asdict(exported) for exported in done]
        print_json({**places_of(universe), "folder": str(lake.folder), "tables": rows})
    else:
        _print_exported(done, lake.folder)
    raise typer.Exit(0 if done else INCOMPLETE)


def _print_exported(done: list[Exported], folder: Path) -> None:
    if not done:
        OUT.print("Nothing of this is stored yet: [bold]market-assets backfill[/] fills it.")
        return
    columns = [
        Column("table"),
        *(Column(name, right=True) for name in ("files", "rows", "MB", "written", "removed")),
    ]
    rows = [
        [
            exported.table,
            f"{exported.files:,}",
            f"{exported.rows:,}",
            f"{exported.bytes / 1e6:,.1f}",
            f"{exported.written:,}",
            f"{exported.removed:,}",
        ]
        for exported in done
    ]
    print_table(columns, rows)
    for exported in done:
        for name in exported.damaged:
            OUT.print(
                f"[yellow]was missing or damaged[/]: {escape(str(exported.folder / name))}",
                highlight=False,
                soft_wrap=True,
            )
    OUT.print(f"The files are in [bold]{escape(str(folder))}[/].", highlight=False, soft_wrap=True)


def _show(progress: Progress, table: str, done: int, due: int) -> None:
    progress.place("export", f"{table}: file {done:,} of {due:,}")
