"""Which partitions of a dataset are behind what they are made of. Pure: what the store says in, partition keys out.

Clocks take no part in it but for bars that close: a partition notes the newest version of its inputs when it is made, and is
behind as soon as an input has a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from market_assets.market_time.partitions import Cadence, Partition
from market_assets.market_time.timeframes import from_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import polars as pl

    from market_assets.market_time.timeframes import Timeframe

_NEVER = np.iinfo(np.int64).min
"""The version of what was never made, older than any other."""


@dataclass(frozen=True)
class Input:
    """Candles that a dataset is made of.

    Attributes:
        profile: Whose candles.
        timeframe: Their timeframe.
        cadence: How long their partitions are.
        reach: So many partitions before its own a partition of the dataset reads.
    """

    profile: str
    timeframe: Timeframe
    cadence: Cadence
    reach: int = 0


class Versions:
    """The versions of an input's partitions, to be asked for a stretch of time.

    Args:
        source: Whose versions.
        standing: `Snapshot.standing` of the input.
    """

    def __init__(self, source: Input, standing: pl.DataFrame) -> None:
        windows = [Partition.of_key(key, source.cadence).window for key in standing["partition"]]
        self._starts = np.array([window.micros[0] for window in windows], dtype=np.int64)
        self._ends = np.array([window.micros[1] for window in windows], dtype=np.int64)
        self._versions = _micros(standing["changed_at"])
        self._filled = (standing["stored"] > 0).to_numpy()
        self._reach = source.reach

    def newest(self, partition: Partition, until: int | None = None) -> int:
        """The newest version, in microseconds, of the input partitions that a partition is made of.

        Args:
            partition: A partition of what is made.
            until: Only input partitions that end by then; all of them if not given.
        """
        first, after = self._range(partition)
        versions = self._versions[first:after]
        if until is not None:
            versions = versions[self._ends[first:after] <= until]
        return int(versions.max(initial=_NEVER))

    def fills(self, partition: Partition) -> bool:
        """Whether some input partition that holds a bar shares an instant with a partition."""
        start, end = partition.window.micros
        return bool((self._filled & (self._starts < end) & (self._ends > start)).any())

    def _range(self, partition: Partition) -> tuple[int, int]:
        start, end = partition.window.micros
        first = int(np.searchsorted(self._ends, start, side="right")) - self._reach
        return max(first, 0), int(np.searchsorted(self._starts, end))


def behind(
    partitions: Sequence[Partition],
    standing: pl.DataFrame,
    inputs: Sequence[Versions],
    *,
    closed_since: Callable[[Partition, datetime | None], bool],
    now: datetime,
) -> list[Partition]:
    """The partitions that are to be made, or made again, in their order.

    An input partition that still runs changes with every bar: what is made of it is behind only when a bar of its own has
    closed since it was judged.

    Args:
        partitions: Those that the dataset has by now.
        standing: `Snapshot.standing` of the dataset.
        inputs: The versions of what it is made of.
        closed_since: Whether a bar of a partition has closed after an instant and by now; None for any bar at all.
        now: The present instant.
    """
    present = to_micros(now)
    made = {
        key: (judged_at, made_of)
        for key, judged_at, made_of in zip(
            standing["partition"], _micros(standing["judged_at"]), _micros(standing["made_of"]), strict=True
        )
    }

    def is_behind(partition: Partition) -> bool:
        if partition.key not in made:
            filled = any(versions.fills(partition) for versions in inputs)
            return filled and closed_since(partition, None)

        judged_at, made_of = made[partition.key]
        if made_of == _NEVER:
            # Made before versions were noted: the instants are all that there is.
            made_of = judged_at
        settled = max(versions.newest(partition, until=present) for versions in inputs)
        if settled > made_of:
            return True

        newest = max(versions.newest(partition) for versions in inputs)
        if newest <= made_of:
            return False
        # A stamp of the future is one of a clock that was wrong.
        return bool(judged_at > present) or closed_since(partition, from_micros(int(judged_at)))

    return [partition for partition in partitions if is_behind(partition)]


def made_of(partitions: Sequence[Partition], inputs: Sequence[Versions]) -> dict[str, datetime | None]:
    """The newest version of what each of some partitions is made of: what `Transaction.put_made_of` takes."""
    newest = {
        partition.key: max((versions.newest(partition) for versions in inputs), default=_NEVER)
        for partition in partitions
    }
    return {key: None if version == _NEVER else from_micros(version) for key, version in newest.items()}


def _micros(times: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return times.to_physical().fill_null(_NEVER).to_numpy().astype(np.int64)
