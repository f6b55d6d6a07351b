from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import combinations, pairwise

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.gaps import Priority, left_over, missing, plan_requests, priority, runs
from market_assets.market.timeframes import TS, Timeframe, Window

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

EPOCH = at("2025-03-03")


def opens(slots, timeframe: Timeframe = Timeframe.M1) -> pl.Series:
    return pl.Series("ts", [EPOCH + slot * timeframe.duration for slot in slots], dtype=TS)


grids = st.sets(st.integers(0, 400), max_size=60).map(sorted)


@st.composite
def grids_with_absent(draw):
    grid = draw(grids)
    return grid, [slot for slot in grid if draw(st.booleans())]


@given(grids, st.lists(st.integers(0, 400)))
def test_missing_and_present_divide_the_expected_between_them(grid, present):
    absent = missing(opens(grid), opens(present)).to_list()
    there = [slot for slot in opens(grid) if slot in set(opens(present))]
    assert absent == sorted(absent)
    assert sorted(absent + there) == opens(grid).to_list()
    assert not set(absent) & set(there)


@given(grids_with_absent())
def test_runs_hold_exactly_the_absent_bars_and_neighbours_are_in_one(case):
    grid, absent = case
    found = runs(opens(grid), opens(absent))
    assert found.schema == {"first": TS, "last": TS, "bars": pl.Int64}
    held = [
        [slot for slot in opens(grid) if first <= slot <= last]
        for first, last, _ in found.iter_rows()
    ]
    assert [slot for run in held for slot in run] == opens(absent).to_list()
    assert found["bars"].to_list() == [len(run) for run in held]
    position = {slot: number for number, slot in enumerate(opens(grid))}
    for before, after in pairwise(held):
        assert position[after[0]] > position[before[-1]] + 1


@given(grids_with_absent(), st.integers(-1000, 1000))
def test_runs_move_with_the_grid(case, shift):
    grid, absent = case
    moved = runs(opens(slot + shift for slot in grid), opens(slot + shift for slot in absent))
    still = runs(opens(grid), opens(absent)).with_columns(
        pl.col("first", "last") + timedelta(minutes=shift)
    )
    assert moved.equals(still)


def test_a_gap_over_a_weekend_is_one_run():
    window = Window.of_days(date(2025, 3, 6), date(2025, 3, 12))
    expected = load_calendar("XNYS").expected(Timeframe.M1, window)
    away = Window(
        datetime(2025, 3, 7, 20, 50, tzinfo=UTC), datetime(2025, 3, 10, 13, 40, tzinfo=UTC)
    )
    absent = expected.to_frame().filter(away.holds())["ts"]
    assert runs(expected, absent).rows() == [(at("2025-03-07 20:50"), at("2025-03-10 13:39"), 20)]


def test_nothing_missing_is_no_run_and_no_request():
    expected = opens(range(10))
    assert missing(expected, expected).is_empty()
    assert runs(expected, expected.clear()).is_empty()
    assert plan_requests(expected.clear(), Timeframe.M1, 10) == []


def covers(window: Window, slot: datetime) -> bool:
    return window.start <= slot.replace(tzinfo=UTC) < window.end


@given(grids, st.integers(1, 80), st.sampled_from(list(Timeframe)))
@example([3], 1, Timeframe.M1)  # a hole of one bar
@example(list(range(100)), 50, Timeframe.M1)  # exactly on a page boundary
@example(list(range(101)), 50, Timeframe.M1)  # one bar longer than two pages
def test_windows_cover_every_absent_bar_and_keep_to_the_page(grid, page_size, timeframe):
    absent = opens(grid, timeframe)
    windows = plan_requests(absent, timeframe, page_size)
    assert all(any(covers(window, slot) for window in windows) for slot in absent)
    for window in windows:
        assert timedelta(0) < window.end - window.start <= page_size * timeframe.duration
        inside = [slot for slot in absent if covers(window, slot)]
        assert window.start == inside[0].replace(tzinfo=UTC)
        assert window.end == inside[-1].replace(tzinfo=UTC) + timeframe.duration
    assert all(before.end <= after.start for before, after in pairwise(windows))


@given(st.sets(st.integers(0, 14), min_size=1, max_size=8).map(sorted), st.integers(1, 6))
def test_no_plan_has_fewer_windows(slots, page_size):
    windows = plan_requests(opens(slots), Timeframe.M1, page_size)
    fewer = combinations(range(1 - page_size, 15), len(windows) - 1)
    assert not any(
        all(any(0 <= slot - start < page_size for start in plan) for slot in slots)
        for plan in fewer
    )


@given(grids, st.integers(1, 80), st.integers(-10_000, 10_000))
def test_a_plan_moves_with_its_bars(grid, page_size, shift):
    moved = plan_requests(opens(slot + shift for slot in grid), Timeframe.M1, page_size)
    still = plan_requests(opens(grid), Timeframe.M1, page_size)
    by = timedelta(minutes=shift)
    assert moved == [Window(window.start + by, window.end + by) for window in still]


@given(grids, st.integers(1, 80))
def test_a_plan_from_the_newest_on_is_the_mirror_image(grid, page_size):
    mirrored = [-slot for slot in reversed(grid)]
    windows = plan_requests(opens(grid), Timeframe.M1, page_size, newest_first=True)
    image = plan_requests(opens(mirrored), Timeframe.M1, page_size)
    zero, bar = opens([0])[0].replace(tzinfo=UTC), Timeframe.M1.duration
    assert windows == [
        Window(zero + (zero + bar - w.end), zero + (zero + bar - w.start)) for w in image
    ]


def test_a_plan_from_the_newest_on_does_not_overlap_where_a_break_cuts_a_bar():
    absent = pl.Series("ts", [at("2021-06-24 18:00"), at("2021-06-24 20:30")], dtype=TS)
    newer, older = plan_requests(absent, Timeframe.H4, 1, newest_first=True)
    assert (older.start.hour, older.end, newer.end.hour) == (18, newer.start, 0)


def test_closed_hours_cost_no_request():
    calendar = load_calendar("XNYS")
    month = Window.of_days(date(2025, 3, 1), date(2025, 4, 1))
    absent = calendar.expected(Timeframe.M1, month)
    windows = plan_requests(absent, Timeframe.M1, 1000)
    sessions = calendar.bars(Timeframe.D1, month)
    assert [
        (w.start.replace(tzinfo=None), w.end.replace(tzinfo=None)) for w in windows
    ] == sessions.select("opens_at", "closes_at").rows()


def test_weeks_are_asked_for_by_the_week():
    weeks = load_calendar("XNYS").expected(
        Timeframe.W1, Window.of_days(date(2025, 1, 1), date(2026, 1, 1))
    )
    windows = plan_requests(weeks, Timeframe.W1, 20)
    assert [w.start.weekday() for w in windows] == [0, 0, 0]
    assert [(w.end - w.start) // timedelta(weeks=1) for w in windows] == [20, 20, 12]


def test_a_bar_that_a_break_has_cut_does_not_make_a_window_longer_than_its_page():
    # 20:30 opens a new grid after the pause of 20:15, two and a half hours after the bar before it.
    absent = pl.Series("ts", [at("2021-06-24 18:00"), at("2021-06-24 20:30")], dtype=TS)
    (window,) = plan_requests(absent, Timeframe.H4, 1)
    assert window == Window(
        datetime(2021, 6, 24, 18, tzinfo=UTC), datetime(2021, 6, 24, 22, tzinfo=UTC)
    )


def test_a_page_without_room_for_a_bar_is_refused():
    with pytest.raises(ValueError, match="at least one bar"):
        plan_requests(opens([1]), Timeframe.M1, 0)


@pytest.mark.parametrize(
    ("age", "rank"),
    [
        (timedelta(0), Priority.CRITICAL),
        (timedelta(hours=24) - timedelta(microseconds=1), Priority.CRITICAL),
        (timedelta(hours=24), Priority.HIGH),
        (timedelta(days=7), Priority.MEDIUM),
        (timedelta(days=30), Priority.LOW),
        (timedelta(days=9000), Priority.LOW),
    ],
)
def test_the_fresher_a_gap_the_more_urgent_it_is(age: timedelta, rank: Priority):
    assert priority(age) is rank


stretches = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)


@given(stretches, st.lists(stretches, max_size=6))
def test_what_is_left_of_a_stretch_is_all_that_no_cut_holds(stretch, cuts):
    start, end, *edges = (
        EPOCH + timedelta(minutes=each) for pair in [stretch, *cuts] for each in pair
    )
    taken = sorted(zip(edges[::2], edges[1::2], strict=True))

    left = left_over(start, end, taken)

    def minutes(parts):
        return {
            each
            for first, after in parts
            for each in range((first - EPOCH).seconds // 60, (after - EPOCH).seconds // 60)
        }

    assert minutes(left) == minutes([(start, end)]) - minutes(taken)
    assert all(first < after for first, after in left)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(left))
