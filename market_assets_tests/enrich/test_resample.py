"""Longer candles out of shorter ones, against the vendors' own."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_assets.enrich.resample import resample
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.candles_of_minutes import SCHEMA, minutes, rolled

if TYPE_CHECKING:
    from pathlib import Path


at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone
MINUTE = timedelta(minutes=1)


def session(calendar: str, first: date, after: date, price: float = 1.0) -> pl.DataFrame:
    """A flat candle for every minute that a calendar has between two days.

    The price rises by one per minute.
    """
    opens = load_calendar(calendar).bars(Timeframe.M1, Window.of_days(first, after)).select("ts")
    prices = {
        name: pl.int_range(pl.len()).cast(pl.Float64) + price
        for name in ("open", "high", "low", "close")
    }
    return opens.select(pl.lit("BTC").alias("symbol"), "ts", **prices, volume=pl.lit(1.0))


DAY = (date(2025, 3, 3), date(2025, 3, 4))


def test_a_bar_opens_with_its_first_candle_and_closes_with_its_last():
    candles = minutes(
        ("2025-03-03 00:02", (3.0, 3.5, 2.0, 2.5), 10.0),
        ("2025-03-03 00:00", (1.0, 4.0, 1.0, 2.0), 5.0),
        ("2025-03-03 00:04", (2.5, 2.75, 0.5, 0.75), 1.5),
        ("2025-03-03 00:05", (9.0, 9.0, 9.0, 9.0), 1.0),
    )
    result = rolled(candles, Timeframe.M5, *DAY)
    assert result.rows() == [
        ("BTC", at("2025-03-03 00:00"), 1.0, 4.0, 0.5, 0.75, 16.5, 3),
        ("BTC", at("2025-03-03 00:05"), 9.0, 9.0, 9.0, 9.0, 1.0, 1),
    ]
    assert result.schema == {**SCHEMA, "bars": pl.Int32}


def test_symbols_do_not_mix():
    candles = pl.concat(
        [
            minutes(("2025-03-03 00:00", 1.0, 1.0), symbol="ETH"),
            minutes(("2025-03-03 00:01", 2.0, 2.0)),
        ]
    )
    result = rolled(candles, Timeframe.M5, *DAY)
    assert result.select("symbol", "close", "bars").rows() == [("BTC", 2.0, 1), ("ETH", 1.0, 1)]


def test_a_bar_without_any_candle_has_no_row():
    result = rolled(
        minutes(("2025-03-03 00:00", 1.0, 1.0), ("2025-03-03 00:10", 1.0, 1.0)), Timeframe.M5, *DAY
    )
    assert result["ts"].to_list() == [at("2025-03-03 00:00"), at("2025-03-03 00:10")]
    assert rolled(minutes(), Timeframe.M5, *DAY).schema == {**SCHEMA, "bars": pl.Int32}
    assert rolled(
        minutes(("2025-03-03 00:00", 1.0, 1.0)), Timeframe.M5, date(2025, 3, 3), date(2025, 3, 3)
    ).is_empty()


def test_candles_outside_every_bar_take_no_part():
    early_and_late = minutes(
        ("2025-03-03 14:29", 1.0, 1.0),
        ("2025-03-03 14:30", 2.0, 1.0),
        ("2025-03-03 21:00", 3.0, 1.0),
    )
    result = rolled(early_and_late, Timeframe.H1, *DAY, calendar="XNYS")
    assert result.select("ts", "close").rows() == [(at("2025-03-03 14:30"), 2.0)]


# Minutes without a trade


def test_flat_bars_for_quiet_minutes_take_no_part_where_volume_is_real():
    candles = minutes(
        ("2025-03-03 00:00", 5.0, 0.0),
        ("2025-03-03 00:01", (1.0, 2.0, 1.0, 1.5), 3.0),
        ("2025-03-03 00:02", 1.5, 0.0),
    )
    assert rolled(candles, Timeframe.M5, *DAY).row(0)[2:] == (1.0, 2.0, 1.0, 1.5, 3.0, 3)
    assert rolled(candles, Timeframe.M5, *DAY, flat=False).row(0)[2:] == (
        5.0,
        5.0,
        1.0,
        1.5,
        3.0,
        3,
    )


def test_a_bar_without_any_trade_is_flat_at_the_last_price():
    candles = minutes(("2025-03-03 00:00", 4.0, 0.0), ("2025-03-03 00:01", 5.0, 0.0))
    assert rolled(candles, Timeframe.M5, *DAY).row(0)[2:] == (5.0, 5.0, 5.0, 5.0, 0.0, 2)


def test_a_volume_that_nobody_knows_is_no_sign_of_silence():
    unknown = minutes(("2025-03-03 00:00", 4.0, None), ("2025-03-03 00:01", 5.0, None))
    for flat in (True, False):
        assert rolled(unknown, Timeframe.M5, *DAY, flat=flat).row(0)[2:] == (
            4.0,
            5.0,
            4.0,
            5.0,
            None,
            2,
        )
    some = minutes(("2025-03-03 00:00", 4.0, None), ("2025-03-03 00:01", 5.0, 2.0))
    assert rolled(some, Timeframe.M5, *DAY).row(0)[2:] == (4.0, 5.0, 4.0, 5.0, 2.0, 2)


# Sessions


def test_an_hour_that_the_close_cuts_holds_what_there_was():
    result = rolled(session("XNYS", *DAY), Timeframe.H1, *DAY, calendar="XNYS")
    assert result.select("ts", "bars", "open", "close").rows() == [
        (at("2025-03-03 14:30"), 60, 1.0, 60.0),
        (at("2025-03-03 15:30"), 60, 61.0, 120.0),
        (at("2025-03-03 16:30"), 60, 121.0, 180.0),
        (at("2025-03-03 17:30"), 60, 181.0, 240.0),
        (at("2025-03-03 18:30"), 60, 241.0, 300.0),
        (at("2025-03-03 19:30"), 60, 301.0, 360.0),
        (at("2025-03-03 20:30"), 30, 361.0, 390.0),
    ]


@pytest.mark.parametrize(
    ("day", "minutes_in_it"),
    [(date(2025, 3, 7), 390), (date(2025, 3, 10), 390), (date(2025, 11, 28), 210)],
)
def test_a_days_bar_holds_every_minute_of_its_session(day: date, minutes_in_it: int):
    span = (day, day + timedelta(days=1))
    result = rolled(session("XNYS", *span), Timeframe.D1, *span, calendar="XNYS")
    assert result.select("ts", "bars", "open", "close", "volume").rows() == [
        (
            datetime.combine(day, datetime.min.time()),
            minutes_in_it,
            1.0,
            float(minutes_in_it),
            float(minutes_in_it),
        )
    ]


def test_days_of_forex_follow_new_york_across_the_change_of_its_clocks():
    span = (date(2025, 3, 6), date(2025, 3, 12))
    result = rolled(
        session("FOREX", *span), Timeframe.D1, date(2025, 3, 7), date(2025, 3, 11), calendar="FOREX"
    )
    by_day = {
        ts.date(): (first, bars)
        for ts, first, bars in result.select("ts", "open", "bars").iter_rows()
    }
    opens = load_calendar("FOREX").bars(Timeframe.M1, Window.of_days(*span))["ts"]
    assert opens[int(by_day[date(2025, 3, 7)][0]) - 1] == at("2025-03-06 22:00")
    assert opens[int(by_day[date(2025, 3, 10)][0]) - 1] == at("2025-03-09 21:00")
    assert [by_day[day][1] for day in (date(2025, 3, 7), date(2025, 3, 10))] == [1440, 1440]


def test_a_days_bar_of_24_hours_ignores_the_clocks_of_others():
    span = (date(2025, 3, 8), date(2025, 3, 11))
    result = rolled(session("24/7", *span), Timeframe.D1, *span)
    assert result["bars"].to_list() == [1440, 1440, 1440]


def test_futures_and_forex_begin_their_day_the_evening_before():
    for calendar, opening, bars in (
        ("CME Globex Equity", "2025-03-02 23:00", 1380),
        ("FOREX", "2025-03-02 22:00", 1440),
    ):
        span = (date(2025, 3, 2), date(2025, 3, 4))
        candles = session(calendar, *span)
        result = rolled(candles, Timeframe.D1, *DAY, calendar=calendar).filter(
            pl.col("ts") == at("2025-03-03")
        )
        assert result["bars"].to_list() == [bars]
        assert candles["ts"][int(result["open"][0]) - 1] == at(opening)


def test_a_week_of_futures_begins_on_sunday_and_is_named_for_monday():
    days = load_calendar("CME Globex Equity").bars(
        Timeframe.D1, Window.of_days(date(2025, 3, 3), date(2025, 3, 15))
    )
    candles = days.select(
        pl.lit("ES").alias("symbol"),
        ts="opens_at",
        volume=pl.lit(1.0),
        **{
            name: pl.int_range(pl.len()).cast(pl.Float64) + 1
            for name in ("open", "high", "low", "close")
        },
    )
    result = rolled(
        candles, Timeframe.W1, date(2025, 3, 3), date(2025, 3, 15), calendar="CME Globex Equity"
    )
    assert result.select("ts", "open", "close", "bars").rows() == [
        (at("2025-03-03"), 1.0, 5.0, 5),
        (at("2025-03-10"), 6.0, 10.0, 5),
    ]


ORACLES = [
    ("crypto/binance-spot__BTCUSDT", "5m", 26_141),
    ("crypto/binance-spot__BTCUSDT", "15m", 8_713),
    ("crypto/binance-spot-2023outage__BTCUSDT", "5m", 13_217),
    ("crypto/binance-spot-2023outage__BTCUSDT", "15m", 2_879),
    ("crypto/binance-spot-2023outage__ETHUSDT", "5m", 13_217),
    ("crypto/binance-spot-illiquid__IOTABTC", "5m", 8_639),
    ("crypto/binance-spot-illiquid__WAVESBTC", "5m", 8_639),
    ("crypto/binance-spot-illiquid__WAVESBTC", "15m", 2_879),
    ("crypto/bitmex__XBTUSD", "5m", 105_120),
    ("crypto/bitmex__XBTUSD", "1h", 8_760),
    ("crypto/bitmex__XBTUSD", "1d", 365),
    ("equity/admf-spy__SPY", "5m", 15_024),
]

# The vendors' own bars are the oracle


def read(shared: Path, name: str) -> pl.DataFrame:
    path = shared / "data" / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    return pl.read_parquet(path)


def compared(shared: Path, name: str, timeframe: str, *, flat: bool = True) -> pl.DataFrame:
    """Our bars beside the vendor's, over the whole bars that its minutes span."""
    candles, theirs = read(shared, f"{name}__1m"), read(shared, f"{name}__{timeframe}")
    first, last = candles["ts"].min(), candles["ts"].max() + MINUTE
    calendar = load_calendar("XNYS" if name.startswith("equity") else "24/7")
    span = Window(first.replace(tzinfo=UTC), last.replace(tzinfo=UTC))
    bars = calendar.bars_touching(Timeframe(timeframe), span).filter(
        pl.col("opens_at") >= first, pl.col("closes_at") <= last
    )
    theirs = theirs.join(bars, on="ts", how="semi").filter(pl.col("ts") >= first)
    ours = resample(candles, bars, quiet_bars_are_flat=flat)
    since = theirs["ts"].min()
    return ours.filter(pl.col("ts") >= since, pl.col("ts") <= theirs["ts"].max()).join(
        theirs, on="ts", how="full", suffix="_theirs", coalesce=True
    )


def disagreeing(both: pl.DataFrame) -> pl.DataFrame:
    prices = pl.any_horizontal(
        pl.col(p).ne_missing(pl.col(f"{p}_theirs")) for p in ("open", "high", "low", "close")
    )
    # A sum of many volumes depends in its last digits on the order of the terms.
    volume = (pl.col("volume") - pl.col("volume_theirs")).abs() > 1e-9 * pl.col("volume_theirs")
    return both.filter(prices | volume.fill_null(value=True))


@pytest.mark.parametrize(("name", "timeframe", "bars"), ORACLES)
def test_the_roll_up_of_minutes_is_the_vendors_own_bar(
    name: str, timeframe: str, bars: int, shared: Path
):
    both = compared(shared, name, timeframe)
    assert disagreeing(both).is_empty()
    assert both.height == bars


def test_with_the_flat_bars_of_quiet_minutes_many_opens_would_be_wrong(shared: Path):
    both = compared(shared, "crypto/binance-spot-illiquid__WAVESBTC", "15m", flat=False)
    assert disagreeing(both).height > both.height / 4


bars_present = st.sets(st.integers(0, 59), min_size=1)

# Whatever there is


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.floats(1, 9), st.floats(1, 9), st.sampled_from([0.0, 1.0, 2.5, None])),
        min_size=60,
        max_size=60,
    ),
    bars_present,
)
def test_rolling_up_in_two_steps_is_rolling_up_in_one(values, there):
    start = at("2025-03-03")
    table = [
        (
            "BTC",
            start + slot * MINUTE,
            opens,
            max(opens, closes),
            min(opens, closes),
            closes,
            volume,
        )
        for slot, (opens, closes, volume) in enumerate(values)
        if slot in there
    ]
    candles = pl.DataFrame(table, schema=SCHEMA, orient="row")
    hours = rolled(candles, Timeframe.H1, *DAY, flat=False)
    steps = rolled(
        rolled(candles, Timeframe.M15, *DAY, flat=False).drop("bars"),
        Timeframe.H1,
        *DAY,
        flat=False,
    )
    assert hours.drop("bars", "volume").equals(steps.drop("bars", "volume"))
    assert hours["volume"].to_list() == pytest.approx(steps["volume"].to_list())
    assert hours["bars"].to_list() == [len(there)]
    assert (hours["low"] <= hours["high"]).all()
