"""Every dataset that is made of candles, and the work that makes it.

The datasets are in the order in which they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.enrich.derive import Derive
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.returns.returns import Alignment, Returns, markets_cadence
from market_assets.expected.scope import scope_of
from market_assets.market.datasets import Dataset, Family
from market_assets.work.run import BY_HAND

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.market.partitions import Cadence
    from market_assets.market.timeframes import Window
    from market_assets.store import Store
    from market_assets.work.making import Making
    from market_assets.work.run import Run


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
        now: datetime,
        run: Run = BY_HAND,
    ) -> Making:
        """The work that makes its partitions that overlap a window, as of an instant."""
        timeframe = self.dataset.timeframe
        profile = universe.profiles.get(self.dataset.owner)
        if profile is None:
            matrix = Alignment.of_markets(universe, timeframe, now)
            return Returns(store, matrix, window, run=run)

        scope = scope_of(profile, timeframe, now)
        match self.dataset.family:
            case Family.CANDLES:
                return Derive(store, scope, window, run=run)
            case Family.FEATURES:
                return Featurize(store, scope, window, run=run)
            case Family.RETURNS:
                return Returns(store, Alignment.of_profile(scope), window, run=run)


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
