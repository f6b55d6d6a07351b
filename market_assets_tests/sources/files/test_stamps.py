"""How stamps are written, and what is read of them."""

# ruff: noqa: DTZ001, FBT001 - a frame's times bear no zone

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.files.stamps import StampError, read_stamps
from market_assets_tests.support.archives import archive, candles, fetch, micros
from market_assets_tests.support.file_fills import HEAD, closes, keep, line, words, write

MARCH_11 = datetime(2024, 3, 11)


@pytest.mark.parametrize(
    ("text", "wall", "hours", "dated"),
    [
        ("2024-03-08", datetime(2024, 3, 8), None, True),
        ("2024/3/8 9:30", datetime(2024, 3, 8, 9, 30), None, False),
        ("2024-03-08 00:00:00+09:00", datetime(2024, 3, 8), 9, False),
        ("2024-03-08T00:00:00-0330", datetime(2024, 3, 8), -3.5, False),
        ("2024-03-08T00:00Z", datetime(2024, 3, 8), 0, False),
        ("20240308", datetime(2024, 3, 8), None, True),
        ("20240308 093000", datetime(2024, 3, 8, 9, 30), None, False),
        ("20240308093000", datetime(2024, 3, 8, 9, 30), None, False),
        ("8-Mar-2024 4:30 PM", datetime(2024, 3, 8, 16, 30), None, False),
        ("March 8, 2024", datetime(2024, 3, 8), None, True),
        ("Fri, 08 Mar 2024 12:00:00 GMT", datetime(2024, 3, 8, 12), 0, False),
        ("2024-03-08 12-AM", datetime(2024, 3, 8), None, False),
        ("2024-03-08 24:00", datetime(2024, 3, 9), None, False),
        ("20240308 09:30:00 US/Eastern", datetime(2024, 3, 8, 9, 30), -5, False),
        ("20240308  09:30:00 America/New_York", datetime(2024, 3, 8, 9, 30), -5, False),
        ("2024-03-08 09:30:00 America/Chicago", datetime(2024, 3, 8, 9, 30), -6, False),
        ("2024-03-08T09:30:00-05:00[America/New_York]", datetime(2024, 3, 8, 9, 30), -5, False),
        (
            "Fri Mar 08 2024 09:30:00 GMT-0500 (Eastern Standard Time)",
            datetime(2024, 3, 8, 9, 30),
            -5,
            False,
        ),
        ("20240308093000000", datetime(2024, 3, 8, 9, 30), None, False),
        ("2024-03-08 4:30PM America/New_York", datetime(2024, 3, 8, 16, 30), -5, False),
        ("13/02/2024", datetime(2024, 2, 13), None, True),
        ("02/13/2024", datetime(2024, 2, 13), None, True),
        ("01.02.2024", datetime(2024, 2, 1), None, True),
    ],
)
def test_text_is_read_by_its_shape(
    text: str, wall: datetime, hours: float | None, dated: bool
) -> None:
    row = read_stamps(pl.Series([text])).row(0, named=True)

    assert row["wall"] == micros(wall)
    assert row["offset"] == (None if hours is None else int(hours * 3_600_000_000))
    assert row["dated"] is dated


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-13-01",
        "2024-02-30",
        "24:00",
        "13/02/24",
        "5",
        "45362.5",
        "2024-03-08 25:00",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_stamps(pl.Series([text]))["wall"].to_list() == [None]


@pytest.mark.parametrize("dates", [["01/02/2024"], ["01-02-2024"], ["13/02/2024", "02/13/2024"]])
def test_dates_that_can_be_read_two_ways_want_a_format(dates: list[str]) -> None:
    with pytest.raises(StampError, match="set format to"):
        read_stamps(pl.Series(dates))


class TestTime:
    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_counts_since_1970_are_read_in_any_unit(self, tmp_path, unit):
        divide = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": None}[unit]
        count = pl.col("ts").to_physical()
        counted = candles().with_columns(count * 1_000 if divide is None else count // divide)
        counted.write_parquet(tmp_path / "SPY.parquet")
        counted.write_csv(tmp_path / "SPY.csv")

        assert fetch(archive(tmp_path, "{symbol}.parquet")).equals(candles())
        assert fetch(archive(tmp_path, "{symbol}.csv", timezone="Asia/Kolkata")).equals(candles())

    def test_stamps_with_a_zone_are_taken_at_their_word(self, tmp_path):
        zoned = candles().with_columns(
            pl.col("ts").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
        )
        zoned.write_parquet(tmp_path / "SPY.parquet")
        text = candles().with_columns(
            pl.col("ts")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("Asia/Tokyo")
            .dt.to_string("iso:strict")
        )
        text.write_csv(tmp_path / "SPY.csv")

        assert fetch(archive(tmp_path, "{symbol}.parquet", timezone="America/New_York")).equals(
            candles()
        )
        assert fetch(archive(tmp_path, "{symbol}.csv", timezone="America/New_York")).equals(
            candles()
        )

    def test_stamps_without_a_zone_are_in_the_zone_of_the_settings(self, tmp_path):
        local = candles().with_columns(pl.col("ts") - timedelta(hours=5))
        local.write_csv(tmp_path / "SPY.csv")

        assert fetch(archive(tmp_path, "{symbol}.csv", timezone="America/New_York")).equals(
            candles()
        )

    @pytest.mark.parametrize(
        ("written", "format_"),
        [
            ("%d/%m/%Y %H.%M", "%d/%m/%Y %H.%M"),
            ("%Y%m%d %H%M%S", "%Y%m%d %H%M%S"),
            ("%Y.%m.%d %H:%M", None),
            ("%Y-%m-%d %H:%M", None),
        ],
    )
    def test_text_is_read_by_its_format(self, tmp_path, written, format_):
        candles().with_columns(pl.col("ts").dt.strftime(written)).write_csv(tmp_path / "SPY.csv")

        assert fetch(archive(tmp_path, "{symbol}.csv", format=format_)).equals(candles())

    def test_dates_as_numbers_are_read_by_their_format(self, tmp_path):
        daily = candles(5, datetime(2024, 1, 2, tzinfo=UTC), timedelta(days=1))
        daily.with_columns(pl.col("ts").dt.strftime("%Y%m%d").cast(pl.Int64)).write_parquet(
            tmp_path / "SPY.parquet"
        )

        assert fetch(
            archive(tmp_path, "{symbol}.parquet", format="%Y%m%d"), timeframe=Timeframe.D1
        ).equals(daily)


class TestTrouble:
    def test_a_stamp_that_is_no_time_is_an_error(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            "ts,open,high,low,close,volume\nyesterday,1,2,0.5,1.5,3\n"
        )

        with pytest.raises(SourceError, match=r"SPY\.csv cannot be read"):
            fetch(archive(tmp_path, "{symbol}.csv"))


class TestNumbersAndStampsAsTheyAreWritten:
    @pytest.mark.parametrize(
        "stamp", ["1717200000.0", "1.7172E+12", " 1717200000 ", "1717200000000", "20240601000000"]
    )
    def test_a_count_is_read_however_it_is_written(self, tmp_path, stamp):
        (tmp_path / "SPY.csv").write_text(HEAD + f"{stamp},1,2,0.5,1.5,3\n")

        assert fetch(archive(tmp_path, "{symbol}.csv"))["ts"].to_list() == [datetime(2024, 6, 1)]

    def test_a_date_of_eight_digits_is_no_count_of_seconds(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(HEAD + "20240311,1,2,0.5,1.5,3\n")

        assert fetch(archive(tmp_path, "{symbol}.csv"), timeframe=Timeframe.D1)["ts"].to_list() == [
            MARCH_11
        ]

    def test_nor_in_a_parquet_file(self, tmp_path):
        frame = pl.DataFrame({"ts": [20240311, 20240312]}).with_columns(
            pl.lit(1.5).alias(name) for name in ("open", "high", "low", "close", "volume")
        )
        frame.write_parquet(tmp_path / "SPY.parquet")

        assert (
            fetch(archive(tmp_path, "{symbol}.parquet"), timeframe=Timeframe.D1)["ts"][0]
            == MARCH_11
        )


class TestDatesThatCanBeReadTwoWays:
    def test_they_want_a_format(self, ground):
        write(
            ground, "A.csv", HEAD + "".join(line(f"01/{day:02}/2024", day) for day in range(2, 13))
        )
        keep(ground, "{symbol}.csv", timeframe="1d", start="2024-01-01", end="2024-12-31")

        outcomes = ground.fill()

        assert not closes(ground)
        assert "set format to %d/%m/%Y" in words(outcomes)

    @pytest.mark.parametrize(
        ("format_", "first", "second"),
        [
            ("%m/%d/%Y", datetime(2024, 1, 2), datetime(2024, 1, 3)),
            ("%d/%m/%Y", datetime(2024, 2, 1), datetime(2024, 3, 1)),
        ],
    )
    def test_with_one_they_are_read_by_it(self, ground, format_, first, second):
        write(ground, "A.csv", HEAD + line("01/02/2024", 11) + line("01/03/2024", 12))
        keep(
            ground,
            "{symbol}.csv",
            timeframe="1d",
            start="2024-01-01",
            end="2024-12-31",
            format=format_,
        )

        ground.fill()

        assert closes(ground) == {first: 11.0, second: 12.0}

    def test_a_date_of_the_same_file_may_say_it(self, ground):
        write(
            ground, "A.csv", HEAD + "".join(line(f"01/{day:02}/2024", day) for day in range(2, 15))
        )
        keep(ground, "{symbol}.csv", timeframe="1d", start="2024-01-01", end="2024-12-31")

        ground.fill()

        assert closes(ground) == {datetime(2024, 1, day): float(day) for day in range(2, 15)}
