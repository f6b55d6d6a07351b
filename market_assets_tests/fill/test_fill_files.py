"""Files as vendors write them, brought in by a fill.

Whose day and whose clock count, and what does a bad file cost?
"""

# ruff: noqa: DTZ001 - the times of a store bear no zone

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zipfile
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.files.archive import ArchiveSettings, ArchiveSource
from market_assets_tests.support.fill_ground import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from market_assets_tests.support.fill_ground import Ground

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
NEW_YORK = ZoneInfo("America/New_York")
HEAD = "ts,open,high,low,close,volume\n"


def line(stamp: object, close: float = 10.0, *, sign: str = ",") -> str:
    return sign.join(map(str, (stamp, close, close + 1, close - 1, close, 5))) + "\n"


def write(ground: Ground, name: str, text: str | bytes) -> None:
    path = ground.folder / "files" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def keep(
    ground: Ground,
    path: str,
    *,
    timeframe: str = "1m",
    start: str,
    end: str,
    symbols: str = "{A: {}}",
    kind: str = "CRYPTO",
    calendar: str = "24/7",
    evidence: dict[str, Any] | None = None,
    **settings: Any,
) -> None:
    ground.settings.pop("vendor", None)
    ground.add_source("files", type="archive", path=f"files/{path}", **settings)
    ground.keep(
        f"""
        kind: {kind}
        calendar: "{calendar}"
        start: {start}
        end: {end}
        timeframes: {{fetch: [{timeframe}]}}
        symbols: {symbols}
        evidence: {evidence or {}}
        """
    )


def closes(ground: Ground, symbol: str = "A") -> dict[datetime, float]:
    rows = ground.rows(symbol)
    return dict(zip(rows["ts"], rows["close"], strict=True))


def words(outcomes: Iterable[Any]) -> str:
    return " ".join(word for outcome in outcomes for word in (*outcome.failures, *outcome.faults))


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

    def test_times_of_the_exchange_that_are_read_as_utc_are_refused_with_their_zone(self, ground):
        opens = [datetime(2024, 3, 5, 9, 30) + n * MINUTE for n in range(390)]
        write(ground, "A.csv", HEAD + "".join(line(ts) for ts in opens))
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
        assert "set `timezone: America/New_York`" in words(outcomes)

    def test_bars_that_bear_their_close_are_refused_where_nobody_says_so(self, ground):
        opens = [datetime(2024, 3, 5, 14, 31) + n * MINUTE for n in range(390)]
        write(ground, "A.csv", HEAD + "".join(line(ts) for ts in opens))
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
        assert "`stamps: close`" in words(outcomes)


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


class TestTheRepeatedHour:
    WALLS = ("00:30", "01:00", "01:30", "01:00", "01:30", "02:00")
    INSTANTS = ("04:30", "05:00", "05:30", "06:00", "06:30", "07:00")

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_it_is_told_by_the_order_of_the_file(self, ground, newest_first):
        rows = [line(f"2024-11-03 {wall}", 400 + n * 10) for n, wall in enumerate(self.WALLS)]
        write(ground, "A.csv", HEAD + "".join(rows[::-1] if newest_first else rows))
        keep(
            ground,
            "{symbol}.csv",
            timeframe="30m",
            start="2024-11-03",
            end="2024-11-04",
            timezone="America/New_York",
        )

        ground.fill()

        expected = [datetime.fromisoformat(f"2024-11-03 {at}") for at in self.INSTANTS]
        assert closes(ground) == {ts: 400.0 + n * 10 for n, ts in enumerate(expected)}

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_also_where_quiet_bars_are_left_out(self, ground, newest_first):
        walls = ["00:58", "01:10", "01:50", "01:20", "01:55", "02:01"]
        instants = ["04:58", "05:10", "05:50", "06:20", "06:55", "07:01"]
        rows = [line(f"2024-11-03 {wall}", 10 + n) for n, wall in enumerate(walls)]
        write(ground, "A.csv", HEAD + "".join(rows[::-1] if newest_first else rows))
        keep(
            ground,
            "{symbol}.csv",
            start="2024-11-03",
            end="2024-11-04",
            timezone="America/New_York",
            quiet_minutes="omitted",
        )

        ground.fill()

        expected = [datetime.fromisoformat(f"2024-11-03 {at}") for at in instants]
        assert closes(ground) == {ts: 10.0 + n for n, ts in enumerate(expected)}

    def test_where_it_does_not_tell_the_rows_are_refused_and_counted(self, ground):
        walls = ["00:58", "01:10", "01:50", "02:01"]
        rows = [line(f"2024-11-03 {wall}", 10 + n) for n, wall in enumerate(walls)]
        write(ground, "A.csv", HEAD + "".join(rows))
        keep(
            ground,
            "{symbol}.csv",
            start="2024-11-03",
            end="2024-11-04",
            timezone="America/New_York",
        )

        outcomes = ground.fill()

        assert closes(ground) == {
            datetime(2024, 11, 3, 4, 58): 10.0,
            datetime(2024, 11, 3, 7, 1): 13.0,
        }
        assert sum(outcome.rejected for outcome in outcomes) == 2


def minutes(day: date, count: int = 1440) -> list[datetime]:
    return [datetime.combine(day, datetime.min.time()) + n * MINUTE for n in range(count)]


DAYS = [date(2025, 2, 26), date(2025, 2, 27), date(2025, 2, 28)]


class TestABadFile:
    CONTENTS: ClassVar[dict[str, bytes]] = {
        "A": b"",
        "B": b"<!DOCTYPE html><html>404</html>",
        "C": b"PK\x03\x04",
        "D": b"a,b\n1,2\n",
    }

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_it_costs_its_own_day_which_is_red_and_names_it(self, ground, place):
        for number, day in enumerate(DAYS):
            text = (HEAD + "".join(line(ts) for ts in minutes(day))).encode()
            for symbol, content in self.CONTENTS.items():
                write(ground, f"{symbol}-{day}.csv", content if number == place else text)
        keep(
            ground,
            "{symbol}-{date}.csv",
            start="2025-02-26",
            end="2025-03-01",
            symbols=plain(self.CONTENTS),
        )

        outcomes = ground.fill()

        red = [outcome for outcome in outcomes if outcome.failures]
        assert [outcome.partition.key for outcome in red] == [str(DAYS[place])]
        for symbol in self.CONTENTS:
            assert ground.rows(symbol).height == 2880
            told = " ".join(word for word in (*red[0].failures, *red[0].faults) if symbol in word)
            file = f"{symbol}-{DAYS[place]}.csv"
            assert f"{file} cannot be read" in told or (file in told and "has no column" in told)

    def test_another_source_gives_what_it_would_have_had(self, ground):
        for day in DAYS:
            text = HEAD + "".join(line(ts) for ts in minutes(day))
            write(ground, f"A-{day}.csv", "" if day == DAYS[1] else text)
            write(ground, f"B-{day}.csv", text)
        ground.add_source("other", type="archive", path="files/{symbol}-{date}.csv")
        keep(
            ground,
            "{symbol}-{date}.csv",
            start="2025-02-26",
            end="2025-03-01",
            symbols="{A: {sources: [{files: A}, {other: B}]}}",
        )

        outcomes = ground.fill()

        assert ground.rows().height == 4320
        assert not words(outcomes)

    def test_what_a_good_day_lacks_is_concluded_all_the_same(self, ground):
        for day in DAYS:
            text = HEAD + "".join(line(ts) for ts in minutes(day) if ts.hour != 5)
            write(ground, f"A-{day}.csv", "" if day == DAYS[1] else text)
        keep(ground, "{symbol}-{date}.csv", start="2025-02-26", end="2025-03-01")

        ground.fill()
        ground.wait(hours=2)
        outcomes = ground.fill()

        red = {outcome.partition.key: outcome.failures for outcome in outcomes if outcome.failures}
        assert str(DAYS[1]) in red
        assert all(
            "A-2025-02-27.csv" not in " ".join(said)
            for key, said in red.items()
            if key != str(DAYS[1])
        )

    def test_a_bad_member_of_a_zip_costs_itself(self, ground):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as pack:
            for day in DAYS:
                text = HEAD + "".join(line(ts) for ts in minutes(day))
                pack.writestr(f"A-{day}.csv", "<html>" if day == DAYS[1] else text)
                pack.writestr(f"__MACOSX/._A-{day}.csv", b"\0\5\26\7Mac OS X")
        write(ground, "A.zip", packed.getvalue())
        keep(ground, "{symbol}.zip", start="2025-02-26", end="2025-03-01")

        ground.fill()

        assert ground.rows().height == 2880


def zip_of(members: dict[str, str | bytes], *, spoil: str = "") -> bytes:
    """A zip of some texts; the bytes of one of them are changed after it was packed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as pack:
        for name, text in members.items():
            pack.writestr(name, text)
        at = pack.getinfo(spoil).header_offset + 200 if spoil else None
    body = bytearray(packed.getvalue())
    if at is not None:
        body[at] ^= 1
    return bytes(body)


def absences(ground: Ground) -> list[tuple[str, int]]:
    with ground.store.reading("testing") as view:
        gaps = view.gaps.of(Dataset.candles("kept", Timeframe.M1))
    return list(gaps.select("status", "bars").iter_rows())


class TestABadMemberOfAZip:
    """What cannot be read is no answer, though one answer is enough."""

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_its_days_are_open_and_its_name_is_told(self, ground, place):
        """Each harm, and each way to name the members, is in the zip of a symbol of its own."""
        texts = {day: HEAD + "".join(line(ts) for ts in minutes(day)) for day in DAYS}
        harmed = {}
        for name in ("A-{}.csv", "{:%Y%m%d}/minutes.csv"):
            for harm in ("html", "empty", "spoilt"):
                symbol, bad = f"S{len(harmed)}", name.format(DAYS[place])
                members = {name.format(day): text for day, text in texts.items()}
                members[bad] = {"html": "<html>", "empty": "", "spoilt": members[bad]}[harm]
                spoilt = bad if harm == "spoilt" else ""
                write(ground, f"{symbol}.zip", zip_of(members, spoil=spoilt))
                harmed[symbol] = bad
        keep(
            ground,
            "{symbol}.zip",
            start="2025-02-26",
            end="2025-03-01",
            symbols=plain(harmed),
            evidence={"confirmations": 1},
        )

        outcomes = ground.fill()

        assert absences(ground) == [("open", 1440)] * len(harmed)
        red = [outcome for outcome in outcomes if outcome.failures]
        assert [outcome.partition.key for outcome in red] == [str(DAYS[place])]
        for symbol, bad in harmed.items():
            assert ground.rows(symbol).height == 2880
            assert f"{symbol}.zip: {bad} in it cannot be read" in words(red)

    def test_without_a_day_in_its_name_it_is_what_lies_between_the_others(self, ground):
        members = {
            f"part{n}.csv": HEAD + "".join(line(ts) for ts in minutes(day))
            for n, day in enumerate(DAYS)
        }
        write(ground, "A.zip", zip_of(members | {"part1.csv": "<html>"}))
        keep(
            ground,
            "{symbol}.zip",
            start="2025-02-26",
            end="2025-03-01",
            evidence={"confirmations": 1},
        )

        outcomes = ground.fill()

        assert absences(ground) == [("open", 1440)]
        assert "part1.csv in it cannot be read" in words(outcomes)

    def test_what_a_good_member_lacks_is_concluded_all_the_same(self, ground):
        members = {
            f"{day}.csv": HEAD + "".join(line(ts) for ts in minutes(day) if ts.hour != 5)
            for day in DAYS
        }
        write(ground, "A.zip", zip_of(members | {f"{DAYS[1]}.csv": ""}))
        keep(
            ground,
            "{symbol}.zip",
            start="2025-02-26",
            end="2025-03-01",
            evidence={"confirmations": 1},
        )

        ground.fill()

        assert sorted(absences(ground)) == [("open", 1440), ("outage", 60), ("outage", 60)]


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


class TestALinkToNothing:
    def test_it_costs_itself(self, ground):
        for day in (DAYS[0], DAYS[2]):
            write(ground, f"A-{day}.csv", HEAD + "".join(line(ts) for ts in minutes(day)))
        (ground.folder / "files" / f"A-{DAYS[1]}.csv").symlink_to(ground.folder / "nothing.csv")
        keep(ground, "{symbol}-{date}.csv", start="2025-02-26", end="2025-03-01")

        outcomes = ground.fill()

        assert ground.rows().height == 2880
        red = [outcome for outcome in outcomes if outcome.failures]
        assert [outcome.partition.key for outcome in red] == [str(DAYS[1])]
        assert f"A-{DAYS[1]}.csv is a link to nothing" in words(red)


class TestABadLine:
    BAD: ClassVar[dict[str, bytes]] = {
        "a bad stamp": b"2025-02-26 25:61:00,1,2,0.5,1,1\n",
        "a word": b"yesterday,1,2,0.5,1,1\n",
        "a header in the middle": HEAD.encode(),
        "one long line": b"2025-02-26 12:00:00" + b",1" * 40_000 + b"\n",
        "two lines in one": b"2025-02-26 12:00:00,1,2,0.5,1,12025-02-26 12:01:00,1,2,0.5,1,1\n",
        "an open quote": b'2025-02-26 12:00:00,"1,2,0.5,1,1\n',
        "half a line": b"2025-02-26 12:0\n",
    }

    def write(self, ground: Ground, names: Iterable[str], *, newest_first: bool = False) -> dict:
        """Write a file per bad line, which stands in it for noon; gives its symbol's name by it."""
        rows = [line(ts).encode() for ts in minutes(DAYS[0]) if ts.hour != 12 or ts.minute]
        symbols = {name: f"S{number}" for number, name in enumerate(names)}
        for name, symbol in symbols.items():
            lines = [*rows[:720], self.BAD[name], *rows[720:]]
            body = b"".join(lines[::-1] if newest_first else lines)
            write(ground, f"{symbol}.csv", HEAD.encode() + body)
        return symbols

    def test_it_costs_itself_and_is_counted(self, ground):
        symbols = self.write(ground, self.BAD)
        keep(
            ground,
            "{symbol}.csv",
            start="2025-02-26",
            end="2025-02-27",
            symbols=plain(symbols.values()),
        )

        outcomes = ground.fill()

        for symbol in symbols.values():
            assert ground.rows(symbol).height == 1439
        assert sum(outcome.rejected for outcome in outcomes) == len(symbols)
        refused = ground.table("SELECT symbol, rows FROM ops.refused ORDER BY symbol")
        assert refused.rows() == [(symbol, 1) for symbol in sorted(symbols.values())]

    @pytest.mark.parametrize("quiet", ["present", "omitted"])
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_it_is_no_answer_for_its_bar(self, ground, newest_first, quiet):
        names = sorted(set(self.BAD) - {"a header in the middle"})
        symbols = self.write(ground, names, newest_first=newest_first)
        keep(
            ground,
            "{symbol}.csv",
            start="2025-02-26",
            end="2025-02-27",
            symbols=plain(symbols.values()),
            quiet_minutes=quiet,
            evidence={"confirmations": 1},
        )

        outcomes = ground.fill()

        assert absences(ground) == [("open", 1)] * len(symbols)
        assert sum(outcome.rejected for outcome in outcomes) == len(symbols)
        told = dict(ground.gaps().select("symbol", "reason").iter_rows())
        assert set(told) == set(symbols.values())
        for symbol, reason in told.items():
            assert f"{symbol}.csv: a row cannot be read: {symbol}.csv line" in reason

    def test_a_header_in_the_middle_has_no_bar(self, ground):
        rows = [line(ts) for ts in minutes(DAYS[0]) if ts.hour != 12]
        write(ground, "A.csv", HEAD + "".join([*rows[:720], HEAD, *rows[720:]]))
        keep(
            ground,
            "{symbol}.csv",
            start="2025-02-26",
            end="2025-02-27",
            evidence={"confirmations": 1},
        )

        outcomes = ground.fill()

        assert absences(ground) == [("outage", 60)]
        assert not words(outcomes)

    @pytest.mark.parametrize("cut", [b"", b"2025-02-26 23:5", b"2025-02-26 23:59:00,1,2,0.5,1,1"])
    def test_so_do_zeros_at_the_end(self, ground, cut):
        rows = "".join(line(ts) for ts in minutes(DAYS[0], 1439))
        write(ground, "A.csv", (HEAD + rows).encode() + cut + b"\0" * 4096)
        keep(ground, "{symbol}.csv", start="2025-02-26", end="2025-02-27")

        outcomes = ground.fill()

        assert ground.rows().height == 1439
        assert sum(outcome.rejected for outcome in outcomes) == 1

    def test_so_does_a_stamp_of_a_parquet_file_that_is_no_number(self, ground):
        stamps = [ts.replace(tzinfo=UTC).timestamp() for ts in minutes(DAYS[0])]
        stamps[700] = float("nan")
        frame = pl.DataFrame({"ts": stamps}).with_columns(
            pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close", "volume")
        )
        (ground.folder / "files").mkdir()
        frame.write_parquet(ground.folder / "files" / "A.parquet")
        keep(ground, "{symbol}.parquet", start="2025-02-26", end="2025-02-27")

        outcomes = ground.fill()

        assert ground.rows().height == 1439
        assert sum(outcome.rejected for outcome in outcomes) == 1

    def test_the_row_is_named_with_its_file_and_line(self, ground):
        rows = [line(ts) for ts in minutes(DAYS[0], 10)]
        write(ground, "A.csv", HEAD + "".join(rows) + "nonsense,1,2,0.5,1,1\n")
        source = ArchiveSource(
            "files", ArchiveSettings(path="files/{symbol}.csv"), base=ground.folder, kind="crypto"
        )

        frame = asyncio.run(
            source.fetch(
                "A",
                Timeframe.M1,
                datetime(2025, 1, 1, tzinfo=UTC),
                datetime(2026, 1, 1, tzinfo=UTC),
            )
        )

        assert frame["said"].drop_nulls().to_list() == ["A.csv line 12: nonsense"]


class TestAnOpenOutsideTheRange:
    @pytest.mark.parametrize(("allowed", "stored"), [(True, 4), (False, 3)])
    def test_it_is_a_bar_where_the_settings_say_so(self, ground, allowed, stored):
        rows = [line(ts) for ts in minutes(DAYS[0], 4)]
        rows[2] = "2025-02-26 00:02:00,12.5,11,9,10,5\n"
        write(ground, "A.csv", HEAD + "".join(rows))
        keep(
            ground,
            "{symbol}.csv",
            start="2025-02-26",
            end="2025-02-27",
            open_outside_range=allowed,
        )

        ground.fill()

        assert ground.rows().height == stored


class TestManySymbolsAFile:
    def test_each_file_is_read_once_whatever_their_number(self, ground, monkeypatch):
        # To count what it opens.
        from market_assets.sources.files import columns as archive_columns  # noqa: PLC0415

        symbols = [f"S{n}" for n in range(12)]
        for day in DAYS:
            rows = "".join(
                f"{symbol},{ts},1,2,0.5,{n},1\n"
                for ts in minutes(day, 30)
                for n, symbol in enumerate(symbols, 1)
                if n <= 2
            ) + "".join(
                f"{symbol},{ts},1,2,0.5,1.5,1\n"
                for ts in minutes(day, 30)
                for symbol in symbols[2:]
            )
            write(ground, f"{day}.csv.gz", gzip.compress(("ticker," + HEAD + rows).encode()))
        opened: list[str] = []
        texts: Callable[..., Any] = archive_columns.texts

        def counted(path: Path, most: int) -> Any:
            opened.append(path.name)
            return texts(path, most)

        monkeypatch.setattr(archive_columns, "texts", counted)
        keep(
            ground,
            "{date}.csv.gz",
            start="2025-02-26",
            end="2025-03-01",
            columns={"symbol": "ticker"},
            symbols="{" + ", ".join(f"{symbol}: {{}}" for symbol in symbols) + "}",
        )

        ground.fill()

        assert sorted(opened) == [f"{day}.csv.gz" for day in DAYS]
        assert ground.rows().height == 12 * 3 * 30


class TestABadFileAmongOthers:
    def test_without_a_day_in_its_name_it_costs_what_lies_between_its_neighbours(self, ground):
        for number, day in enumerate(DAYS):
            text = HEAD + "".join(line(ts) for ts in minutes(day))
            write(ground, f"A-{number}.csv", "" if number == 1 else text)
        keep(ground, "{symbol}-*.csv", start="2025-02-26", end="2025-03-01")

        outcomes = ground.fill()

        assert ground.rows().height == 2880
        assert [outcome.partition.key for outcome in outcomes if outcome.failures] == [str(DAYS[1])]
        assert "A-1.csv cannot be read: it is empty" in words(outcomes)

    def test_one_of_all_symbols_costs_its_day_of_each(self, ground):
        for day in DAYS:
            rows = "".join(
                f"{symbol},5,10,10,11,9,{int(ts.replace(tzinfo=UTC).timestamp())}000000000,1\n"
                for symbol in "AB"
                for ts in minutes(day)
            )
            names = "ticker,volume,open,close,high,low,window_start,transactions\n"
            body = gzip.compress((names + rows).encode())
            write(ground, f"{day}.csv.gz", body[:1000] if day == DAYS[1] else body)
        keep(
            ground,
            "{date}.csv.gz",
            start="2025-02-26",
            end="2025-03-01",
            layout="polygon",
            symbols="{A: {}, B: {}}",
        )

        outcomes = ground.fill()

        assert ground.rows().height == 2 * 2880
        assert [outcome.partition.key for outcome in outcomes if outcome.failures] == [str(DAYS[1])]
        assert f"{DAYS[1]}.csv.gz cannot be read" in words(outcomes)

    def test_so_does_one_of_parquet(self, ground):
        (ground.folder / "files").mkdir()
        for day in DAYS:
            frame = pl.DataFrame({"ts": minutes(day)}).with_columns(
                pl.lit(1.5).alias(name) for name in ("open", "high", "low", "close", "volume")
            )
            path = ground.folder / "files" / f"A-{day}.parquet"
            frame.write_parquet(path)
            if day == DAYS[2]:
                path.write_bytes(path.read_bytes()[:-100])
        keep(ground, "{symbol}-{date}.parquet", start="2025-02-26", end="2025-03-01")

        outcomes = ground.fill()

        assert ground.rows().height == 2880
        assert [outcome.partition.key for outcome in outcomes if outcome.failures] == [str(DAYS[2])]

    def test_when_it_is_replaced_the_day_is_there(self, ground):
        for day in DAYS:
            text = HEAD + "".join(line(ts) for ts in minutes(day))
            write(ground, f"A-{day}.csv", "" if day == DAYS[1] else text)
        keep(ground, "{symbol}-{date}.csv", start="2025-02-26", end="2025-03-01")
        ground.fill()

        write(ground, f"A-{DAYS[1]}.csv", HEAD + "".join(line(ts) for ts in minutes(DAYS[1])))
        outcomes = ground.fill()

        assert ground.complete()
        assert not words(outcomes)
