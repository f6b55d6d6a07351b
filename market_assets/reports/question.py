"""What a reader asks for, checked against the universe, and the rows that answer it.

`read` asks one question over a whole window; the HTTP API asks the same one window after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import ReadError
from market_assets.expected.scope import scope_of
from market_assets.expected.series import base_of, calendar_of
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import Timeframe, Window, literal
from market_assets.words import hint, listed

with late_imports():
    from market_assets.enrich.returns.returns import markets_cadence
    from market_assets.reports.adjusted import adjusted_candles
    from market_assets.reports.archive import with_archived
    from market_assets.verdicts.trust import quality_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from market_assets.config.universe import Profile, Universe
    from market_assets.expected.scope import Scope
    from market_assets.market.partitions import Cadence
    from market_assets.store import Snapshot

FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Nothing is kept before or after: an instant outside means the same as these."""

_TICK, _WEEK = timedelta(microseconds=1), timedelta(days=8)


@dataclass(frozen=True, kw_only=True)
class Question:
    """Rows of one dataset, as a reader wants them.

    Attributes:
        universe: What is kept.
        dataset: Candles, features or returns.
        members: The profiles whose symbols are in its table.
        symbols: The symbols that are wanted, sorted.
        until: Only what could be known at this instant (aware); None for all that is.
        adjusted: Candles adjusted by the splits and dividends up to `until`, or up to today.
        quality: A column more: how far each candle can be relied on.
    """

    universe: Universe
    dataset: Dataset
    members: tuple[Profile, ...]
    symbols: tuple[str, ...]
    until: datetime | None = None
    adjusted: bool = False
    quality: bool = False

    @classmethod
    def about(
        cls,
        universe: Universe,
        dataset: Dataset,
        symbols: Iterable[str] | None = None,
        *,
        until: datetime | None = None,
        adjusted: bool = False,
        quality: bool = False,
    ) -> Question:
        """Ask for some symbols of a dataset, or for all of them.

        Raises:
            ReadError: There is no such profile, table or symbol, or it has no such prices.
        """
        _check_family(dataset, adjusted=adjusted, quality=quality)
        members = _members(universe, dataset)
        names = [name for member in members for name in _names(dataset.owner, member)]
        wanted = sorted(set(names if symbols is None else symbols))
        if unknown := sorted(set(wanted).difference(names)):
            raise ReadError(
                f"{dataset.owner} has no {unknown[0]}{hint(unknown[0], names)} "
                f"It has {listed(sorted(names))}",
                key="symbols",
                absent=True,
            )
        return cls(
            universe=universe,
            dataset=dataset,
            members=tuple(members),
            symbols=tuple(wanted),
            until=until,
            adjusted=adjusted,
            quality=quality,
        )

    def check_stored(self, view: Snapshot, store: Path) -> None:
        """See whether the store has what is asked for.

        Args:
            view: The store.
            store: Its file, for the message.

        Raises:
            ReadError: Nothing of it was ever stored, or there is nothing to adjust by.
        """
        owner = self.dataset.owner
        if not view.catalog.has(owner, self.dataset.name):
            raise ReadError(
                f"{store}: {owner}.{self.dataset.name} holds nothing yet: "
                "market-assets backfill makes it",
                absent=True,
            )
        if self.adjusted:
            _need_actions(view, owner)

    def rows(self, view: Snapshot, window: Window, home: Path) -> pl.DataFrame:
        """The rows of a window, sorted by symbol and ts.

        Args:
            view: The store, which has the table: see `check_stored`.
            window: Which rows, by their ts.
            home: The home folder, in which the lake is.

        Returns:
            symbol, ts (TS, UTC without a zone) and the table's columns.

        Raises:
            ReadError: The lake lacks what retention has removed.
        """
        dataset, wanted = self.dataset, self.symbols
        export = self.universe.export
        lake = None if export is None else export.folder_in(home)
        if self.adjusted:
            frame = adjusted_candles(
                view,
                self.members[0],
                dataset.timeframe,
                lake=lake,
                symbols=wanted,
                window=window,
                day=(self.until or present()).date(),
            )
        else:
            frame = view.candles.rows(dataset.owner, dataset.name, wanted, window)
        if self.quality:
            frame = frame.with_columns(self._quality(view, frame, window))
        if not self.adjusted:
            frame = with_archived(
                view,
                frame,
                dataset,
                lake=lake,
                cadence=self.cadence,
                symbols=wanted,
                window=window,
            )
        return self._known(frame).sort("symbol", "ts")

    @property
    def cadence(self) -> Cadence:
        """How long the partitions of the dataset are."""
        profile = self.universe.profiles.get(self.dataset.owner)
        timeframe = self.dataset.timeframe
        return profile.partitions.of(timeframe) if profile else markets_cadence(timeframe)

    def _quality(self, view: Snapshot, frame: pl.DataFrame, window: Window) -> pl.Series:
        member, timeframe = self.members[0], self.dataset.timeframe
        marks = view.agreement.trust(
            Dataset.candles(self.dataset.owner, base_of(member, timeframe)),
            self.symbols,
            _around(window),
        )
        return quality_of(_opens_in(frame, member, timeframe), marks)

    def _known(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows whose bars had closed at the instant of the question."""
        if self.until is None:
            return frame
        return pl.concat(
            _closed(
                frame.filter(pl.col("symbol").is_in(list(_names(self.dataset.owner, member)))),
                scope_of(member, self.dataset.timeframe, self.until),
            )
            for member in self.members
        )


def dataset_named(owner: str, table: str) -> Dataset:
    """The dataset that a table of a profile holds, such as `candles_1h`.

    Raises:
        ReadError: No table is called so.
    """
    try:
        return Dataset.named(owner, table)
    except ValueError as error:
        raise ReadError(
            f"{table!r} is no table to read; write candles_1h, features_1d or returns_1d, "
            f"of {listed(Timeframe)}",
            key="table",
        ) from error


def _members(universe: Universe, dataset: Dataset) -> list[Profile]:
    """The profiles whose symbols are in a table."""
    name, family, timeframe = dataset.owner, dataset.family, dataset.timeframe
    if dataset in universe.matrices:
        return universe.in_markets(timeframe)
    if name not in universe.profiles:
        raise ReadError(
            f"{name} is no profile{hint(name, universe.profiles)} "
            f"There are {listed(universe.profiles)}",
            key="profile",
            absent=True,
        )
    profile = universe.profiles[name]
    kept = [other.timeframe for other in profile.datasets if other.family is family]
    if timeframe not in kept:
        has = f"it keeps {family} of {listed(kept)}" if kept else f"it keeps no {family}"
        raise ReadError(
            f"{name} keeps no {dataset.name}: {has}; "
            f"add {timeframe} to its timeframes in the universe",
            key="timeframe",
            absent=True,
        )
    return [profile]


def _names(name: str, member: Profile) -> list[str]:
    """The names of a member's symbols in a table."""
    return (
        list(member.symbols)
        if name == member.name
        else [f"{member.name}.{symbol}" for symbol in member.symbols]
    )


def _check_family(dataset: Dataset, *, adjusted: bool, quality: bool) -> None:
    """Refuse what only candles have."""
    family, table = dataset.family, dataset.name
    candles = Dataset.candles(dataset.owner, dataset.timeframe)
    if adjusted and family is not Family.CANDLES:
        raise ReadError(
            "adjusted: candles can be adjusted as of any day; "
            f"{family} are made on adjusted prices where corporate actions are kept, "
            "each on the footing of its own day: "
            f"read {table} without it, or {candles.name} with it. "
            f"{family}.basis in the universe says on which prices",
            key="adjusted",
        )
    if quality and family is not Family.CANDLES:
        raise ReadError(
            f"quality: candles have one; {family} are made of many of them: "
            f"read {candles.name} with it, and join it by symbol and ts",
            key="quality",
        )


def _need_actions(view: Snapshot, profile: str) -> None:
    if not view.catalog.has(profile, "corporate_actions"):
        raise ReadError(
            f"{profile} has no corporate actions to adjust by: "
            "name a source of them under `actions` in the universe, then market-assets backfill",
            key="adjusted",
            absent=True,
        )


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
