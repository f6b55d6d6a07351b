"""The lake is what the store holds, whole at every instant.

It is written again only where something changed, and is known by its checksums.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import duckdb
import polars as pl
import pytest
from filelock import FileLock
from polars.testing import assert_frame_equal

from market_assets.errors import ExportError
from market_assets.export import Lake, files_of
from market_assets.export.layout import Period, Piece, Table, pieces_of
from market_assets.market.partitions import Cadence
from market_assets_tests.support.export_ground import HOURS, MINUTES, Ground

DAYS = ("2025-01-30", "2025-01-31", "2025-02-01", "2025-02-02", "2025-02-03")


def path_of(day: str) -> str:
    return f"year={int(day[:4])}/month={int(day[5:7])}/{day}.parquet"


def manifest(ground: Ground, name: str = MINUTES) -> dict:
    return json.loads(
        ground.of(name).with_name(f"{name.partition('.')[2]}.manifest.json").read_bytes()
    )


def read(ground: Ground, name: str = MINUTES) -> pl.DataFrame:
    """The rows of a table's files as the store has them."""
    rows = pl.read_parquet(ground.of(name), hive_partitioning=False).sort("symbol", "ts")
    return rows.drop("date").with_columns(pl.col("ts").dt.replace_time_zone(None))


def test_every_table_is_there_with_all_its_rows_in_few_files(lake):
    for name in lake.names:
        assert_frame_equal(read(lake, name), lake.stored(name))
    assert list(lake.files(MINUTES)) == [path_of(day) for day in DAYS]
    assert list(lake.files(HOURS)) == [
        "year=2025/month=1/2025-01.parquet",
        "year=2025/month=2/2025-02.parquet",
    ]
    assert {name: list(lake.files(name)) for name in lake.names if name[-1] in "dw"} == {
        name: ["year=2025/2025.parquet"]
        for name in (
            "coins.candles_1d",
            "coins.candles_1w",
            "coins.returns_1d",
            "markets.returns_1d",
        )
    }


def test_it_says_what_there_is_and_what_it_wrote(ground):
    one = ground.export(MINUTES)
    assert (one.files, one.rows, one.written, one.removed, one.damaged) == (
        5,
        2 * 5 * 1440,
        5,
        0,
        (),
    )
    assert one.bytes == sum(map(len, ground.files(MINUTES).values()))


def test_a_second_export_writes_nothing(ground):
    names = (MINUTES, HOURS, "markets.returns_1d")
    assert [ground.export(name).written for name in names] == [5, 2, 1]
    before = {
        path: path.stat().st_mtime_ns
        for path in ground.folder.rglob("*")
        if path.suffix in {".parquet", ".json"}
    }
    assert [ground.export(name).written for name in names] == [0, 0, 0]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_exactly_the_file_is_written_whose_rows_changed(ground):
    ground.export(MINUTES)
    before = ground.files(MINUTES)
    ground.change("2025-02-01", 7.0)
    assert ground.export(MINUTES).written == 1
    after = ground.files(MINUTES)
    assert [name for name in after if after[name] != before[name]] == [path_of("2025-02-01")]
    assert_frame_equal(read(ground), ground.stored(MINUTES))


def test_a_partition_that_was_judged_anew_and_is_as_it_was_keeps_its_file(ground):
    ground.change("2025-02-01", 7.0)
    ground.export(MINUTES)
    before = manifest(ground)["files"]
    ground.change("2025-02-01", 7.0)
    assert ground.export(MINUTES).written == 0
    changed = [
        (new, old) for new, old in zip(manifest(ground)["files"], before, strict=True) if new != old
    ]
    assert [{name for name in new if new[name] != old[name]} for new, old in changed] == [
        {"version"}
    ]


def test_the_file_of_a_partition_without_rows_is_removed_and_comes_back_with_them(ground):
    ground.export(MINUTES)
    before = ground.files(MINUTES)
    rows = ground.empty("2025-01-31")
    done = ground.export(MINUTES)
    assert (done.files, done.written, done.removed) == (4, 0, 1)
    assert path_of("2025-01-31") not in ground.files(MINUTES)
    assert ground.export(MINUTES).removed == 0
    ground.put_back("2025-01-31", rows)
    assert ground.export(MINUTES).written == 1
    assert ground.files(MINUTES) == before


def test_the_manifest_lists_each_file_with_its_checksum_and_the_columns_with_their_types(ground):
    ground.export(MINUTES)
    listed, files = manifest(ground), ground.files(MINUTES)
    assert [one["piece"] for one in listed["files"]] == list(DAYS)
    for one in listed["files"]:
        data = files[one["file"]]
        assert (one["bytes"], one["sha256"], one["rows"]) == (
            len(data),
            hashlib.sha256(data).hexdigest(),
            2880,
        )
        assert (one["first_ts"], one["last_ts"]) == (
            f"{one['piece']}T00:00:00Z",
            f"{one['piece']}T23:59:00Z",
        )
    assert (listed["table"], listed["partitioned_by"]) == (MINUTES, ["year", "month"])
    with duckdb.connect() as db:
        file = ground.of(MINUTES) / path_of("2025-02-01")
        found = db.execute(
            f"DESCRIBE FROM read_parquet('{file}', hive_partitioning = false)"
        ).fetchall()
    assert listed["columns"] == {name: kind for name, kind, *_ in found}


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


def test_damage_that_keeps_the_length_is_found_by_verify(ground):
    ground.export(MINUTES)
    before, broken = ground.files(MINUTES), ground.of(MINUTES) / path_of("2025-02-02")
    data = bytearray(before[path_of("2025-02-02")])
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    assert ground.export(MINUTES).damaged == ()
    assert ground.export(MINUTES, verify=True).damaged == (path_of("2025-02-02"),)
    assert ground.files(MINUTES) == before
    assert ground.export(MINUTES, verify=True).damaged == ()


def test_a_damaged_manifest_is_made_again(ground):
    ground.export(MINUTES)
    before = manifest(ground)
    ground.of(MINUTES).with_name("candles_1m.manifest.json").write_text("{half of")
    assert ground.export(MINUTES).written == 5
    assert manifest(ground) == before


def test_a_lake_that_was_moved_goes_on_where_it_is(ground, tmp_path):
    for name in (MINUTES, HOURS):
        ground.export(name)
    shutil.move(ground.folder, tmp_path / "elsewhere")
    ground.folder = tmp_path / "elsewhere"
    ground.change("2025-02-03", 9.0)
    assert [ground.export(name).written for name in (MINUTES, HOURS)] == [1, 0]


def test_new_columns_are_in_every_file(ground):
    ground.export("coins.features_4h")
    with ground.store.writing("adding a feature") as transaction:
        transaction.connection.execute("ALTER TABLE coins.features_4h ADD COLUMN mine DOUBLE")
    assert ground.export("coins.features_4h").written == 2
    assert_frame_equal(read(ground, "coins.features_4h"), ground.stored("coins.features_4h"))


def test_corporate_actions_are_one_file_of_those_that_hold(ground):
    table = Table("coins", "corporate_actions", Period.EVER, Cadence.MONTH)
    lake = Lake(ground.store, ground.folder, clock=ground.clock)
    assert lake.export(table) is None
    with ground.store.writing("recording") as transaction:
        transaction.actions.create("coins", [], "UTC")
        transaction.connection.execute(
            """
            INSERT INTO coins.corporate_actions (symbol, ex_date, kind, ratio, source, recorded_at)
            VALUES ('ETH', '2025-02-01', 'split', 2, 'mine', '2025-02-01'),
                ('BTC', '2025-02-02', 'split', 4, 'mine', '2025-02-01')
            """
        )
    assert [lake.export(table).written for _ in range(2)] == [1, 0]
    found = pl.read_parquet(ground.of("coins.corporate_actions"))
    assert found.select("symbol", "ratio").rows() == [("BTC", 4.0), ("ETH", 2.0)]
    assert str(found.schema["recorded_at"]) == "Datetime(time_unit='us', time_zone='UTC')"


def test_a_partition_of_a_month_may_be_in_many_files():
    minutes = Table("coins", "candles_1m", Period.DAY, Cadence.MONTH)
    pieces = pieces_of(minutes, "2025-02-01")
    assert (len(pieces), pieces[0].path, pieces[-1].path) == (
        28,
        path_of("2025-02-01"),
        path_of("2025-02-28"),
    )
    hours = Table("coins", "candles_1h", Period.MONTH, Cadence.DAY)
    assert pieces_of(hours, "2024-12-31") == [Piece.holding(date(2024, 12, 1), Period.MONTH)]


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


def test_a_store_that_never_had_what_the_folder_holds_removes_nothing(ground):
    ground.export(MINUTES)
    before = ground.files(MINUTES)
    with ground.store.writing("forgetting") as transaction:
        transaction.connection.execute("DELETE FROM ops.partitions")
    with pytest.raises(ExportError, match="is MARKET_ASSETS_HOME the home"):
        ground.export(MINUTES)
    assert ground.files(MINUTES) == before


def test_a_folder_that_cannot_be_made_is_named_with_the_next_step(ground, tmp_path):
    (tmp_path / "file").write_text("in the way")
    ground.folder = tmp_path / "file"
    with pytest.raises(ExportError, match=r"file.* cannot be written: .*export to another folder"):
        ground.export(MINUTES)


def test_the_store_is_free_while_files_are_written(ground):
    """Whoever writes a file holds no lock on the store: it can be opened from within."""
    opened = []

    def told(done: int, due: int) -> None:
        with ground.store.writing("at the same time"):
            opened.append((done, due))

    Lake(ground.store, ground.folder, clock=ground.clock).export(ground.table(MINUTES), told=told)
    assert opened == [(5, 5)]


def test_candles_have_their_extra_columns_with_their_types(ground):
    ground.export(MINUTES)
    columns = manifest(ground)["columns"]

    assert list(columns)[-4:] == ["quote_volume", "trades", "taker_buy_volume", "vwap"]
    assert [columns[name] for name in ("quote_volume", "trades")] == ["DOUBLE", "BIGINT"]
    assert read(ground)["trades"].dtype == pl.Int64
