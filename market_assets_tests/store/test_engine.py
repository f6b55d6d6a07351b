"""The file is open for the length of a transaction alone, whatever becomes of the connection."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest

from market_assets.store.engine import SETTINGS, close_file, narrow, open_file

WRITES = (
    "import duckdb, sys; "
    "duckdb.connect(sys.argv[1]).execute('CREATE OR REPLACE TABLE theirs AS SELECT 1 AS n')"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "it's a market.duckdb"


def another_program_writes(path) -> None:
    subprocess.run([sys.executable, "-c", WRITES, str(path)], check=True)


def test_a_closed_file_is_anybodys_and_what_they_wrote_is_read(path):
    ours = open_file(path, read_only=False)
    ours.execute("CREATE TABLE ours AS SELECT 2 AS n")
    close_file(path, ours)
    another_program_writes(path)
    again = open_file(path, read_only=True)
    assert again.execute("SELECT o.n, t.n FROM ours o, theirs t").fetchall() == [(2, 1)]
    with pytest.raises(duckdb.Error, match="read-only"):
        again.execute("DROP TABLE ours")
    close_file(path, again)


def test_what_was_not_committed_is_rolled_back(path):
    ours = open_file(path, read_only=False)
    ours.begin()
    ours.execute("CREATE TABLE ours AS SELECT 2 AS n")
    close_file(path, ours)
    again = open_file(path, read_only=True)
    assert again.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]
    close_file(path, again)


def test_a_file_that_could_not_be_let_go_goes_with_the_whole_instance(path):
    ours = open_file(path, read_only=False)
    ours.execute("USE memory")
    ours.execute('DETACH "it\'s a market"')
    close_file(path, ours)
    another_program_writes(path)
    again = open_file(path, read_only=False)
    assert again.execute("SELECT n FROM theirs").fetchall() == [(1,)]
    close_file(path, again)
    another_program_writes(path)


def test_a_view_that_is_made_here_is_read_under_whatever_name_the_file_is_opened(path, tmp_path):
    ours = open_file(path, read_only=False)
    ours.execute(
        """
        CREATE SCHEMA ops; CREATE TABLE ops.kept AS
        SELECT 3 AS n; CREATE VIEW ops.shown AS
        SELECT *
        FROM ops.kept
        """
    )
    close_file(path, ours)
    moved = path.rename(tmp_path / "another.duckdb")
    with duckdb.connect(moved, read_only=True) as connection:
        assert connection.execute("SELECT n FROM ops.shown").fetchall() == [(3,)]


def test_an_instance_has_the_settings_that_the_process_gives(path, monkeypatch):
    monkeypatch.setitem(SETTINGS, "threads", 3)
    ours = open_file(path, read_only=False)
    assert ours.execute("SELECT current_setting('threads')").fetchall() == [(3,)]
    close_file(path, ours)


def form(connection: duckdb.DuckDBPyConnection) -> str:
    ((tags,),) = connection.execute(
        "SELECT tags FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchall()
    return tags["storage_version"]


def test_a_new_file_has_the_form_that_opens_fast_and_a_file_that_is_there_keeps_its_own(
    path, tmp_path
):
    ours = open_file(path, read_only=False)
    ours.execute("CREATE TABLE ours AS SELECT 2 AS n")
    assert form(ours) == "v1.2.0+"
    close_file(path, ours)
    again = open_file(path, read_only=False)
    assert form(again) == "v1.2.0+"
    close_file(path, again)

    older = tmp_path / "older.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{older}' AS older (STORAGE_VERSION 'v1.0.0')")
        connection.execute("CREATE TABLE older.theirs AS SELECT 1 AS n")
        connection.execute("DETACH older")
    opened = open_file(older, read_only=False)
    opened.execute("INSERT INTO theirs VALUES (2)")
    close_file(older, opened)
    again = open_file(older, read_only=True)
    assert form(again) == "v1.0.0+"
    assert again.execute("SELECT n FROM theirs ORDER BY n").fetchall() == [(1,), (2,)]
    close_file(older, again)


def threads(connection: duckdb.DuckDBPyConnection) -> int:
    ((number,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    return int(number)


def test_who_writes_with_one_thread_leaves_all_of_them_to_the_next(path):
    ours = open_file(path, read_only=False)
    usual = threads(ours)
    ours.begin()
    narrow(ours)
    ours.execute("CREATE TABLE ours AS SELECT 2 AS n")
    assert threads(ours) == 1
    ours.commit()
    close_file(path, ours)
    again = open_file(path, read_only=True)
    assert threads(again) == usual
    assert again.execute("SELECT n FROM ours").fetchall() == [(2,)]
    close_file(path, again)
