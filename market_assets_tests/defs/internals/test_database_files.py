"""Which Dagster has written the databases of a home: held to what Dagster itself writes there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from market_assets.defs.automation.runs import instance_at
from market_assets.defs.internals.database_files import database_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose databases the installed Dagster has just made."""
    with instance_at(tmp_path) as instance:
        instance.get_runs_count()
    return tmp_path


def put_revision(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_what_the_installed_dagster_makes_is_at_its_head(home: Path) -> None:
    files = database_files(home)
    assert {file.name for file in files} == {
        "history/runs.db", "history/runs/index.db", "schedules/schedules.db",
    }  # fmt: skip
    assert all(file.revision == file.head and file.is_past for file in files)


def test_older_newer_and_broken_files_are_told_apart(home: Path) -> None:
    runs, index, schedules = (home / file.name for file in database_files(home))
    put_revision(runs, "567bc23fd1ac")
    put_revision(index, "not-yet-made")
    schedules.write_bytes(b"no database")
    older, newer, broken = database_files(home)
    assert older.revision != older.head
    assert older.is_past
    assert not newer.is_past
    assert broken.revision is None


def test_a_home_without_databases_has_none_and_gets_none(tmp_path: Path) -> None:
    assert database_files(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
