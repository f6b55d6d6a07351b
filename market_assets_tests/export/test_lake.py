"""The lake is what the store holds."""

from __future__ import annotations

import shutil

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets.errors import ExportError
from market_assets.export import Lake
from market_assets.export.layout import Period, Table
from market_assets.market.partitions import Cadence
from market_assets_tests.support.export_ground import HOURS, MINUTES
from market_assets_tests.support.lake import manifest, path_of, read

DAYS = ("2025-01-30", "2025-01-31", "2025-02-01", "2025-02-02", "2025-02-03")


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


def test_a_store_that_never_had_what_the_folder_holds_removes_nothing(ground):
    ground.export(MINUTES)
    before = ground.files(MINUTES)
    with ground.store.writing("forgetting") as transaction:
        transaction.connection.execute("DELETE FROM ops.partitions")
    with pytest.raises(ExportError, match="is MARKET_ASSETS_HOME the home"):
        ground.export(MINUTES)
    assert ground.files(MINUTES) == before


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
