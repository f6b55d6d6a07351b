"""Which partitions of a dataset are behind what they are made of.

Pure: what the store says in, partition keys out. Clocks matter only for bars that close: a
partition records the newest version of its inputs when it is made, and is behind as soon as an
input has a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from market_assets.imports import late_imports
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import from_micros, to_micros

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from market_assets.market.datasets import Dataset

NEVER = -(2**63)
"""The version of a partition that was never made, older than any other."""


@dataclass(frozen=True)
class Input:
    """Candles that a dataset is made of.

    Attributes:
        dataset: The candles.
        cadence: How long their partitions are.
        reach: How many partitions before its own a partition of the dataset reads.
    """

    dataset: Dataset
    cadence: Cadence
    reach: int = 0


class Outline(NamedTuple):
    """What a partition of a dataset spans, in microseconds since 1970.

    Attributes:
        start: The first instant that one of its bars shares, or that it holds itself.
        end: The instant after the last one: a bar may end behind the partition that it opens in.
        closed: When the newest of its bars that have closed did so; NEVER where none has.
    """

    start: int
    end: int
    closed: int


class Versions:
    """The versions of an input's partitions, by stretch of time.

    Args:
        source: Whose versions.
        standing: `Partitions.standing` of the input.
    """

    def __init__(self, source: Input, standing: pl.DataFrame) -> None:
        windows = [Partition.of_key(key, source.cadence).window for key in standing["partition"]]
        self._starts = np.array([window.micros[0] for window in windows], dtype=np.int64)
        self._ends = np.array([window.micros[1] for window in windows], dtype=np.int64)
        self._versions = _micros(standing["changed_at"])
        self._filled = (standing["stored"] > 0).to_numpy()
        self._reach = source.reach
        self._grows = source.dataset.timeframe.intraday

    def newest(self, outline: Outline) -> int:
        """The newest version of the input partitions that something is made of, in microseconds."""
        first, after = self._range(outline)
        return int(self._versions[first:after].max(initial=NEVER))

    def settled(self, outline: Outline, now: int) -> int:
        """The newest version of the input partitions that change no more with each bar that closes.

        These are days of minutes that are over, and all days.
        """
        first, after = self._range(outline)
        versions = self._versions[first:after]
        if self._grows:
            versions = versions[self._ends[first:after] <= now]
        return int(versions.max(initial=NEVER))

    def fills(self, outline: Outline) -> bool:
        """Whether some input partition that holds a bar shares an instant with an outline."""
        return bool(
            (self._filled & (self._starts < outline.end) & (self._ends > outline.start)).any()
        )

    def _range(self, outline: Outline) -> tuple[int, int]:
        first = int(np.searchsorted(self._ends, outline.start, side="right")) - self._reach
        return max(first, 0), int(np.searchsorted(self._starts, outline.end))


def behind(
    partitions: Sequence[Partition],
    outlines: Mapping[str, Outline],
    standing: pl.DataFrame,
    inputs: Sequence[Versions],
    now: datetime,
) -> list[Partition]:
    """The partitions that must be made, or made again, in their order.

    An input partition of minutes that still runs changes with every bar: what is made of it is
    behind only when a bar of its own has closed since it was judged.

    Args:
        partitions: Those that the dataset has by now.
        outlines: What each of them spans, by key.
        standing: `Partitions.standing` of the dataset.
        inputs: The versions of what it is made of.
        now: The present instant.
    """
    present = to_micros(now)
    made = {
        key: (judged_at, made_of)
        for key, judged_at, made_of in zip(
            standing["partition"],
            _micros(standing["judged_at"]),
            _micros(standing["made_of"]),
            strict=True,
        )
    }

    def is_behind(partition: Partition) -> bool:
        outline = outlines[partition.key]
        if partition.key not in made:
            filled = any(versions.fills(outline) for versions in inputs)
            return filled and outline.closed > NEVER

        judged_at, made_of = made[partition.key]
        if made_of == NEVER:
            # Made before versions were noted: the instants are all that there is.
            made_of = judged_at
        if max(versions.settled(outline, present) for versions in inputs) > made_of:
            return True
        if max(versions.newest(outline) for versions in inputs) <= made_of:
            return False
        # A stamp of the future is one of a clock that was wrong.
        return bool(judged_at > present or outline.closed > judged_at)

    return [partition for partition in partitions if is_behind(partition)]


def made_of(
    partitions: Sequence[Partition], outlines: Mapping[str, Outline], inputs: Sequence[Versions]
) -> dict[str, datetime | None]:
    """The newest version of the inputs of each of some partitions.

    It is what `PartitionsWriter.put_made_of` takes.
    """
    newest = {
        partition.key: max(
            (versions.newest(outlines[partition.key]) for versions in inputs), default=NEVER
        )
        for partition in partitions
    }
    return {
        key: None if version == NEVER else from_micros(version) for key, version in newest.items()
    }


def _micros(times: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return times.to_physical().fill_null(NEVER).to_numpy().astype(np.int64)
