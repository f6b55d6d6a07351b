"""What a chart shows: bars, absences at each level, marks."""

from __future__ import annotations

import polars as pl
import pytest

from market_assets.market.timeframes import Timeframe, Window
from market_assets.reports.chart import MOST_STRETCHES
from market_assets_tests.support.chart_ground import END, MINUTES, START, ChartGround, minute

HOLE = ("05T03:10", "05T03:20", "open")


@pytest.fixture
def ground(tmp_path, clock) -> ChartGround:
    return ChartGround(tmp_path, clock)


def absences(chart) -> list[tuple[str, str, str, int]]:
    """Of each stretch its state, its first and last absent bar, and how many there are."""
    names = ("first_ts", "last_ts")
    return [
        (row["state"], *(row[name].strftime("%dT%H:%M") for name in names), row["bars"])
        for row in chart.stretches.to_dicts()
    ]


def test_a_hole_has_a_row_a_bar_without_a_price_and_is_one_stretch(ground):
    ground.fill(HOLE)
    chart = ground.chart(start=minute("05T03:00"), end=minute("05T04:00"))

    assert (chart.level.timeframe, chart.level.made_of) == (Timeframe.M1, None)
    assert len(chart.rows) == 60
    absent = chart.rows.filter(pl.col("close").is_null())
    assert absent["state"].to_list() == ["open"] * 10
    assert chart.rows.filter(pl.col("close").is_not_null())["state"].null_count() == 50
    assert absences(chart) == [("open", "05T03:10", "05T03:19", 10)]


def test_longer_candles_are_made_of_the_minutes_and_still_show_the_hole_inside(ground):
    ground.fill(HOLE)
    chart = ground.chart(most=200)

    assert (chart.level.timeframe, chart.level.made_of) == (Timeframe.H1, Timeframe.M1)
    hours = (
        ground.rows()
        .filter(~Window(minute("05T03:10"), minute("05T03:20")).holds())
        .group_by_dynamic("ts", every="1h")
        .agg(pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume"))
    )
    assert chart.rows.drop("state").equals(hours)
    assert chart.rows.filter(pl.col("state").is_not_null())["ts"].to_list() == [
        minute("05T03:00").replace(tzinfo=None)
    ]
    assert absences(chart) == [("open", "05T03:10", "05T03:19", 10)]


def test_a_longer_bar_shows_the_worst_of_what_it_lacks_and_silence_is_no_hole(ground):
    ground.fill(
        ("04T03:00", "04T03:10", "no_trade"),
        ("05T03:10", "05T03:20", "outage"),
        ("05T03:40", "05T03:45", "open"),
        ("06T03:10", "06T03:20", "outage"),
    )

    assert absences(ground.chart(most=200)) == [
        ("open", "05T03:40", "05T03:44", 5),
        ("outage", "06T03:10", "06T03:19", 10),
    ]


def test_a_longer_bar_without_a_candle_says_why(ground):
    ground.fill(("05T03:00", "05T05:00", "no_trade"), ("07T00:00", "07T02:00", "outage"))
    chart = ground.chart(most=200)

    assert absences(chart) == [
        ("no_trade", "05T03:00", "05T04:59", 120),
        ("outage", "07T00:00", "07T01:59", 120),
    ]
    assert chart.rows.filter(pl.col("close").is_null()).height == 4


def test_what_nobody_has_asked_for_is_open_and_not_counted(ground):
    ground.fill()
    with ground.store.writing("as before the first fill of a day") as transaction:
        transaction.connection.execute(
            "DELETE FROM ops.partitions WHERE partition = '2025-02-06';"
            "DELETE FROM crypto.candles_1m WHERE ts::DATE = '2025-02-06'"
        )

    assert absences(ground.chart(most=200)) == [("open", "06T00:00", "06T23:59", None)]
    ((state, first, _, bars),) = absences(
        ground.chart(start=minute("06T00:00"), end=minute("07T00:00"))
    )
    assert (state, first, bars) == ("open", "06T00:00", 1440)


def test_a_derived_timeframe_that_is_not_made_yet_is_made_while_it_is_read(ground):
    ground.fill()
    chart = ground.chart(Timeframe.H1)

    assert (chart.level.timeframe, chart.level.made_of) == (Timeframe.H1, Timeframe.M1)
    assert (len(chart.rows), chart.stretch_count) == (168, 0)


def test_bars_before_the_first_one_are_not_absent_and_the_first_one_is_marked(ground):
    ground.fill()
    with ground.store.writing("a listing") as transaction:
        transaction.genesis.put(MINUTES, "BTC", minute("05T00:00"), "practice")
        transaction.connection.execute("DELETE FROM crypto.candles_1m WHERE ts < '2025-02-05'")
    chart = ground.chart(start=minute("04T23:00"), end=minute("05T01:00"))

    assert chart.rows["ts"][0] == minute("05T00:00").replace(tzinfo=None)
    assert chart.stretch_count == 0
    assert chart.marks.select("ts", "kind").rows() == [(chart.rows["ts"][0], "genesis")]
    assert ground.chart(most=200).marks["kind"].to_list() == ["genesis"]


def test_a_revised_bar_is_marked_at_each_level(ground):
    ground.fill()
    hour = Window(minute("06T10:00"), minute("06T11:00"))
    rows = ground.rows().filter(hour.holds())
    with ground.store.writing("another word for two bars") as transaction:
        is_revised = pl.col("ts").dt.minute() < 2
        changed = rows.with_columns(close=pl.when(is_revised).then(1e6).otherwise("close"))
        transaction.candles.merge(MINUTES, ["BTC"], hour, changed)

    assert ground.chart(start=hour.start, end=hour.end).marks["bars"].to_list() == [1, 1]
    ((ts, kind, bars),) = ground.chart(most=200).marks.rows()
    assert (ts, kind, bars) == (hour.start.replace(tzinfo=None), "revised", 2)


def test_what_retention_keeps_out_is_removed_and_not_missing(tmp_path, clock):
    clock.now = minute("13T12:00")
    ground = ChartGround(tmp_path, clock, "retention: {candles_1m: 8d}")
    ground.fill()
    with ground.store.writing("as retention leaves it") as transaction:
        transaction.connection.execute("DELETE FROM crypto.candles_1m WHERE ts < '2025-02-05'")
    chart = ground.chart(most=200)

    ((state, start, _, _),) = absences(chart)
    assert (state, start) == ("removed", "03T00:00")
    removed = chart.rows.filter(pl.col("state") == "removed")
    assert removed["close"].null_count() == len(removed) == 48


def test_absences_are_bounded_and_counted(ground):
    ground.fill()
    with ground.store.writing("every second minute") as transaction:
        transaction.connection.execute("DELETE FROM crypto.candles_1m WHERE minute(ts) % 2 = 1")
    chart = ground.chart(start=minute("05T00:00"), end=minute("06T00:00"))

    assert (len(chart.stretches), chart.stretch_count) == (MOST_STRETCHES, 720)
    assert chart.stretches["start"][-1] == minute("05T23:59").replace(tzinfo=None)


def test_a_window_without_a_bar_has_none(ground):
    ground.fill()
    for start, end in ((minute("20T00:00"), minute("21T00:00")), (START, START)):
        chart = ground.chart(start=start, end=end)
        assert (len(chart.rows), chart.stretch_count, chart.mark_count) == (0, 0, 0)
        assert chart.extent[0] == START
        assert chart.extent[1] < END
