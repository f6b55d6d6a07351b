"""Windows are half open and in UTC, whatever zone their bounds come in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.timeframes import (
    TS,
    Timeframe,
    Window,
    from_micros,
    micros_of,
    to_micros,
)

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_below_a_day_a_timeframe_is_intraday():
    intraday = [timeframe for timeframe in Timeframe if timeframe.intraday]
    assert intraday == ["1m", "5m", "15m", "30m", "1h", "4h"]
    assert Timeframe.H4.micros == 4 * 3600 * 1_000_000


@given(st.integers(-(10**15), 4 * 10**15))
def test_an_instant_is_its_microseconds_and_back(micros: int):
    assert to_micros(from_micros(micros)) == micros


def test_a_column_is_its_microseconds_whole_or_cut_and_also_without_a_row():
    column = pl.Series([NOON.replace(tzinfo=None), (NOON + HOUR).replace(tzinfo=None)], dtype=TS)
    expected = [to_micros(NOON), to_micros(NOON + HOUR)]
    assert micros_of(column).tolist() == expected
    assert micros_of(pl.concat([column, column], rechunk=False)[1:3]).tolist() == expected[::-1]
    assert micros_of(column.clear()).tolist() == []


def test_an_instant_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="has no time zone"):
        to_micros(datetime(2025, 3, 1))  # noqa: DTZ001 - that is what is refused


def test_a_window_is_in_utc_and_does_not_end_before_it_starts():
    tokyo = NOON.astimezone(ZoneInfo("Asia/Tokyo"))
    window = Window(tokyo, tokyo + HOUR)
    assert window == Window(NOON, NOON + HOUR)
    assert window.start.hour == 12
    assert str(window) == "2025-03-01 12:00..2025-03-01 13:00 UTC"

    with pytest.raises(ValueError, match="cannot end"):
        Window(NOON + HOUR, NOON)


def test_a_window_holds_its_start_and_not_its_end():
    day = Window.of_days(date(2025, 3, 1), date(2025, 3, 2))
    seconds = [-1, 0, 86399, 86400]
    frame = pl.DataFrame({"ts": [day.start + timedelta(seconds=at) for at in seconds]})
    frame = frame.with_columns(pl.col("ts").dt.replace_time_zone(None).cast(TS))
    assert frame.select(day.holds()).to_series().to_list() == [False, True, True, False]


@pytest.mark.parametrize(
    ("first", "after", "shared"),
    [
        (0, 2, (1, 2)),
        (1, 3, (1, 3)),
        (2, 9, (2, 3)),
        (0, 1, None),
        (3, 4, None),
    ],
)
def test_windows_that_only_meet_share_nothing(
    first: int, after: int, shared: tuple[int, int] | None
):
    def window(start: int, end: int) -> Window:
        return Window(NOON + start * HOUR, NOON + end * HOUR)

    common = window(1, 3).intersect(window(first, after))
    assert common == (shared and window(*shared))
    assert window(2, 2).empty
    assert not window(2, 3).empty


def test_a_window_spans_the_earliest_start_and_the_latest_end():
    starts = pl.Series([2, 1], dtype=pl.Int64).cast(TS)
    ends = pl.Series([3, 9], dtype=pl.Int64).cast(TS)
    assert Window.spanning(starts, ends).micros == (1, 9)
    with pytest.raises(ValueError, match="nothing to span"):
        Window.spanning(starts.clear(), ends.clear())
