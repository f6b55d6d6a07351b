"""A grid shows every bar that must exist, with its prices or with the reason why it has none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.enrich.grid import Grid, with_runs
from market_assets.expected.series import calendar_of
from market_assets.market.datasets import Dataset
from market_assets_tests.support.enrich_ground import (
    D1,
    EQUITY,
    FOREX,
    H1,
    H4,
    M1,
    M5,
    W1,
    at,
    days,
    span,
)

if TYPE_CHECKING:
    from market_assets.market.timeframes import Timeframe, Window
    from market_assets_tests.support.enrich_ground import Market

WEEK = days("2025-03-03", "2025-03-08")


@pytest.fixture(autouse=True)
def _spring(clock):
    clock.now = datetime(2025, 3, 12, tzinfo=UTC)


def bars_of(made: Market, timeframe: Timeframe, window: Window) -> pl.DataFrame:
    with made.store.reading("looking") as view:
        return Grid(view, made.scope(timeframe)).bars(window)


def stories(bars: pl.DataFrame) -> dict[tuple[str, bool], int]:
    rows = bars.group_by("state", "broken").agg(pl.len()).rows()
    return {(state, broken): number for state, broken, number in rows}


def broken(bars: pl.DataFrame) -> list[datetime]:
    return bars.filter("broken")["ts"].to_list()


def test_a_fetched_bar_has_its_prices_or_the_state_that_the_ledger_knows(market):
    crypto = market()
    crypto.fill(WEEK, without=("2025-03-04 10:00..10:05",), outages=("2025-03-05 11:00..11:20",))
    bars = bars_of(crypto, M1, WEEK)
    assert stories(bars) == {
        ("stored", False): 5 * 1440 - 25,
        ("open", True): 5,
        ("outage", True): 20,
    }
    assert bars["ts"].is_sorted()
    assert bars.filter(pl.col("state") == "stored").null_count().sum_horizontal().item() == 0
    assert bars.filter(pl.col("state") != "stored")["close"].null_count() == 25


def test_minutes_that_a_source_leaves_out_break_nothing(market):
    crypto = market()
    crypto.fill(WEEK, without=("2025-03-04 10:00..10:05",))
    with crypto.store.writing("an answer of a source that leaves quiet minutes out") as transaction:
        answer = {
            "symbol": "BTC",
            "source": "practice",
            "start_ts": at("2025-03-04"),
            "end_ts": at("2025-03-05"),
            "bars": 1435,
            "omits_quiet": True,
        }
        transaction.coverage.put(Dataset.candles("kept", M1), pl.DataFrame([answer]))
    assert stories(bars_of(crypto, M1, WEEK)) == {
        ("stored", False): 5 * 1440 - 5,
        ("no_trade", False): 5,
    }


def test_a_derived_bar_over_a_hole_is_broken_and_one_over_quiet_minutes_is_not(market):
    crypto = market()
    crypto.fill(WEEK, without=("2025-03-04 10:00..10:05",), outages=("2025-03-05 11:00..13:00",))
    for timeframe in (M5, H1, H4, D1):
        crypto.derive(timeframe)
    hours = bars_of(crypto, H1, WEEK)
    assert stories(hours) == {("stored", False): 117, ("stored", True): 1, ("outage", True): 2}
    assert broken(hours) == [at("2025-03-04 10:00"), at("2025-03-05 11:00"), at("2025-03-05 12:00")]
    assert broken(bars_of(crypto, M5, WEEK))[0] == at("2025-03-04 10:00")
    assert broken(bars_of(crypto, H4, WEEK)) == [
        at("2025-03-04 08:00"),
        at("2025-03-05 08:00"),
        at("2025-03-05 12:00"),
    ]
    assert broken(bars_of(crypto, D1, WEEK)) == [at("2025-03-04"), at("2025-03-05")]


def test_a_derived_bar_in_a_halt_of_the_market_says_so(market, clock):
    clock.now = datetime(2020, 3, 12, tzinfo=UTC)
    day = days("2020-03-09", "2020-03-10")
    equity = market("kind: EQUITY\nstart: 2020-03-09")
    equity.fill(day)
    with equity.store.writing("trading nothing in the halt") as transaction:
        transaction.connection.execute(
            "DELETE FROM kept.candles_1m WHERE ts BETWEEN '2020-03-09 13:35' AND '2020-03-09 13:48'"
        )
    equity.derive(M5)
    halted = bars_of(equity, M5, day).filter(pl.col("state") != "stored")
    assert halted.select("ts", "state", "broken").rows() == [
        (at("2020-03-09 13:35"), "halted", False),
        (at("2020-03-09 13:40"), "halted", False),
    ]


def test_what_was_never_filled_is_open_in_every_timeframe(market):
    crypto = market()
    crypto.fill(days("2025-03-03", "2025-03-05"))
    crypto.derive(H1)
    crypto.derive(D1)
    assert stories(bars_of(crypto, M1, WEEK)) == {("stored", False): 2880, ("open", True): 4320}
    assert stories(bars_of(crypto, H1, WEEK)) == {("stored", False): 48, ("open", True): 72}
    assert stories(bars_of(crypto, D1, WEEK)) == {("stored", False): 2, ("open", True): 3}


def test_a_week_of_fetched_days_is_broken_by_the_session_that_lacks(market):
    equity = market(EQUITY, fetch="[1d]", derive="[1w]")
    weeks = days("2025-03-03", "2025-03-11")
    equity.fill(weeks, timeframe=D1, without=("2025-03-10 00:00..00:01",))
    equity.derive(W1)
    days_of = bars_of(equity, D1, weeks)
    assert stories(days_of) == {("stored", False): 5, ("open", True): 1}
    assert bars_of(equity, W1, weeks).select("ts", "state", "broken").rows() == [
        (at("2025-03-03"), "stored", False)
    ]


def test_the_last_session_bar_that_the_close_cuts_does_not_reach_into_the_next_session(market):
    # A forex day of hours fetched: its last four hours end at the session's close, after which the
    # next begins at once.
    forex = market(FOREX, fetch="[4h]", derive="[1d]")
    forex.fill(WEEK, timeframe=H4, without=("2025-03-04 18:00..18:01",))
    forex.derive(D1)
    session = calendar_of(forex.profile).bars(H4, span("2025-03-04 18:00..18:01"))["session"].item()
    assert broken(bars_of(forex, D1, WEEK)) == [datetime.combine(session, datetime.min.time())]


def test_a_bar_that_has_not_closed_or_lies_before_the_first_one_is_none(market, clock):
    crypto = market()
    crypto.fill(WEEK)
    with crypto.store.writing("a source names the first bar") as transaction:
        transaction.genesis.put(
            Dataset.candles("kept", M1),
            "BTC",
            at("2025-03-04 12:00").replace(tzinfo=UTC),
            "practice",
        )
    clock.now = datetime(2025, 3, 5, 0, 0, 30, tzinfo=UTC)
    bars = bars_of(crypto, M1, WEEK)
    assert (bars["ts"].min(), bars["ts"].max()) == (at("2025-03-04 12:00"), at("2025-03-04 23:59"))


def test_a_run_ends_at_a_broken_bar_and_at_nothing_else(market):
    crypto = market(symbols="BTC: {}, ETHER: {}")
    crypto.fill(WEEK, without=("2025-03-04 10:00..10:05",))
    runs = with_runs(bars_of(crypto, M1, WEEK))
    lengths = runs.group_by("symbol", "run", maintain_order=True).agg(pl.len(), pl.min("ts"))
    assert lengths.select("symbol", "len").rows() == [
        ("BTC", 2040),
        ("BTC", 5155),
        ("ETHER", 2040),
        ("ETHER", 5155),
    ]
    assert lengths["run"].n_unique() == 4
    equity = market(EQUITY)
    equity.fill(WEEK)
    assert with_runs(bars_of(equity, M1, WEEK))["run"].n_unique() == 1


def test_a_bar_that_was_stored_twice_is_one_bar_with_the_later_values(market):
    crypto = market(symbols="BTC: {}, ETH: {}")
    crypto.fill(WEEK)
    noon = at("2025-03-04 12:00")
    with crypto.store.writing("by hand") as transaction:
        for close, ts in ((7.0, noon), (8.0, noon), (9.0, noon + timedelta(seconds=1))):
            transaction.connection.execute(
                "INSERT INTO kept.candles_1m (symbol, ts, open, high, low, close, source) "
                "VALUES ('BTC', ?, 7, 9, 7, ?, 'hand')",
                [ts, close],
            )
    bars = bars_of(crypto, M1, WEEK)
    assert len(bars) == 2 * 5 * 1440
    assert bars.select("symbol", "ts").equals(bars.select("symbol", "ts").unique().sort(pl.all()))
    stored = bars.filter(pl.col("ts") == noon).select("symbol", "close", "volume").rows()
    assert stored[0] == ("BTC", 8.0, None)
    assert stored[1][0] == "ETH"
    assert stored[1][2] is not None


def test_series_that_begin_on_other_days_keep_their_own_candles(market):
    crypto = market(symbols="BTC: {}, ETH: {start: 2025-03-05}, XRP: {end: 2025-03-04}")
    crypto.fill(WEEK)
    bars = bars_of(crypto, M1, WEEK)
    days_of = {
        symbol: (len(rows), rows["ts"].min(), rows["ts"].max())
        for (symbol,), rows in bars.group_by("symbol")
    }
    assert days_of == {
        "BTC": (5 * 1440, at("2025-03-03"), at("2025-03-07 23:59")),
        "ETH": (3 * 1440, at("2025-03-05"), at("2025-03-07 23:59")),
        "XRP": (1440, at("2025-03-03"), at("2025-03-03 23:59")),
    }
    own = crypto.candles(M1).select("symbol", "ts", "close")
    joined = bars.select("symbol", "ts", "close").join(own, on=["symbol", "ts"], suffix="_stored")
    assert (joined["close"] == joined["close_stored"]).all()
    assert len(joined) == len(bars)
