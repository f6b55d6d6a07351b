"""Keeps a folder of Parquet files equal to tables of the store.

Others can read the files while they are written. Which tables there are is in `layout`, which files
are to be written in `due`, how they lie on the disk in `files`.
"""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec
import polars as pl
from filelock import FileLock, Timeout

from market_assets.errors import ExportError
from market_assets.export.due import NEVER, Due, batches_of, due_of, is_stale, split
from market_assets.export.files import TableFiles, make_folder
from market_assets.export.layout import (
    GROUP_ROWS,
    Period,
    Piece,
    Table,
    arranged,
    pieces_in,
    types_of,
)
from market_assets.export.manifest import Entry
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Window
from market_assets.private import mask_of_the_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from market_assets.store import Snapshot, Store

log = logging.getLogger("market_assets.export")


_OURS_ALONE = 0o077
"""The mask of a lake in the home folder."""

_KEPT_FOR = timedelta(hours=1)
"""How long a version stays after another has taken its place: longer than a query takes."""

_POLL = 0.05


@dataclass(frozen=True)
class Exported:
    """One table after its export.

    Attributes:
        table: Its name in the store.
        folder: Where its files are.
        files: How many there are.
        rows: How many rows they have together.
        bytes: How long they are together.
        written: How many of them were written now; the others were up to date.
        removed: How many were removed because the store has no row of theirs any more.
        damaged: Those that were missing or not as they had been written; they were written again.
    """

    table: str
    folder: Path
    files: int
    rows: int
    bytes: int
    written: int
    removed: int
    damaged: tuple[str, ...] = ()


class Lake:
    """A folder of hive-partitioned Parquet files, with one subfolder per profile and table.

    Beside each table's folder lies its manifest.

    A file is there whole or not at all: it is written beside the table's folder, synced to the
    disk, and moved to its place. Only what has changed since it was written last is read and
    written; the store says when each partition has changed.

    Each version has a name of its own too, which the manifest lists, in a folder beside the
    table's. Who opens a file by that name goes on reading it for an hour after another version has
    come. The two names are links to the same bytes.

    Nothing but Parquet files is ever inside of a table's folder: polars and DuckDB read whatever
    lies there, hidden or not.

    Args:
        store: Where the tables are. It is held for one short read per batch, and not while files
            are written.
        folder: The folder; made where it is absent.
        clock: Gives the present instant.
        patience: How long to wait for another export of the same profile.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        clock: Callable[[], datetime],
        patience: timedelta = timedelta(minutes=10),
    ) -> None:
        self.folder = folder
        self._store = store
        self._clock = clock
        self._patience = patience
        # What lies outside of the home is for others, as far as the user lets them read.
        inside = folder.absolute().is_relative_to(store.path.parent.absolute())
        self._mask = _OURS_ALONE if inside else mask_of_the_user()

    def export(
        self,
        table: Table,
        *,
        verify: bool = False,
        told: Callable[[int, int], None] = lambda _done, _due: None,
    ) -> Exported | None:
        """Bring the files of a table up to date.

        Args:
            table: Which one.
            verify: Read every file and compare its checksum; else a file that has the length that
                it should have is taken for whole.
            told: Called with how many of how many files are done.

        Returns:
            What there is now; None where the store has no such table yet.

        Raises:
            ExportError: The folder cannot be written, somebody else has exported to it all the
                time, or it holds what this store has never had.
            StoreError: The store is busy or cannot be read.
        """
        try:
            with self._alone(table):
                files = TableFiles(self.folder, table, self._mask)
                return self._export(table, files, verify=verify, report=told)
        except OSError as error:
            raise ExportError(
                f"{table}: {error.filename or self.folder} cannot be written: {error.strerror}. "
                "Make room there or give this user write access, or export to another folder. "
                "What was written is whole; the same export goes on from there."
            ) from error

    def archive(self, table: Table, window: Window) -> list[tuple[str, Window]]:
        """Write the rows of a window that are about to leave the store, in the usual layout.

        From then on no export removes them, or forgets them when it writes their file again.

        Args:
            table: Which one; no corporate actions.
            window: Which rows: whole days.

        Returns:
            The files that hold a row of it, as paths in the lake, each with its stretch of time.

        Raises:
            ExportError: As `export`, or an older archived file is damaged.
            StoreError: The store is busy or cannot be read.
        """
        try:
            with self._alone(table):
                return self._archive(table, TableFiles(self.folder, table, self._mask), window)
        except OSError as error:
            raise ExportError(
                f"{table}: {error.filename or self.folder} cannot be written: {error.strerror}. "
                "Nothing was removed from the store. Make room there or give this user write "
                "access; the next prune goes on from there."
            ) from error

    def _archive(self, table: Table, files: TableFiles, window: Window) -> list[tuple[str, Window]]:
        with self._store.reading(f"looking what is to be archived of {table}") as view:
            if not view.catalog.has(table.owner, table.name):
                return []
            columns = types_of(arranged(_rows(view, table, NEVER)))
            due = {target.piece: target for target in due_of(view, table, columns)}
            noted = _archived(view, table)
        manifest = files.load()
        entries = self._with_adopted(files, manifest, noted)
        files_with_rows = []
        for piece in pieces_in(table, window):
            # What was never judged has no version.
            target = due.get(piece, Due(piece, "", 0))
            until = min(window.end, piece.window.end)
            before = entries.get(piece.key)
            if before and before.file and not files.is_whole(before, verify=True):
                if before.archived_until is not None:
                    raise ExportError(_damaged(files.folder, before))
                # Who compares it with the list finds it written already.
                del entries[piece.key]
            # Also where the store has the same version: a row that was changed by hand has no other
            # one, and what leaves is what is stored.
            self._write(table, files, [target], entries)
            entry = entries[piece.key]
            if entry.file:
                until = max(filter(None, (until, entry.archived_until)))
                entries[piece.key] = msgspec.structs.replace(
                    files.keep(entry), archived_until=until
                )
                files_with_rows.append((f"{table.owner}/{table.name}/{entry.file}", piece.window))
        files.save(entries, columns)
        return files_with_rows

    def _with_adopted(
        self,
        files: TableFiles,
        manifest: Mapping[str, Entry],
        noted: Mapping[Piece, datetime],
    ) -> dict[str, Entry]:
        """What a manifest lists, and the archived files that it has lost."""
        entries = dict(manifest)
        for piece, until in noted.items():
            entry = entries.get(piece.key)
            if entry is None or entry.file is None or not entry.sha256:
                entry = self._adopted(files, piece)
            if entry is not None and (entry.archived_until or until) <= until:
                entries[piece.key] = msgspec.structs.replace(entry, archived_until=until)
        return entries

    def _adopted(self, files: TableFiles, piece: Piece) -> Entry | None:
        """The entry of a file that is there and in no manifest; None where there is no file.

        One that cannot be read has no checksum, so that it counts as damaged until it can be read.
        """
        try:
            data = (files.folder / piece.path).read_bytes()
        except FileNotFoundError:
            log.warning("%s is archived, and gone", files.folder / piece.path)
            return None
        try:
            rows = pl.read_parquet(io.BytesIO(data), hive_partitioning=False)
            entry = self._entry(Due(piece, "", 0), rows, data)
        except pl.exceptions.PolarsError:
            snapshot = f"{files.folder.name}/{piece.path}"
            return Entry(piece=piece.key, version="", file=piece.path, snapshot=snapshot)
        return files.keep(entry)

    def _export(
        self, table: Table, files: TableFiles, *, verify: bool, report: Callable[[int, int], None]
    ) -> Exported | None:
        with self._store.reading(f"looking what is to be exported of {table}") as view:
            if not view.catalog.has(table.owner, table.name):
                return None
            columns = types_of(arranged(_rows(view, table, NEVER)))
            due = due_of(view, table, columns)
            noted = _archived(view, table)
        manifest = self._with_adopted(files, files.load(), noted)
        if not noted and not due and any(entry.file for entry in manifest.values()):
            raise ExportError(
                f"{files.folder} holds files of {table}, and the store has not one partition "
                "of it: is MARKET_ASSETS_HOME the home that was exported from? "
                "If it is, remove that folder and its manifest. Nothing was changed."
            )

        whole = {
            key: files.keep(entry)
            for key, entry in manifest.items()
            if files.is_whole(entry, verify=verify)
        }
        # What is archived stays as it is, damaged too: nobody else has it.
        archived = {key: entry for key, entry in manifest.items() if entry.archived_until}
        entries = archived | {
            target.piece.key: whole[target.piece.key] for target in due if target.piece.key in whole
        }
        lost = archived.keys() - whole.keys()
        for key in lost:
            log.error("%s", _damaged(files.folder, archived[key]))
        due = [target for target in due if target.piece.key not in lost]
        count, done, written = sum(is_stale(target, entries) for target in due), 0, 0
        for batch in batches_of(due, entries):
            written += self._write(table, files, batch, entries)
            # After the files: whoever dies in between has left some that the next export writes
            # once more.
            files.save(entries, columns)
            done += len(batch)
            report(done, count)
        files.save(entries, columns)

        present = {entry.file: entry for entry in entries.values() if entry.file}
        removed = files.sweep(present)
        files.sweep_versions(
            {entry.snapshot for entry in present.values()}, self._clock() - _KEPT_FOR
        )
        damaged = [entry.file for key, entry in manifest.items() if entry.file and key not in whole]
        return Exported(
            table=str(table),
            folder=files.folder,
            files=len(present),
            rows=sum(entry.rows for entry in present.values()),
            bytes=sum(entry.bytes for entry in present.values()),
            written=written,
            removed=removed,
            damaged=tuple(sorted(damaged)),
        )

    def _write(
        self, table: Table, files: TableFiles, batch: Sequence[Due], entries: dict[str, Entry]
    ) -> int:
        """Write the files of a batch, and put their entries among the others.

        Returns:
            How many files are other ones now.
        """
        window = Window(batch[0].piece.window.start, batch[-1].piece.window.end)
        with self._store.reading(f"exporting {table} {batch[0].piece.key}") as view:
            rows = _rows(view, table, window)

        written = 0
        for target, stored in zip(batch, split(rows, batch), strict=True):
            before = entries.get(target.piece.key)
            target_rows = _with_archived(files, before, arranged(stored))
            entry, data = self._made(target, target_rows)
            if before and before.archived_until:
                entry = msgspec.structs.replace(entry, archived_until=before.archived_until)
            # The store may have judged again what is as it was, or changed another day of the
            # same file.
            if before and (before.file, before.sha256) == (entry.file, entry.sha256):
                entry = msgspec.structs.replace(before, version=entry.version)
            elif entry.file:
                entry = files.put(entry, data)
                written += 1
            entries[entry.piece] = entry
        return written

    def _made(self, target: Due, rows: pl.DataFrame) -> tuple[Entry, bytes]:
        if rows.is_empty():
            return Entry(piece=target.piece.key, version=target.version or ""), b""
        buffer = io.BytesIO()
        rows.write_parquet(buffer, compression="zstd", statistics=True, row_group_size=GROUP_ROWS)
        data = buffer.getvalue()
        return self._entry(target, rows, data), data

    def _entry(self, target: Due, rows: pl.DataFrame, data: bytes) -> Entry:
        first, last = (
            rows.select(first=pl.min("ts"), last=pl.max("ts")).row(0)
            if "ts" in rows.columns
            else (None, None)
        )
        return Entry(
            piece=target.piece.key,
            version=target.version or "",
            file=target.piece.path,
            rows=rows.height,
            bytes=len(data),
            sha256=sha256(data).hexdigest(),
            first_ts=first,
            last_ts=last,
            exported_at=self._clock(),
        )

    @contextmanager
    def _alone(self, table: Table) -> Iterator[None]:
        """Let nobody else export anything of the table's owner while the block runs."""
        path = self.folder / table.owner / ".lock"
        make_folder(path.parent, self._mask)
        lock = FileLock(path, poll_interval=_POLL)
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.warning("%s: waiting, another export to %s is under way", table, path.parent)
                lock.acquire(timeout=self._patience.total_seconds())
        except Timeout:
            raise ExportError(
                f"{table}: gave up after {self._patience.total_seconds():.0f} s, "
                f"another export to {path.parent} is under way. "
                "Wait for it to end, or stop it, and run this again."
            ) from None
        try:
            yield
        finally:
            lock.release()


def _archived(view: Snapshot, table: Table) -> dict[Piece, datetime]:
    """The pieces of a table that hold archived rows, each with the end of the newest of these."""
    if table.period is Period.EVER:
        return {}
    noted: dict[Piece, datetime] = {}
    listed = view.pruned.archived(Dataset.labelled(table.owner, table.label))
    for path, key in listed.items():
        end = Partition.of_key(key, table.cadence).window.end
        day = date.fromisoformat(_first_day(path))
        piece = Piece.holding(day, table.period)
        noted[piece] = min(end, piece.window.end)
    return noted


def _first_day(path: str) -> str:
    """The first day of a file of the lake, by its name: 2025, 2025-01 or 2025-01-31."""
    name = PurePosixPath(path).stem
    return f"{name}-01-01"[:10] if len(name) == 4 else f"{name}-01"[:10]


def _with_archived(files: TableFiles, before: Entry | None, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a file with those that are in no store any more, arranged.

    What the store has again counts more.
    """
    if before is None or before.file is None or before.archived_until is None:
        return rows
    data = (files.folder / before.file).read_bytes()
    archived = pl.read_parquet(io.BytesIO(data), hive_partitioning=False)
    archived = archived.filter(pl.col("ts") < before.archived_until)
    archived = archived.join(rows, on=["symbol", "ts"], how="anti")
    return pl.concat([rows, archived], how="diagonal_relaxed").sort("symbol", "ts")


def _damaged(folder: Path, entry: Entry) -> str:
    return (
        f"{folder / str(entry.file)} is missing or damaged, and holds rows that retention has "
        "removed from the store: bring it back from a copy. It was left as it is."
    )


def _rows(view: Snapshot, table: Table, window: Window) -> pl.DataFrame:
    if table.period is Period.EVER:
        return (
            view.actions.of(table.owner).filter(pl.col("replaced_at").is_null()).drop("replaced_at")
        )
    return view.candles.rows(table.owner, table.name, None, window)
