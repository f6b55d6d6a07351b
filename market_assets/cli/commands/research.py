"""Research data for other programs: aligned returns and the lake."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from market_assets.cli.console import (
    INCOMPLETE,
    OUT,
    AsJson,
    Column,
    Symbols,
    choices,
    colour_of,
    days_of,
    jumps_now,
    need_store,
    open_store,
    places_of,
    print_json,
    print_jumps,
    print_table,
    universe_here,
    wrong,
)
from market_assets.cli.progress import Progress
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.config.services import ExportSettings
    from market_assets.enrich.returns.align import neutral_shares
    from market_assets.export import Lake, tables_of
    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Timeframe
    from market_assets.reports.read import read, returns_timeframe, write_matrix


if TYPE_CHECKING:
    import polars as pl

    from market_assets.export import Exported


def returns(
    name: Annotated[str, typer.Argument(help="A profile, or the matrix across profiles.")],
    timeframe: Annotated[
        str | None, typer.Option(help="Of which candles; the longest that has returns by default.")
    ] = None,
    symbols: Symbols = None,
    first: Annotated[str | None, typer.Option("--from", help="The first day.")] = None,
    after: Annotated[
        str | None, typer.Option("--to", help="The first day no longer wanted.")
    ] = None,
    wide: Annotated[
        bool,
        typer.Option(
            "--wide", help="Write the matrix to Parquet, a column a symbol, and its mask beside it."
        ),
    ] = False,
    value: Annotated[
        str, typer.Option(help="What the matrix holds: log_return or simple_return.")
    ] = "log_return",
    out: Annotated[
        Path | None, typer.Option(help="The Parquet file; NAME_returns_TF.parquet here by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how much of each symbol's aligned returns is neutral, and why.

    With --wide or --out, also write the returns as a matrix.
    """
    universe = universe_here(quiet=as_json)
    frame = returns_timeframe(universe, name, timeframe)
    need_store()
    start, end = days_of(first, after)
    rows = read(
        name,
        Dataset.returns(name, Timeframe(frame)).name,
        symbols=symbols.split(",") if symbols else None,
        start=start,
        end=end,
        universe=universe,
    )
    limit = (
        universe.profiles[name].returns if name in universe.profiles else universe.markets
    ).neutral_limit
    shares = neutral_shares(rows)
    written = (
        write_matrix(rows, value, out or Path(f"{name}_returns_{frame}.parquet"))
        if wide or out
        else ()
    )
    if as_json:
        answer = {
            "symbols": shares.to_dicts(),
            "neutral_limit": limit,
            "written": [str(path) for path in written],
        }
        print_json({**places_of(universe), **answer})
    else:
        _print_shares(shares, limit)
        for path in written:
            OUT.print(f"Written: [bold]{escape(str(path))}[/]", highlight=False, soft_wrap=True)
    shown = set(rows["symbol"])
    kept = (
        [universe.profiles[name]]
        if name in universe.profiles
        else universe.in_markets(Timeframe(frame))
    )
    jumps = [
        row
        for row in jumps_now(kept)
        if {row["symbol"], f"{row['profile']}.{row['symbol']}"} & shown
    ]
    print_jumps(jumps)
    raise typer.Exit(INCOMPLETE if jumps or (shares["share"] > limit).any() else 0)


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROFILE", help="Profiles, or the matrix across profiles; all if none is named."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="The folder; the universe's, or lake in the home folder, if not given."),
    ] = None,
    timeframes: Annotated[
        str | None,
        typer.Option(help="Only these, separated by commas; the universe's, or all, if not given."),
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


def _print_shares(shares: pl.DataFrame, limit: float) -> None:
    if shares.is_empty():
        OUT.print("No returns are stored in this window.")
        return
    reasons = [name for name in shares.columns[4:] if shares[name].sum()]
    numbers = ("bars", "neutral", "share")
    columns = [
        Column("symbol"),
        Column("health"),
        *(Column(name.replace("_", " "), right=True) for name in (*numbers, *reasons)),
    ]
    rows = [_share_row(row, reasons, limit) for row in shares.iter_rows(named=True)]
    # The option --wide of this command is another one: all columns are shown.
    print_table(columns, rows, wide=True, title="aligned returns: how many are neutral, and why")
    OUT.print(
        "Bars are those to which a symbol's own calendar calls for a return; "
        f"above {limit:.0%} of them neutral it is DEGRADED.",
        highlight=False,
    )


def _share_row(row: dict[str, Any], reasons: list[str], limit: float) -> list[str | Text]:
    health = "DEGRADED" if row["share"] > limit else "HEALTHY"
    return [
        row["symbol"],
        Text(health, style=colour_of(health)),
        f"{row['bars']:,}",
        f"{row['neutral']:,}",
        f"{row['share']:.2%}",
        *(f"{row[name]:,}" for name in reasons),
    ]


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
