"""What datasets are called: the only maker of names such as `candles_1h`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from market_assets.market.timeframes import Timeframe


class Family(StrEnum):
    """What a dataset holds."""

    CANDLES = "candles"
    FEATURES = "features"
    RETURNS = "returns"

    def name_of(self, timeframe: Timeframe) -> str:
        """The name of its datasets of a timeframe, whoever owns them: `candles_1h`."""
        return f"{self}_{timeframe}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Candles, features or returns of one timeframe: `crypto/candles_1h`.

    Attributes:
        owner: The profile's name, or that of the matrix across profiles.
        family: What it holds.
        timeframe: How long its bars are.
    """

    owner: str
    family: Family
    timeframe: Timeframe

    @classmethod
    def candles(cls, owner: str, timeframe: Timeframe) -> Dataset:
        """The candles of a profile."""
        return cls(owner, Family.CANDLES, timeframe)

    @classmethod
    def features(cls, owner: str, timeframe: Timeframe) -> Dataset:
        """The features of a profile's candles."""
        return cls(owner, Family.FEATURES, timeframe)

    @classmethod
    def returns(cls, owner: str, timeframe: Timeframe) -> Dataset:
        """The aligned returns of a profile, or across profiles."""
        return cls(owner, Family.RETURNS, timeframe)

    @classmethod
    def named(cls, owner: str, name: str) -> Dataset:
        """The dataset with a name, such as `features_1h`.

        Raises:
            ValueError: No dataset is called so.
        """
        family, _, timeframe = name.rpartition("_")
        return cls(owner, Family(family), Timeframe(timeframe))

    @classmethod
    def labelled(cls, owner: str, label: str) -> Dataset:
        """The dataset with a label: see `label`.

        Raises:
            ValueError: No dataset has this label.
        """
        if label in set(Timeframe):
            return cls.candles(owner, Timeframe(label))
        return cls.named(owner, label)

    @property
    def name(self) -> str:
        """Its name in the store, in Dagster and in the lake: `candles_1h`."""
        return self.family.name_of(self.timeframe)

    @property
    def label(self) -> str:
        """Its name in `ops.partitions`: candles by their timeframe alone, `1h`, `returns_1d`."""
        return str(self.timeframe) if self.family is Family.CANDLES else self.name

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"
