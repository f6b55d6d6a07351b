"""Shows what is kept: the universe file, the assets in the store, the newest bars."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from market_assets.cli.console import (
    INCOMPLETE,
    OUT,
    AsJson,
    Column,
    ProfileNames,
    Symbols,
    Wide,
    add_row,
    choices,
    has_store,
    minute,
    number,
    open_store,
    orphans_in,
    places_of,
    plain,
    print_json,
    print_table,
    profiles_of,
    store_to_read,
    symbols_of,
    universe_here,
    wrong,
)
from market_assets.errors import MarketAssetsError, UniverseError
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.config.load import load_universe
    from market_assets.market import columns as candle_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from market_assets.config.universe import Profile, Universe
    from market_assets.market.timeframes import Timeframe

_LOOK_EVERY = 1.0
"""Seconds between two looks at whether the store has changed."""


def validate(
    file: Annotated[
        Path | None, typer.Argument(help="A universe file; the one that is used if not given.")
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Check a universe file and say what it holds; nothing is asked for and nothing is written."""
    try:
        universe = load_universe(file)
    except UniverseError as error:
        if not as_json:
            raise
        print_json(
            {"valid": False, "universe": error.path, "problems": error.problems, "profiles": []}
        )
        raise typer.Exit(1) from None
    profiles = [_described(profile) for profile in universe.profiles.values()]
    if as_json:
        print_json(
            {"valid": True, "universe": str(universe.path), "problems": [], "profiles": profiles}
        )
        return
    OUT.print(f"[green]valid[/]: {escape(str(universe.path))}", highlight=False, soft_wrap=True)
    _print_profiles(profiles, wide=wide)
    _print_rest(universe)


def list_assets(profiles: ProfileNames = None, wide: Wide = False, as_json: AsJson = False) -> None:
    """List what is kept: each profile, and what the named profiles have.

    A named profile is shown with each asset and symbol, and their rows and dates.
    """
    universe = universe_here(quiet=as_json)
    chosen = profiles_of(universe, profiles)
    with store_to_read() as store, store.reading("listing what is kept") as view:
        held = view.catalog.holdings()
        first_bars = {
            profile.name: view.candles.extents(
                profile.candles(profile.base_timeframe), profile.window(present())
            )
            for profile in chosen
        }
    assets = _assets(universe, chosen, held)
    symbols = [row for profile in chosen for row in _symbols(profile, first_bars[profile.name])]
    orphans = dict(orphans_in(held, universe)) if not profiles else {}
    if as_json:
        print_json(
            {**places_of(universe), "assets": assets, "symbols": symbols, "orphans": orphans}
        )
        return
    if profiles:
        _print_assets(assets, wide=wide)
        _print_symbols(symbols, wide=wide)
    else:
        _print_kept(chosen, assets, wide=wide)
    for name, bars in orphans.items():
        OUT.print(
            f"{escape(name)}: {bars:,} candles of no profile of this universe.", highlight=False
        )


def tail(
    profiles: ProfileNames = None,
    symbols: Symbols = None,
    timeframe: Annotated[
        str | None,
        typer.Option(help="Of which candles; the shortest that each profile fetches if not given."),
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", help="How many bars of each profile.", min=1)
    ] = 10,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with the bars that come, until Ctrl-C.")
    ] = False,
    extras: Annotated[
        bool, typer.Option("--extras", help="Also quote volume, trades, taker buy volume and vwap.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest bars, oldest first; JSON is an object a line."""
    universe = universe_here(quiet=as_json)
    chosen = profiles_of(universe, profiles)
    names = symbols_of(chosen, symbols)
    series = [
        (profile, kept, wanted)
        for profile in chosen
        if (kept := _timeframe_of(profile, timeframe))
        and (wanted := [name for name in profile.symbols if not names or name in names])
    ]
    if not series:
        timeframes = sorted({kept.value for profile in chosen for kept in profile.timeframes.kept})
        raise wrong(
            f"--timeframe {timeframe}: nobody keeps it; {choices(timeframe or '', timeframes)}"
        )
    shown = 0
    more = candle_columns.EXTRA_NAMES if extras else ()
    for bars in _batches(series, lines, more, follow=follow):
        if as_json:
            for bar in bars:
                print(json.dumps(bar, default=plain), flush=True)  # noqa: T201 - the answer
        elif bars:
            _print_bars(bars, more, heading=not shown, is_alone=len(series) == 1)
        shown += len(bars)
    if not shown and not as_json and has_store():
        OUT.print("No bar of this is stored yet.")
    raise typer.Exit(0 if shown else INCOMPLETE)


def _timeframe_of(profile: Profile, wanted: str | None) -> Timeframe | None:
    """The timeframe that is meant, if the profile keeps it."""
    return next((kept for kept in profile.timeframes.kept if wanted in {None, kept.value}), None)


def _batches(
    series: list[tuple[Profile, Timeframe, list[str]]],
    lines: int,
    extras: Sequence[str],
    *,
    follow: bool,
) -> Iterator[list[dict[str, Any]]]:
    """The newest bars of each profile and, where that is wanted, those that come, forever."""
    newest: dict[str, datetime] = {}
    state = _state_of_store() if follow else None
    yield _read_bars(series, lines, extras, newest)
    while follow:
        time.sleep(_LOOK_EVERY)
        # The file's times say whether something was committed: no writer waits for a reader that
        # finds nothing.
        before, state = state, _state_of_store()
        if state != before:
            yield _read_bars(series, lines, extras, newest)


def _read_bars(
    series: list[tuple[Profile, Timeframe, list[str]]],
    lines: int,
    extras: Sequence[str],
    newest: dict[str, datetime],
) -> list[dict[str, Any]]:
    bars = []
    with store_to_read() as store, store.reading("reading the newest bars") as view:
        for profile, timeframe, names in series:
            after = newest.get(profile.name)
            limit = lines if after is None else 1000 * len(names)
            rows = view.candles.newest(
                profile.candles(timeframe),
                symbols=names,
                limit=limit,
                after=after and after.replace(tzinfo=UTC),
                extras=extras,
            )
            bars += [
                {"profile": profile.name, "timeframe": timeframe.value, **row}
                for row in rows.iter_rows(named=True)
            ]
            if not rows.is_empty():
                newest[profile.name] = rows["ts"][-1]
    return bars


def _state_of_store() -> object:
    path = open_store().path if has_store() else None
    if path is None:
        raise MarketAssetsError(
            "there is no store to follow yet: market-assets backfill or market-assets up makes it."
        )
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _print_bars(
    bars: list[dict[str, Any]], extras: Sequence[str], *, heading: bool, is_alone: bool
) -> None:
    """Print bars in columns that are as narrow as they can be.

    A profile's name is left out where the profile is alone.
    """
    values = [*_VALUES, *extras]
    names = ["ts", "bar", *values]
    common = f"{bars[0]['profile']} " if is_alone else ""
    rows = [
        [
            minute(bar["ts"]),
            f"{bar['profile']} {bar['symbol']} {bar['timeframe']}".removeprefix(common),
            *(number(bar[key]).replace(",", "") for key in values),
        ]
        for bar in bars
    ]
    table = Table.grid(padding=(0, 1))
    for name in names:
        table.add_column(justify="left" if name in {"ts", "bar"} else "right", overflow="fold")
    for row in [names, *rows] if heading else rows:
        add_row(table, *row)
    OUT.print(table)


_VALUES = ("open", "high", "low", "close", "volume")


def _described(profile: Profile) -> dict[str, Any]:
    """What the universe says of a profile, in plain values."""
    frames = profile.timeframes
    return {
        "profile": profile.name,
        "kind": profile.kind.value,
        "calendar": profile.calendar,
        "start": str(profile.start),
        "end": str(profile.end) if profile.end else None,
        "symbols": list(profile.symbols),
        "fetch": [kept.value for kept in frames.fetch],
        "derive": [kept.value for kept in frames.derive],
        "features": [kept.value for kept in frames.features],
        "returns": [kept.value for kept in frames.returns],
        "sources": sorted(
            {choice.source for symbol in profile.symbols.values() for choice in symbol.choices}
        ),
    }


def _print_profiles(profiles: list[dict[str, Any]], *, wide: bool) -> None:
    columns = [
        Column("profile"),
        Column("kind"),
        Column("symbols", right=True),
        Column("from"),
        Column("to"),
        Column("fetch"),
        Column("sources"),
        Column("derive"),
        Column("features"),
        Column("returns"),
        Column("calendar"),
    ]
    rows = [
        [
            row["profile"],
            row["kind"],
            str(len(row["symbols"])),
            row["start"],
            row["end"] or "now",
            *(
                " ".join(row[key]) or "-"
                for key in ("fetch", "sources", "derive", "features", "returns")
            ),
            row["calendar"],
        ]
        for row in profiles
    ]
    print_table(columns, rows, wide=wide)


def _print_rest(universe: Universe) -> None:
    """What the universe holds beside its profiles."""
    markets, channels = universe.markets, len(universe.alerts.channels)
    if markets.timeframes:
        frames = " ".join(kept.value for kept in markets.timeframes)
        OUT.print(f"Returns across profiles: {escape(markets.name)} {frames}.", highlight=False)
    if universe.export:
        OUT.print(
            f"Exported as Parquet files to {escape(universe.export.folder)}.",
            highlight=False,
            soft_wrap=True,
        )
    OUT.print(
        f"Alerts go to {channels} channels." if channels else "Alerts go to nobody.",
        highlight=False,
    )


def _assets(
    universe: Universe, profiles: list[Profile], held: pl.DataFrame
) -> list[dict[str, Any]]:
    """Every asset that is kept, whether something of it is stored or not.

    A stored one has rows, symbols, first and last bar.
    """
    stored = {(row["schema"], row["asset"]): row for row in held.iter_rows(named=True)}
    wanted = [(dataset.owner, dataset.name) for profile in profiles for dataset in profile.datasets]
    if len(profiles) == len(universe.profiles):
        wanted += [(dataset.owner, dataset.name) for dataset in universe.matrices]
    nothing: dict[str, Any] = {"rows": 0, "symbols": 0, "first_ts": None, "last_ts": None}
    keys = tuple(nothing)
    return [
        {
            "profile": name,
            "asset": asset,
            **{key: stored.get((name, asset), nothing)[key] for key in keys},
        }
        for name, asset in wanted
    ]


def _symbols(profile: Profile, extents: pl.DataFrame) -> list[dict[str, Any]]:
    """Every symbol of a profile: its days, its sources and the bars of its shortest candles."""
    stored = {row["symbol"]: row for row in extents.iter_rows(named=True)}
    return [
        {
            "profile": profile.name,
            "symbol": symbol.name,
            "start": str(symbol.start),
            "end": str(symbol.end) if symbol.end else None,
            "sources": [
                choice.source
                if choice.symbol == symbol.name
                else f"{choice.source}: {choice.symbol}"
                for choice in symbol.choices
            ],
            "first_ts": stored.get(symbol.name, {}).get("first_ts"),
            "last_ts": stored.get(symbol.name, {}).get("last_ts"),
        }
        for symbol in profile.symbols.values()
    ]


def _print_kept(profiles: list[Profile], assets: list[dict[str, Any]], *, wide: bool) -> None:
    """One row per profile: how much of its shortest candles there is, and what is made of them."""
    columns = [
        Column("profile"),
        Column("kind"),
        Column("symbols", right=True),
        Column("candles"),
        Column("rows", right=True),
        Column("last bar"),
        Column("first bar"),
        Column("other assets"),
    ]
    rows = []
    for profile in profiles:
        base, *rest = (row for row in assets if row["profile"] == profile.name)
        rows.append(
            [
                profile.name,
                profile.kind.value,
                str(len(profile.symbols)),
                profile.base_timeframe.value,
                f"{base['rows']:,}",
                minute(base["last_ts"]),
                minute(base["first_ts"]),
                " ".join(row["asset"].removeprefix("candles_") for row in rest),
            ]
        )
    print_table(columns, rows, wide=wide)
    OUT.print(
        f"{len(assets)} assets; market-assets list PROFILE shows them and the symbols.",
        highlight=False,
    )


def _print_assets(assets: list[dict[str, Any]], *, wide: bool) -> None:
    columns = [
        Column("profile"),
        Column("asset"),
        Column("rows", right=True),
        Column("symbols", right=True),
        Column("last bar"),
        Column("first bar"),
    ]
    rows = [
        [
            row["profile"],
            row["asset"],
            f"{row['rows']:,}",
            str(row["symbols"]),
            minute(row["last_ts"]),
            minute(row["first_ts"]),
        ]
        for row in assets
    ]
    print_table(columns, rows, wide=wide)


def _print_symbols(symbols: list[dict[str, Any]], *, wide: bool) -> None:
    columns = [
        Column(name)
        for name in ("profile", "symbol", "from", "to", "last bar", "first bar", "sources")
    ]
    rows = [
        [
            row["profile"],
            row["symbol"],
            row["start"],
            row["end"] or "now",
            minute(row["last_ts"]),
            minute(row["first_ts"]),
            ", ".join(row["sources"]),
        ]
        for row in symbols
    ]
    print_table(columns, rows, wide=wide)
