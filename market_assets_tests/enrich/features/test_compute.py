"""Features are what TA-Lib makes of the whole history, however the history is cut.

They look nowhere ahead, and are null where they would be wrong.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from market_assets.config.research import FeatureSettings
from market_assets.enrich.features.compute import compute, features_of, reach_of
from market_assets.enrich.features.families import FAMILIES
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.features import ALL, SHORT, candles

if TYPE_CHECKING:
    from pathlib import Path


M1, H1, D1 = Timeframe.M1, Timeframe.H1, Timeframe.D1

# Which there are


def test_every_feature_of_the_settings_is_made_and_said_in_words():
    assert list(FeatureSettings.model_fields) == list(FAMILIES)
    names = [one.name for one in ALL]
    assert len(names) == len(set(names)) >= 20
    assert {"ema_12", "macd_12_26_9", "macd_signal_12_26_9", "bb_upper_20_2", "vwap"} <= set(names)
    assert all(one.words and one.words[0].isupper() and not one.words.endswith(".") for one in ALL)


def test_what_is_left_out_is_no_column_and_a_day_has_no_average_price_by_session():
    given = FeatureSettings.model_validate(
        {
            name: False if isinstance(value, bool) else []
            for name, value in FeatureSettings().model_dump().items()
        }
        | {"bb": [[10, 2.5]], "vwap": True}
    )
    bands = ["bb_upper_10_2_5", "bb_middle_10_2_5", "bb_lower_10_2_5"]
    assert [one.name for one in features_of(given, H1)] == [*bands, "vwap"]
    assert [one.name for one in features_of(given, D1)] == bands
    assert compute(candles([1, 2, 3]), ()).columns == ["symbol", "ts"]
    assert reach_of(()) == 0


@pytest.mark.parametrize(("first", "after"), [(0, 60), (10, 60), (20, 21), (50, 90), (70, 80)])
def test_features_within_a_window_are_those_rows_of_all(first: int, after: int):
    rng = np.random.default_rng(3)
    bars = candles(100 + np.cumsum(rng.normal(0, 1, 60)), spread=0.5)
    other = bars.with_columns(symbol=pl.lit("Z"), run=pl.lit(9).cast(bars.schema["run"]))
    bars = pl.concat([bars, other])
    start = bars["ts"][0].replace(tzinfo=UTC)
    window = Window(start + timedelta(minutes=first), start + timedelta(minutes=after))
    made = compute(bars, SHORT, within=window)
    assert_frame_equal(made, compute(bars, SHORT).filter(window.holds()), check_exact=True)


# The same as TA-Lib called on the whole history


def oracle(bars: pl.DataFrame) -> dict[str, np.ndarray]:
    talib = pytest.importorskip("talib")
    high, low, close, volume = (
        bars[name].fill_null(np.nan).to_numpy() for name in ("high", "low", "close", "volume")
    )
    made = {f"ema_{n}": talib.EMA(close, n) for n in (12, 26, 50)} | {
        f"sma_{n}": talib.SMA(close, n) for n in (10, 20, 50)
    }
    made |= {
        "rsi_14": talib.RSI(close, 14),
        "atr_14": talib.ATR(high, low, close, 14),
        "adx_14": talib.ADX(high, low, close, 14),
    }
    made |= zip(
        ("macd_12_26_9", "macd_signal_12_26_9", "macd_hist_12_26_9"),
        talib.MACD(close, 12, 26, 9),
        strict=True,
    )
    made |= zip(
        ("bb_upper_20_2", "bb_middle_20_2", "bb_lower_20_2"),
        talib.BBANDS(close, 20, 2.0, 2.0),
        strict=True,
    )
    made["simple_return_1"] = talib.ROCP(close, 1)
    with np.errstate(invalid="ignore"):
        made["zscore_20"] = (close - talib.SMA(close, 20)) / talib.STDDEV(close, 20)
    made["drawdown_60"] = close / talib.MAX(close, 60) - 1
    if not np.isnan(volume).any():
        balance = talib.OBV(close, volume)
        made["mfi_14"] = talib.MFI(high, low, close, volume, 14)
        made["obv_20"] = np.concatenate((np.full(20, np.nan), balance[20:] - balance[:-20]))
        made["volume_ratio_20"] = volume / talib.SMA(volume, 20)
    return made


REAL = {
    "minutes of bitcoin": ("crypto/binance-spot__BTCUSDT__1m.parquet", 20_000),
    "an hour of bitcoin with a stop": (
        "crypto/binance-spot-2023outage__BTCUSDT__1m.parquet",
        10_000,
    ),
    "days of SPY since 1998": ("equity/lean__SPY__1d.parquet", 10_000),
    "hours of euro without volume": ("forex/lean-oanda-bid__EURUSD__1h.parquet", 20_000),
    "minutes of a future": ("futures/lean__ESZ3__1m.parquet", 10_000),
}


@pytest.mark.parametrize(("path", "rows"), REAL.values(), ids=REAL)
def test_features_of_a_real_history_are_those_of_talib_called_on_the_whole(
    path: str, rows: int, shared: Path
):
    bars = pl.read_parquet(shared / "data" / path).sort("ts").head(rows)
    bars = bars.select(
        pl.lit("X").alias("symbol"),
        "ts",
        opens_at="ts",
        closes_at=pl.col("ts"),
        session=pl.col("ts").dt.date(),
        open="open",
        high="high",
        low="low",
        close="close",
        volume=pl.col("volume").cast(pl.Float64),
        run=pl.lit(0),
    )
    made, theirs = compute(bars, ALL), oracle(bars)
    assert len(theirs) >= 16
    for name, values in theirs.items():
        ours = made[name].fill_null(np.nan).to_numpy()
        scale = _scale(name, bars)
        defined = np.isfinite(values)
        nulls = np.isnan(ours) & defined
        # Where TA-Lib has a value and we do not, its value is 0 for nothing at all.
        assert not nulls.any() or name in {"mfi_14", "rsi_14"}, name
        assert not (np.isfinite(ours) & ~defined).any() or name == "zscore_20", name
        both = defined & ~nulls
        assert both.sum() > 0.9 * len(bars), name
        np.testing.assert_array_less(
            np.abs(ours - values)[both], (1e-9 * scale + 1e-9)[both], err_msg=name
        )


def _scale(name: str, bars: pl.DataFrame) -> np.ndarray:
    """What an error must be small beside.

    That is the price for what is a price, the volume for what is a volume, and else 1.
    """
    price = bars["high"].abs().rolling_max(60, min_samples=1).to_numpy()
    if name.startswith(("ema", "sma", "atr", "macd", "bb", "vwap")):
        return price
    if name.startswith("obv"):
        return bars["volume"].fill_null(0).rolling_sum(60, min_samples=1).to_numpy() + 1.0
    if name.startswith("volume_ratio"):
        return bars["volume"].fill_null(0).rolling_max(60, min_samples=1).to_numpy() + 1.0
    return np.ones(len(bars))


# However the history is cut


@st.composite
def histories(draw: st.DrawFn) -> pl.DataFrame:
    """A thousand minutes with everything that is hard on arithmetic.

    That is stretches that stand still, spikes, tiny moves of large prices, and gaps.
    """
    stretch = st.tuples(
        st.sampled_from(["walk", "tiny", "still", "spike", "jump", "range"]), st.integers(1, 160)
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    price = draw(st.sampled_from([1e5, 1.0, 1e-9]))
    closes, volumes = [price], [1.0]
    for kind, length in draw(st.lists(stretch, min_size=8, max_size=14)):
        last = closes[-1]
        if kind == "walk":
            closes += list(last * np.exp(np.cumsum(rng.normal(0, 1e-3, length))))
        elif kind == "tiny":
            closes += list(last * (1 + 1e-8 * np.cumsum(rng.integers(-1, 2, length))))
        elif kind == "still":
            closes += [last] * length
        elif kind == "spike":
            closes += [last * 10, last]
        elif kind == "jump":
            closes += [last * (1 + rng.normal(0, 0.2) % 1)]
        else:
            closes += list(last * (1 + 1e-5 * (np.arange(length) % 3)))
        volumes += list(
            rng.choice([0.0, 1e-3, 1.0, 1e12], len(closes) - len(volumes), p=[0.2, 0.3, 0.49, 0.01])
        )
    bars = candles(closes, volume=volumes, spread=0.0)
    gaps = sorted(draw(st.sets(st.integers(1, len(bars) - 1), max_size=2)))
    return bars.with_columns(
        run=pl.Series(np.searchsorted(gaps, np.arange(len(bars)), side="right"))
    )


@settings(max_examples=40)
@given(histories(), st.data())
def test_no_feature_depends_on_how_the_history_was_cut(bars: pl.DataFrame, data: st.DataObject):
    whole = compute(bars, SHORT)
    cut = data.draw(st.integers(0, len(bars) - 1), "cut")
    # A partition reads back to the session's first bar.
    session = int(bars["session"].search_sorted(bars["session"][cut]))
    for reach, features in groupby(
        sorted(SHORT, key=lambda one: one.reach), key=lambda one: one.reach
    ):
        several = tuple(features)
        start = min(max(0, cut - reach), session if reach == 0 else len(bars))
        part = compute(bars.slice(start), several).slice(cut - start)
        for one in several:
            ours, theirs = part[one.name], whole[one.name].slice(cut)
            assert ours.is_null().equals(theirs.is_null()), one.name
            error = (ours - theirs).abs().fill_null(0).to_numpy()
            relative = one.name.startswith(
                ("volatility", "parkinson", "garman", "atr", "simple", "log")
            )
            scale = _scale(one.name, bars)[cut:]
            if relative:
                scale = np.maximum(theirs.abs().fill_null(0).to_numpy(), 1e-12 * scale)
            np.testing.assert_array_less(error, 1e-9 * scale + 1e-300, err_msg=one.name)


@settings(max_examples=20)
@given(histories(), st.data())
def test_no_feature_looks_ahead(bars: pl.DataFrame, data: st.DataObject):
    end = data.draw(st.integers(1, len(bars)), "end")
    assert_frame_equal(
        compute(bars.head(end), SHORT), compute(bars, SHORT).head(end), check_exact=True
    )


@settings(max_examples=40)
@given(histories(), st.sampled_from([1.0, -1.0]), st.booleans())
def test_nothing_is_stored_that_is_no_number(bars: pl.DataFrame, sign: float, volume):
    bars = bars.with_columns(
        pl.col("open", "close") * sign,
        high=pl.col("high" if sign > 0 else "low") * sign,
        low=pl.col("low" if sign > 0 else "high") * sign,
    )
    bars = bars if volume else bars.with_columns(volume=pl.lit(None, pl.Float64))
    made = compute(bars, SHORT).drop("symbol", "ts")
    assert made.select(pl.all().is_finite().all()).row(0) == (True,) * made.width
    if not volume:
        assert all(
            made[name].null_count() == len(bars)
            for name in ("obv_6", "mfi_4", "vwap", "volume_ratio_5")
        )
    if sign < 0:
        assert all(
            made[name].null_count() == len(bars)
            for name in ("log_return_3", "volatility_5", "drawdown_9")
        )
    assert made["ema_3"].null_count() < len(bars)
