"""The files of one table on the disk: whole at every instant."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock
from polars.testing import assert_frame_equal

from market_assets.errors import ExportError
from market_assets.export import Lake, files_of
from market_assets_tests.support.export_ground import MINUTES
from market_assets_tests.support.lake import path_of, read

# In the middle of everything: the first file is written and not yet in its place; it is there, and
# no manifest; a later file is half way.
KILLED_IN = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from market_assets.export import due as to_write, lake
from market_assets.export.layout import Period, Table
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store

to_write.BATCH_ROWS = 4000
due, sync = int(sys.argv[2]), os.fsync
def fsync(file):
    global due
    due -= 1
    if not due:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(file)
os.fsync = fsync
clock = lambda: datetime(2025, 2, 5, 12, tzinfo=UTC)
minutes = Table("coins", "candles_1m", Period.DAY, Cadence.DAY, Timeframe.M1)
lake.Lake(
    Store(Path(sys.argv[1], "home"), clock=clock), Path(sys.argv[1], "lake"), clock=clock
).export(minutes)
"""

READS = """
import sys
import duckdb
import polars as pl
from market_assets.export import files_of

print("ready", flush=True)
seen = set()
while len(seen) < 4:
    paths = [str(path) for path in files_of(sys.argv[1], "coins", "candles_1m")]
    day = pl.scan_parquet(paths).filter(pl.col("date").dt.day() == 2).select("open").collect()
    rows, last, days = duckdb.execute(
    "SELECT count(*), max(open) FILTER (day(date) = 2), count(DISTINCT date) FROM read_parquet($1)",
    [paths]
    ).fetchall()[0]
    # Days as they were filled have prices from 100 to 1100; those of a change are all the same.
    assert (day.height, rows, days) == (2880, 5 * 2880, 5)
    assert last == day["open"].max()
    assert day["open"].min() >= 100 or day["open"].n_unique() == 1
    seen.add(last)
"""


@pytest.mark.parametrize("how", ["removed", "cut short", "emptied"])
def test_a_missing_or_shortened_file_is_written_again(ground, how):
    ground.export(MINUTES)
    before, broken = ground.files(MINUTES), ground.of(MINUTES) / path_of("2025-02-02")
    if how == "removed":
        broken.unlink()
    else:
        broken.write_bytes(broken.read_bytes()[:-9] if how == "cut short" else b"")
    done = ground.export(MINUTES)
    assert (done.written, done.damaged) == (1, (path_of("2025-02-02"),))
    assert ground.files(MINUTES) == before


def test_an_export_that_is_killed_leaves_whole_files_and_the_next_one_does_the_rest(
    ground, tmp_path
):
    other = tmp_path / "other"
    other.mkdir()
    reference = ground.copy_to(other, ground.clock)
    reference.export(MINUTES)
    whole, seen = reference.files(MINUTES), []
    for instant in (1, 2, 7):
        root = Path(__file__).resolve().parents[2]
        child = subprocess.run(
            [sys.executable, "-c", KILLED_IN, str(tmp_path), str(instant)],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            check=False,
        )
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()
        found = ground.files(MINUTES)
        assert all(whole[name] == data for name, data in found.items())
        assert (
            pl.scan_parquet(ground.of(MINUTES)).collect().height == 2880 * len(found)
            if found
            else True
        )
        seen.append(len(found))
    assert seen == [0, 1, 2]
    done = ground.export(MINUTES)
    assert (done.files, done.written, done.damaged) == (5, 4, ())
    assert ground.files(MINUTES) == whole
    assert not list(ground.folder.rglob("*.unfinished"))


def test_what_a_killed_export_left_to_be_removed_is_removed_by_the_next(ground, caplog):
    ground.export(MINUTES)
    left = ground.of(MINUTES) / "year=2024" / "month=12" / "2024-12-31.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a day that the store has no more")
    (ground.of(MINUTES) / "mine.parquet").write_bytes(b"somebody's")
    assert ground.export(MINUTES).removed == 1
    assert not (ground.of(MINUTES) / "year=2024").exists()
    assert (ground.of(MINUTES) / "mine.parquet").exists()
    assert "mine.parquet is none of ours" in caplog.text


def test_readers_of_the_manifest_never_break_off_while_exports_replace_files(ground):
    ground.export(MINUTES)
    command = [sys.executable, "-c", READS, str(ground.folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for price in count(1):
            if reader.poll() is not None:
                break
            ground.change("2025-02-02", float(price))
            ground.export(MINUTES)
        assert reader.returncode == 0, reader.communicate()[1]


def test_a_version_is_there_for_an_hour_after_another_has_taken_its_place(ground):
    ground.export(MINUTES)
    before = files_of(ground.folder, "coins", "candles_1m")
    ground.change("2025-02-02", 7.0)
    ground.export(MINUTES)

    after = files_of(ground.folder, "coins", "candles_1m")
    (old,), (new,) = (set(one) - set(other) for one, other in ((before, after), (after, before)))
    assert pl.read_parquet(old)["open"].min() >= 100
    assert set(pl.read_parquet(new)["open"]) == {7.0}
    # Two names of the same bytes, which take room once.
    assert new.samefile(ground.of(MINUTES) / "year=2025/month=2/2025-02-02.parquet")

    for minutes, is_kept in ((59, True), (61, False)):
        ground.clock = lambda minutes=minutes: datetime.now(UTC) + timedelta(minutes=minutes)
        ground.export(MINUTES)
        assert old.exists() is is_kept
    assert all(path.exists() for path in after)


def test_a_lake_of_an_older_version_gets_its_names_without_being_written_again(ground):
    ground.export(MINUTES)
    path = ground.of(MINUTES).with_name("candles_1m.manifest.json")
    older = json.loads(path.read_bytes())
    for entry in older["files"]:
        del entry["snapshot"]
    path.write_text(json.dumps(older))
    shutil.rmtree(ground.of(MINUTES).parent / ".versions")
    with pytest.raises(ExportError, match="market-assets export coins"):
        files_of(ground.folder, "coins", "candles_1m")

    assert ground.export(MINUTES).written == 0
    assert len(files_of(ground.folder, "coins", "candles_1m")) == 5


def test_two_exports_at_once_write_each_file_once(ground):
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(ground.export, [MINUTES, MINUTES]))
    assert sorted(one.written for one in done) == [0, 5]
    assert_frame_equal(read(ground), ground.stored(MINUTES))


def test_an_export_that_waits_too_long_for_another_says_so(ground):
    ground.of(MINUTES).parent.mkdir(parents=True)
    lake = Lake(ground.store, ground.folder, clock=ground.clock, patience=timedelta())
    with (
        FileLock(ground.of(MINUTES).with_name(".lock")),
        pytest.raises(ExportError, match=r"another export to .*coins is under way"),
    ):
        lake.export(ground.table(MINUTES))


def test_a_folder_that_cannot_be_made_is_named_with_the_next_step(ground, tmp_path):
    (tmp_path / "file").write_text("in the way")
    ground.folder = tmp_path / "file"
    with pytest.raises(ExportError, match=r"file.* cannot be written: .*export to another folder"):
        ground.export(MINUTES)
