"""What a clock showed: an instant, or refused, never moved."""

# ruff: noqa: DTZ001, FBT001 - a frame's times bear no zone

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.errors import SourceError
from market_assets.market.timeframes import TS
from market_assets.sources.files.clocks import Clock, clock_of, localize
from market_assets_tests.support.archives import archive, candles, fetch, micros
from market_assets_tests.support.file_fills import HEAD, closes, keep, line, write

if TYPE_CHECKING:
    from market_assets_tests.support.fill_ground import Ground


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("New York + 7h", Clock("America/New_York", timedelta(hours=7))),
        ("new_york+7", Clock("America/New_York", timedelta(hours=7))),
        ("America/New_York - 1h", Clock("America/New_York", timedelta(hours=-1))),
        ("New York + 7h30m", Clock("America/New_York", timedelta(hours=7, minutes=30))),
        ("-03:30", Clock("UTC", timedelta(hours=-3, minutes=-30))),
        ("+0530", Clock("UTC", timedelta(hours=5, minutes=30))),
        ("UTC+2", Clock("UTC", timedelta(hours=2))),
        ("GMT - 3", Clock("UTC", timedelta(hours=-3))),
        ("London", Clock("Europe/London")),
        ("EST", Clock("EST")),
        ("UTC", Clock()),
    ],
)
def test_a_clock_is_a_zone_a_city_an_offset_or_both(text: str, clock: Clock) -> None:
    assert clock_of(text) == clock


@pytest.mark.parametrize("text", ["", "Mars", "New York + 25h", "+99", "7h", "New York +"])
def test_what_is_no_clock_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"clock"):
        clock_of(text)


ZONES = {
    "America/New_York": datetime(2024, 11, 3, 6, tzinfo=UTC),
    "Europe/London": datetime(2024, 10, 27, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2024, 4, 6, 15, tzinfo=UTC),
}


@given(
    zone=st.sampled_from(sorted(ZONES)),
    shift=st.sampled_from([0, 7]),
    minutes=st.lists(st.integers(-180, 180), min_size=1, max_size=60, unique=True).map(sorted),
    newest_first=st.booleans(),
)
def test_a_time_around_the_repeated_hour_is_read_right_or_refused(
    zone: str, shift: int, minutes: list[int], newest_first: bool
) -> None:
    instants = [ZONES[zone] + timedelta(minutes=minute) for minute in minutes]
    instants = instants[::-1] if newest_first else instants
    walls = [
        at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + timedelta(hours=shift)
        for at in instants
    ]

    found, why = localize(
        pl.Series(walls).cast(TS).to_physical(), Clock(zone, timedelta(hours=shift))
    )

    for at, read, reason in zip(instants, found, why, strict=True):
        assert (read == micros(at)) if reason is None else read is None


@given(
    minutes=st.lists(st.integers(-90, 90), min_size=150, max_size=180, unique=True).map(sorted),
    newest_first=st.booleans(),
)
def test_with_most_of_the_minutes_there_none_is_refused(
    minutes: list[int], newest_first: bool
) -> None:
    zone = "America/New_York"
    instants = [ZONES[zone] + timedelta(minutes=minute) for minute in minutes]
    instants = instants[::-1] if newest_first else instants
    walls = [at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for at in instants]

    found, _ = localize(pl.Series(walls).cast(TS).to_physical(), Clock(zone))

    assert found.to_list() == [micros(at) for at in instants]


class TestTime:
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


class TestTheRepeatedHour:
    WALLS = ("00:30", "01:00", "01:30", "01:00", "01:30", "02:00")
    INSTANTS = ("04:30", "05:00", "05:30", "06:00", "06:30", "07:00")

    def keep(self, ground: Ground, rows: list[str], **settings: Any) -> None:
        """Keep the day on which the clocks of New York go back, of a file with some rows."""
        write(ground, "A.csv", HEAD + "".join(rows))
        keep(
            ground,
            "{symbol}.csv",
            start="2024-11-03",
            end="2024-11-04",
            timezone="America/New_York",
            **settings,
        )

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_it_is_told_by_the_order_of_the_file(self, ground, newest_first):
        rows = [line(f"2024-11-03 {wall}", 400 + n * 10) for n, wall in enumerate(self.WALLS)]
        self.keep(ground, rows[::-1] if newest_first else rows, timeframe="30m")

        ground.fill()

        expected = [datetime.fromisoformat(f"2024-11-03 {at}") for at in self.INSTANTS]
        assert closes(ground) == {ts: 400.0 + n * 10 for n, ts in enumerate(expected)}

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_also_where_quiet_bars_are_left_out(self, ground, newest_first):
        walls = ["00:58", "01:10", "01:50", "01:20", "01:55", "02:01"]
        instants = ["04:58", "05:10", "05:50", "06:20", "06:55", "07:01"]
        rows = [line(f"2024-11-03 {wall}", 10 + n) for n, wall in enumerate(walls)]
        self.keep(ground, rows[::-1] if newest_first else rows, quiet_minutes="omitted")

        ground.fill()

        expected = [datetime.fromisoformat(f"2024-11-03 {at}") for at in instants]
        assert closes(ground) == {ts: 10.0 + n for n, ts in enumerate(expected)}

    def test_where_it_does_not_tell_the_rows_are_refused_and_counted(self, ground):
        walls = ["00:58", "01:10", "01:50", "02:01"]
        rows = [line(f"2024-11-03 {wall}", 10 + n) for n, wall in enumerate(walls)]
        self.keep(ground, rows)

        outcomes = ground.fill()

        assert closes(ground) == {
            datetime(2024, 11, 3, 4, 58): 10.0,
            datetime(2024, 11, 3, 7, 1): 13.0,
        }
        assert sum(outcome.rejected for outcome in outcomes) == 2
