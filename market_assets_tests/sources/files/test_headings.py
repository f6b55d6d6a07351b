"""Which column of a file is which."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from market_assets.errors import SourceError
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets_tests.support.archives import archive, candles, fetch
from market_assets_tests.support.file_fills import keep, words, write

if TYPE_CHECKING:
    from market_assets_tests.support.fill_ground import Ground

NEW_YORK = ZoneInfo("America/New_York")


class TestLayouts:
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


class TestTrouble:
    def test_a_column_that_is_not_there_is_named_with_those_that_are(self, tmp_path):
        candles().rename({"close": "Close"}).write_csv(tmp_path / "SPY.csv")

        with pytest.raises(
            SourceError,
            match=r"has no column 'close' for close; it has ts, open, high, low, Close, volume",
        ):
            fetch(archive(tmp_path, "{symbol}.csv"))


class TestClockInTheHeader:
    TEXT = "Time ({}),Open,High,Low,Close,Volume\n2024.03.11 02:00:00,1,2,0.5,1.5,3\n"

    def read(self, folder, zone, **settings):
        (folder / "SPY.csv").write_text(self.TEXT.format(zone))
        names = {"ts": f"Time ({zone})"} | {
            name: name.capitalize() for name in ("open", "high", "low", "close")
        }
        return fetch(archive(folder, "{symbol}.csv", columns=names, **settings))["ts"].to_list()

    @pytest.mark.parametrize("zone", ["EET", "GMT+2", "Europe/Athens"])
    def test_one_that_nobody_has_said_is_asked_for(self, tmp_path, zone):
        with pytest.raises(
            SourceError, match=rf"set timezone: {zone}, or timezone: UTC".replace("+", r"\+")
        ):
            self.read(tmp_path, zone)

    @pytest.mark.parametrize(("zone", "hour"), [("EET", 0), ("UTC", 2)])
    def test_what_is_set_is_taken_at_its_word(self, tmp_path, zone, hour):
        assert self.read(tmp_path, "EET", timezone=zone) == [datetime(2024, 3, 11, hour)]

    @pytest.mark.parametrize("zone", ["UTC", "GMT", "UTC+0", "ms", "local"])
    def test_utc_and_what_is_no_clock_is_none_to_ask_for(self, tmp_path, zone):
        assert self.read(tmp_path, zone) == [datetime(2024, 3, 11, 2)]


class TestABrokersClock:
    HEAD = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"

    def write(self, ground: Ground, **settings: str) -> None:
        first = datetime(2025, 1, 12, 22, tzinfo=UTC)
        instants = [first + n * timedelta(minutes=15) for n in range(12 * 96)]
        walls = [
            at.astimezone(NEW_YORK).replace(tzinfo=None) + timedelta(hours=7) for at in instants
        ]
        rows = [
            f"{wall:%Y.%m.%d}\t{wall:%H:%M:%S}\t10\t11\t9\t10\t5\t0\t1\n"
            for wall in walls
            if wall.weekday() < 5
        ]
        write(ground, "A.csv", self.HEAD + "".join(rows))
        keep(
            ground,
            "{symbol}.csv",
            kind="FOREX",
            calendar="FOREX",
            timeframe="15m",
            start="2025-01-13",
            end="2025-01-25",
            layout="mt5",
            **settings,
        )

    def test_it_is_named_where_nobody_has_said_it(self, ground):
        self.write(ground)

        outcomes = ground.fill()

        assert ground.rows().is_empty()
        assert 'Set `clock: "New York + 7h"`, or `timezone: UTC`' in words(outcomes)

    @pytest.mark.parametrize(
        ("settings", "first"),
        [
            ({"clock": "New York + 7h"}, datetime(2025, 1, 12, 22)),
            ({"timezone": "UTC"}, datetime(2025, 1, 13)),
        ],
    )
    def test_what_is_set_is_taken_at_its_word(self, ground, settings, first):
        self.write(ground, **settings)

        ground.fill()

        stored = ground.rows()["ts"]
        assert stored.min() == max(first, datetime(2025, 1, 13))
        assert (stored == datetime(2025, 1, 24, 21, 45)).any()
