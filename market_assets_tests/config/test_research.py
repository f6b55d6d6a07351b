"""What is made of candles for research."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


def test_features_are_set_for_all_and_changed_key_by_key_for_one(load: Load):
    usual = load(universe()).profiles["crypto"]
    assert (usual.timeframes.features, usual.features.ema, usual.features.vwap) == (
        (),
        (12, 26, 50),
        True,
    )
    text = universe(
        "timeframes: {fetch: [1m], derive: [1h, 1d], features: [1d, 1h]}\n"
        "features: {rsi: [7, 14], vwap: false, sma: []}",
        top="features: {ema: [200], rsi: [21], bb: [[20, 2.5], [20, 3]]}",
    )
    own = load(text).profiles["crypto"]
    assert own.timeframes.features == (Timeframe.H1, Timeframe.D1)
    assert (own.features.ema, own.features.rsi, own.features.sma) == ((200,), (7, 14), ())
    assert own.features.bb == ((20, 2.5), (20, 3.0))
    assert own.features.vwap is False
    assert own.features.macd == ((12, 26, 9),)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            "timeframes: {fetch: [1m], features: [1h]}",
            "timeframes.features: 1h is neither fetched nor derived",
        ),
        (
            "timeframes: {fetch: [1m], features: [1m, 1m]}",
            "timeframes.features: 1m is written 2 times",
        ),
        ("features: {mcad: []}", "features.mcad: is no key here; did you mean macd?"),
        ("features: {rsi: 14}", "features.rsi: must be a list: [14]"),
        ("features: {rsi: [1]}", "features.rsi[0]: should be greater than or equal to 2, not 1"),
        ("features: {sma: [5, 5]}", "features.sma: 5 is written 2 times"),
        (
            "features: {macd: [[26, 12, 9]]}",
            "features.macd[0]: the first window must be shorter than the second",
        ),
        ("features: {bb: [[20, 0]]}", "features.bb[0][1]: should be greater than 0, not 0"),
    ],
)
def test_a_feature_that_cannot_be_made_is_refused_with_its_place(
    problems: Problems, keys: str, problem: str
):
    (found,) = problems(universe(keys))
    assert found.startswith(f"profiles.crypto.{problem}")
