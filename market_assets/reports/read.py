"""Candles, features and returns as polars frames, for notebooks and backtests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.load import load_universe
from market_assets.config.universe import Universe
from market_assets.errors import ReadError
from market_assets.home import home as home_folder
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.timeframes import Window, midnight
from market_assets.reports.question import FIRST, LAST, Question, dataset_named
from market_assets.store import Store
from market_assets.words import hint, listed

with late_imports():
    from market_assets.enrich.returns.align import wide as matrix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb


Bound = str | date | datetime | None


def read(
    profile: str,
    table: str,
    *,
    symbols: Iterable[str] | str | None = None,
    start: Bound = None,
    end: Bound = None,
    as_of: Bound = None,
    adjusted: bool = False,
    quality: bool = False,
    wide: str | None = None,
    universe: Universe | Path | str | None = None,
    home: Path | str | None = None,
) -> pl.DataFrame:
    """Read what is committed, from a copy: no program waits for the reader, however long it takes.

    While the store is busy for more than some seconds, the last copy is read; the log says as of
    when. What retention has removed and the lake has (`archive_to_lake`) is read from there.

    Args:
        profile: The profile's name; for returns also that of the matrix across profiles.
        table: What to read: `candles_1h`, `features_1d`, `returns_1d`.
        symbols: Some symbols, or one; all by default.
        start: The first `ts` wanted: a day, or an instant (UTC where it has no zone).
        end: The first `ts` no longer wanted.
        as_of: Only what could be known at this instant (a day: at its first instant, UTC): bars
            that had closed, and with `adjusted` the splits and dividends up to that day. Later
            revisions of a candle are not undone.
        adjusted: Candles adjusted by the splits and dividends up to `as_of`, or up to today.
        quality: For candles, a column `quality` more: disputed (a comparison with another source
            differs in it), revised (its values were others before), late (it was seen absent and
            filled later), confirmed (another source has the same), or single; of several the first
            that holds. A derived candle has what any of the candles has that it is made of, and is
            confirmed where all of them are. It is what is known now, whatever `as_of` says, and
            null for what retention has removed.
        wide: A column to spread over the symbols: one row a `ts`, one column a symbol that is
            wanted, null where the long form has no row. For returns `simple_return`, `log_return`,
            or `neutral` for the mask.
        universe: A universe, or its file; by default the one that `MARKET_ASSETS_UNIVERSE` names.
        home: The home folder; by default `MARKET_ASSETS_HOME`.

    Returns:
        symbol, ts (TS, UTC without a zone) and the table's columns, sorted by symbol and ts; with
        `wide` ts and one column per symbol.

    Raises:
        ReadError: There is no such profile, table, symbol or column, no such window, or no store;
            the message names the path that was looked at.
        UniverseError: The universe cannot be used.
        StoreError: The store is busy and there is no copy of it yet, or it cannot be read.
    """
    if not isinstance(universe, Universe):
        universe = load_universe(None if universe is None else Path(universe))
    question = Question.about(
        universe,
        dataset_named(profile, table),
        [symbols] if isinstance(symbols, str) else symbols,
        until=None if as_of is None else instant_of("as_of", as_of),
        adjusted=adjusted,
        quality=quality,
    )
    first = FIRST if start is None else instant_of("start", start)
    last = LAST if end is None else instant_of("end", end)
    if last < first:
        raise ReadError(f"end: {end} lies before the start, {start}; swap them", key="end")
    folder = _folder(home)
    store = _store(folder)
    with store.reading_copy(f"reading {profile} {table}") as view:
        question.check_stored(view, store.path)
        frame = question.rows(view, Window(first, last), folder)
    if wide is None:
        return frame
    return _spread(frame, wide, f"{profile}.{table}", question.symbols)


def connect(home: Path | str | None = None) -> duckdb.DuckDBPyConnection:
    """Connect DuckDB to a copy of what is committed, read-only: no program waits for you.

    What is committed later is not in it: connect again to see that.

    Args:
        home: The home folder; by default `MARKET_ASSETS_HOME`.

    Returns:
        A connection of your own; close it to free the copy's room on the disk.

    Raises:
        ReadError: There is no store; the message names the path that was looked at.
        StoreError: The store is busy and there is no copy of it yet, or it cannot be read.
    """
    return _store(_folder(home)).connect_to_copy("connecting a reader")


def _folder(home: Path | str | None) -> Path:
    return Path(home or home_folder()).expanduser().absolute()


def _store(folder: Path) -> Store:
    """The store of a home folder, which must exist: a read creates nothing in a wrong folder."""
    if not (folder / "market.duckdb").exists():
        raise ReadError(
            f"{folder / 'market.duckdb'} does not exist: nothing was stored there yet. "
            "Name the home folder by home= or MARKET_ASSETS_HOME, "
            "or fill it: market-assets backfill"
        )
    return Store(folder, clock=present, patience=timedelta(minutes=1))


def returns_timeframe(universe: Universe, name: str, wanted: str | None = None) -> str:
    """The timeframe of the returns of a profile or of the matrix across profiles.

    It is the one that is wanted, else the last one that is kept.

    Raises:
        ReadError: There is no such name, or it has no returns.
    """
    if name == universe.markets.name:
        kept = universe.markets.timeframes
    elif name in universe.profiles:
        kept = universe.profiles[name].timeframes.returns
    else:
        names = [*universe.profiles, universe.markets.name]
        raise ReadError(
            f"{name} is neither a profile nor the matrix across profiles{hint(name, names)} "
            f"There are {listed(names)}"
        )
    if not kept:
        raise ReadError(
            f"{name} has no returns: add their timeframes to the universe, such as `returns: [1d]`"
        )
    return wanted or str(kept[-1])


def write_matrix(returns: pl.DataFrame, value: str, path: Path) -> tuple[Path, Path]:
    """Write returns as a matrix to a Parquet file, and its mask beside it.

    The mask is `<name>.mask.parquet`. Each file is there whole or not at all.

    Args:
        returns: symbol, ts, simple_return, log_return, bars, neutral.
        value: The column that the matrix holds.
        path: The matrix's file.

    Returns:
        The two files.

    Raises:
        ReadError: There is no such column, or a file cannot be written.
    """
    mask = path.with_name(f"{path.stem}.mask{path.suffix}")
    symbols = returns["symbol"].unique().sort().to_list()
    frames = {
        target: _spread(returns, column, "returns", symbols)
        for target, column in ((mask, "neutral"), (path, value))
    }
    for target, frame in frames.items():
        unfinished = target.with_name(f".{target.name}.new")
        try:
            frame.write_parquet(unfinished)
            unfinished.replace(target)
        except OSError as error:
            raise ReadError(
                f"{target} cannot be written: {error}; name another file with --out"
            ) from error
    return path, mask


def instant_of(key: str, bound: str | date | datetime) -> datetime:
    """The instant that a reader names, in UTC; a day is its first instant.

    Args:
        key: What the reader calls it.
        bound: A day, or an instant (UTC where it has no zone), or one of both as ISO text.

    Raises:
        ReadError: It is no time.
    """
    if isinstance(bound, date) and not isinstance(bound, datetime):
        return midnight(bound)
    try:
        instant = bound if isinstance(bound, datetime) else datetime.fromisoformat(bound)
    except (TypeError, ValueError):
        raise ReadError(
            f"{key}: {bound!r} is no time; write 2025-01-31 or 2025-01-31T14:30Z", key=key
        ) from None
    # In UTC, where its day is the one that adjusted candles are as of.
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def _spread(frame: pl.DataFrame, column: str, table: str, symbols: Sequence[str]) -> pl.DataFrame:
    columns = [name for name in frame.columns if name not in {"symbol", "ts"}]
    if column not in columns:
        raise ReadError(
            f"{table} has no {column}{hint(column, columns)} It has {listed(columns, most=60)}"
        )
    absent = [
        pl.lit(None, frame.schema[column]).alias(name)
        for name in symbols
        if name not in set(frame["symbol"])
    ]
    return matrix(frame, column).with_columns(absent).select("ts", *symbols)
