"""Candles, features and returns as polars frames, for notebooks and backtests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.load import load_universe
from market_assets.config.universe import Universe
from market_assets.errors import ReadError
from market_assets.expected.scope import scope_of
from market_assets.expected.series import base_of, calendar_of
from market_assets.home import home as home_folder
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import Timeframe, Window, literal, midnight
from market_assets.store import Store
from market_assets.words import hint, listed

with late_imports():
    from market_assets.enrich.returns.align import wide as matrix
    from market_assets.enrich.returns.returns import markets_cadence
    from market_assets.reports.adjusted import adjusted_candles
    from market_assets.reports.archive import with_archived
    from market_assets.verdicts.trust import quality_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.market.partitions import Cadence
    from market_assets.store import Snapshot

Bound = str | date | datetime | None

_TICK, _WEEK = timedelta(microseconds=1), timedelta(days=8)
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


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
    dataset = _parsed(profile, table)
    timeframe = dataset.timeframe
    candles = Dataset.candles(profile, timeframe)
    _check_family(dataset, candles, adjusted=adjusted, quality=quality)
    members = _members(universe, dataset)
    members_by_name = {name: member for member in members for name in _names(profile, member)}
    chosen = (
        members_by_name if symbols is None else [symbols] if isinstance(symbols, str) else symbols
    )
    wanted = sorted(set(chosen))
    if unknown := [name for name in wanted if name not in members_by_name]:
        raise ReadError(
            f"{profile} has no {unknown[0]}{hint(unknown[0], members_by_name)} "
            f"It has {listed(sorted(members_by_name))}"
        )
    until = None if as_of is None else _instant("as_of", as_of)
    first = _FIRST if start is None else _instant("start", start)
    last = _LAST if end is None else _instant("end", end)
    if last < first:
        raise ReadError(f"end: {end} lies before the start, {start}; swap them")
    window = Window(first, last)
    folder = _folder(home)
    store = _store(folder)
    lake = None if universe.export is None else universe.export.folder_in(folder)
    with store.reading_copy(f"reading {profile} {table}") as view:
        if not view.catalog.has(profile, table):
            raise ReadError(
                f"{store.path}: {profile}.{table} holds nothing yet: "
                "market-assets backfill makes it"
            )
        if adjusted:
            _need_actions(view, profile)
            frame = adjusted_candles(
                view,
                members[0],
                timeframe,
                lake=lake,
                symbols=wanted,
                window=window,
                day=(until or present()).date(),
            )
        else:
            frame = view.candles.rows(profile, table, wanted, window)
        if quality:
            marks = view.agreement.trust(
                Dataset.candles(profile, base_of(members[0], timeframe)), wanted, _around(window)
            )
            frame = frame.with_columns(quality_of(_opens_in(frame, members[0], timeframe), marks))
        if not adjusted:
            frame = with_archived(
                view,
                frame,
                dataset,
                lake=lake,
                cadence=_cadence_of(universe, dataset),
                symbols=wanted,
                window=window,
            )
    if until is not None:
        frame = pl.concat(
            _closed(
                frame.filter(pl.col("symbol").is_in(list(_names(profile, member)))),
                scope_of(member, timeframe, until),
            )
            for member in members
        )
    frame = frame.sort("symbol", "ts")
    return frame if wide is None else _spread(frame, wide, f"{profile}.{table}", wanted)


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


def _parsed(owner: str, table: str) -> Dataset:
    try:
        return Dataset.named(owner, table)
    except ValueError as error:
        raise ReadError(
            f"{table!r} is no table to read; write candles_1h, features_1d or returns_1d, "
            f"of {listed(Timeframe)}"
        ) from error


def _members(universe: Universe, dataset: Dataset) -> list[Profile]:
    """The profiles whose symbols are in a table."""
    name, family, timeframe = dataset.owner, dataset.family, dataset.timeframe
    if dataset in universe.matrices:
        return universe.in_markets(timeframe)
    if name not in universe.profiles:
        raise ReadError(
            f"{name} is no profile{hint(name, universe.profiles)} "
            f"There are {listed(universe.profiles)}"
        )
    profile = universe.profiles[name]
    kept = [other.timeframe for other in profile.datasets if other.family is family]
    if timeframe not in kept:
        has = f"it keeps {family} of {listed(kept)}" if kept else f"it keeps no {family}"
        raise ReadError(
            f"{name} keeps no {dataset.name}: {has}; "
            f"add {timeframe} to its timeframes in the universe"
        )
    return [profile]


def _names(name: str, member: Profile) -> list[str]:
    """The names of a member's symbols in a table."""
    return (
        list(member.symbols)
        if name == member.name
        else [f"{member.name}.{symbol}" for symbol in member.symbols]
    )


def _instant(key: str, bound: str | date | datetime) -> datetime:
    if isinstance(bound, date) and not isinstance(bound, datetime):
        return midnight(bound)
    try:
        instant = bound if isinstance(bound, datetime) else datetime.fromisoformat(bound)
    except (TypeError, ValueError):
        raise ReadError(
            f"{key}: {bound!r} is no time; write 2025-01-31 or 2025-01-31T14:30Z"
        ) from None
    # In UTC, where its day is the one that adjusted candles are as of.
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def _check_family(dataset: Dataset, candles: Dataset, *, adjusted: bool, quality: bool) -> None:
    """Refuse what only candles have."""
    family, table = dataset.family, dataset.name
    if adjusted and family is not Family.CANDLES:
        raise ReadError(
            "adjusted: candles can be adjusted as of any day; "
            f"{family} are made on adjusted prices where corporate actions are kept, "
            "each on the footing of its own day: "
            f"read {table} without it, or {candles.name} with it. "
            f"{family}.basis in the universe says on which prices"
        )
    if quality and family is not Family.CANDLES:
        raise ReadError(
            f"quality: candles have one; {family} are made of many of them: "
            f"read {candles.name} with it, and join it by symbol and ts"
        )


def _need_actions(view: Snapshot, profile: str) -> None:
    if not view.catalog.has(profile, "corporate_actions"):
        raise ReadError(
            f"{profile} has no corporate actions to adjust by: "
            "name a source of them under `actions` in the universe, then market-assets backfill"
        )


def _cadence_of(universe: Universe, dataset: Dataset) -> Cadence:
    """How long the partitions of a dataset are."""
    profile = universe.profiles.get(dataset.owner)
    timeframe = dataset.timeframe
    return profile.partitions.of(timeframe) if profile else markets_cadence(timeframe)


def _closed(frame: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """The rows whose bars had closed at the instant of a scope."""
    early = frame.filter(pl.col("ts") < literal(scope.now))
    if early.is_empty():
        return early
    reach = Window.holding(early["ts"])
    open_still = scope.grid(reach).filter(pl.col("closes_at") > literal(scope.now))["ts"]
    return early.filter(~pl.col("ts").is_in(open_still.implode()))


def _around(window: Window) -> Window:
    """A window that holds all that a longer bar at its edges is made of."""
    return Window(window.start - _WEEK, window.end + _WEEK)


def _opens_in(frame: pl.DataFrame, profile: Profile, timeframe: Timeframe) -> pl.DataFrame:
    """The opens of fetched candles that each candle of a frame holds.

    Returns:
        symbol, since and until, in the order of the frame.
    """
    base = base_of(profile, timeframe)
    if base is timeframe:
        return frame.select("symbol", since="ts", until=pl.col("ts") + _TICK)
    until = pl.col("ts") + timeframe.duration
    if frame.is_empty() or not base.intraday:
        return frame.select("symbol", since="ts", until=until)
    reach = Window.holding(frame["ts"])
    bars = calendar_of(profile).bars(timeframe, reach).select("ts", "opens_at", "closes_at")
    return frame.join(bars, on="ts", how="left", maintain_order="left").select(
        "symbol", since=pl.coalesce("opens_at", "ts"), until=pl.coalesce("closes_at", until)
    )


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
