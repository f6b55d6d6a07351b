"""Whether the stamps of a file fit the sessions of its market, as a fill brings them in."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.file_fills import HEAD, closes, keep, line, words, write

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
NEW_YORK = ZoneInfo("America/New_York")


class TestWhoseDay:
    STAMPS: ClassVar[dict[str, tuple[str, date]]] = {
        "A": ("{:%Y-%m-%d} 00:00:00+09:00", date(2024, 3, 8)),
        "B": ("{:%Y-%m-%d}T00:00:00+01:00", date(2024, 6, 1)),
        "C": ("{:%Y-%m-%d}T00:00:00-05:00", date(2024, 3, 8)),
        "D": ("{:%Y-%m-%d} 00:00:00 Asia/Tokyo", date(2024, 3, 8)),
        "E": ("{:%Y-%m-%d}T00:00:00Z", date(2024, 3, 8)),
    }

    @pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
    def test_a_day_is_the_date_that_its_stamps_own_zone_names(self, ground, timezone):
        symbols = {}
        for symbol, (stamp, day) in self.STAMPS.items():
            rows = [line(stamp.format(day + n * DAY), 10 + n) for n in range(3)]
            write(ground, f"{symbol}.csv", HEAD + "".join(rows))
            symbols[symbol] = {"start": str(day), "end": str(day + 3 * DAY)}
        keep(
            ground,
            "{symbol}.csv",
            timeframe="1d",
            start="2024-03-08",
            end="2024-06-04",
            symbols=json.dumps(symbols),
            timezone=timezone,
        )

        ground.fill()

        for symbol, (_, day) in self.STAMPS.items():
            assert closes(ground, symbol) == {
                datetime.combine(day + n * DAY, datetime.min.time()): 10.0 + n for n in range(3)
            }

    def test_so_is_one_of_a_column_with_a_zone(self, ground):
        stamps = pl.Series([datetime(2024, 3, 8), datetime(2024, 3, 9)]).dt.replace_time_zone(
            "Asia/Tokyo"
        )
        frame = pl.DataFrame(
            {"ts": stamps}
            | {name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume")}
        )
        (ground.folder / "files").mkdir()
        frame.write_parquet(ground.folder / "files" / "A.parquet")
        keep(ground, "{symbol}.parquet", timeframe="1d", start="2024-03-07", end="2024-03-10")

        ground.fill()

        assert closes(ground) == {datetime(2024, 3, 8): 1.0, datetime(2024, 3, 9): 2.0}

    @pytest.mark.parametrize(("settings"), [{}, {"timezone": "Asia/Shanghai"}])
    def test_a_count_that_is_midnight_at_the_exchange_is_that_day(self, ground, settings):
        stamps = [datetime(2024, 3, day, 16, tzinfo=UTC) for day in (6, 7)]
        write(ground, "A.csv", HEAD + "".join(line(int(s.timestamp()), s.day) for s in stamps))
        keep(
            ground,
            "{symbol}.csv",
            timeframe="1d",
            start="2024-03-05",
            end="2024-03-09",
            kind="EQUITY",
            calendar="XSHG",
            **settings,
        )

        ground.fill()

        assert closes(ground) == {datetime(2024, 3, 7): 6.0, datetime(2024, 3, 8): 7.0}

    @pytest.mark.parametrize(
        "market",
        [
            ("FOREX", "FOREX", 17, "America/New_York"),
            ("CME Globex Equity", "FUTURES", 17, "America/Chicago"),
            ("CME Globex Equity", "FUTURES", 18, "America/New_York"),
        ],
    )
    @pytest.mark.parametrize(("stamps", "days"), [("open", 1), ("session", 0), ("close", 0)])
    def test_what_an_evening_stamp_means_is_a_setting(self, ground, market, stamps, days):
        calendar, kind, hour, zone = market
        evenings = [datetime(2024, 3, day, hour) for day in (4, 5, 6)]
        write(ground, "A.csv", HEAD + "".join(line(evening, evening.day) for evening in evenings))
        keep(
            ground,
            "{symbol}.csv",
            timeframe="1d",
            start="2024-03-04",
            end="2024-03-09",
            kind=kind,
            calendar=calendar,
            stamps=stamps,
            timezone=zone,
        )

        ground.fill()

        assert closes(ground) == {datetime(2024, 3, day + days): float(day) for day in (4, 5, 6)}

    def test_nobody_guesses_it(self, ground):
        evenings = [datetime(2024, 3, day, 17) for day in (4, 5, 6)]
        write(ground, "A.csv", HEAD + "".join(line(evening, evening.day) for evening in evenings))
        keep(
            ground,
            "{symbol}.csv",
            timeframe="1d",
            start="2024-03-04",
            end="2024-03-09",
            kind="FOREX",
            calendar="FOREX",
            timezone="America/New_York",
        )

        outcomes = ground.fill()

        assert not closes(ground)
        assert "`stamps: open` for the session of 2024-03-05" in words(outcomes)
        assert "`stamps: session` for that of 2024-03-04" in words(outcomes)

    def test_a_stamp_that_fits_no_session_is_refused(self, ground):
        good = [line(f"2024-03-0{day}", day) for day in (4, 5, 6)]
        write(ground, "A.csv", HEAD + "".join(good) + line("2024-03-07 16:00:00+00:00", 7))
        keep(ground, "{symbol}.csv", timeframe="1d", start="2024-03-04", end="2024-03-09")

        outcomes = ground.fill()

        assert closes(ground) == {datetime(2024, 3, day): float(day) for day in (4, 5, 6)}
        assert sum(outcome.rejected for outcome in outcomes) == 1

    def test_dates_that_are_all_a_day_early_are_refused_with_what_would_mend_it(self, ground):
        days = [date(2024, 3, 3) + n * DAY for n in range(12)]
        sundays_to_thursdays = [day for day in days if day.weekday() in {6, 0, 1, 2, 3}]
        write(ground, "A.csv", HEAD + "".join(line(day, day.day) for day in sundays_to_thursdays))
        keep(
            ground,
            "{symbol}.csv",
            timeframe="1d",
            start="2024-03-04",
            end="2024-03-15",
            kind="FOREX",
            calendar="FOREX",
        )

        assert "set `stamps: open`" in words(ground.fill())
        assert not closes(ground)

        ground.settings["files"]["stamps"] = "open"
        ground.keep(
            "{kind: FOREX, start: 2024-03-04, end: 2024-03-15, timeframes: {fetch: [1d]}, "
            "symbols: {A: {}}}"
        )
        ground.fill()

        assert closes(ground)[datetime(2024, 3, 4)] == 3.0


class TestWhoseClock:
    def test_a_brokers_clock_is_new_yorks_and_seven_hours(self, ground):
        opens = [
            datetime(2024, 3, 4, 12, tzinfo=UTC) + n * timedelta(hours=1) for n in range(24 * 18)
        ]
        calendar = load_calendar("FOREX")
        bars = calendar.expected(Timeframe.H1, Window(opens[0], opens[-1]))
        instants = [ts.replace(tzinfo=UTC) for ts in bars]
        shown = [
            ts.astimezone(NEW_YORK).replace(tzinfo=None) + timedelta(hours=7) for ts in instants
        ]
        rows = [line(f"{ts:%Y.%m.%d %H:%M}", 100 + n) for n, ts in enumerate(shown)]
        write(ground, "A.csv", HEAD + "".join(rows))
        keep(
            ground,
            "{symbol}.csv",
            timeframe="1h",
            start="2024-03-04",
            end="2024-03-23",
            kind="FOREX",
            calendar="FOREX",
            clock="New York + 7h",
            quiet_minutes="omitted",
        )

        ground.fill()

        assert closes(ground) == {ts: 100.0 + n for n, ts in enumerate(bars)}

    CLOCKS: ClassVar[dict[str, float]] = {
        "-03:30": -3.5,
        "UTC+2": 2,
        "+05:30": 5.5,
        "GMT-5": -5,
        "Tokyo": 9,
        "Asia/Kolkata": 5.5,
    }

    def test_a_fixed_offset_is_a_clock(self, ground):
        """Each clock is that of a source with a symbol of its own."""
        first = datetime(2024, 3, 5)
        symbols = {}
        for number, (clock, ahead) in enumerate(self.CLOCKS.items()):
            symbol, source = f"S{number}", f"files{number}"
            rows = [line(first + timedelta(hours=ahead) + n * MINUTE, 10 + n) for n in range(3)]
            write(ground, f"{symbol}.csv", HEAD + "".join(rows))
            ground.add_source(source, type="archive", path="files/{symbol}.csv", clock=clock)
            symbols[symbol] = {"sources": [source]}
        keep(
            ground,
            "{symbol}.csv",
            start="2024-03-05",
            end="2024-03-06",
            symbols=json.dumps(symbols),
        )

        ground.fill()

        for symbol in symbols:
            assert closes(ground, symbol) == {first + n * MINUTE: 10.0 + n for n in range(3)}

    @pytest.mark.parametrize(
        ("first", "setting"),
        [
            pytest.param(
                datetime(2024, 3, 5, 9, 30),
                "set `timezone: America/New_York`",
                id="times of the exchange are read as UTC",
            ),
            pytest.param(
                datetime(2024, 3, 5, 14, 31), "`stamps: close`", id="bars bear their close"
            ),
        ],
    )
    def test_stamps_that_nobody_explains_are_refused_with_the_setting_that_would_do_it(
        self, ground, first, setting
    ):
        write(ground, "A.csv", HEAD + "".join(line(first + n * MINUTE) for n in range(390)))
        keep(
            ground,
            "{symbol}.csv",
            start="2024-03-05",
            end="2024-03-06",
            kind="EQUITY",
            calendar="XNYS",
        )

        outcomes = ground.fill()

        assert not closes(ground)
        assert setting in words(outcomes)
