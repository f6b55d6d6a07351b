"""The revisions of Dagster's databases in a home folder, read without Dagster and without writing.

Dagster does not export them, and says them only to a program that opens its instance, which makes
files that are not there.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from market_assets.doctor.facts import DagsterFile

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_REVISIONS = "_core/storage/alembic/versions"
_REVISION = re.compile(r"^(revision|down_revision) = ['\"](\w+)['\"]", re.MULTILINE)


def database_files(home: Path) -> list[DagsterFile]:
    """The databases of a home folder that are there, each with its revision and Dagster's own."""
    before = _revisions()
    if not before:
        return []
    (head,) = set(before) - set(before.values())
    files = []
    for name in _NAMES:
        if (path := home / name).is_file():
            revision = _revision_of(path)
            files.append(DagsterFile(name, revision, head, is_past=revision in before))
    return files


def _revisions() -> Mapping[str, str | None]:
    """The revisions that the installed Dagster knows, each with the one before it."""
    spec = find_spec("dagster")
    folder = Path(str(spec and spec.origin)).parent / _REVISIONS
    revisions: dict[str, str | None] = {}
    for path in folder.glob("*.py"):
        names = dict(_REVISION.findall(path.read_text(encoding="utf-8")))
        if "revision" in names:
            revisions[names["revision"]] = names.get("down_revision")
    return revisions


def _revision_of(path: Path) -> str | None:
    """The revision of a database; None where it cannot be read at this moment."""
    # Without `immutable` SQLite would make files beside one in its write-ahead mode.
    address = f"file:{quote(str(path))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return None
    return str(rows[0][0]) if rows else None
