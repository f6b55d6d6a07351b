"""Candles from files: every format, zone, unit and layout that the settings promise.

Files that are not what they say are covered too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import math
import os
import struct
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from market_assets.errors import SourceError
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA, build_source
from market_assets.sources.files.archive import ArchiveSource
from market_assets.sources.files.settings import ArchiveSettings

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)


def candles(count: int = 5, start: datetime = START, step: timedelta = MINUTE) -> pl.DataFrame:
    rows = [
        (
            (start + step * place).replace(tzinfo=None),
            1.1 + place,
            2.2 + place,
            0.3 + place,
            1.7 + place,
            10.0 * place,
        )
        for place in range(count)
    ]
    return pl.DataFrame(rows, schema=CANDLE_SCHEMA, orient="row")


def archive(base: Path, path: str, *, kind: str = "equity", **more: object) -> ArchiveSource:
    return ArchiveSource(
        "files", ArchiveSettings.model_validate({"path": path} | more), base=base, kind=kind
    )


def fetch(
    source: ArchiveSource,
    symbol: str = "SPY",
    timeframe: Timeframe = Timeframe.M1,
    start: datetime = LONG_AGO,
    end: datetime = FAR_AHEAD,
) -> pl.DataFrame:
    async def within() -> pl.DataFrame:
        async with source:
            return await source.fetch(symbol, timeframe, start, end)

    return asyncio.run(within())


class TestFormats:
    def test_parquet_is_read_bit_for_bit(self, tmp_path):
        whole = candles(1000)
        whole.write_parquet(tmp_path / "SPY__1m.parquet", row_group_size=100)

        assert fetch(archive(tmp_path, "{symbol}__{timeframe}.parquet")).equals(whole)

    def test_only_the_window_is_given(self, tmp_path):
        whole = candles(1000)
        whole.write_parquet(tmp_path / "SPY.parquet")
        window = (START + 10 * MINUTE, START + 20 * MINUTE)

        assert fetch(archive(tmp_path, "{symbol}.parquet"), start=window[0], end=window[1]).equals(
            whole[10:20]
        )

    @pytest.mark.parametrize("suffix", ["csv", "csv.gz", "zip"])
    def test_csv_is_read_plain_gzipped_and_zipped(self, tmp_path, suffix):
        text = candles().write_csv().encode()
        path = tmp_path / f"SPY.{suffix}"
        if suffix == "zip":
            with zipfile.ZipFile(path, "w") as pack:
                pack.writestr("readme.txt", "not this")
                pack.writestr("SPY.csv", text)
        else:
            path.write_bytes(gzip.compress(text) if suffix == "csv.gz" else text)

        assert fetch(archive(tmp_path, "{symbol}." + suffix)).equals(candles())

    def test_binances_own_zip_is_read_without_header_and_across_its_change_of_unit(self, tmp_path):
        before = (
            "1735689540000,93500.1,93510.0,93490.5,93500.2,12.5,"
            "1735689599999,1168752.5,100,6.0,561001.2,0\n"
        )
        after = (
            "1735689600000000,93500.2,93511.0,93499.0,93505.5,3.25,"
            "1735689659999999,303892.9,80,1.5,140258.2,0\n"
        )
        for day, text in (("2024-12-31", before), ("2025-01-01", after)):
            with zipfile.ZipFile(tmp_path / f"BTCUSDT-1m-{day}.zip", "w") as pack:
                pack.writestr(f"BTCUSDT-1m-{day}.csv", text)

        frame = fetch(archive(tmp_path, "{symbol}-{timeframe}-{date}.zip", header=False), "BTCUSDT")

        # A frame's times have no zone.
        assert frame["ts"].to_list() == [
            datetime(2024, 12, 31, 23, 59),  # noqa: DTZ001
            datetime(2025, 1, 1),  # noqa: DTZ001
        ]
        assert frame["close"].to_list() == [93500.2, 93505.5]
        assert frame["volume"].to_list() == [12.5, 3.25]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(
        st.lists(
            st.one_of(
                st.decimals(-(10**9), 10**9, places=8).map(str),
                st.floats(allow_nan=False).map(repr),
            ),
            min_size=4,
            max_size=4,
        )
    )
    def test_every_number_of_a_csv_is_the_double_nearest_to_its_text(self, tmp_path, texts):
        (tmp_path / "SPY.csv").write_text(
            "ts,open,high,low,close\n1704205800," + ",".join(texts) + "\n"
        )
        row = fetch(archive(tmp_path, "{symbol}.csv")).row(0)

        assert [struct.pack("d", number) for number in row[1:5]] == [
            struct.pack("d", float(text)) for text in texts
        ]

    def test_cells_that_are_no_numbers_are_null_and_cost_nothing_else(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            "ts,open,high,low,close,volume\n1704205800,abc,2,,NaN,\n1704205860,1,2,0.5,1.5,3\n"
        )
        first, second = fetch(archive(tmp_path, "{symbol}.csv")).rows()

        assert first[1:4] == (None, 2.0, None)
        assert math.isnan(first[4])
        assert first[5] is None
        assert second[1:] == (1.0, 2.0, 0.5, 1.5, 3.0)


class TestLayouts:
    def test_a_day_a_file_makes_one_archive(self, tmp_path):
        days = [candles(3, START + timedelta(days=day)) for day in range(4)]
        (tmp_path / "SPY").mkdir()
        for day in days:
            day.write_parquet(tmp_path / "SPY" / f"{day['ts'][0]:%Y-%m-%d}.parquet")

        source = archive(tmp_path, "{symbol}/{date}.parquet")

        assert fetch(source).equals(pl.concat(days))
        assert fetch(source, start=START + timedelta(days=2), end=START + timedelta(days=3)).equals(
            days[2]
        )

    def test_only_files_that_hold_the_window_are_opened(self, tmp_path):
        good, other = candles(3), candles(3, START + timedelta(days=30))
        good.write_csv(tmp_path / "SPY-a.csv")
        other.write_csv(tmp_path / "SPY-b.csv")
        source = archive(tmp_path, "{symbol}-*.csv")
        assert source.answers_for("SPY", Timeframe.M1) is not None
        stat = (tmp_path / "SPY-b.csv").stat()
        (tmp_path / "SPY-b.csv").write_bytes(b"\xff" * stat.st_size)
        os.utime(tmp_path / "SPY-b.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        source._table.cache_clear()

        assert fetch(source, end=START + timedelta(days=1)).equals(good)

    def test_a_file_that_changes_is_read_again(self, tmp_path):
        path = tmp_path / "SPY.csv"
        candles(3).write_csv(path)
        source = archive(tmp_path, "{symbol}.csv")
        assert fetch(source).height == 3

        candles(7).write_csv(path)

        assert fetch(source).height == 7
        assert source.answers_for("SPY", Timeframe.M1) == Window(
            START.replace(minute=0), START.replace(hour=15, minute=0)
        )

    def test_columns_are_taken_by_the_name_or_the_place_they_have(self, tmp_path):
        renamed = candles().select(Vol="volume", C="close", L="low", H="high", O="open", Date="ts")
        renamed.write_csv(tmp_path / "SPY.csv")
        names = {"ts": "Date", "open": "O", "high": 3, "low": 2, "close": "C", "volume": "Vol"}

        assert fetch(archive(tmp_path, "{symbol}.csv", columns=names)).equals(candles())

    def test_a_file_without_volume_has_null_volume(self, tmp_path):
        candles().drop("volume").write_parquet(tmp_path / "EURUSD.parquet")

        frame = fetch(archive(tmp_path, "{symbol}.parquet"), "EURUSD")

        assert frame.schema == CANDLE_SCHEMA
        assert frame["volume"].to_list() == [None] * 5

    def test_a_file_of_many_symbols_gives_the_one_asked_for(self, tmp_path):
        spy, qqq = candles(), candles().with_columns(pl.col("close") + 1000)
        panel = pl.concat(
            [spy.with_columns(ticker=pl.lit("SPY")), qqq.with_columns(ticker=pl.lit("QQQ"))]
        ).sort("ts")
        panel.write_csv(tmp_path / "panel.csv")
        panel.write_parquet(tmp_path / "panel.parquet")
        for suffix in ("csv", "parquet"):
            source = archive(tmp_path, f"panel.{suffix}", columns={"symbol": "ticker"})

            assert fetch(source, "SPY").equals(spy)
            assert fetch(source, "QQQ").equals(qqq)
            with pytest.raises(SourceError, match="near it are QQQ") as caught:
                fetch(source, "QQQQ")
            assert caught.value.permanent

    def test_a_symbol_with_the_signs_of_a_pattern_in_it_is_meant_literally(self, tmp_path):
        candles().write_parquet(tmp_path / "BTC[1]*.parquet")
        candles(2).write_parquet(tmp_path / "BTC1x.parquet")

        assert fetch(archive(tmp_path, "{symbol}.parquet"), "BTC[1]*").height == 5

    def test_the_profiles_kind_stands_in_the_path(self, tmp_path):
        (tmp_path / "futures").mkdir()
        candles().write_parquet(tmp_path / "futures" / "ES__1m.parquet")

        source = build_source(
            "archive",
            {"path": "{profile}/{symbol}__{timeframe}.parquet"},
            base=tmp_path,
            kind="futures",
        )

        assert fetch(source, "ES").height == 5


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

    def test_the_hour_that_comes_twice_is_read_twice(self, tmp_path):
        whole = candles(180, datetime(2024, 11, 3, 5, tzinfo=UTC))
        local = whole.with_columns(
            pl.col("ts")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("America/New_York")
            .dt.replace_time_zone(None)
        )
        assert local["ts"].n_unique() == 120
        local.write_parquet(tmp_path / "SPY.parquet")

        assert fetch(archive(tmp_path, "{symbol}.parquet", timezone="America/New_York")).equals(
            whole
        )

    def test_an_hour_that_the_zone_does_not_have_is_an_error(self, tmp_path):
        candles(1, datetime(2024, 3, 10, 2, 30, tzinfo=UTC)).write_parquet(tmp_path / "SPY.parquet")

        with pytest.raises(SourceError, match=r"SPY\.parquet cannot be read: .*non-existent"):
            fetch(archive(tmp_path, "{symbol}.parquet", timezone="America/New_York"))

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


class TestWhatAnArchiveSpeaksFor:
    def test_it_is_the_hours_from_the_first_row_to_the_last(self, tmp_path):
        candles(5).write_parquet(tmp_path / "SPY-1.parquet")
        candles(5, START + timedelta(days=3)).write_parquet(tmp_path / "SPY-2.parquet")

        window = archive(tmp_path, "{symbol}-*.parquet").answers_for("SPY", Timeframe.M1)

        assert window == Window(
            START.replace(minute=0), START.replace(minute=0) + timedelta(days=3, hours=1)
        )

    def test_of_a_file_without_rows_it_is_nothing(self, tmp_path):
        candles(0).write_parquet(tmp_path / "SPY.parquet")
        source = archive(tmp_path, "{symbol}.parquet")

        assert source.answers_for("SPY", Timeframe.M1).empty
        assert fetch(source).equals(CANDLE_SCHEMA.to_frame())

    @pytest.mark.parametrize(("quiet_minutes", "emits"), [("present", True), ("omitted", False)])
    def test_whether_quiet_minutes_are_there_is_a_setting(self, tmp_path, quiet_minutes, emits):
        assert (
            archive(tmp_path, "{symbol}.csv", quiet_minutes=quiet_minutes).traits.emits_empty_bars
            == emits
        )

    def test_it_knows_no_first_bar(self, tmp_path):
        assert asyncio.run(archive(tmp_path, "{symbol}.csv").earliest("SPY", Timeframe.M1)) is None


class TestTrouble:
    def test_no_file_for_the_symbol_names_the_pattern_and_what_is_near(self, tmp_path):
        for name in ("SPY__1m", "SPX__1m", "AAPL__1m"):
            candles().write_parquet(tmp_path / f"{name}.parquet")
        source = archive(tmp_path, "{symbol}__{timeframe}.parquet")

        for ask in (
            lambda: fetch(source, "SPYY"),
            lambda: source.answers_for("SPYY", Timeframe.M1),
        ):
            with pytest.raises(SourceError) as caught:
                ask()
            assert caught.value.permanent
            assert "SPYY 1m: no file matches {symbol}__{timeframe}.parquet in" in str(caught.value)
            assert "near it are SPY__1m.parquet" in str(caught.value)

    def test_no_folder_is_no_file(self, tmp_path):
        with pytest.raises(SourceError, match="no file matches"):
            fetch(archive(tmp_path, "nowhere/{symbol}.csv"))

    @pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz", "zip"])
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff\xfe\x00garbage" * 20,
            b"PK\x03\x04 not a zip",
            gzip.compress(b"a,b\n" * 9999)[:-30],
        ],
        ids=["empty", "garbage", "not a zip", "cut gzip"],
    )
    def test_a_file_that_is_not_what_its_name_says_is_an_error_that_names_it(
        self, tmp_path, suffix, content
    ):
        (tmp_path / f"SPY.{suffix}").write_bytes(content)

        with pytest.raises(
            SourceError, match=f"SPY.{suffix} (cannot be read|has no column)"
        ) as caught:
            fetch(archive(tmp_path, "{symbol}." + suffix))

        assert caught.value.permanent

    @pytest.mark.parametrize("cut", [0.3, 0.9])
    def test_a_parquet_file_that_was_cut_off_is_an_error(self, tmp_path, cut):
        path = tmp_path / "SPY.parquet"
        candles(5000).write_parquet(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * cut)])

        with pytest.raises(SourceError, match=r"SPY\.parquet cannot be read"):
            fetch(archive(tmp_path, "{symbol}.parquet"))

    def test_a_parquet_file_with_bytes_changed_is_an_error_or_a_frame(self, tmp_path):
        path = tmp_path / "SPY.parquet"
        candles(5000).write_parquet(path, compression="zstd")
        content = path.read_bytes()
        for place in range(4, len(content) - 4, len(content) // 40):
            path.write_bytes(
                content[:place]
                + bytes(255 - byte for byte in content[place : place + 3])
                + content[place + 3 :]
            )
            with contextlib.suppress(SourceError):
                assert fetch(archive(tmp_path, "{symbol}.parquet")).schema == CANDLE_SCHEMA

    def test_a_zip_without_a_csv_is_an_error(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "SPY.zip", "w") as pack:
            pack.writestr("readme.txt", "nothing here")

        with pytest.raises(SourceError, match=r"there is no \.csv in it"):
            fetch(archive(tmp_path, "{symbol}.zip"))

    def test_a_column_that_is_not_there_is_named_with_those_that_are(self, tmp_path):
        candles().rename({"close": "Close"}).write_csv(tmp_path / "SPY.csv")

        with pytest.raises(
            SourceError,
            match=r"has no column 'close' for close; it has ts, open, high, low, Close, volume",
        ):
            fetch(archive(tmp_path, "{symbol}.csv"))

    def test_a_stamp_that_is_no_time_is_an_error(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            "ts,open,high,low,close,volume\nyesterday,1,2,0.5,1.5,3\n"
        )

        with pytest.raises(SourceError, match=r"SPY\.csv cannot be read"):
            fetch(archive(tmp_path, "{symbol}.csv"))

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"path": "{ticker}.csv"}, "ticker cannot stand in braces"),
            ({"path": "{symbol}.xlsx"}, "must end in"),
            ({"path": "all.csv"}, "name the column that holds it"),
            ({"path": "{symbol}.csv", "timezone": "Mars/Olympus"}, "no time zone"),
            (
                {"path": "{symbol}.csv", "header": False, "columns": {"ts": "Date"}},
                "given by place",
            ),
            ({"path": "{symbol}.csv", "columns": {"wap": "w"}}, "columns"),
            ({"path": "{symbol}.csv", "columns": {"ts": -1}}, "columns"),
            ({"path": "{symbol}.csv", "quiet_minutes": "maybe"}, "quiet_minutes"),
            ({}, "path"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, wrong, words):
        with pytest.raises(ValidationError, match=words):
            ArchiveSettings.model_validate(wrong)


class TestRealFiles:
    def test_every_file_of_the_real_universe_is_read_bit_for_bit(self, shared):
        universe = yaml.safe_load((shared / "universe.real.yaml").read_text())
        read = 0
        for profile in universe["profiles"].values():
            kind = profile["kind"].lower()
            for symbol in profile["symbols"].values():
                for named in symbol["sources"]:
                    ((name, own_name),) = named.items()
                    for text in profile["timeframes"]["fetch"]:
                        source = build_source(
                            name, universe["sources"][name], base=shared, kind=kind
                        )
                        whole = pl.read_parquet(
                            shared / "data" / kind / f"{own_name}__{text}.parquet"
                        )

                        frame = fetch(source, own_name, Timeframe(text))

                        assert frame.equals(whole.select(CANDLE_SCHEMA.names()))
                        assert source.traits.emits_empty_bars == (name == "archive")
                        window = source.answers_for(own_name, Timeframe(text))
                        assert whole.filter(window.holds()).height == whole.height
                        read += 1
        assert read == 15

    def test_a_real_file_of_many_symbols_gives_each_of_them(self, shared):
        whole = pl.read_parquet(shared / "data" / "equity" / "yahoo__PANEL20__1m.parquet")
        source = archive(
            shared, "data/equity/yahoo__PANEL20__1m.parquet", columns={"symbol": "symbol"}
        )

        for (symbol,), rows in whole.group_by("symbol"):
            assert fetch(source, str(symbol)).equals(rows.select(CANDLE_SCHEMA.names()))

    def test_a_real_year_of_minutes_as_gzipped_csv_is_the_same_as_parquet(self, shared, tmp_path):
        path = shared / "data" / "equity" / "admf-spy__SPY__1m.parquet"
        whole = pl.read_parquet(path).select(CANDLE_SCHEMA.names())
        (tmp_path / "SPY.csv.gz").write_bytes(gzip.compress(whole.write_csv().encode(), 1))

        assert whole.schema["ts"] == TS
        assert fetch(archive(tmp_path, "{symbol}.csv.gz")).equals(whole)
