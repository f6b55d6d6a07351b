"""Which files of a table are to be written."""

from __future__ import annotations

from datetime import date

from polars.testing import assert_frame_equal

from market_assets.export.layout import Period, Piece, Table, pieces_of
from market_assets.market.partitions import Cadence
from market_assets_tests.support.export_ground import HOURS, MINUTES
from market_assets_tests.support.lake import manifest, path_of, read


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
