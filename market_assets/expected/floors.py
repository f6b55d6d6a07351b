"""The floor of a dataset: from when on it is kept, and from when on it must exist.

The only place in which `retention` of the universe becomes instants. Nothing before a floor is
expected, asked for, made, counted or missed. A floor is no genesis: it says nothing of where a
series begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from market_assets.market.datasets import Dataset, Family
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.market.durations import Age
    from market_assets.market.partitions import Cadence

SETTLED = timedelta(hours=1)
"""How long a floor must have stood before anything is removed below it.

What began to fill or to count a little earlier may still expect what lies there.
"""


@dataclass(frozen=True)
class Floor:
    """From when on a dataset is kept, and from when on it can be made.

    Attributes:
        kept: Rows whose `ts` lies before are removed; None where all are kept.
        made: Bars that open before cannot be made any more, because what they are made of is
            removed; None where all of that is kept, and for what a source gives.
    """

    kept: datetime | None = None
    made: datetime | None = None

    @property
    def start(self) -> datetime | None:
        """From when on bars are expected; None where it is from the start of each series on."""
        return max(filter(None, (self.kept, self.made)), default=None)

    def __bool__(self) -> bool:
        return self.start is not None


NO_FLOOR = Floor()


def kept_for(profile: Profile, dataset: Dataset) -> tuple[str, Age] | None:
    """How long a dataset of a profile is kept, and the key that says so; None is forever.

    What has no key of its own is kept as long as what it is made of.
    """
    retention = profile.retention
    while True:
        if dataset.name in retention.model_fields_set:
            age = retention.of(dataset.name)
            return None if age is None else (dataset.name, age)
        source = input_of(profile, dataset)
        if source is None:
            return None
        dataset = source


def input_of(profile: Profile, dataset: Dataset) -> Dataset | None:
    """What a dataset of a profile is made of; None for what a source gives."""
    timeframe = dataset.timeframe
    if dataset.family is not Family.CANDLES:
        return profile.candles(timeframe)
    if timeframe in profile.timeframes.derive:
        return profile.candles(profile.input_of(timeframe))
    return None


def floor_of(profile: Profile, dataset: Dataset, now: datetime) -> Floor:
    """The floor of a dataset of a profile as of an instant.

    It is kept from the start of the partition that holds the instant so long before: only whole
    partitions are removed.
    """
    if not profile.retention.model_fields_set:
        return NO_FLOOR
    source = input_of(profile, dataset)
    made = None if source is None else floor_of(profile, source, now).start
    return Floor(_kept_from(profile, dataset, now), made)


def matrix_floor(universe: Universe, dataset: Dataset, cadence: Cadence, now: datetime) -> Floor:
    """The floor of a matrix of returns across profiles.

    Its rows are kept as long as the returns of any of its profiles are, and made where the candles
    of all of them are kept.
    """
    members = universe.in_markets(dataset.timeframe)
    if not members:
        return NO_FLOOR
    kept = [
        _kept_from(member, Dataset.returns(member.name, dataset.timeframe), now)
        for member in members
    ]
    made = made_from(members, dataset, now)
    whole = [at for at in kept if at is not None]
    if len(whole) < len(members):
        return Floor(None, made)
    return Floor(Partition.holding(min(whole).date(), cadence).window.start, made)


def made_from(members: Sequence[Profile], dataset: Dataset, now: datetime) -> datetime | None:
    """From when on the candles of all of some profiles are kept; None where all of them are."""
    starts = (floor_of(member, member.candles(dataset.timeframe), now).start for member in members)
    return max(filter(None, starts), default=None)


def kept_in(partitions: Sequence[Partition], floor: Floor) -> list[Partition]:
    """Those of some partitions that a floor leaves."""
    kept = floor.kept
    return [part for part in partitions if kept is None or part.window.start >= kept]


def above(window: Window, floor: Floor) -> Window:
    """The part of a window that does not lie below a floor."""
    if floor.start is None or floor.start <= window.start:
        return window
    return Window(min(floor.start, window.end), window.end)


def _kept_from(profile: Profile, dataset: Dataset, now: datetime) -> datetime | None:
    kept = kept_for(profile, dataset)
    if kept is None:
        return None
    _, age = kept
    day = age.before(now.astimezone(UTC)).date()
    return Partition.holding(day, profile.partitions.of(dataset.timeframe)).window.start
