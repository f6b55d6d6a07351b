"""Every dataset that is made of candles, after what it is made of, and the work that makes it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from market_assets.config.load import load_universe
from market_assets.enrich.derive import Derive
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.made import made_in, made_of_markets, made_of_profile
from market_assets.enrich.returns.returns import Returns
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Window

NOW = datetime(2025, 3, 3, tzinfo=UTC)
UNIVERSE = """
sources: {practice: {}}
markets: {timeframes: [1d]}
profiles:
  crypto:
    kind: CRYPTO
    start: 2025-03-01
    timeframes: {fetch: [1h], derive: [4h, 1d], features: [1h], returns: [1h]}
    sources: [practice]
    symbols: {BTC: {}}
  equity:
    kind: EQUITY
    start: 2025-03-01
    timeframes: {fetch: [1d]}
    sources: [practice]
    symbols: {SPY: {}}
"""


@pytest.fixture
def universe(tmp_path):
    path = tmp_path / "universe.yaml"
    path.write_text(UNIVERSE)
    return load_universe(path, environ={})


def test_fetched_candles_are_not_among_what_is_made(universe):
    made = made_of_profile(universe.profiles["crypto"])
    assert {each.dataset.name for each in made} == {
        "candles_4h",
        "candles_1d",
        "features_1h",
        "returns_1h",
    }
    assert made_of_profile(universe.profiles["equity"]) == []


def test_what_is_made_of_something_comes_after_it(universe):
    labels = [each.dataset.name for each in made_in(universe)]
    assert labels.index("candles_4h") < labels.index("candles_1d")
    assert made_in(universe)[-len(made_of_markets(universe)) :] == made_of_markets(universe)


def test_each_kind_has_its_work(universe, store):
    window = Window.of_days(date(2025, 3, 1), date(2025, 3, 3))
    kinds = {
        each.dataset.name: type(each.work(store, universe, window, now=NOW))
        for each in made_in(universe)
    }
    assert kinds == {
        "candles_4h": Derive,
        "candles_1d": Derive,
        "features_1h": Featurize,
        "returns_1h": Returns,
        "returns_1d": Returns,
    }
    cadences = {each.dataset.name: each.cadence for each in made_in(universe)}
    assert (cadences["candles_4h"], cadences["candles_1d"]) == (Cadence.DAY, Cadence.MONTH)
