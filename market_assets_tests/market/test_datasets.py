"""What datasets are called, and which dataset a name means."""

from __future__ import annotations

import pytest

from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import Timeframe


@pytest.mark.parametrize(
    ("dataset", "name", "label"),
    [
        (Dataset.candles("crypto", Timeframe.H1), "candles_1h", "1h"),
        (Dataset.features("crypto", Timeframe.D1), "features_1d", "features_1d"),
        (Dataset.returns("markets", Timeframe.W1), "returns_1w", "returns_1w"),
    ],
)
def test_a_name_and_a_label_lead_back_to_their_dataset(
    dataset: Dataset, name: str, label: str
) -> None:
    assert (dataset.name, dataset.label) == (name, label)
    assert str(dataset) == f"{dataset.owner}/{name}"
    assert Dataset.named(dataset.owner, name) == dataset
    assert Dataset.labelled(dataset.owner, label) == dataset


@pytest.mark.parametrize("name", ["candles_mine", "adjusted_1h", "candles", "1h", ""])
def test_what_is_called_otherwise_is_no_dataset(name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid"):
        Dataset.named("crypto", name)


def test_every_family_has_datasets_of_every_timeframe() -> None:
    names = {Dataset("x", family, timeframe).name for family in Family for timeframe in Timeframe}
    assert len(names) == len(Family) * len(Timeframe)
