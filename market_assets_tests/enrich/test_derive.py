"""Derived candles are what their input makes, whatever came first.

They say what they are made of.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets.enrich.resample import resample
from market_assets.expected.series import calendar_of, prepare
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Window
from market_assets_tests.support.enrich_ground import (
    D1,
    EQUITY,
    FOREX,
    FUTURES,
    H1,
    H4,
    M1,
    M5,
    M15,
    NAMES,
    W1,
    at,
    counted,
    days,
    priced,
    span,
)

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _spring(clock):
    clock.now = datetime(2025, 3, 12, tzinfo=UTC)


# What a derived candle is


def test_a_derived_candle_is_the_roll_up_of_its_input_and_says_of_how_many(market):
    crypto = market(symbols="BTC: {}, ETHER: {}")
    crypto.fill(days("2025-03-03", "2025-03-05"))
    outcomes = crypto.derive(M5, days("2025-03-03", "2025-03-05"))
    stored = crypto.candles(M5)
    bars = calendar_of(crypto.profile).bars(M5, days("2025-03-03", "2025-03-05"))
    assert_frame_equal(
        stored.drop("source", "bars_expected"),
        resample(crypto.candles(M1), bars, quiet_bars_are_flat=True),
    )
    assert stored.select("source", "bars", "bars_expected").unique().rows() == [
        ("candles_1m", 5, 5)
    ]
    assert counted(outcomes) == [
        (key, symbol, 288, 288, 0, 0)
        for key in ("2025-03-03", "2025-03-04")
        for symbol in ("BTC", "ETHER")
    ]
    assert [(one.new, one.rows, one.filled) for one in outcomes] == [(576, 576, True)] * 2
    assert outcomes[0].first_ts == datetime(2025, 3, 3, tzinfo=UTC)
    assert outcomes[0].last_ts == datetime(2025, 3, 3, 23, 55, tzinfo=UTC)


def test_a_bar_over_a_gap_holds_what_there_is(market):
    crypto = market()
    crypto.fill(
        days("2025-03-03", "2025-03-04"),
        without=("2025-03-03 00:01..00:03",),
        outages=("2025-03-03 00:57..01:00",),
    )
    crypto.derive(H1, days("2025-03-03", "2025-03-04"))
    assert crypto.made(H1)[:2] == [
        (at("2025-03-03 00:00"), 55, 60),
        (at("2025-03-03 01:00"), 60, 60),
    ]


def test_an_absent_bar_is_missing_while_its_input_is_and_explained_when_that_is(market, capfd):
    crypto = market()
    crypto.fill(
        days("2025-03-03", "2025-03-04"),
        without=("2025-03-03 10:00..10:05", "2025-03-03 12:00..12:07"),
        outages=("2025-03-03 11:00..11:10", "2025-03-03 12:07..12:10"),
    )
    outcomes = crypto.derive(M5, days("2025-03-03", "2025-03-04"))
    # Missing: 10:00, 12:00 and 12:05, half of which is open. Explained: 11:00 and 11:05.
    assert counted(outcomes) == [("2025-03-03", "BTC", 288, 283, 2, 3)]
    assert outcomes[0].filled
    assert crypto.matrix()["BTC", "5m"] == (9 * 288, 283, 2, 8 * 288 + 3, "DEGRADED")
    with crypto.store.reading("looking") as view:
        assert view.partitions.counts(Dataset.candles("kept", M5)).select(
            "partition", "stored", "explained", "missing"
        ).rows() == [("2025-03-03", 283, 2, 3)]
    assert "Warning" not in capfd.readouterr().err


def test_bars_that_were_never_filled_are_missing_and_the_outcome_says_what_to_do(market):
    crypto = market()
    outcomes = crypto.derive(M5, days("2025-03-03", "2025-03-04"))
    assert counted(outcomes) == [("2025-03-03", "BTC", 288, 0, 0, 288)]
    assert outcomes[0].failures == (
        "candles_1m has nothing here yet to make it of; backfill it first",
    )
    assert crypto.matrix()["BTC", "5m"][-1] == "MISSING"


def test_a_day_that_is_wholly_explained_needs_no_row(market):
    crypto = market()
    crypto.fill(days("2025-03-03", "2025-03-05"), outages=("2025-03-03 00:00..2025-03-04 00:00",))
    outcomes = crypto.derive(D1)
    assert counted(outcomes) == [("2025-03-01", "BTC", 9, 1, 1, 7)]
    assert crypto.made(D1) == [(at("2025-03-04"), 1440, 1440)]


def test_a_bar_is_not_made_before_it_closes(market, clock):
    clock.now = datetime(2025, 3, 5, 13, 7, tzinfo=UTC)
    crypto = market(derive="[5m, 4h, 1d, 1w]")
    crypto.fill(days("2025-03-03", "2025-03-06"))
    for timeframe in (M5, H4, D1, W1):
        crypto.derive(timeframe)
    assert crypto.made(M5)[-1] == (at("2025-03-05 13:00"), 5, 5)
    assert crypto.made(H4)[-1] == (at("2025-03-05 08:00"), 240, 240)
    assert crypto.made(D1)[-1] == (at("2025-03-04"), 1440, 1440)
    assert crypto.made(W1) == []
    assert {
        timeframe: rest[-1] for (_, timeframe), rest in crypto.matrix().items() if timeframe != "1m"
    } == dict.fromkeys(("5m", "4h", "1d"), "HEALTHY") | {"1w": "PENDING"}


def test_flat_bars_count_as_input_but_only_trades_make_prices(market):
    crypto = market()
    crypto.fill(days("2025-03-03", "2025-03-04"), volume=0.0)
    trade = span("2025-03-03 00:02..00:03")
    with crypto.store.writing("a trade") as transaction:
        bars = pl.DataFrame({"symbol": ["BTC"], "ts": [at("2025-03-03 00:02")]})
        transaction.candles.merge(
            Dataset.candles("kept", M1), ["BTC"], trade, priced(bars, volume=3.0, shift=0.5)
        )
        # A vendor's bars for quiet minutes repeat the last price.
        close = "(SELECT arg_max(close, ts) FROM kept.candles_1m WHERE volume > 0)"
        for price, when in ((100.0, "ts < '2025-03-03 00:02'"), (close, "ts > '2025-03-03 00:02'")):
            prices = ", ".join(f"{name} = {price}" for name in NAMES)
            transaction.connection.execute(f"UPDATE kept.candles_1m SET {prices} WHERE {when}")
    crypto.derive(M5, days("2025-03-03", "2025-03-04"))
    first, second = crypto.candles(M5).head(2).rows(named=True)
    (traded,) = crypto.candles(M1).filter(pl.col("volume") > 0).rows(named=True)
    assert [first[name] for name in (*NAMES, "volume", "bars")] == [
        *(traded[name] for name in NAMES),
        3.0,
        5,
    ]
    assert len({second[name] for name in NAMES}) == 1
    assert (second["volume"], second["bars"]) == (0.0, 5)


# Any order, and again


def test_only_what_changed_is_written_again(market):
    crypto = market(fetch="[1h]", derive="[4h, 1d, 1w]")
    crypto.fill(days("2025-03-03", "2025-03-12"), timeframe=H1)
    kept = (H4, D1, W1)
    assert [sum(outcome.new for outcome in crypto.derive(timeframe)) for timeframe in kept] == [
        9 * 6,
        9,
        1,
    ]
    before = {timeframe: crypto.candles(timeframe) for timeframe in kept}
    assert [sum(outcome.new for outcome in crypto.derive(timeframe)) for timeframe in kept] == [
        0,
        0,
        0,
    ]
    with crypto.store.writing("a revision") as transaction:
        bars = pl.DataFrame({"symbol": ["BTC"], "ts": [at("2025-03-04 13:00")]})
        revised = priced(bars).with_columns(high=pl.lit(5000.0))
        transaction.candles.merge(
            Dataset.candles("kept", H1), ["BTC"], days("2025-03-04", "2025-03-05"), revised
        )
    assert [sum(outcome.new for outcome in crypto.derive(timeframe)) for timeframe in kept] == [
        1,
        1,
        1,
    ]
    for timeframe, opened in zip(
        kept, ("2025-03-04 12:00", "2025-03-04", "2025-03-03"), strict=True
    ):
        changed = crypto.candles(timeframe).join(
            before[timeframe], on=before[timeframe].columns, how="anti"
        )
        assert changed.select("ts", "high").rows() == [(at(opened), 5000.0)]


def test_bars_of_candles_that_were_deleted_go_too(market):
    crypto = market()
    crypto.fill(days("2025-03-03", "2025-03-04"))
    crypto.derive(M5, days("2025-03-03", "2025-03-04"))
    with crypto.store.writing("deleting by hand") as transaction:
        transaction.connection.execute("DELETE FROM kept.candles_1m WHERE ts < '2025-03-03 00:07'")
    (outcome,) = crypto.derive(M5, days("2025-03-03", "2025-03-04"))
    assert outcome.new == 2
    assert crypto.made(M5)[0] == (at("2025-03-03 00:05"), 3, 5)


# Sessions


def test_the_hours_and_the_day_of_a_session(market):
    equity = market(EQUITY, symbols="SPY: {}")
    equity.fill(days("2025-03-03", "2025-03-05"))
    for timeframe in (H1, H4, D1):
        equity.derive(timeframe)
    hours = [(at(f"2025-03-03 {hour}:30"), 60, 60) for hour in range(14, 20)]
    assert equity.made(H1)[:7] == [*hours, (at("2025-03-03 20:30"), 30, 30)]
    assert equity.made(H4)[:2] == [
        (at("2025-03-03 14:30"), 240, 240),
        (at("2025-03-03 18:30"), 150, 150),
    ]
    assert equity.made(D1) == [(at("2025-03-03"), 390, 390), (at("2025-03-04"), 390, 390)]


def test_a_day_of_futures_begins_the_evening_before_in_another_partition(market):
    futures = market(FUTURES, symbols="ES: {}")
    futures.fill(days("2025-03-03", "2025-03-08"), outages=("2025-03-03 23:00..2025-03-04 00:00",))
    outcomes = futures.derive(D1)
    assert futures.made(D1) == [
        (at("2025-03-03"), 1320, 1320),  # its evening was before the profile's start
        (at("2025-03-04"), 1320, 1380),
        (at("2025-03-05"), 1380, 1380),
        (at("2025-03-06"), 1380, 1380),
        (at("2025-03-07"), 1380, 1380),
    ]
    assert counted(outcomes) == [("2025-03-01", "ES", 7, 5, 0, 2)]
    futures.derive(H4)
    crossing = [row for row in futures.made(H4) if row[0] == at("2025-03-03 23:00")]
    assert crossing == [(at("2025-03-03 23:00"), 180, 240)]


def test_a_bar_across_midnight_is_whole_whichever_day_is_derived_last(market):
    futures = market(FUTURES, symbols="ES: {}")
    for first, after in (("2025-03-04", "2025-03-05"), ("2025-03-03", "2025-03-04")):
        futures.fill(days(first, after))
        futures.derive(H4, days(first, after))
    assert (at("2025-03-03 23:00"), 240, 240) in futures.made(H4)


def test_a_week_of_futures_begins_on_sunday(market, clock):
    clock.now = datetime(2025, 3, 17, tzinfo=UTC)
    futures = market(FUTURES, symbols="ES: {}")
    futures.fill(days("2025-03-03", "2025-03-15"))
    for timeframe in (D1, W1):
        futures.derive(timeframe)
    week = futures.candles(W1)
    assert week.select("ts", "bars", "bars_expected").rows() == [
        (at("2025-03-03"), 5, 5),
        (at("2025-03-10"), 5, 5),
    ]
    first = futures.candles(M1).filter(pl.col("ts") >= at("2025-03-09 22:00")).head(1)
    assert first["ts"].to_list() == [at("2025-03-09 22:00")]
    assert week["open"].to_list()[1] == first["open"].item()


def test_forex_has_no_volume_and_its_day_ends_in_new_york(market):
    forex = market(FOREX, symbols="EURUSD: {}")
    forex.fill(days("2025-03-03", "2025-03-12"), volume=None)
    forex.derive(D1)
    stored = forex.candles(D1)
    assert stored["volume"].to_list() == [None] * 7
    assert stored.select("ts", "bars", "bars_expected").rows() == [
        (at("2025-03-03"), 1320, 1320),  # its evening was before the profile's start
        *((at(f"2025-03-0{day}"), 1440, 1440) for day in (4, 5, 6, 7)),
        (at("2025-03-10"), 1440, 1440),
        (at("2025-03-11"), 1440, 1440),
    ]
    closes = dict(forex.candles(M1).select("ts", "close").iter_rows())
    by_day = dict(stored.select("ts", "close").iter_rows())
    assert by_day[at("2025-03-07")] == closes[at("2025-03-07 21:59")]
    assert by_day[at("2025-03-10")] == closes[at("2025-03-10 20:59")], (
        "the clocks of New York had changed"
    )


# Where a series begins and ends


def test_a_symbol_that_begins_and_ends_in_the_middle_of_a_week_has_what_it_can_have(market):
    crypto = market(symbols="BTC: {start: 2025-03-06, end: 2025-03-11}", derive="[1d, 1w]")
    crypto.fill(days("2025-03-03", "2025-03-12"))
    for timeframe in (D1, W1):
        crypto.derive(timeframe)
    assert crypto.made(D1) == [(at(f"2025-03-{day:02}"), 1440, 1440) for day in range(6, 11)]
    assert crypto.made(W1) == [(at("2025-03-03"), 4, 4)]
    assert crypto.matrix()["BTC", "1w"] == (1, 1, 0, 0, "HEALTHY")


def test_nothing_is_derived_from_before_the_genesis(market):
    crypto = market(derive="[1h, 1d]")
    with crypto.store.writing("a genesis") as transaction:
        transaction.genesis.put(
            Dataset.candles("kept", M1), "BTC", datetime(2025, 3, 4, 10, 30, tzinfo=UTC), "binance"
        )
    crypto.fill(days("2025-03-03", "2025-03-05"), without=("2025-03-03 00:00..2025-03-04 10:30",))
    crypto.derive(H1, days("2025-03-03", "2025-03-05"))
    crypto.derive(D1, days("2025-03-03", "2025-03-05"))
    assert crypto.made(H1)[:2] == [
        (at("2025-03-04 10:00"), 30, 30),
        (at("2025-03-04 11:00"), 60, 60),
    ]
    assert crypto.made(D1) == [(at("2025-03-04"), 810, 810)]


def test_a_first_bar_without_candles_is_explained_though_it_began_before_the_series(market):
    """The first days of forex, futures and weeks open before the series does.

    There was nothing to judge then.
    """
    forex = market(FOREX, symbols="EURUSD: {}")
    forex.fill(
        days("2025-03-03", "2025-03-12"),
        outages=("2025-03-03 00:00..2025-03-03 22:00",),
        volume=None,
    )
    assert counted(forex.derive(D1)) == [("2025-03-01", "EURUSD", 7, 6, 1, 0)]


def test_a_week_that_a_symbols_end_cuts_is_made_of_every_day_that_there_is(market, clock):
    """The session of the 12th begins on the evening of the 11th, the symbol's last."""
    clock.now = datetime(2025, 3, 17, tzinfo=UTC)
    futures = market(FUTURES, symbols="ES: {end: 2025-03-12}", derive="[1d, 1w]")
    futures.fill(days("2025-03-10", "2025-03-12"))
    for timeframe in (D1, W1):
        futures.derive(timeframe, days("2025-03-10", "2025-03-17"))
    assert futures.made(D1) == [
        (at("2025-03-10"), 1260, 1380),  # the two hours of Sunday were not filled
        (at("2025-03-11"), 1380, 1380),
        (at("2025-03-12"), 120, 120),
    ]
    assert futures.made(W1) == [(at("2025-03-10"), 3, 3)]


def test_a_holiday_in_a_week_that_is_explained_is_nothing_to_wait_for(market, clock):
    clock.now = datetime(2025, 1, 13, tzinfo=UTC)
    keys = "kind: EQUITY\nstart: 2025-01-06\npartitions: {daily: day}"
    equity = market(keys, symbols="SPY: {}", fetch="[1d]", derive="[1w]")
    equity.fill(
        days("2025-01-06", "2025-01-11"),
        timeframe=D1,
        outages=("2025-01-06 00:00..2025-01-11 00:00",),
    )
    assert counted(equity.derive(W1)) == [("2025-01-06", "SPY", 1, 0, 1, 0)]


def test_a_week_that_ends_with_its_monday_is_missing_while_that_is(market, clock):
    clock.now = datetime(2025, 3, 17, tzinfo=UTC)
    equity = market(EQUITY, symbols="SPY: {end: 2025-03-11}", fetch="[1d]", derive="[1w]")
    equity.fill(
        days("2025-03-03", "2025-03-11"),
        timeframe=D1,
        without=("2025-03-10 00:00..2025-03-11 00:00",),
    )
    assert counted(equity.derive(W1)) == [("2025-03-01", "SPY", 2, 1, 0, 1)]


# What is not known is not explained


def test_a_bar_over_two_partitions_is_missing_until_both_were_judged(market):
    futures = market(FUTURES, symbols="ES: {}", derive="[1d]")
    futures.fill(days("2025-03-03", "2025-03-04"), outages=("2025-03-03 23:00..2025-03-04 00:00",))
    # Monday evening is explained, but of Tuesday nobody has asked yet.
    assert counted(futures.derive(D1)) == [("2025-03-01", "ES", 7, 1, 0, 6)]
    futures.fill(days("2025-03-04", "2025-03-05"), outages=("2025-03-04 00:00..2025-03-05 00:00",))
    assert counted(futures.derive(D1)) == [("2025-03-01", "ES", 7, 1, 1, 5)]


def test_a_week_is_missing_until_its_days_were_derived(market):
    crypto = market(derive="[1d, 1w]")
    crypto.fill(days("2025-03-03", "2025-03-12"))
    (outcome,) = crypto.derive(W1)
    assert counted([outcome]) == [("2025-03-01", "BTC", 1, 0, 0, 1)]
    assert outcome.failures == ("candles_1d has nothing here yet to make it of; backfill it first",)
    crypto.derive(D1)
    assert counted(crypto.derive(W1)) == [("2025-03-01", "BTC", 1, 1, 0, 0)]


def test_a_week_whose_days_are_missing_is_missing(market):
    crypto = market(derive="[1d, 1w]")
    for timeframe in (D1, W1):
        (outcome,) = crypto.derive(timeframe)
    assert counted([outcome]) == [("2025-03-01", "BTC", 1, 0, 0, 1)]


def test_a_week_whose_days_are_all_explained_is_explained(market):
    crypto = market(derive="[1d, 1w]")
    crypto.fill(days("2025-03-03", "2025-03-12"), outages=("2025-03-03 00:00..2025-03-10 00:00",))
    crypto.derive(D1)
    assert counted(crypto.derive(W1)) == [("2025-03-01", "BTC", 1, 0, 1, 0)]


# The vendor's own


def test_a_week_of_bitcoin_in_the_store_becomes_binances_own_bars(market, clock, shared: Path):
    folder = shared / "data" / "crypto"
    week = days("2025-06-02", "2025-06-09")
    clock.now = datetime(2025, 6, 9, tzinfo=UTC)
    crypto = market("kind: CRYPTO\nstart: 2025-06-02", symbols="BTCUSDT: {}", derive="[5m, 15m]")
    minutes = pl.read_parquet(folder / "binance-spot__BTCUSDT__1m.parquet").filter(week.holds())
    with crypto.store.writing("filling") as transaction:
        prepare(transaction, crypto.profile)
        transaction.candles.merge(
            Dataset.candles("kept", M1),
            ["BTCUSDT"],
            week,
            minutes.with_columns(source=pl.lit("binance")),
        )
    for timeframe in (M5, M15):
        crypto.derive(timeframe)
        theirs = (
            pl.read_parquet(folder / f"binance-spot__BTCUSDT__{timeframe}.parquet")
            .filter(week.holds())
            .sort("ts")
        )
        ours = crypto.candles(timeframe)
        assert_frame_equal(ours.select("ts", *NAMES), theirs.select("ts", *NAMES))
        assert ours["volume"].to_list() == pytest.approx(theirs["volume"].to_list())


def test_390_minutes_of_spy_are_its_day(market, clock, shared: Path):
    path = shared / "data/equity/admf-spy__SPY__1m.parquet"
    spy = pl.read_parquet(path).with_columns(source=pl.lit("archive"))
    first = spy["ts"].min().date() + timedelta(days=1)
    window = Window.of_days(first, first + timedelta(days=14))
    clock.now = window.end
    equity = market(f"kind: EQUITY\nstart: {first}", symbols="SPY: {}", derive="[1d]")
    allowed = calendar_of(equity.profile).bars(M1, window)
    minutes = spy.filter(window.holds()).join(allowed, on="ts", how="semi")
    with equity.store.writing("filling") as transaction:
        prepare(transaction, equity.profile)
        transaction.candles.merge(Dataset.candles("kept", M1), ["SPY"], window, minutes)
    equity.derive(D1)
    made = equity.candles(D1)
    assert made.height == len(calendar_of(equity.profile).bars(D1, window)) > 5
    assert made.select("bars", "bars_expected").unique().rows() == [(390, 390)]
    by_day = minutes.sort("ts").group_by(pl.col("ts").dt.date().alias("day"), maintain_order=True)
    days_of_spy = by_day.agg(pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"))
    assert made.select(NAMES).rows() == days_of_spy.select(NAMES).rows()
