"""How each dataset was made, as far as its settings go."""

from __future__ import annotations

from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import Timeframe

RETURNS = Dataset("crypto", Family.RETURNS, Timeframe.H1)


def test_the_recipe_that_was_put_last_holds_for_its_dataset_alone(write, read):
    assert read("recipes.of", RETURNS) is None
    write("recipes.put", RETURNS, "raw")
    write("recipes.put", RETURNS, "adjusted")
    write("recipes.put", RETURNS, "adjusted")
    assert read("recipes.of", RETURNS) == "adjusted"
    for other in (
        Dataset("equity", Family.RETURNS, Timeframe.H1),
        Dataset("crypto", Family.FEATURES, Timeframe.H1),
        Dataset("crypto", Family.RETURNS, Timeframe.D1),
    ):
        assert read("recipes.of", other) is None
