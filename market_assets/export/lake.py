"""Keeps a folder of Parquet files equal to tables of the store.

Others can read the files while they are written. Which tables and files there are is in `layout`.
"""

from __future__ import annotations

import io
import logging
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import file_digest, sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import polars as pl
from filelock import FileLock, Timeout

from market_assets.errors import ExportError
from market_assets.export.layout import Period, Piece, Table, arranged, pieces_of, types_of
from market_assets.export.manifest import FORMAT, Entry, Manifest, decode, manifest_path
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Window, to_micros
from market_assets.private import mask_of_the_user

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from market_assets.store import Snapshot, Store

log = logging.getLogger("market_assets.export")

_BATCH_ROWS = 500_000
"""About how many rows are read from the store at once, at most.

Nobody else can have the store for as long as such a read takes.
"""

_GROUP_ROWS = 65_536
"""Rows of a row group.

Files are sorted by symbol: a reader of one symbol reads one or two row groups.
"""

_OURS = re.compile(r"(year=\d+/)?(month=\d+/)?(\d{4}(-\d\d){0,2}|corporate_actions)\.parquet")
_OURS_ALONE = 0o077
"""The mask of a lake in the home folder."""

_KEPT_FOR = timedelta(hours=1)
"""How long a version stays after another has taken its place: longer than a query takes."""

_NEVER = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
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
                files = _Files(self.folder, table, self._mask)
                return self._export(table, files, verify=verify, report=told)
        except OSError as error:
            raise ExportError(
                f"{table}: {error.filename or self.folder} cannot be written: {error.strerror}. "
                "Make room there or give this user write access, or export to another folder. "
                "What was written is whole; the same export goes on from there."
            ) from error

    def _export(
        self, table: Table, files: _Files, *, verify: bool, report: Callable[[int, int], None]
    ) -> Exported | None:
        with self._store.reading(f"looking what is to be exported of {table}") as view:
            if not view.catalog.has(table.owner, table.name):
                return None
            columns = types_of(arranged(_rows(view, table, _NEVER)))
            due = _due(view, table, columns)
        manifest = files.load()
        if not due and any(entry.file for entry in manifest.values()):
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
        entries = {
            target.piece.key: whole[target.piece.key] for target in due if target.piece.key in whole
        }
        count = sum(_is_stale(target, entries) for target in due)
        done = written = 0
        for batch in _batches(due, entries):
            with self._store.reading(f"exporting {table} {batch[0].piece.key}") as view:
                rows = _rows(
                    view, table, Window(batch[0].piece.window.start, batch[-1].piece.window.end)
                )
            for target, target_rows in zip(batch, _split(rows, batch), strict=True):
                entry, data = self._made(target, arranged(target_rows))
                before = entries.get(entry.piece)
                # The store may have judged again what is as it was, or changed another day of the
                # same file.
                if before and (before.file, before.sha256) == (entry.file, entry.sha256):
                    entry = msgspec.structs.replace(before, version=entry.version)
                elif entry.file:
                    entry = files.put(entry, data)
                    written += 1
                entries[entry.piece] = entry
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
        return Exported(
            table=str(table),
            folder=files.folder,
            files=len(present),
            rows=sum(entry.rows for entry in present.values()),
            bytes=sum(entry.bytes for entry in present.values()),
            written=written,
            removed=removed,
            damaged=tuple(
                sorted(
                    entry.file for key, entry in manifest.items() if entry.file and key not in whole
                )
            ),
        )

    def _made(self, target: _Due, rows: pl.DataFrame) -> tuple[Entry, bytes]:
        if rows.is_empty():
            return Entry(piece=target.piece.key, version=target.version or ""), b""
        buffer = io.BytesIO()
        rows.write_parquet(buffer, compression="zstd", statistics=True, row_group_size=_GROUP_ROWS)
        data = buffer.getvalue()
        first, last = (
            rows.select(first=pl.min("ts"), last=pl.max("ts")).row(0)
            if "ts" in rows.columns
            else (None, None)
        )
        entry = Entry(
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
        return entry, data

    @contextmanager
    def _alone(self, table: Table) -> Iterator[None]:
        """Let nobody else export anything of the table's owner while the block runs."""
        path = self.folder / table.owner / ".lock"
        _make_folder(path.parent, self._mask)
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


@dataclass(frozen=True)
class _Due:
    """A file that there must be if it has a row.

    Attributes:
        piece: What it holds.
        version: By what the store's rows are known until they change; None where nothing tells.
        rows: How many there may be.
    """

    piece: Piece
    version: str | None
    rows: int


class _Files:
    """The files of one table.

    Beside the table's folder lie its manifest and the file that is being written.
    """

    def __init__(self, lake: Path, table: Table, mask: int) -> None:
        self.folder = lake / table.owner / table.name
        self._mask = mask
        self._table = table
        self._manifest = manifest_path(lake, table.owner, table.name)
        self._versions = lake / table.owner / ".versions" / table.name
        self._draft = self.folder.with_name(f".{table.name}.unfinished")
        self._saved = b""
        self._touched: set[Path] = set()

    def load(self) -> dict[str, Entry]:
        """What the manifest lists, by piece; nothing where there is none or it is damaged."""
        try:
            self._saved = self._manifest.read_bytes()
        except FileNotFoundError:
            return {}
        manifest = decode(self._saved)
        if manifest is None:
            log.warning(
                "%s is damaged or of another version: all files of %s are written again",
                self._manifest,
                self._table,
            )
            return {}
        return {entry.piece: entry for entry in manifest.files}

    def is_whole(self, entry: Entry, *, verify: bool) -> bool:
        """Whether the file of an entry is as it was written."""
        if entry.file is None:
            return True
        try:
            with (self.folder / entry.file).open("rb") as file:
                same = os.fstat(file.fileno()).st_size == entry.bytes
                return same and (
                    not verify or file_digest(file, "sha256").hexdigest() == entry.sha256
                )
        except FileNotFoundError:
            return False

    def put(self, entry: Entry, data: bytes) -> Entry:
        """Put a file under a name of its own and in its place; gives the entry with that name."""
        entry = self._named(entry)
        version = self._manifest.parent / str(entry.snapshot)
        _make_folder(version.parent, self._mask)
        self._replace(version, data)
        self._link(version, self.folder / str(entry.file))
        return entry

    def keep(self, entry: Entry) -> Entry:
        """Give a file of an older export a name of its own; gives the entry with that name."""
        if entry.file is None:
            return entry
        entry = self._named(entry)
        version = self._manifest.parent / str(entry.snapshot)
        if not version.exists():
            _make_folder(version.parent, self._mask)
            self._link(self.folder / str(entry.file), version)
        return entry

    def _named(self, entry: Entry) -> Entry:
        path = self._versions / str(entry.file)
        version = path.with_name(f"{path.stem}.{entry.sha256[:12]}.parquet")
        return msgspec.structs.replace(
            entry, snapshot=version.relative_to(self._manifest.parent).as_posix()
        )

    def _link(self, source: Path, target: Path) -> None:
        """Give a file a second name, whoever has that name now."""
        _make_folder(target.parent, self._mask)
        self._draft.unlink(missing_ok=True)
        try:
            os.link(source, self._draft)
        except OSError:
            # A disk without such links, as some on networks are: it takes the room twice.
            self._replace(target, source.read_bytes())
        else:
            self._draft.replace(target)
            # Where both are the same file already, the system leaves both names.
            self._draft.unlink(missing_ok=True)
        self._touched |= {source.parent, target.parent}

    def save(self, entries: Mapping[str, Entry], columns: dict[str, str]) -> None:
        """Put the manifest in its place, if it is not what is there."""
        data = Manifest(
            table=str(self._table),
            partitioned_by=self._table.period.keys,
            columns=columns,
            files=[entries[key] for key in sorted(entries)],
        ).encode()
        if data == self._saved:
            return
        # A manifest that outlived a power cut must not speak of files that did not.
        for folder in self._touched:
            _sync(folder)
        self._touched.clear()
        self._replace(self._manifest, data)
        _sync(self._manifest.parent)
        self._saved = data

    def sweep(self, present: Collection[str]) -> int:
        """Remove the files of this table that are not among `present`, whoever left them.

        Returns:
            How many files were removed.
        """
        removed = 0
        for path in list(self.folder.rglob("*.parquet")):
            name = path.relative_to(self.folder).as_posix()
            if name in present:
                continue
            if not _OURS.fullmatch(name):
                log.warning("%s is none of ours, and whoever reads the folder reads it too", path)
                continue
            path.unlink()
            removed += 1
            for folder in path.relative_to(self.folder).parents:
                with suppress(OSError):
                    (self.folder / folder).rmdir()
        self._draft.unlink(missing_ok=True)
        return removed

    def sweep_versions(self, present: Collection[str | None], before: datetime) -> None:
        """Remove the versions whose place another has taken before an instant."""
        for path in list(self._versions.rglob("*.parquet")):
            if path.relative_to(self._manifest.parent).as_posix() in present:
                continue
            # A file changes in this sense when it loses a name.
            if path.stat().st_ctime < before.timestamp():
                path.unlink()
                for folder in path.relative_to(self._versions).parents:
                    with suppress(OSError):
                        (self._versions / folder).rmdir()

    def _replace(self, path: Path, data: bytes) -> None:
        with self._draft.open("wb") as file:
            os.fchmod(file.fileno(), 0o666 & ~self._mask)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._draft.replace(path)


def _make_folder(path: Path, mask: int) -> None:
    """Make a folder and those above it that are not there, for whom the mask lets in."""
    for folder in [*reversed(path.parents), path]:
        if not folder.exists():
            with suppress(FileExistsError):
                folder.mkdir()
                folder.chmod(0o777 & ~mask)


def _sync(folder: Path) -> None:
    """Have the disk keep the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rows(view: Snapshot, table: Table, window: Window) -> pl.DataFrame:
    if table.period is Period.EVER:
        return (
            view.actions.of(table.owner).filter(pl.col("replaced_at").is_null()).drop("replaced_at")
        )
    return view.candles.rows(table.owner, table.name, None, window)


def _due(view: Snapshot, table: Table, columns: Mapping[str, str]) -> list[_Due]:
    """The files that there must be, oldest first."""
    if table.period is Period.EVER:
        return [_Due(Piece(_NEVER, table.name, f"{table.name}.parquet"), None, 0)]
    # Other columns, or another way of writing them: every file is to be written again.
    layout = sha256(repr((FORMAT, _GROUP_ROWS, list(columns.items()))).encode()).hexdigest()[:8]
    pieces: dict[Piece, tuple[datetime | None, int]] = {}
    for partition, changed_at, bars in view.partitions.changes(
        Dataset.labelled(table.owner, table.label)
    ).iter_rows():
        for piece in pieces_of(table, partition):
            before, rows = pieces.get(piece, (None, 0))
            pieces[piece] = (max(filter(None, (before, changed_at)), default=None), rows + bars)
    return [
        _Due(piece, f"{layout}-{changed_at.isoformat() if changed_at else 'never'}", rows)
        for piece, (changed_at, rows) in sorted(pieces.items())
    ]


def _is_stale(target: _Due, entries: Mapping[str, Entry]) -> bool:
    return target.piece.key not in entries or target.version != entries[target.piece.key].version


def _batches(due: Sequence[_Due], entries: Mapping[str, Entry]) -> list[list[_Due]]:
    """The files that are to be written, in batches of neighbours that one read gets."""
    batches: list[list[_Due]] = []
    rows, last = 0, None
    for at, target in enumerate(due):
        if not _is_stale(target, entries):
            continue
        if last is None or at > last + 1 or rows + target.rows > _BATCH_ROWS:
            batches.append([])
            rows = 0
        batches[-1].append(target)
        rows, last = rows + target.rows, at
    return batches


def _split(rows: pl.DataFrame, batch: Sequence[_Due]) -> list[pl.DataFrame]:
    """The rows of each file."""
    if len(batch) == 1:
        return [rows]
    rows = rows.sort("ts")
    starts = pl.Series([to_micros(target.piece.window.start) for target in batch]).cast(TS)
    bounds = [*rows["ts"].search_sorted(starts), rows.height]
    return [rows[first:after] for first, after in pairwise(bounds)]
