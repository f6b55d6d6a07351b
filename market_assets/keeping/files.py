"""The files of a home folder by the part that they belong to, and those that are too old."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from market_assets.keeping.parts import Removed
from market_assets.market.clock import stamped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from market_assets.config.services import RetentionSettings

STORE, RUNS, EVENTS, TICKS = "market.duckdb", "runs", "events", "ticks"
LOGS, CACHES, COPIES, LAKE, OTHER, LEFTOVERS = (
    "logs",
    "caches",
    "copies",
    "lake",
    "other",
    "leftovers",
)

_BROKEN_OFF = timedelta(days=1)
"""What was being written so long ago is not written any more."""


class File(NamedTuple):
    """A file of the home folder: its path, when it was written last, and its length in bytes."""

    path: Path
    written: datetime
    bytes: int


def files_of(home: Path, lake: Path | None = None) -> Mapping[str, Sequence[File]]:
    """The files of a home folder by part.

    Args:
        home: The folder.
        lake: The folder of exported files, which may lie elsewhere; None where there is none.
    """
    files: defaultdict[str, list[File]] = defaultdict(list)
    for file in _walk(home):
        inside_lake = lake is not None and file.path.is_relative_to(lake)
        part = LAKE if inside_lake else _part(file.path.relative_to(home).parts)
        files[part].append(file)
    if lake is not None and not lake.is_relative_to(home):
        files[LAKE] += _walk(lake)
    return files


def prune_files(
    home: Path,
    settings: RetentionSettings,
    now: datetime,
    *,
    dry_run: bool,
) -> list[Removed]:
    """Remove old downloads, old logs, and what was left of what was broken off.

    Args:
        home: The folder.
        settings: How long they are kept.
        now: The present instant, aware.
        dry_run: Remove nothing.
    """
    limits = {CACHES: settings.caches, LOGS: settings.logs, LEFTOVERS: _BROKEN_OFF}
    words = {
        CACHES: "downloaded archives",
        LOGS: "log files",
        LEFTOVERS: "files of what was broken off",
    }
    files = files_of(home)
    removed = []
    for part, limit in limits.items():
        old = [file for file in files.get(part, ()) if file.written < stamped(now - limit)]
        if not dry_run:
            for file in old:
                file.path.unlink(missing_ok=True)
        if old:
            removed.append(Removed(part, words[part], len(old), sum(file.bytes for file in old)))
    return removed


def _walk(folder: Path) -> Iterator[File]:
    for path in folder.rglob("*"):
        # Somebody else may remove it at the same moment.
        with suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink():
                stat = path.stat()
                yield File(path, datetime.fromtimestamp(stat.st_mtime, UTC), stat.st_size)


def _part(parts: tuple[str, ...]) -> str:
    top, name = parts[0], parts[-1]
    if top in {"market.duckdb", "market.duckdb.wal"}:
        return STORE
    if top.startswith("market.duckdb.") and top.endswith((".new", ".compact", ".wal", ".tmp")):
        return LEFTOVERS
    if top == "history":
        return EVENTS if name.startswith(("index.db", ".db")) else RUNS
    if top == "archives":
        return LEFTOVERS if name.startswith(".") else CACHES
    if top in {"log", "logs"} or ".log" in name:
        return LOGS
    return {"published": COPIES, "schedules": TICKS, "storage": RUNS}.get(top, OTHER)
