"""What a quiet bar is."""

from __future__ import annotations

from datetime import date

import polars as pl

from market_assets.enrich.resample import resample
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.candles_of_minutes import minutes, rolled

DAY = (date(2025, 3, 3), date(2025, 3, 4))


class TestQuietBars:
    """A quiet bar is one that did not move: without volume, and flat at the previous close."""

    def test_an_index_has_no_volume_and_moves(self):
        days = [
            ("2018-02-05 00:00", (43.77, 50.3, 43.44, 50.0), 0.0),
            ("2018-02-06 00:00", (50.0, 77.57, 49.0, 60.0), 0.0),
            ("2018-02-07 00:00", (60.0, 61.0, 50.0, 57.83), 0.0),
        ]
        (week,) = rolled(
            minutes(*days), Timeframe.W1, date(2018, 2, 5), date(2018, 2, 12)
        ).to_dicts()
        prices = [week[name] for name in ("open", "high", "low", "close")]
        assert prices == [43.77, 77.57, 43.44, 57.83]
        assert week["volume"] == 0.0

    def test_a_minute_with_a_range_is_a_bar_though_its_volume_is_lost(self):
        candles = minutes(
            ("2025-03-03 00:00", (100.0, 181.0, 69.0, 120.0), 0.0),
            ("2025-03-03 00:01", (120.0, 130.0, 110.0, 159.5), 0.0),
        )
        (hour,) = rolled(candles, Timeframe.H1, *DAY).to_dicts()
        assert [hour[name] for name in ("open", "high", "low", "close")] == [
            100.0,
            181.0,
            69.0,
            159.5,
        ]

    def test_a_flat_minute_at_another_price_has_moved(self):
        candles = minutes(
            ("2025-03-03 00:00", 100.0, 1.0),
            ("2025-03-03 01:00", 101.0, 0.0),
            ("2025-03-03 01:01", 101.0, 0.0),
            ("2025-03-03 01:02", (102.0, 103.0, 102.0, 103.0), 1.0),
        )
        _, hour = rolled(candles, Timeframe.H1, *DAY).to_dicts()
        assert [hour[name] for name in ("open", "high", "low", "close")] == [
            101.0,
            103.0,
            101.0,
            103.0,
        ]

    def test_the_close_before_the_candles_tells_a_quiet_first_one_from_one_that_moved(self):
        candles = minutes(("2025-03-03 00:00", 100.0, 0.0), ("2025-03-03 00:01", 104.0, 1.0))
        bars = load_calendar("24/7").bars_touching(Timeframe.H1, Window.of_days(*DAY))
        opens = {}
        for before in (100.0, 99.0):
            closes = pl.DataFrame({"symbol": ["BTC"], "close": [before]})
            (hour,) = resample(candles, bars, quiet_bars_are_flat=True, before=closes).to_dicts()
            opens[before] = hour["open"]
        assert opens == {100.0: 104.0, 99.0: 100.0}

    def test_hours_do_not_depend_on_where_the_candles_are_cut(self):
        rows = [
            (f"2025-03-03 0{hour}:{minute:02}", 100.0 + hour, 0.0)
            for hour in range(3)
            for minute in range(60)
        ]
        candles = minutes(*rows)
        bars = load_calendar("24/7").bars_touching(Timeframe.H1, Window.of_days(*DAY))
        whole = resample(candles, bars, quiet_bars_are_flat=True)
        closes = pl.DataFrame({"symbol": ["BTC"], "close": [100.0]})
        later = resample(candles[60:], bars, quiet_bars_are_flat=True, before=closes)
        assert later.equals(whole[1:])
