"""Research data for other programs: aligned returns and the lake."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from market_assets.cli.console import (
    INCOMPLETE,
    OUT,
    AsJson,
    Symbols,
    add_row,
    days_of,
    open_store,
    plain,
    progress_bars,
)
from market_assets.market_time.clock import present

if TYPE_CHECKING:
    import polars as pl
    from rich.progress import Progress, TaskID

    from market_assets.export import Exported


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
    start, end = days_of(first, after)
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
        print(json.dumps(answer, default=plain, indent=1))  # noqa: T201 - the answer
    else:
        _print_shares(shares, limit)
        for path in written:
            OUT.print(f"Written: [bold]{escape(str(path))}[/]", highlight=False, soft_wrap=True)
    raise typer.Exit(INCOMPLETE if (shares["share"] > limit).any() else 0)


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
    lake = Lake(open_store(), to.expanduser().absolute() if to else settings.folder_in(home()), clock=present)
    done = []
    with progress_bars(quiet=as_json, what="files") as progress:
        for table in tables:
            bar = progress.add_task(str(table), total=None)
            exported = lake.export(table, verify=verify, told=partial(_show, progress, bar))
            progress.update(bar, visible=False)
            if exported is not None:
                done.append(exported)
    if as_json:
        rows = [asdict(one) for one in done]
        print(json.dumps({"folder": str(lake.folder), "tables": rows}, default=plain, indent=1))  # noqa: T201 - the answer
    else:
        _print_exported(done, lake.folder)
    raise typer.Exit(0 if done else INCOMPLETE)


def _print_shares(shares: pl.DataFrame, limit: float) -> None:
    if shares.is_empty():
        OUT.print("No returns are stored in this window.")
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
    OUT.print(table)
    OUT.print(
        f"Bars are those to which a symbol's own calendar calls for a return; above {limit:.0%} of them neutral it is DEGRADED.",
        highlight=False,
    )


def _print_exported(done: list[Exported], folder: Path) -> None:
    if not done:
        OUT.print("Nothing of this is stored yet: [bold]market-assets backfill[/] fills it.")
        return
    table = Table("table", "files", "rows", "MB", "written", "removed")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in done:
        counts = (f"{count:,}" for count in (one.written, one.removed))
        add_row(table, one.table, f"{one.files:,}", f"{one.rows:,}", f"{one.bytes / 1e6:,.1f}", *counts)
    OUT.print(table)
    for one in done:
        for name in one.damaged:
            OUT.print(
                f"[yellow]was missing or damaged[/]: {escape(str(one.folder / name))}", highlight=False, soft_wrap=True
            )
    OUT.print(f"The files are in [bold]{escape(str(folder))}[/].", highlight=False, soft_wrap=True)


def _show(progress: Progress, bar: TaskID, done: int, due: int) -> None:
    progress.update(bar, completed=done, total=due)
