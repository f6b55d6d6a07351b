"""What the ledger knows of the bars that longer ones are made of."""

from __future__ import annotations

import polars as pl
import pytest

from market_assets.expected.scope import scope_of
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.reports.overlay import Overlay
from market_assets_tests.support.chart_ground import END, START, ChartGround, minute


@pytest.fixture
def overlay(tmp_path, clock) -> Overlay:
    ground = ChartGround(tmp_path, clock)
    ground.fill(("05T03:10", "05T03:20", "open"), ("05T04:50", "05T05:10", "abandoned"))
    scope = scope_of(ground.profile, Timeframe.M1, clock(), ["BTC"])
    with ground.store.reading("looking") as view:
        return Overlay.of(view, scope, Window(START, END))


def bars(*opens: str, stored: bool = True) -> pl.DataFrame:
    """Hours, as a chart has them."""
    since = [minute(text).replace(tzinfo=None) for text in opens]
    return pl.DataFrame({"since": since}, schema={"since": TS}).with_columns(
        until=pl.col("since") + pl.duration(hours=1),
        is_stored=pl.lit(stored),
        halted=pl.lit(value=False),
    )


def test_a_bar_that_shares_an_instant_with_an_absence_has_its_state(overlay):
    hours = bars("05T02:00", "05T03:00", "05T04:00", "05T05:00", "05T06:00")

    assert overlay.states(hours).to_list() == [None, "open", "abandoned", "abandoned", None]


def test_an_absent_bar_of_which_the_ledger_is_silent_was_quiet_or_halted(overlay):
    hours = bars("06T02:00", "06T03:00", stored=False)
    halted = hours.with_columns(halted=pl.Series([False, True]))

    assert overlay.states(halted).to_list() == ["no_trade", "halted"]


def test_a_stretch_is_told_by_the_bars_that_are_absent(overlay):
    runs = pl.DataFrame(
        {
            "state": ["abandoned"],
            "start": [minute("05T04:00")],
            "end": [minute("05T05:00")],
            "since": [minute("05T04:00")],
            "until": [minute("05T06:00")],
        }
    ).with_columns(pl.col("start", "end", "since", "until").dt.replace_time_zone(None))
    (row,) = overlay.facts(runs).to_dicts()

    assert (row["first_ts"].strftime("%H:%M"), row["last_ts"].strftime("%H:%M")) == (
        "04:50",
        "05:09",
    )
    assert row["bars"] == 20
