"""Which partitions of a run get a picture in their metadata, and what it shows."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from market_assets.imports import late_imports
from market_assets.market.datasets import Dataset
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.enrich.grid import Grid
    from market_assets.pictures.candles import candle_picture
    from market_assets.pictures.features import feature_picture
    from market_assets.pictures.mask import mask_picture


if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from market_assets.expected.scope import Scope
    from market_assets.market.partitions import Partition
    from market_assets.store import Snapshot, Store
    from market_assets.work.outcome import PartitionOutcome

    Draw = Callable[[Snapshot, PartitionOutcome], "Picture | None"]
    """Draws a committed partition; None where there is nothing to see."""

MOST = 10
"""How many pictures a run draws at most.

Each takes some hundredths of a second and about 8 kB of the event log.
"""

_FEW = 5
"""A run of so many partitions or less has a picture of each."""

_PLOTTED = ("rsi", "volatility")


class Picture(NamedTuple):
    """A PNG, the metadata that it becomes, and the words for who cannot see it."""

    name: str
    title: str
    png: bytes

    @property
    def metadata(self) -> dict[str, dg.MetadataValue]:
        """Shown by the UI at once, from no other place than the event log."""
        encoded = b64encode(self.png).decode()
        return {self.name: dg.MetadataValue.md(f"![{self.title}](data:image/png;base64,{encoded})")}


class Pictures:
    """Draws some of a run's partitions.

    A long backfill stays as fast, and the event log as small, as without pictures.

    A run of a few partitions has a picture of each. A longer one has one of its newest partition,
    and of others in which bars are missing until there are MOST. A partition that goes on has one
    only where a person asked for it, and not at each update.

    Args:
        store: Where what is drawn is read, once for each batch, after its commit.
        partitions: What the run will make.
        draw: Draws one of them.
        now: The present instant.
        trigger: How the run came about.
        log: Is told what could not be drawn.

    Attributes:
        now: The present instant.
    """

    def __init__(
        self,
        store: Store,
        partitions: Sequence[Partition],
        draw: Draw,
        *,
        now: datetime,
        trigger: Trigger,
        log: logging.Logger,
    ) -> None:
        self.now = now
        self._log = log
        self._store = store
        self._until = None if trigger in {Trigger.MANUAL, Trigger.BACKFILL} else now
        self._all = len(partitions) <= _FEW
        self._newest = max((partition.key for partition in partitions), default="")
        self._left = MOST - 1
        self._draw = draw

    def of(self, outcomes: Sequence[PartitionOutcome]) -> Mapping[str, dict[str, dg.MetadataValue]]:
        """The pictures of committed partitions, as metadata by partition key.

        Only some of the partitions get one.
        """
        chosen = [outcome for outcome in outcomes if self._choose(outcome)]
        if not chosen:
            return {}
        pictures: dict[str, dict[str, dg.MetadataValue]] = {}
        try:
            with self._store.reading(f"drawing {len(chosen)} partitions") as view:
                for outcome in chosen:
                    if (picture := self._draw(view, outcome)) is not None:
                        pictures[outcome.partition.key] = picture.metadata
        # What is stored is stored, and a picture is not worth a red partition.
        except Exception as error:  # noqa: BLE001
            missed = [
                outcome.partition.key for outcome in chosen if outcome.partition.key not in pictures
            ]
            self._log.warning("no picture of %s: %s", ", ".join(missed), error)
        return pictures

    def _choose(self, outcome: PartitionOutcome) -> bool:
        partition = outcome.partition
        if not (outcome.filled or outcome.rows) or (
            self._until is not None and partition.window.end > self._until
        ):
            return False
        if partition.key == self._newest:
            return True
        if self._left and (self._all or any(count.missing for count in outcome.counts)):
            self._left -= 1
            return True
        return False


def candles_drawn(scope: Scope) -> Draw:
    """Draws the candles of the symbol that lacks most."""

    def draw(view: Snapshot, outcome: PartitionOutcome) -> Picture | None:
        content = _bars(view, scope, outcome)
        if content is None:
            return None
        bars, symbol, caption = content
        title = f"{scope.profile.name} {symbol} {scope.dataset.name}, {outcome.partition.key}"
        return Picture("candles", title, candle_picture(bars, title=title, caption=caption))

    return draw


def features_drawn(scope: Scope, columns: Sequence[str]) -> Draw:
    """Draws two of some features, or the first, of the symbol that lacks most."""
    dataset = Dataset.features(scope.profile.name, scope.timeframe)
    preferred = [
        next((column for column in columns if column.startswith(name)), None) for name in _PLOTTED
    ]
    plotted = [column for column in preferred if column is not None] or list(columns[:1])

    def draw(view: Snapshot, outcome: PartitionOutcome) -> Picture | None:
        content = _bars(view, scope, outcome) if plotted else None
        if content is None:
            return None
        bars, symbol, caption = content
        title = f"{dataset.owner} {symbol} {dataset.name}, {outcome.partition.key}"
        made = view.features.of(dataset, outcome.partition.window, [symbol])
        bars = bars.join(made.select("ts", *plotted), on="ts", how="left", maintain_order="left")
        return Picture(
            "features", title, feature_picture(bars, *plotted, title=title, caption=caption)
        )

    return draw


def mask_drawn(dataset: Dataset) -> Draw:
    """Draws which returns of a partition are neutral, and why."""

    def draw(view: Snapshot, outcome: PartitionOutcome) -> Picture | None:
        returns = view.returns.of(dataset, outcome.partition.window)
        if returns.is_empty():
            return None
        title = f"{dataset.owner} {dataset.name}, {outcome.partition.key}"
        return Picture("mask", title, mask_picture(returns, title=title))

    return draw


def _bars(
    view: Snapshot, scope: Scope, outcome: PartitionOutcome
) -> tuple[pl.DataFrame, str, str] | None:
    """The bars of the symbol that is drawn; None where no bar is expected.

    Returns:
        The bars, the symbol's name, and words about the other symbols.
    """
    counts = [count for count in outcome.counts if count.expected]
    if not counts:
        return None
    # Of those that are alike, the first.
    worst = max(counts, key=lambda count: (count.missing, count.outage))
    bars = Grid(view, scope.only([worst.symbol])).bars(outcome.partition.window)
    if bars.is_empty():
        return None
    which = ", the one that lacks most" if worst.missing else "; none lacks a bar"
    caption = f"One of {len(counts)} symbols{which}." if len(counts) > 1 else ""
    return bars, worst.symbol, caption
