"""The files of one table on the disk: each there whole or not at all, under two names.

What is in a file is not known here.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from hashlib import file_digest
from typing import TYPE_CHECKING

import msgspec

from market_assets.export.manifest import Entry, Manifest, decode, manifest_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from pathlib import Path

    from market_assets.export.layout import Table

log = logging.getLogger("market_assets.export")


_OURS = re.compile(r"(year=\d+/)?(month=\d+/)?(\d{4}(-\d\d){0,2}|corporate_actions)\.parquet")


class TableFiles:
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
        if not entry.sha256:
            return False
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
        make_folder(version.parent, self._mask)
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
            make_folder(version.parent, self._mask)
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
        make_folder(target.parent, self._mask)
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


def make_folder(path: Path, mask: int) -> None:
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
