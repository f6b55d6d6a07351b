"""The stored features are what the stored candles make.

This holds whichever partitions are made, in whichever order.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets.enrich.features.compute import compute, features_of, reach_of
from market_assets.enrich.features.families import Feature
from market_assets.enrich.features.featurize import Featurize, partitions_reached
from market_assets.enrich.grid import Grid, with_runs
from market_assets.expected.scope import scope_of
from market_assets.expected.series import prepare
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Window
from market_assets_tests.support.enrich_ground import (
    D1,
    EQUITY,
    FUTURES,
    H1,
    M1,
    M5,
    M15,
    W1,
    at,
    days,
)

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.market.timeframes import Timeframe
    from market_assets.work.outcome import PartitionOutcome
    from market_assets_tests.support.enrich_ground import Market

pytestmark = pytest.mark.filterwarnings("error")

SMALL = """
features:
  {simple_return: [1], log_return: [1], volatility: [5], parkinson: [5], garman_klass: [5],
   atr: [2], rsi: [2], macd: [[2, 3, 2]], bb: [[5, 2]], sma: [5], ema: [3], adx: [2], obv: [5],
   mfi: [3], zscore: [5], volume_ratio: [5], drawdown: [5]}
"""
"""Features that reach for 176 bars."""

WEEK = days("2025-03-03", "2025-03-10")


@pytest.fixture(autouse=True)
def _spring(clock):
    clock.now = datetime(2025, 3, 12, tzinfo=UTC)


@pytest.fixture
def walk(market):
    """Makes a market of which every bar of a window is stored.

    Prices walk at random, and have volumes.
    """

    def make(keys: str, window: Window, timeframe: Timeframe = H1, **given: object) -> Market:
        filled = market(f"{keys}\n{SMALL.strip()}", fetch=f"[{timeframe}]", derive="[]", **given)
        profile, now = filled.profile, filled.clock.now
        bars = scope_of(profile, timeframe, now).bars(window)
        rng = np.random.default_rng(7)
        close = 100 + np.cumsum(rng.normal(0, 1, len(bars))) % 37
        opened = np.concatenate((close[:1], close[:-1]))
        high, low = (
            np.maximum(opened, close) + rng.random(len(bars)),
            np.minimum(opened, close) - rng.random(len(bars)),
        )
        columns = {
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": rng.random(len(bars)) * 100,
        }
        rows = bars.select(
            "symbol", "ts", **{name: pl.Series(values) for name, values in columns.items()}
        )
        with filled.store.writing("walking") as transaction:
            prepare(transaction, profile)
            transaction.candles.merge(
                Dataset.candles(profile.name, timeframe),
                list(profile.symbols),
                window,
                rows.with_columns(source=pl.lit("binance")),
            )
        return filled

    return make


def made(
    filled: Market, timeframe: Timeframe, window: Window | None = None, **given: object
) -> list[PartitionOutcome]:
    window = window or days("2000-01-01", "2030-01-01")
    return list(Featurize(filled.store, filled.scope(timeframe), window, **given))  # type: ignore[arg-type]


def stored(filled: Market, timeframe: Timeframe) -> pl.DataFrame:
    with filled.store.reading("looking") as view:
        return view.features.of(
            Dataset.features(filled.profile.name, timeframe), days("2000-01-01", "2030-01-01")
        )


def at_once(filled: Market, timeframe: Timeframe) -> pl.DataFrame:
    """The features of the whole history, computed in one piece."""
    with filled.store.reading("looking") as view:
        grid = Grid(view, filled.scope(timeframe))
        bars = grid.bars(Window(min(one.window.start for one in grid.series), filled.clock.now))
    return compute(with_runs(bars), features_of(filled.profile.features, timeframe))


# What is stored


def test_each_candle_has_a_row_of_features_as_of_the_whole_history(walk):
    crypto = walk(
        "kind: CRYPTO\nstart: 2025-02-20",
        days("2025-02-20", "2025-03-05"),
        symbols="BTC: {}, ETH: {}",
    )
    crypto.clock.now = datetime(2025, 3, 5, tzinfo=UTC)
    outcomes = made(crypto, H1)
    assert [one.partition.key for one in outcomes][:2] == ["2025-02-20", "2025-02-21"]
    assert {(one.rows, one.new, one.filled) for one in outcomes} == {(48, 48, True)}
    assert [(own.symbol, own.expected, own.stored, own.missing) for own in outcomes[0].counts] == [
        ("BTC", 24, 24, 0),
        ("ETH", 24, 24, 0),
    ]
    assert outcomes[0].first_ts == datetime(2025, 2, 20, tzinfo=UTC)
    assert outcomes[0].last_ts == datetime(2025, 2, 20, 23, tzinfo=UTC)
    found = stored(crypto, H1)
    assert len(found) == len(crypto.candles(H1)) == 2 * 13 * 24
    assert_frame_equal(found, at_once(crypto, H1), check_exact=True)
    assert found["ema_3"].null_count() == 4


@pytest.mark.parametrize(
    "keys",
    ["kind: CRYPTO\nstart: 2025-03-03", EQUITY, FUTURES],
    ids=["crypto", "equity", "futures"],
)
def test_one_partition_after_the_other_makes_the_same_as_all_at_once(keys: str, walk, monkeypatch):
    keys = keys.replace("2025-03-03", "2025-01-20")
    filled = walk(keys, days("2025-01-20", "2025-02-12"), symbols="ONE: {}, TWO: {}")
    filled.clock.now = datetime(2025, 2, 12, tzinfo=UTC)
    monkeypatch.setattr(Featurize, "batch_bars", 1)
    monkeypatch.setattr("market_assets.enrich.features.featurize._GROUP_BARS", 1)
    outcomes = made(filled, H1, days("2025-02-09", "2025-02-12"))
    found, whole = stored(filled, H1), at_once(filled, H1)
    first = outcomes[0].partition.window.start.replace(tzinfo=None)
    assert len(found) == sum(one.rows for one in outcomes) >= 14
    # The prices are about 100: what is 0 but for its rounding differs by that.
    assert_frame_equal(found, whole.filter(pl.col("ts") >= first), rel_tol=1e-9, abs_tol=1e-9)
    assert found["vwap"].null_count() == 0


def test_a_month_of_days_and_a_week_that_began_before_the_start(walk, market):
    equity = walk(
        "kind: EQUITY\nstart: 2024-09-02", days("2024-09-02", "2025-03-12"), D1, symbols="SPY: {}"
    )
    made(equity, D1, days("2025-03-01", "2025-04-01"))
    found = stored(equity, D1)
    assert "vwap" not in found.columns
    assert found["ts"].min() == at("2025-03-03")
    assert_frame_equal(
        found,
        at_once(equity, D1).filter(pl.col("ts") >= at("2025-03-01")),
        rel_tol=1e-9,
        abs_tol=1e-9,
    )
    assert found["overnight_return"].null_count() == 0
    weeks = market("kind: CRYPTO\nstart: 2025-02-01", fetch="[1d]", derive="[1w]")
    weeks.fill(days("2025-02-01", "2025-03-12"), timeframe=D1)
    weeks.derive(W1)
    made(weeks, W1)
    assert stored(weeks, W1)["ts"].to_list() == weeks.candles(W1)["ts"].to_list()
    assert stored(weeks, W1)["ts"][0] == at("2025-01-27")


def test_nothing_reaches_over_a_gap_and_a_bar_that_is_half_there_has_a_row_without_features(market):
    crypto = market(f"kind: CRYPTO\nstart: 2025-03-03\n{SMALL.strip()}", derive="[5m]")
    crypto.fill(days("2025-03-03", "2025-03-05"), without=("2025-03-04 10:02..10:11",))
    crypto.derive(M5)
    crypto.clock.now = datetime(2025, 3, 5, tzinfo=UTC)
    (first, second) = made(crypto, M5)
    assert (first.rows, second.rows, second.filled) == (288, 287, True)
    assert [(own.stored, own.missing) for own in second.counts] == [(287, 1)]
    found = stored(crypto, M5)
    known = {
        row["ts"]: (row["simple_return_1"], row["ema_3"], row["vwap"])
        for row in found.iter_rows(named=True)
    }
    has = {ts: tuple(value is not None for value in values) for ts, values in known.items()}
    assert has[at("2025-03-04 09:55")] == (True, True, True)
    # 10:00 is made of 2 minutes, 10:05 is absent, 10:10 is made of 4.
    assert has[at("2025-03-04 10:00")] == has[at("2025-03-04 10:10")] == (False, False, False)
    assert [has[at(f"2025-03-04 10:{minute}")] for minute in (15, 20, 25, 30)] == [
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, True, False),
    ]
    # After the fill of the gap nothing is left of it.
    crypto.fill(days("2025-03-04", "2025-03-05"))
    crypto.derive(M5)
    made(crypto, M5, days("2025-03-04", "2025-03-05"))
    assert_frame_equal(stored(crypto, M5), at_once(crypto, M5), rel_tol=1e-9, abs_tol=1e-9)
    assert stored(crypto, M5)["ema_3"].null_count() == 2


def test_a_market_that_hardly_trades_reaches_back_as_far_as_it_must(walk):
    crypto = walk(
        "kind: CRYPTO\nstart: 2025-01-01",
        days("2025-01-01", "2025-02-12"),
        symbols="ONE: {}, TWO: {}",
    )
    crypto.clock.now = datetime(2025, 2, 12, tzinfo=UTC)
    answered = {
        "symbol": "TWO",
        "source": "practice",
        "start_ts": at("2025-01-01"),
        "end_ts": at("2025-02-12"),
        "bars": 9,
        "omits_quiet": True,
    }
    with crypto.store.writing("trading in every second hour") as transaction:
        transaction.connection.execute(
            "DELETE FROM kept.candles_1h WHERE symbol = 'TWO' AND hour(ts) % 2 > 0"
        )
        transaction.coverage.put(Dataset.candles("kept", H1), pl.DataFrame([answered]))
    made(crypto, H1, days("2025-02-10", "2025-02-12"))
    whole = at_once(crypto, H1).filter(pl.col("ts") >= at("2025-02-10"))
    assert len(whole) == 48 + 24
    assert_frame_equal(stored(crypto, H1), whole, rel_tol=1e-9, abs_tol=1e-9)


# Again


def test_what_is_what_it_was_stays_and_a_version_changes_only_with_the_features(walk):
    crypto = walk(
        "kind: CRYPTO\nstart: 2025-02-20", days("2025-02-20", "2025-03-05"), symbols="BTC: {}"
    )
    crypto.clock.now = datetime(2025, 3, 5, tzinfo=UTC)
    first = made(crypto, H1)
    again = made(crypto, H1, days("2025-03-04", "2025-03-05"))
    assert [(one.new, one.rows) for one in again] == [(0, 24)]
    assert again[0].version == first[-1].version is not None
    with crypto.store.writing("revising") as transaction:
        transaction.connection.execute(
            "UPDATE kept.candles_1h SET close = close + 1 WHERE ts = '2025-03-04 20:00'"
        )
    (third,) = made(crypto, H1, days("2025-03-04", "2025-03-05"))
    assert (third.new, third.by_symbol) == (4, {"new": {"BTC": 4}})
    assert third.version != first[-1].version
    assert_frame_equal(stored(crypto, H1), at_once(crypto, H1), rel_tol=1e-9, abs_tol=1e-9)


def test_a_symbol_whose_end_was_moved_loses_what_lies_behind_it(walk):
    crypto = walk("kind: CRYPTO\nstart: 2025-03-03", WEEK, symbols="BTC: {}, ETH: {}")
    crypto.clock.now = WEEK.end
    made(crypto, H1)
    ended = crypto.profile.symbols["ETH"].model_copy(update={"end": date(2025, 3, 5)})
    crypto.profile = crypto.profile.model_copy(
        update={"symbols": crypto.profile.symbols | {"ETH": ended}}
    )
    outcomes = made(crypto, H1)
    assert [one.rows for one in outcomes] == [48, 48, 24, 24, 24, 24, 24]
    last = stored(crypto, H1).group_by("symbol").agg(pl.max("ts")).sort("symbol")
    assert last.rows() == [("BTC", at("2025-03-09 23:00")), ("ETH", at("2025-03-04 23:00"))]
    assert [one.new for one in made(crypto, H1, days("2025-03-09", "2025-03-10"))] == [0]


def test_a_feature_that_is_new_is_null_until_it_is_made_and_one_that_is_gone_keeps_its_column(walk):
    crypto = walk("kind: CRYPTO\nstart: 2025-03-03", WEEK, symbols="BTC: {}")
    crypto.clock.now = WEEK.end
    made(crypto, H1)
    before = stored(crypto, H1)
    settings = crypto.profile.features.model_copy(update={"sma": (6,), "ema": ()})
    crypto.profile = crypto.profile.model_copy(update={"features": settings})
    made(crypto, H1, days("2025-03-09", "2025-03-10"))
    after = stored(crypto, H1)
    assert set(after.columns) == {*before.columns, "sma_6"}
    old, new = (
        after.filter(pl.col("ts") < at("2025-03-09")),
        after.filter(pl.col("ts") >= at("2025-03-09")),
    )
    assert old["sma_6"].null_count() == len(old)
    assert_frame_equal(old.select(before.columns), before.head(len(old)))
    assert new["sma_6"].null_count() == 0
    assert new["sma_5"].null_count() == new["ema_3"].null_count() == len(new)


def test_no_bar_is_made_of_what_comes_after_it(walk):
    crypto = walk(
        "kind: CRYPTO\nstart: 2025-02-20", days("2025-02-20", "2025-03-05"), symbols="BTC: {}"
    )
    crypto.clock.now = datetime(2025, 3, 4, 10, 30, tzinfo=UTC)
    made(crypto, H1)
    known = stored(crypto, H1)
    assert known["ts"].max() == at("2025-03-04 09:00")
    crypto.clock.now = datetime(2025, 3, 5, tzinfo=UTC)
    made(crypto, H1)
    assert_frame_equal(stored(crypto, H1).head(len(known)), known, check_exact=True)


# What goes wrong


def test_a_price_that_is_no_number_is_named_and_is_a_gap_for_its_symbol_alone(walk):
    crypto = walk("kind: CRYPTO\nstart: 2025-03-03", WEEK, symbols="BTC: {}, ETH: {}, XRP: {}")
    crypto.clock.now = WEEK.end
    with crypto.store.writing("breaking") as transaction:
        transaction.connection.execute(
            """
            UPDATE kept.candles_1h
            SET high = 'inf'
            WHERE symbol = 'ETH' AND ts = '2025-03-05 07:00'
            """
        )
    work = Featurize(crypto.store, crypto.scope(H1), days("2025-03-04", "2025-03-07"))
    why = (
        "ETH: the candle at 2025-03-05 07:00Z has a price that is no number; delete it, "
        "and backfill its partition"
    )
    assert [(one.failures, one.faults, one.rows) for one in work] == [
        ((), (), 72),
        ((), (why,), 72),
        ((), (), 72),
    ]
    assert (work.audit["kind"], work.audit["status"]) == ("features", "SUCCEEDED")
    assert work.audit["detail"]["faults"] == {"2025-03-05": (why,)}
    found = stored(crypto, H1)
    average = found.filter(
        pl.col("ts").is_between(at("2025-03-05 05:00"), at("2025-03-05 13:00"))
    ).select("symbol", "sma_5")
    missing = average.group_by("symbol").agg(pl.col("sma_5").is_null().sum()).sort("symbol")
    assert missing.rows() == [("BTC", 0), ("ETH", 5), ("XRP", 0)]


def test_a_feature_that_cannot_be_made_of_one_symbol_is_null_there_and_all_others_are_made(walk):
    crypto = walk("kind: CRYPTO\nstart: 2025-03-03", WEEK, symbols="BTC: {}, ETH: {}")
    crypto.clock.now = WEEK.end
    work = Featurize(crypto.store, crypto.scope(H1), days("2025-03-05", "2025-03-06"))

    def values(candles: object) -> np.ndarray:
        prices = candles.close  # type: ignore[attr-defined]
        if prices.max() > 130:
            raise ArithmeticError("too dear")
        return prices

    with crypto.store.writing("making dear") as transaction:
        transaction.connection.execute(
            """
            UPDATE kept.candles_1h
            SET high = 1000, close = 999
            WHERE symbol = 'BTC' AND ts = '2025-03-05'
            """
        )
        transaction.connection.execute(
            "UPDATE kept.candles_1h SET close = 100, low = 1 WHERE symbol = 'ETH'"
        )
    other = work.features[0].name
    work.features = (
        replace(work.features[0], reach=0),
        Feature("dear", "A price that some do not bear", 0, values),
    )
    (outcome,) = work
    assert (outcome.failures, outcome.faults) == (
        (),
        ("BTC: dear could not be made: ArithmeticError('too dear')",),
    )
    assert (outcome.rows, work.audit["status"]) == (48, "SUCCEEDED")
    found = stored(crypto, H1)
    assert found.select("symbol", "dear").unique().sort("symbol").rows() == [
        ("BTC", None),
        ("ETH", 100.0),
    ]
    kept = found.group_by("symbol").agg(pl.col(other).count() > 0).sort("symbol")
    assert kept.rows() == [("BTC", True), ("ETH", True)]


def test_without_candles_there_is_nothing_to_make_and_that_is_said(market):
    crypto = market("kind: CRYPTO\nstart: 2025-03-03", fetch="[1h]", derive="[]")
    (outcome,) = made(crypto, H1, days("2025-03-04", "2025-03-05"))
    assert outcome.failures == ("candles_1h has nothing here yet to make it of; backfill it first",)
    assert made(crypto, H1, days("2020-03-04", "2020-03-05")) == []


# What depends on what


def test_a_partition_depends_on_as_many_before_it_as_hold_what_it_reads(profile):
    def reached(keys: str, timeframe: Timeframe) -> int:
        kept = profile(keys + "\ntimeframes: {fetch: [1m, 1h, 1d]}\nsymbols: {X: {}}")
        return partitions_reached(scope_of(kept, timeframe, at_now))

    at_now = datetime(2025, 3, 12, tzinfo=UTC)
    crypto, equity = "kind: CRYPTO\nstart: 2010-01-01", "kind: EQUITY\nstart: 2010-01-01"
    reach = reach_of(features_of(profile(f"{crypto}\nsymbols: {{X: {{}}}}").features, H1))
    assert reach == 1232
    assert reached(crypto, H1) == -(-reach // 24) == 52
    assert reached(crypto, M1) == 1
    assert reached(equity, M1) == 4
    assert reached(equity, H1) == 178
    assert reached(equity, D1) == 59
    assert reached(f"{crypto}\nfeatures: {{ema: [500]}}", D1) == 264


def test_the_part_of_a_market_is_prepared_that_has_no_candles_yet(market):
    crypto = market("kind: CRYPTO\nstart: 2025-03-03", fetch="[1h]", derive="[]")
    with crypto.store.writing("preparing") as transaction:
        prepare(transaction, crypto.profile)
        assert not transaction.catalog.has("kept", "features_1h")
    made(crypto, H1, days("2025-03-04", "2025-03-05"))
    with crypto.store.reading("looking") as view:
        assert view.catalog.has("kept", "features_1h")


# Real candles


def real(market, clock, path: Path, keys: str, timeframe: Timeframe) -> tuple[Market, pl.DataFrame]:
    """A market of one symbol that keeps the candles of a file, and these."""
    candles = pl.read_parquet(path).sort("ts").unique("ts", maintain_order=True)
    clock.now = candles["ts"].max().replace(tzinfo=UTC) + timedelta(days=1)
    kept = market(keys, symbols="REAL: {}", fetch=f"[{timeframe}]", derive="[]")
    rows = candles.with_columns(
        symbol=pl.lit("REAL"), source=pl.lit("archive"), volume=pl.col("volume").cast(pl.Float64)
    )
    with kept.store.writing("keeping") as transaction:
        prepare(transaction, kept.profile)
        transaction.candles.merge(
            Dataset.candles("kept", timeframe), ["REAL"], days("1990-01-01", "2030-01-01"), rows
        )
    return kept, candles


@pytest.mark.parametrize(
    "case",
    [
        (
            "crypto/binance-spot-long__BTCUSDT__15m.parquet",
            "kind: CRYPTO\nstart: 2023-01-01",
            M15,
            timedelta(days=3),
        ),
        ("equity/lean__SPY__1d.parquet", "kind: EQUITY\nstart: 1998-01-02", D1, timedelta(days=60)),
    ],
    ids=["bitcoin", "SPY"],
)
def test_a_partition_of_a_real_history_has_what_talib_makes_of_the_whole(
    case: tuple[str, str, Timeframe, timedelta], market, clock, shared: Path
):
    path, keys, timeframe, last = case
    talib = pytest.importorskip("talib")
    kept, candles = real(market, clock, shared / "data" / path, keys, timeframe)
    made(kept, timeframe, Window(clock.now - last, clock.now))
    found = stored(kept, timeframe)
    assert 40 < len(found) < len(candles) / 10
    high, low, close, volume = (
        candles[name].to_numpy() for name in ("high", "low", "close", "volume")
    )
    theirs = {f"ema_{n}": talib.EMA(close, n) for n in (12, 26, 50)}
    theirs |= {
        "rsi_14": talib.RSI(close, 14),
        "atr_14": talib.ATR(high, low, close, 14),
        "adx_14": talib.ADX(high, low, close, 14),
        "mfi_14": talib.MFI(high, low, close, volume.astype(float), 14),
        "sma_50": talib.SMA(close, 50),
    }
    theirs |= zip(
        ("macd_12_26_9", "macd_signal_12_26_9", "macd_hist_12_26_9"),
        talib.MACD(close, 12, 26, 9),
        strict=True,
    )
    theirs |= zip(
        ("bb_upper_20_2", "bb_middle_20_2", "bb_lower_20_2"),
        talib.BBANDS(close, 20, 2.0, 2.0),
        strict=True,
    )
    for name, values in theirs.items():
        scale = (
            close[-len(found) :] if name.startswith(("ema", "sma", "macd", "bb", "atr")) else 1.0
        )
        ours = found[name].to_numpy()
        assert np.max(np.abs(ours - values[-len(found) :]) / scale) < 1e-9, name
