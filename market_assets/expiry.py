"""Removes what lies below the floor of each dataset: candles, what is made of them, their ledgers.

Where a floor is stands in `market_assets/expected/floors.py`. One short transaction removes some
partitions with all that is known of them, oldest first, so that others wait for tenths of a second,
and whoever is killed has lost nothing else: the next prune goes on.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from market_assets.enrich.returns.returns import markets_cadence
from market_assets.errors import ExportError
from market_assets.expected.counts import count_profile
from market_assets.expected.floors import SETTLED, floor_of, kept_for, matrix_floor
from market_assets.export import Lake, table_of
from market_assets.keeping import Removed
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Window
from market_assets.reports.archive import read_archived
from market_assets.store.prune import old_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from market_assets.config.services import RetentionSettings
    from market_assets.config.universe import Universe
    from market_assets.market.datasets import Dataset
    from market_assets.market.durations import Age
    from market_assets.store import Store, Transaction

_BATCH_ROWS = 120_000
"""Rows of one transaction at first; a slow machine gets fewer."""

_BATCH_TIME = 0.5
"""Seconds that one transaction may hold the store; the next one is half as large after a longer."""

_DAY = timedelta(days=1)


class _Pace:
    """How many rows may be removed at once.

    Attributes:
        rows: So many.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def note(self, seconds: float) -> None:
        """Note for how long the last ones held the store."""
        if seconds > _BATCH_TIME:
            self.rows = max(1, self.rows // 2)


@dataclass(frozen=True)
class Expired:
    """What a dataset has below its floor.

    Attributes:
        dataset: Which one.
        cadence: How long its partitions are.
        floor: From when on it is kept.
        retention: How long, as the universe says it: candles_1m: 2y.
        archived: Whether it is written to the lake before.
        partitions: The keys of its partitions below the floor with their rows, oldest first.
        row_bytes: About how many bytes of the file a row takes.
    """

    dataset: Dataset
    cadence: Cadence
    floor: datetime
    retention: str
    archived: bool
    partitions: Sequence[tuple[str, int]]
    row_bytes: float

    def removed(self, rows: int, partitions: int) -> Removed:
        """That so many rows of it were removed."""
        return Removed(
            str(self.dataset.family),
            f"rows of {self.dataset.owner}.{self.dataset.name}",
            rows,
            round(rows * self.row_bytes),
            partitions,
        )

    def windows(self, pace: _Pace) -> Iterator[tuple[Window, list[str]]]:
        """What is removed at once, with the keys of the partitions that this ends; oldest first.

        A month that is too large goes day by day.

        Args:
            pace: How many rows may be removed at once, asked again for each window.
        """
        batch: list[str] = []
        rows = 0
        for key, count in self.partitions:
            if batch and rows + count > pace.rows:
                yield self._window(batch), batch
                batch, rows = [], 0
            if count > pace.rows and self.cadence is Cadence.MONTH:
                yield from self._days(key)
                continue
            batch.append(key)
            rows += count
        if batch:
            yield self._window(batch), batch

    def _window(self, keys: Sequence[str]) -> Window:
        first, last = (Partition.of_key(key, self.cadence).window for key in (keys[0], keys[-1]))
        return Window(first.start, last.end)

    def _days(self, key: str) -> Iterator[tuple[Window, list[str]]]:
        whole = Partition.of_key(key, self.cadence).window
        start = whole.start
        while start < whole.end:
            end = start + _DAY
            yield Window(start, end), [key] if end == whole.end else []
            start = end


@dataclass(frozen=True)
class Gone:
    """A partition that was removed.

    Attributes:
        dataset: Of which dataset.
        partition: Its key.
        rows: How many rows it had.
        retention: What the universe says, such as candles_1m: 2y.
        archived: The files of the lake in which it is now; none where it is not archived.
    """

    dataset: Dataset
    partition: str
    rows: int
    retention: str
    archived: tuple[str, ...] = ()


class _Batch(NamedTuple):
    """What one transaction has removed.

    Attributes:
        rows: How many rows.
        ledgers: How many rows of each ledger.
        seconds: For how long the store was held.
        paths: By partition the files in which it is archived.
    """

    rows: int
    ledgers: dict[str, int]
    seconds: float
    paths: dict[str, list[str]]


class Expiry:
    """Finds and removes what the profiles of a universe keep no longer.

    Args:
        store: Where all is kept.
        universe: Says how long.
        home: The home folder, in which the lake is unless the universe says otherwise.
        clock: Gives the present instant (aware).
    """

    def __init__(
        self, store: Store, universe: Universe, home: Path, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._universe = universe
        self._lake = None if universe.export is None else universe.export.folder_in(home)
        self._clock = clock

    def due(self, settings: RetentionSettings) -> list[Removed]:
        """What `remove` would remove now, of candles, what is made of them, and their ledgers.

        Args:
            settings: What these remove of the ledgers is not counted.

        Raises:
            StoreError: The store stayed busy, or cannot be read.
        """
        expired = self._expired()
        with self._store.reading("looking for what is known below the floors") as view:
            gone = old_rows(settings, self._clock(), ops_of(self._universe))
            gone = {ledger: sql for ledger, sql in gone.items() if ledger != "jobs"}
            ledgers: Counter[str] = Counter()
            for part in expired:
                ledgers.update(view.pruned.ledger_rows(part.dataset, part.floor, gone))
        removed = [
            part.removed(sum(rows for _, rows in part.partitions), len(part.partitions))
            for part in expired
        ]
        return [*removed, *_of_ledgers(ledgers)]

    def remove(
        self,
        *,
        go_on: Callable[[], bool] = lambda: True,
        report: Callable[[Gone], None] = lambda _: None,
    ) -> list[Removed]:
        """Remove what lies below its floor, and archive it before where the universe says so.

        Args:
            go_on: Asked between batches; where it says no, the rest is left to the next time.
            report: Told of each partition once it is removed.

        Raises:
            ExportError: The lake cannot be written, or does not hold what was written: nothing was
                removed of what it does not hold.
            StoreError: The store stayed busy.
        """
        removed: list[Removed] = []
        ledgers: Counter[str] = Counter()
        pace = _Pace(_BATCH_ROWS)
        expired = self._expired()
        for name in {part.dataset.owner for part in expired} & set(self._universe.profiles):
            # Before anything goes: whoever looks meanwhile does not find it missing.
            count_profile(self._store, self._universe.profiles[name], self._clock())
        for part in expired:
            rows = partitions = 0
            rows_of = dict(part.partitions)
            for window, keys in part.windows(pace):
                if not go_on():
                    break
                batch = self._remove(part, window)
                pace.note(batch.seconds)
                rows, partitions = rows + batch.rows, partitions + len(keys)
                ledgers.update(batch.ledgers)
                for key in keys:
                    files = tuple(batch.paths.get(key, ()))
                    report(Gone(part.dataset, key, rows_of[key], part.retention, files))
            if partitions or rows:
                removed.append(part.removed(rows, partitions))
        return [*removed, *_of_ledgers(ledgers)]

    def _remove(self, part: Expired, window: Window) -> _Batch:
        """Remove a window, in one transaction."""
        dataset = part.dataset
        paths = self._archive(part, window) if part.archived else None
        purpose = f"removing {dataset} {window}, which is kept no longer"
        with self._store.writing(purpose) as transaction:
            began = time.monotonic()
            if paths is not None and self._lake is not None:
                _verify(transaction, dataset, window, self._lake, paths)
            counted = transaction.pruned.ledger_rows(dataset, window.end)
            rows = transaction.pruned.remove(
                dataset, window, part.cadence, retention=part.retention, archived=paths
            )
        seconds = time.monotonic() - began
        return _Batch(rows, counted, seconds, {} if paths is None else dict(paths.iter_rows()))

    def _archive(self, part: Expired, window: Window) -> pl.DataFrame:
        """Write the rows of a window to the lake: partition, paths of the files that hold it."""
        if self._lake is None:
            raise ExportError(
                f"{part.dataset}: archive_to_lake is set, and the universe has no lake: "
                "write `export: {}`. Nothing was removed."
            )
        lake = Lake(self._store, self._lake, clock=self._clock)
        paths = lake.archive(table_of(part.dataset, part.cadence), window)
        return pl.DataFrame(
            [
                (key, [path for path, piece in paths if piece.intersect(held)])
                for key, held in _partitions_in(window, part.cadence)
            ],
            schema={"partition": pl.String, "paths": pl.List(pl.String)},
            orient="row",
        )

    def _expired(self) -> list[Expired]:
        """What each dataset has below its floor: what is made of candles first."""
        now = self._clock() - SETTLED
        expired: list[Expired] = []
        for dataset in self._universe.matrices:
            cadence = markets_cadence(dataset.timeframe)
            floor = matrix_floor(self._universe, dataset, cadence, now).kept
            members = self._universe.in_markets(dataset.timeframe)
            archived = any(member.retention.archive_to_lake for member in members)
            if floor is not None:
                words = "what it is made of is kept no longer"
                expired.append(self._found(dataset, cadence, floor, words, archived=archived))
        for profile in self._universe.profiles.values():
            for dataset in reversed(profile.datasets):
                kept, floor = kept_for(profile, dataset), floor_of(profile, dataset, now).kept
                if kept is None or floor is None:
                    continue
                key, age = kept
                cadence = profile.partitions.of(dataset.timeframe)
                archived = profile.retention.archive_to_lake
                words = f"{key}: {age}"
                expired.append(self._found(dataset, cadence, floor, words, archived=archived))
        return [part for part in expired if part.partitions]

    def _found(
        self,
        dataset: Dataset,
        cadence: Cadence,
        floor: datetime,
        retention: str,
        *,
        archived: bool,
    ) -> Expired:
        # Two short reads: others may have the store in between.
        with self._store.reading(f"looking what {dataset} has below its floor") as view:
            due = view.pruned.due(dataset, floor, cadence)
        row_bytes = 0.0
        if due["rows"].sum():
            with self._store.reading(f"measuring {dataset}") as view:
                row_bytes = view.pruned.row_bytes(dataset)
        partitions = list(due.iter_rows())
        return Expired(dataset, cadence, floor, retention, archived, partitions, row_bytes)


def ops_of(universe: Universe) -> dict[str, Age]:
    """How long it is remembered what happened, by profile that says so."""
    ages = {profile.name: profile.retention.ops for profile in universe.profiles.values()}
    return {name: age for name, age in ages.items() if age is not None}


def _verify(
    transaction: Transaction, dataset: Dataset, window: Window, lake: Path, paths: pl.DataFrame
) -> None:
    """Make sure that the lake's files hold every row of a window as the store has it.

    Raises:
        ExportError: They do not, or cannot be read.
    """
    stored = transaction.pruned.checksum(dataset, window)
    if not stored.rows:
        return
    files = sorted({path for listed in paths["paths"] for path in listed})
    try:
        rows = read_archived([lake / path for path in files], window)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ExportError(
            f"{dataset} {window}: what was written to the lake in {lake} cannot be read: {error}. "
            "Nothing of it was removed; the next prune writes it again."
        ) from error
    held = None if rows is None else transaction.pruned.checksum_of(dataset, rows, window)
    if held != stored:
        raise ExportError(
            f"{dataset} {window}: the lake in {lake} does not hold what the store has "
            f"({stored.rows:,} rows, {0 if held is None else held.rows:,} in the files). "
            "Nothing of it was removed; the next prune writes it again."
        )


def _partitions_in(window: Window, cadence: Cadence) -> Iterator[tuple[str, Window]]:
    """The partitions that share an instant with a window: their keys, and the shared parts."""
    at = window.start
    while at < window.end:
        partition = Partition.holding(at.date(), cadence)
        held = partition.window.intersect(window)
        if held is not None:
            yield partition.key, held
        at = partition.window.end


def _of_ledgers(counted: Counter[str]) -> list[Removed]:
    return [
        Removed("ledgers", f"rows of ops.{ledger}", rows, 0)
        for ledger, rows in sorted(counted.items())
        if rows
    ]
