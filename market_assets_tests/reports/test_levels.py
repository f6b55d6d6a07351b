"""How long the bars of a chart are."""

from __future__ import annotations

import pytest

from market_assets.market.timeframes import Timeframe, Window
from market_assets.reports.levels import Level, level_of
from market_assets_tests.conftest import Clock
from market_assets_tests.support.chart_ground import END, START, ChartGround, minute


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> ChartGround:
    ground = ChartGround(tmp_path_factory.mktemp("levels"), Clock())
    ground.fill()
    return ground


def level(ground, window, most, timeframe=Timeframe.M1) -> Level:
    with ground.store.reading("choosing") as view:
        return level_of(view, ground.profile, "BTC", timeframe, window=window, most=most)


@pytest.mark.parametrize(
    ("hours", "most", "expected"),
    [
        (10, 600, Timeframe.M1),
        (10, 599, Timeframe.M5),
        (10, 119, Timeframe.M15),
        (168, 200, Timeframe.H1),
        (168, 43, Timeframe.H4),
        (168, 10, Timeframe.D1),
        (168, 3, Timeframe.W1),
        (168, 0, Timeframe.W1),
    ],
)
def test_bars_are_the_shortest_ones_that_fit(ground, hours, most, expected):
    window = Window(START, START.replace(day=3 + hours // 24, hour=hours % 24))

    assert level(ground, window, most).timeframe is expected


def test_no_bar_is_shorter_than_what_is_asked_for(ground):
    assert level(ground, Window(START, END), 10**6, Timeframe.H1).timeframe is Timeframe.H1


def test_longer_candles_that_are_stored_are_taken_if_they_reach_as_far(tmp_path, clock):
    ground = ChartGround(tmp_path, clock)
    ground.fill()
    week = Window(START, END)
    hours = ground.profile.candles(Timeframe.H1)

    def make(until) -> Level:
        with ground.store.writing("as derived candles are") as transaction:
            transaction.connection.execute(
                """
                INSERT INTO crypto.candles_1h BY NAME
                SELECT symbol, time_bucket(INTERVAL 1 HOUR, ts) AS ts, min(open) AS open,
                    max(high) AS high, min(low) AS low, max(close) AS close, sum(volume) AS volume,
                    'practice' AS source, count(*) AS bars, 60 AS bars_expected
                FROM crypto.candles_1m WHERE ts < ? AND ts NOT IN (SELECT ts FROM crypto.candles_1h)
                GROUP BY ALL
                """,
                [until.replace(tzinfo=None)],
            )
        return level(ground, week, 1000)

    assert level(ground, week, 1000) == Level(Timeframe.M15, Timeframe.M1)
    assert make(minute("04T00:00")) == Level(Timeframe.M15, Timeframe.M1)
    with ground.store.writing("anew") as transaction:
        transaction.connection.execute("DELETE FROM crypto.candles_1h")
    assert make(END) == Level(Timeframe.H1)
    # Days are made of the hours then.
    assert level(ground, week, 10) == Level(Timeframe.D1, Timeframe.H1)
    assert hours.timeframe is Timeframe.H1
