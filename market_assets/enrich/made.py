"""Every dataset that is made of candles, and the work that makes it.

The datasets are in the order in which they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.enrich.derive import Derive
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.returns.returns import Returns, markets_cadence

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.market.partitions import Cadence
    from market_assets.market.timeframes import Timeframe, Window
    from market_assets.store import Store
    from market_assets.work.making import Work


@dataclass(frozen=True)
class Made:
    """A dataset that is made of candles.

    Attributes:
        owner: A profile's name, or that of the matrix across profiles.
        family: candles, features or returns.
        timeframe: Its timeframe.
        cadence: How long its partitions are.
    """

    owner: str
    family: str
    timeframe: Timeframe
    cadence: Cadence

    def work(
        self,
        store: Store,
        universe: Universe,
        window: Window,
        *,
        clock: Callable[[], datetime],
        trigger: str = "manual",
        run_id: str | None = None,
    ) -> Work:
        """The work that makes its partitions that overlap a window."""
        if self.owner not in universe.profiles:
            return Returns.of_markets(
                store, universe, self.timeframe, window, clock=clock, trigger=trigger, run_id=run_id
            )
        make = {"candles": Derive, "features": Featurize, "returns": Returns.of_profile}[
            self.family
        ]
        profile = universe.profiles[self.owner]
        return make(
            store, profile, self.timeframe, window, clock=clock, trigger=trigger, run_id=run_id
        )


def made_of_profile(profile: Profile) -> list[Made]:
    """The datasets that are made of a profile's candles alone, each after what it is made of."""
    frames = profile.timeframes
    families = {"candles": frames.derive, "features": frames.features, "returns": frames.returns}
    return [
        Made(profile.name, family, timeframe, profile.partitions.of(timeframe))
        for family, timeframes in families.items()
        for timeframe in timeframes
    ]


def made_of_markets(universe: Universe) -> list[Made]:
    """The matrices of returns across profiles."""
    markets = universe.markets
    return [
        Made(markets.name, "returns", timeframe, markets_cadence(timeframe))
        for timeframe in markets.timeframes
    ]


def made_in(universe: Universe) -> list[Made]:
    """All datasets of a universe that are made of candles, each after what it is made of."""
    datasets = [made for profile in universe.profiles.values() for made in made_of_profile(profile)]
    return [*datasets, *made_of_markets(universe)]
