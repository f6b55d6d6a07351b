"""What a user is told when a command breaks off.

That is one sentence with the next step, and where the trace is.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import pytest

from market_assets.cli.faults import _LOG_BYTES, keep_trace, sentence_of, trace_of
from market_assets.errors import StoreError
from market_assets_tests.support.shell import Done, in_this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

UNIVERSE = """
sources: {practice: {}}
profiles: {crypto: {kind: CRYPTO, start: 2025-02-03, end: 2025-02-04, sources: [practice],
                    symbols: {BTC: {}}}}
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Done]:
    """A command over a universe of one day."""
    path = tmp_path / "universe.yaml"
    path.write_text(UNIVERSE)
    environment = {**os.environ, "MARKET_ASSETS_UNIVERSE": str(path)}
    environment.pop("MARKET_ASSETS_HOME", None)
    environment.pop("DAGSTER_HOME", None)

    def done(*words: str) -> Done:
        ended = in_this_process(words, environment)
        assert "Traceback" not in ended.out + ended.err
        return ended

    return done


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 KB, where this user may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip("this user may not mount a disk")
    yield folder
    # Where it is depends on the system.
    subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607


def sqlite_error(path: Path, *statements: str, uri: str = "") -> sqlite3.Error:
    """What SQLite raises when it executes the last of some statements."""
    connection = sqlite3.connect(uri or path, uri=bool(uri))
    try:
        for statement in statements:
            connection.execute(statement)
            connection.commit()
    except sqlite3.Error as error:
        return error
    finally:
        connection.close()
    raise AssertionError


def test_a_full_disk_is_a_sentence(run: Callable[..., Done], small_disk: Path) -> None:
    done = run("backfill", "--home", str(small_disk / "home"))
    assert done.code == 1
    (words,) = [line for line in done.err.splitlines() if line.startswith("error")]
    assert words.startswith(f"error the disk of {small_disk / 'home'} is full.")
    assert "--home" in words
    assert "The trace is in /" in done.err


def test_a_file_in_the_place_of_the_home_is_a_sentence(
    run: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "notes").write_text("mine")
    for home in (tmp_path / "notes", tmp_path / "notes" / "below"):
        done = run("backfill", "--home", str(home))
        assert done.code == 1
        assert "notes" in done.err
        assert "error" in done.err.splitlines()[1]
        assert "fault of market_assets" not in done.err
    assert (tmp_path / "notes").read_text() == "mine"


def test_what_sqlite_says_is_said_in_other_words(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    full = sqlite_error(
        path,
        "CREATE TABLE t (x)",
        "PRAGMA max_page_count = 2",
        "INSERT INTO t VALUES (zeroblob(9999))",
    )
    assert sentence_of(full, tmp_path).startswith(f"the disk of {tmp_path} is full")
    readonly = sqlite_error(path, "INSERT INTO t VALUES (1)", uri=f"file:{path}?mode=ro")
    assert sentence_of(readonly, tmp_path).startswith(f"{tmp_path} cannot be written")
    path.write_text("not a database, but long enough to be taken for one" * 10)
    broken = sqlite_error(path, "SELECT * FROM t")
    assert "a bookkeeping file" in sentence_of(broken, tmp_path)


def test_the_cause_counts_whatever_was_raised_around_it(tmp_path: Path) -> None:
    def raised(cause: Exception) -> RuntimeError:
        error = RuntimeError("a run failed")
        error.__cause__ = cause
        return error

    full = OSError(errno.ENOSPC, "No space left on device")
    assert "is full" in sentence_of(raised(full), tmp_path)
    assert (
        sentence_of(raised(StoreError("busy: close it there")), tmp_path) == "busy: close it there"
    )
    refused = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "x"))
    assert sentence_of(raised(refused), tmp_path).startswith(f"{tmp_path / 'x'} cannot be written")
    # What DuckDB says of a full disk, in a sentence about the store.
    wrapped = StoreError(
        "the store could not be written: IO Error: Could not write: No space left on device"
    )
    assert sentence_of(wrapped, tmp_path).startswith("the disk of")
    assert sentence_of(raised(KeyError("x")), tmp_path) is None


def test_a_fault_of_ours_is_called_one_and_its_trace_is_kept(
    run: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr("market_assets.cli.commands.list._assets", lambda *_: list(_)[9])
    done = run("list", "--home", str(home))
    assert done.code == 1
    assert (
        "this is a fault of market_assets, not yours: IndexError: list index out of range"
        in done.err
    )
    log = home / "log" / "market-assets.log"
    assert f"The trace is in {log}" in done.err
    assert "Traceback" in log.read_text()


def test_the_log_stays_small_and_goes_elsewhere_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log" / "market-assets.log"
    log.parent.mkdir()
    log.write_text("x" * (_LOG_BYTES + 1))
    assert keep_trace(trace_of(ValueError("new")), tmp_path) == log
    assert log.read_text().endswith("ValueError: new\n")
    assert log.stat().st_size < 1000
    assert log.with_suffix(".log.1").stat().st_size > _LOG_BYTES

    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(other))
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "log").write_text("a file")
    assert keep_trace("words", occupied) == other / "market-assets.log"
    monkeypatch.setattr("tempfile.tempdir", str(occupied / "log"))
    assert keep_trace("words", occupied) is None
