"""Which bar a stamp names."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe
from market_assets.sources.files.clocks import Clock
from market_assets.sources.files.opens import opens_of
from market_assets.sources.files.stamps import Stamps, read_stamps
from market_assets_tests.support.archives import archive, candles, fetch

MINUTE = timedelta(minutes=1)


def opens(
    stamps: list[str], timeframe: Timeframe, meaning: Stamps | None = None
) -> list[datetime | None]:
    walls = read_stamps(pl.Series(stamps))
    calendar = load_calendar("24/7") if not timeframe.intraday else None
    found, _ = opens_of(walls, timeframe, clock=Clock(), meaning=meaning, calendar=calendar)
    return found.to_list()


@pytest.mark.parametrize("meaning", [None, "close", "session"])
def test_a_day_that_ends_at_24_hours_is_the_one_that_is_written(meaning: Stamps | None) -> None:
    days = [datetime(2024, 3, 11), datetime(2024, 3, 12)]

    assert opens(["2024-03-11 24:00:00", "2024-03-12 24:00:00"], Timeframe.D1, meaning) == days
    assert opens(["20240311240000", "20240312240000"], Timeframe.D1, meaning) == days
    assert opens(["2024-03-11 24:00"], Timeframe.M1) == [datetime(2024, 3, 12)]


@pytest.mark.parametrize("end", ["09:30:59", "09:30:59.999", "09:31:00"])
def test_a_close_in_the_last_second_is_that_of_the_minute(end: str) -> None:
    assert opens([f"2024-03-11 {end}"], Timeframe.M1, "close") == [datetime(2024, 3, 11, 9, 30)]


def test_any_other_close_is_left_as_it_stands() -> None:
    assert opens(["2024-03-11 09:30:58"], Timeframe.M1, "close") == [
        datetime(2024, 3, 11, 9, 29, 58)
    ]


class TestTime:
    def test_bars_stamped_by_their_close_are_moved_to_their_open(self, tmp_path):
        candles().with_columns(pl.col("ts") + MINUTE).write_parquet(tmp_path / "SPY.parquet")

        assert fetch(archive(tmp_path, "{symbol}.parquet", stamps="close")).equals(candles())

    @pytest.mark.parametrize(
        ("hour", "zone", "stamps"),
        [
            (0, "UTC", "open"),
            (14, "UTC", "open"),
            (0, "America/New_York", "open"),
            (24, "UTC", "close"),
            (16, "America/New_York", "close"),
        ],
    )
    def test_a_daily_bar_is_dated_by_its_stamps_day(self, tmp_path, hour, zone, stamps):
        daily = candles(5, datetime(2024, 3, 7, tzinfo=UTC), timedelta(days=1))
        naive = daily.with_columns(pl.col("ts") + timedelta(hours=hour))
        naive.write_parquet(tmp_path / "SPY.parquet")
        naive.with_columns(pl.col("ts").dt.replace_time_zone(zone)).write_parquet(
            tmp_path / "QQQ.parquet"
        )
        source = archive(tmp_path, "{symbol}.parquet", timezone=zone, stamps=stamps)

        assert fetch(source, "SPY", Timeframe.D1).equals(daily)
        assert fetch(source, "QQQ", Timeframe.D1).equals(daily)

    def test_a_column_of_dates_is_a_column_of_days(self, tmp_path):
        daily = candles(5, datetime(2024, 1, 2, tzinfo=UTC), timedelta(days=1))
        daily.with_columns(pl.col("ts").cast(pl.Date)).write_parquet(tmp_path / "SPY.parquet")

        assert fetch(
            archive(tmp_path, "{symbol}.parquet", timezone="Asia/Tokyo"), timeframe=Timeframe.D1
        ).equals(daily)
