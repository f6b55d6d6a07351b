"""Whether a file is a store of ours, its making and its upgrade; what is none is left as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from market_assets.store import Store
from market_assets.store.schema import VERSION
from market_assets_tests.support.store_files import FULL_DISK, left

if TYPE_CHECKING:
    from pathlib import Path


def database(path: Path, sql: str) -> None:
    connection = duckdb.connect(path)
    connection.execute(sql)
    connection.close()


def test_a_store_of_a_newer_version_is_left_as_it_is(store, opening):
    with store.writing("from the future") as transaction:
        transaction.connection.execute("UPDATE ops.store SET version = 99")
    before = left(store.path.parent)
    message = opening(store.path.parent, "newer market_assets")
    assert "store version 99" in message
    assert f"knows {VERSION}" in message
    assert "Upgrade market_assets" in message
    assert left(store.path.parent) == before


def test_a_store_that_is_older_is_brought_up_to_date(store):
    """An empty DuckDB file is a store of version 0.

    An older release began to make it and was cut short.
    """
    store.path.unlink()
    database(store.path, "SELECT 1")
    with store.reading("looking") as view:
        assert view.jobs.newest(10).is_empty()


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"ts,open,high,low,close\n" * 1000], ids=["empty", "short", "csv"]
)
def test_a_file_that_is_no_duckdb_file_is_left_as_it_is(content: bytes, folder, opening):
    (folder / "market.duckdb").write_bytes(content)
    message = opening(folder, "not a valid DuckDB database file")
    assert "MARKET_ASSETS_HOME" in message
    assert left(folder) == {"market.duckdb": content}


def test_a_broken_duckdb_file_is_no_reason_to_wait(folder, opening):
    database(folder / "market.duckdb", "CREATE TABLE t AS SELECT range AS x FROM range(100_000)")
    whole = (folder / "market.duckdb").read_bytes()
    for broken in (whole[:9000], whole[:12288] + bytes(len(whole) - 12288)):
        (folder / "market.duckdb").write_bytes(broken)
        opening(folder, "cannot be opened")
        assert left(folder) == {"market.duckdb": broken}


def test_a_duckdb_file_of_another_program_is_left_as_it_is(folder, opening):
    database(
        folder / "market.duckdb",
        "CREATE TABLE prices (symbol VARCHAR); INSERT INTO prices VALUES ('BTC')",
    )
    before = left(folder)
    message = opening(folder, "another program")
    assert "main.prices" in message
    assert left(folder) == before


def test_what_was_left_of_a_store_that_was_being_made_does_no_harm(folder, clock):
    (folder / "market.duckdb.new").write_bytes(b"half")
    (folder / "market.duckdb.new.wal").write_bytes(b"of it")
    with Store(folder, clock=clock).writing("looking") as view:
        assert view.jobs.newest(10).is_empty()
    assert set(left(folder)) == {"market.duckdb"}


def test_the_changes_of_a_store_that_is_gone_are_not_poured_into_a_new_one(folder, opening):
    (folder / "market.duckdb.wal").write_bytes(b"the last changes")
    assert "begin with an empty store" in opening(
        folder, r"market\.duckdb\.wal holds the last changes"
    )
    assert left(folder) == {"market.duckdb.wal": b"the last changes"}


def test_a_disk_that_is_full_before_the_store_is_made_leaves_no_half_store(tmp_path, clock, child):
    assert "make room on its disk" in child(FULL_DISK, tmp_path, 5000).ends()
    assert not (tmp_path / "market.duckdb").exists()
    with Store(tmp_path, clock=clock).reading("looking") as view:
        assert view.jobs.newest(10).is_empty()
