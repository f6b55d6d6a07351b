"""Every dataset that is made of candles, and the work that makes it.

The datasets are in the order in which they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.enrich.derive import Derive
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.returns.returns import Returns, markets_cadence
from market_assets.market.datasets import Dataset, Family
from market_assets.work.run import BY_HAND

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.market.partitions import Cadence
    from market_assets.market.timeframes import Window
    from market_assets.store import Store
    from market_assets.work.making import Work
    from market_assets.work.run import Run


_MAKERS: dict[Family, Callable[..., Work]] = {
    Family.CANDLES: Derive,
    Family.FEATURES: Featurize,
    Family.RETURNS: Returns.of_profile,
}


@dataclass(frozen=True)
class Made:
    """A dataset that is made of candles.

    Attributes:
        dataset: Which one.
        cadence: How long its partitions are.
    """

    dataset: Dataset
    cadence: Cadence

    def work(
        self,
        store: Store,
        universe: Universe,
        window: Window,
        *,
        clock: Callable[[], datetime],
        run: Run = BY_HAND,
    ) -> Work:
        """The work that makes its partitions that overlap a window."""
        timeframe, profile = self.dataset.timeframe, universe.profiles.get(self.dataset.owner)
        if profile is None:
            return Returns.of_markets(store, universe, timeframe, window, clock=clock, run=run)
        make = _MAKERS[self.dataset.family]
        return make(store, profile, timeframe, window, clock=clock, run=run)


def made_of_profile(profile: Profile) -> list[Made]:
    """The datasets that are made of a profile's candles alone, each after what it is made of."""
    fetched = {profile.candles(timeframe) for timeframe in profile.timeframes.fetch}
    return [
        Made(dataset, profile.partitions.of(dataset.timeframe))
        for dataset in profile.datasets
        if dataset not in fetched
    ]


def made_of_markets(universe: Universe) -> list[Made]:
    """The matrices of returns across profiles."""
    return [Made(dataset, markets_cadence(dataset.timeframe)) for dataset in universe.matrices]


def made_in(universe: Universe) -> list[Made]:
    """All datasets of a universe that are made of candles, each after what it is made of."""
    datasets = [made for profile in universe.profiles.values() for made in made_of_profile(profile)]
    return [*datasets, *made_of_markets(universe)]
