"""Shows aligned returns, and which of them are neutral."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from market_assets.cli.completeness import colour_of
from market_assets.cli.completion import offer_owners, offer_timeframes
from market_assets.cli.console import INCOMPLETE, OUT, print_json
from market_assets.cli.jumps import jumps_now, print_jumps
from market_assets.cli.options import AsJson, Symbols, check_names, days_of
from market_assets.cli.places import need_store, places_of, universe_here
from market_assets.cli.tables import Column, print_table
from market_assets.imports import late_imports

with late_imports():
    from market_assets.enrich.returns.align import neutral_shares
    from market_assets.market.datasets import Dataset
    from market_assets.market.timeframes import Timeframe
    from market_assets.reports.read import read, returns_timeframe, write_matrix


if TYPE_CHECKING:
    import polars as pl

    from market_assets.config.universe import Universe


def returns(
    name: Annotated[
        str,
        typer.Argument(
            help="A profile, or the matrix across profiles.", autocompletion=offer_owners
        ),
    ],
    timeframe: Annotated[
        str | None,
        typer.Option(
            help="Of which candles; the longest that has returns by default.",
            autocompletion=offer_timeframes,
        ),
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
    wanted = symbols.split(",") if symbols else None
    _check_use(universe, name, timeframe, wanted or [])
    frame = returns_timeframe(universe, name, timeframe)
    need_store()
    start, end = days_of(first, after)
    rows = read(
        name,
        Dataset.returns(name, Timeframe(frame)).name,
        symbols=wanted,
        start=start,
        end=end,
        universe=universe,
    )
    columns = [column for column in rows.columns if column not in {"symbol", "ts"}]
    check_names("column", [value], columns)
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


def _check_use(universe: Universe, name: str, timeframe: str | None, symbols: list[str]) -> None:
    """Make sure that there is what was asked for."""
    check_names("profile", [name], [*universe.profiles, universe.markets.name])
    if name in universe.profiles:
        profile = universe.profiles[name]
        timeframes, names = profile.timeframes.returns, list(profile.symbols)
    else:
        timeframes = universe.markets.timeframes
        names = [
            f"{profile.name}.{symbol}"
            for profile in universe.profiles.values()
            for symbol in profile.symbols
        ]
    if timeframes:
        check_names("timeframe of returns", [timeframe] if timeframe else [], [*timeframes])
        check_names("symbol", symbols, names)


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
