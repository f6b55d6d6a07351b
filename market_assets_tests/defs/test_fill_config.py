"""The options of a fill, as the config of a run spells them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from market_assets.defs.fill_config import FillConfig, run_config_of
from market_assets.defs.keys import dataset_key
from market_assets.fill.options import USUAL, FillOptions
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

KEY = dataset_key(Dataset.candles("crypto", Timeframe.M1))

SPECIAL = {
    "symbols": ("BTC", "ETH"),
    "newest_first": True,
    "refetch": True,
    "only_due": True,
    "recheck": 5,
    "max_fills": 50,
    "max_time": timedelta(seconds=90),
}


def test_the_usual_fill_needs_no_config() -> None:
    assert run_config_of([KEY], USUAL) == {}
    assert FillConfig().to_options() == USUAL


@pytest.mark.parametrize("name", SPECIAL)
def test_each_option_goes_through_the_config_and_nothing_else_is_spelled(name: str) -> None:
    options = replace(USUAL, **{name: SPECIAL[name]})
    ((_, entry),) = run_config_of([KEY], options)["ops"].items()
    assert len(entry["config"]) == 1
    assert FillConfig(**entry["config"]).to_options() == options


def test_all_options_go_through_together() -> None:
    options = FillOptions(**SPECIAL)
    ((_, entry),) = run_config_of([KEY], options)["ops"].items()
    assert entry["config"]["max_minutes"] == 1.5
    assert FillConfig(**entry["config"]).to_options() == options
