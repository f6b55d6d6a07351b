"""What local files are evidence of: what is in them, and no more.

They are evidence once, however often they are read.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from market_assets.market.timeframes import Window
from market_assets_tests.support.fill_ground import asked, at, candles, counts, every, plain

if TYPE_CHECKING:
    from datetime import datetime

HOUR = timedelta(hours=1)
START, END = at("2025-02-26T00:00"), at("2025-03-01T00:00")
HOURS = every(HOUR, START, END)


def write_days(
    ground: Any, opens: list[datetime], name: str = "{symbol}-{date}.csv", **settings: object
) -> None:
    """Write a file a day of BTC, and a source that reads them."""
    for day in sorted({ts.date() for ts in opens}):
        frame = candles([ts for ts in opens if ts.date() == day])
        path = ground.folder / name.format(symbol="BTC", date=f"{day}")
        path.parent.mkdir(exist_ok=True)
        frame.write_csv(path)
    ground.add_source("files", type="archive", path=name, **settings)


def write_numbers(ground: Any, first: int, length: str) -> None:
    """Write a file of BTC whose times are three numbers that follow each other."""
    rows = [f"{first + day},100,102,98,101,10" for day in range(3)]
    (ground.folder / "BTC.csv").write_text("\n".join(["ts,open,high,low,close,volume", *rows]))
    ground.add_source("files", type="archive", path="{symbol}.csv")
    ground.keep(f"symbols: {{BTC: {{}}}}\ntimeframes: {{fetch: [{length}]}}")


def fill(ground: Any, times: int = 3) -> list[Any]:
    for _ in range(times):
        outcomes = ground.fill()
        ground.wait(hours=2)
    return outcomes


def reasons(ground: Any) -> dict[str, int]:
    """How many bars are missing, by why."""
    return dict(ground.gaps().group_by("reason").agg(pl.sum("bars")).rows())


class TestHowFarFilesReach:
    def test_a_day_of_which_the_file_is_absent_is_not_spoken_for_by_the_files_around_it(
        self, empty_ground
    ):
        """Each way to name the files, and to treat quiet minutes, is a source with its symbol."""
        ground = empty_ground
        frames = {day: candles([ts for ts in HOURS if ts.day == day]) for day in (26, 28)}
        symbols = {}
        for number, name in enumerate(
            ["{symbol}-{date}.csv", "{date}_{symbol}.csv", "{date}/{symbol}.csv"]
        ):
            for quiet in ("present", "omitted"):
                symbol, source = f"S{number}{quiet}", f"files{number}_{quiet}"
                for day, frame in frames.items():
                    path = (
                        ground.folder / source / name.format(symbol=symbol, date=f"2025-02-{day}")
                    )
                    path.parent.mkdir(parents=True, exist_ok=True)
                    frame.write_csv(path)
                ground.add_source(
                    source, type="archive", path=f"{source}/{name}", quiet_minutes=quiet
                )
                symbols[symbol] = {"sources": [source]}
        ground.keep(f"symbols: {json.dumps(symbols)}\nevidence: {{quiet_limit: 2d}}")

        outcomes = fill(ground)

        gaps = ground.gaps()
        assert set(gaps["status"]) == {"open"}
        for symbol in symbols:
            assert [counts(outcome)[symbol].missing for outcome in outcomes] == [0, 24, 0]
            told = gaps.filter(symbol=symbol).group_by("reason").agg(pl.sum("bars")).rows()
            assert told == [("no source reaches this far", 24)]

    @pytest.mark.parametrize("name", ["{symbol}-{date}.csv", "{date}/{symbol}.csv"])
    def test_a_quiet_evening_between_two_days_is_spoken_for(self, empty_ground, name):
        ground = empty_ground
        # Two trades a day.
        write_days(
            ground, [ts for ts in HOURS if ts.hour in {9, 15}], name, quiet_minutes="omitted"
        )
        ground.keep("symbols: {BTC: {}}\nevidence: {quiet_limit: 2d}")

        ground.fill()

        # Before the first trade of all and after the last nobody knows.
        missing = ground.gaps().select(first="first_ts", bars="bars").rows()
        assert missing == [
            (START.replace(tzinfo=None), 9),
            (at("2025-02-28T16:00").replace(tzinfo=None), 8),
        ]

    ODD = (
        "0,0,0,0,0,0",
        "1970-01-01 00:00:00,0,0,0,0,0",
        "2042-06-01 00:00:00,100,102,98,101,10",
        "1970-01-01 00:00:00,100,102,98,101,10",
        "1975-06-01 00:00:00",
        "2042-",
        "2025-02-28 2",
        "",
    )

    @pytest.mark.parametrize("place", ["first", "last"])
    def test_a_row_whose_time_cannot_be_does_not_make_a_file_reach_further(
        self, empty_ground, place
    ):
        """Each odd row stands in the file of a symbol of its own."""
        ground = empty_ground
        header, *rows = candles(HOURS[6:36]).write_csv().splitlines()
        symbols = [f"S{number}" for number in range(len(self.ODD))]
        for symbol, odd in zip(symbols, self.ODD, strict=True):
            lines = [header, odd, *rows] if place == "first" else [header, *rows, odd]
            (ground.folder / f"{symbol}.csv").write_text("\n".join(lines))
        ground.add_source("files", type="archive", path="{symbol}.csv")
        ground.keep(f"symbols: {plain(symbols)}")

        outcomes = fill(ground)

        gaps = ground.gaps()
        assert set(gaps["status"]) == {"open"}
        assert set(gaps["symbol"]) == set(symbols)
        for symbol in symbols:
            told = gaps.filter(symbol=symbol).group_by("reason").agg(pl.sum("bars")).rows()
            # A line that cannot be read may cost its file, but it explains nothing either.
            if not any("cannot be read" in reason for reason, _ in told):
                assert [counts(outcome)[symbol].missing for outcome in outcomes] == [6, 12, 24]
                assert told == [("no source reaches this far", 42)]

    def test_a_source_behind_the_files_is_asked_for_the_day_that_they_lack(
        self, empty_ground, vendor
    ):
        ground = empty_ground
        write_days(ground, [ts for ts in HOURS if ts.day != 27], quiet_minutes="omitted")
        ground.add_vendor("vendor", vendor)
        ground.keep("symbols: {BTC: {}}\nevidence: {quiet_limit: 2d}")

        outcomes = ground.fill()

        assert asked(vendor) == [Window(at("2025-02-27T00:00"), at("2025-02-28T00:00"))]
        assert [outcome.sources for outcome in outcomes] == [
            {"files": 24},
            {"vendor": 24},
            {"files": 24},
        ]

    def test_numbers_that_are_no_times_are_said_to_be_that(self, empty_ground):
        ground = empty_ground
        write_numbers(ground, 5_250_226, "1h")

        ground.fill()

        (reason,) = reasons(ground)
        assert "BTC.csv: 3 rows have times from 1970-03-02" in reason
        assert "under `format`" in reason

    def test_dates_that_are_written_as_numbers_are_dates(self, empty_ground):
        ground = empty_ground
        write_numbers(ground, 20_250_226, "1d")

        ground.fill()

        assert ground.complete()
        assert ground.gaps().is_empty()


class TestWitnesses:
    @pytest.fixture
    def holed(self, empty_ground):
        empty_ground.add_archive("files", {"BTC": candles([ts for ts in HOURS if ts.hour != 5])})
        empty_ground.keep("symbols: {BTC: {}}")
        return empty_ground

    def test_a_file_that_does_not_change_is_one_witness_however_often_it_is_read_or_touched(
        self, holed
    ):
        for _ in range(3):
            fill(holed, times=1)
            os.utime(holed.folder / "files" / "BTC.parquet")
        assert set(holed.gaps()["status"]) == {"open"}
        assert set(holed.table("SELECT confirmations FROM ops.gaps").to_series()) == {1}

    def test_it_is_given_up_in_the_end_with_words_and_by_hand_asked_again(self, holed):
        fill(holed, times=5)
        (reason,) = reasons(holed)
        assert (
            reason
            == "attempts: asked 5 times, of files that have not changed; files answered without it"
        )
        assert set(holed.gaps()["status"]) == {"abandoned"}
        holed.fill(only_due=True)
        assert holed.requests() == 0

        holed.add_archive("files", {"BTC": candles(HOURS)})
        holed.fill()

        assert holed.complete()
        assert holed.gaps().is_empty()

    def test_a_file_that_was_replaced_is_another_witness(self, holed):
        fill(holed, times=2)
        revised = candles([ts for ts in HOURS if ts.hour != 5]).with_columns(pl.col("volume") + 1)
        holed.add_archive("files", {"BTC": revised})
        fill(holed, times=1)
        assert set(holed.gaps()["status"]) == {"outage"}

    def test_two_files_are_two_witnesses(self, holed):
        other = candles([ts for ts in HOURS if ts.hour != 5]).with_columns(pl.col("volume") + 1)
        holed.add_archive("other", {"BTC": other})
        holed.keep("symbols: {BTC: {}}\nsources: [files, other]")
        fill(holed, times=1)
        assert set(holed.gaps()["status"]) == {"open"}
        fill(holed, times=1)
        assert set(holed.gaps()["status"]) == {"outage"}

    def test_two_copies_of_a_file_are_one(self, holed):
        holed.add_archive("other", {"BTC": candles([ts for ts in HOURS if ts.hour != 5])})
        holed.keep("symbols: {BTC: {}}\nsources: [files, other]")
        fill(holed, times=3)
        assert set(holed.gaps()["status"]) == {"open"}

    def test_a_vendor_beside_a_file_is_a_new_witness_each_time(self, holed, vendor):
        vendor.set_faults([])
        holed.add_vendor("vendor", vendor)
        holed.keep("symbols: {BTC: {}}\nsources: [files, vendor]")
        holed.fill()
        assert holed.complete()


class TestBrokenFiles:
    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_a_day_that_is_lost_has_no_witness_and_the_days_around_it_have_one_each(
        self, empty_ground, kind
    ):
        ground = empty_ground
        for day in sorted({ts.date() for ts in HOURS}):
            frame = candles([ts for ts in HOURS if ts.date() == day and ts.hour != 5])
            path = ground.folder / f"BTC-{day}.{kind}"
            if kind == "csv":
                frame.write_csv(path)
            else:
                frame.write_parquet(path)
            if day.day == 27:
                path.write_bytes(path.read_bytes()[:20])
        ground.add_source("files", type="archive", path=f"{{symbol}}-{{date}}.{kind}")
        ground.keep("symbols: {BTC: {}}")

        fill(ground)

        ledger = ground.table(
            "SELECT first_ts, bars, confirmations, status, reason FROM ops.gaps ORDER BY first_ts"
        )
        told = [(ts.day, bars, seen, status) for ts, bars, seen, status, _ in ledger.rows()]
        assert told == [(26, 1, 1, "open"), (27, 24, 0, "open"), (28, 1, 1, "open")]
        assert f"BTC-2025-02-27.{kind}" in ledger["reason"][1]
        assert "BTC-2025-02-27" not in ledger["reason"][0] + ledger["reason"][2]
        assert (
            ground.table(
                """
                SELECT count(*)
                FROM ops.coverage
                WHERE start_ts < '2025-02-28' AND end_ts > '2025-02-27'
                """
            ).item()
            == 0
        )
