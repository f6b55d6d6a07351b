"""The files of a home folder by the part that they belong to, and those that are too old."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.config.services import RetentionSettings
from market_assets.keeping.files import files_of, prune_files
from market_assets.keeping.parts import Removed

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SETTINGS = RetentionSettings(caches=10 * DAY, logs=5 * DAY)


def write(home: Path, name: str, *, days: float = 0, size: int = 1) -> Path:
    """A file of so many bytes that was written so many days ago."""
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    written = (NOW - days * DAY).timestamp()
    os.utime(path, (written, written))
    return path


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("market.duckdb", "market.duckdb"),
        ("market.duckdb.wal", "market.duckdb"),
        ("market.duckdb.compact", "leftovers"),
        ("market.duckdb.lock", "other"),
        ("history/runs/index.db", "events"),
        ("history/runs/abc.db", "runs"),
        ("archives/binance/a.zip", "caches"),
        ("archives/binance/.a.zip", "leftovers"),
        ("logs/up.log", "logs"),
        ("up.log.1", "logs"),
        ("published/market.1.duckdb", "copies"),
        ("schedules/schedules.db", "ticks"),
        ("storage/abc/compute_logs/x.out", "runs"),
        ("notes.txt", "other"),
    ],
)
def test_each_file_belongs_to_a_part_by_its_name(tmp_path: Path, name: str, part: str):
    path = write(tmp_path, name, days=3, size=7)
    files = files_of(tmp_path)
    assert {key: [file.path for file in found] for key, found in files.items()} == {part: [path]}
    (file,) = files[part]
    assert (file.bytes, file.written) == (7, NOW - 3 * DAY)


def test_a_lake_is_a_part_wherever_it_lies_and_a_link_is_none(tmp_path: Path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    inside = write(home, "lake/a.log.parquet")
    outside = write(elsewhere, "b.parquet")
    (home / "link").symlink_to(outside)
    assert [file.path for file in files_of(home, home / "lake")["lake"]] == [inside]
    assert [file.path for file in files_of(home, elsewhere)["lake"]] == [outside]
    assert set(files_of(home)) == {"logs"}


def test_what_is_older_than_the_settings_say_goes_and_the_rest_stays(tmp_path: Path):
    old = [
        write(tmp_path, "archives/a.zip", days=11, size=100),
        write(tmp_path, "archives/b.zip", days=12, size=50),
        write(tmp_path, "logs/up.log.1", days=6, size=30),
        write(tmp_path, "archives/.c.zip", days=2, size=9),
    ]
    young = [
        write(tmp_path, "archives/d.zip", days=9),
        write(tmp_path, "logs/up.log", days=4),
        write(tmp_path, "archives/.e.zip", days=0.5),
        write(tmp_path, "market.duckdb", days=999),
        write(tmp_path, "notes.txt", days=999),
    ]
    expected = [
        Removed("caches", "downloaded archives", 2, 150),
        Removed("logs", "log files", 1, 30),
        Removed("leftovers", "files of what was broken off", 1, 9),
    ]
    assert prune_files(tmp_path, SETTINGS, NOW, dry_run=True) == expected
    assert all(path.exists() for path in old)
    assert prune_files(tmp_path, SETTINGS, NOW, dry_run=False) == expected
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in young)
    assert prune_files(tmp_path, SETTINGS, NOW, dry_run=False) == []
