"""Shows the newest bars, and those that come."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from market_assets.cli.completion import offer_timeframes
from market_assets.cli.console import INCOMPLETE, OUT, harmless, plain
from market_assets.cli.options import (
    AsJson,
    ProfileNames,
    Symbols,
    choices,
    profiles_of,
    symbols_of,
    wrong,
)
from market_assets.cli.places import has_store, open_store, store_to_read, universe_here
from market_assets.cli.tables import add_row, minute, number
from market_assets.errors import MarketAssetsError
from market_assets.imports import late_imports
from market_assets.words import listed

with late_imports():
    from market_assets.market import columns as candle_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from market_assets.config.universe import Profile
    from market_assets.market.timeframes import Timeframe


_LOOK_EVERY = 1.0
"""Seconds between two looks at whether the store has changed."""


def tail(
    profiles: ProfileNames = None,
    symbols: Symbols = None,
    timeframe: Annotated[
        str | None,
        typer.Option(
            help="Of which candles; the shortest that each profile fetches if not given.",
            autocompletion=offer_timeframes,
        ),
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
    """Show the newest bars of the store, oldest first; JSON is an object a line.

    What retention has archived to the lake is not among them: market_assets.read gives it.
    """
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
    is_archived = False
    more = candle_columns.EXTRA_NAMES if extras else ()
    for bars in _batches(series, lines, more, follow=follow):
        if as_json:
            for bar in bars:
                print(json.dumps(bar, default=plain), flush=True)  # noqa: T201 - the answer
        elif bars:
            _print_bars(bars, more, heading=not shown, is_alone=len(series) == 1)
        if not (shown or as_json) and len(bars) < lines * len(series):
            is_archived = _tell_archived(series, lines)
        shown += len(bars)
    if not (shown or is_archived or as_json) and has_store():
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


def _tell_archived(series: list[tuple[Profile, Timeframe, list[str]]], lines: int) -> bool:
    """Say which tables have fewer bars than are wanted, and older ones in the lake alone."""
    tables = []
    with store_to_read() as store, store.reading("looking for archived bars") as view:
        for profile, timeframe, names in series:
            dataset = profile.candles(timeframe)
            if view.pruned.archived(dataset):
                rows = view.candles.newest(dataset, symbols=names, limit=lines)
                tables += [f"{profile.name}.{dataset.name}"] if len(rows) < lines else []
    if tables:
        OUT.print(
            f"Older bars of {listed(map(harmless, tables))} are in the lake alone, as retention "
            "says: market_assets.read gives them.",
            highlight=False,
            markup=False,
        )
    return bool(tables)


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
    values = [*candle_columns.OHLCV, *extras]
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
