"""Work that makes partitions out of stored ones, in batches.

Each batch is committed and counted in a job's record at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from market_assets.market.partitions import hull, partition_key
from market_assets.market.timeframes import TS, literal
from market_assets.store import OUTDATED
from market_assets.verdicts.evidence import MISSING, State
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets.work.behind import NEVER, Outline, Versions, behind, made_of
from market_assets.work.work import Work

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

    from market_assets.market.datasets import Dataset
    from market_assets.market.partitions import Cadence, Partition
    from market_assets.market.timeframes import Window
    from market_assets.store import Snapshot, Store, Transaction
    from market_assets.work.behind import Input
    from market_assets.work.job import Job, Target
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run


_PIECE = 400
"""How many partitions have their bars looked at together."""


class Making(Work):
    """Makes some partitions, oldest first; to be iterated once.

    Args:
        store: Where all is kept.
        target: What is made.
        inputs: The candles that it is made of.
        run: Who has asked for it.

    Attributes:
        batch_bars: Bars of all symbols that one transaction reads at most.
    """

    batch_bars: ClassVar[int] = 200_000

    def __init__(self, store: Store, target: Target, inputs: Sequence[Input], run: Run) -> None:
        super().__init__(store, target, run)
        self.inputs = inputs
        self._fixed: set[str] = set()

    def is_made_of(self, datasets: Collection[Dataset]) -> bool:
        """Whether one of some datasets is an input."""
        return any(source.dataset in datasets for source in self.inputs)

    def standing(self, view: Snapshot) -> pl.DataFrame:
        """How far each of its partitions is: see `Partitions.standing`."""
        since = self.partitions[0].key if self.partitions else ""
        return view.partitions.standing(self.dataset, since)

    def recipe(self) -> str:
        """How it is made, as far as the universe says so.

        A partition that was made by another recipe must be made again.
        """
        return ""

    def first_recipe(self) -> str:
        """The recipe of earlier releases, which recorded none."""
        return ""

    def behind(self, view: Snapshot, standing: pl.DataFrame | None = None) -> list[Partition]:
        """Its partitions that must be made, or made again, because of their inputs.

        Args:
            view: The store.
            standing: What `standing` gives, where it was read already.
        """
        standing = self.standing(view) if standing is None else standing
        if self._is_made_otherwise(view):
            standing = standing.with_columns(made_of=pl.lit(OUTDATED, TS))
        fixed = self.fixed(view)
        partitions = [partition for partition in self.partitions if partition.key not in fixed]
        return behind(
            partitions,
            self._outlines(partitions),
            standing,
            self._versions(view),
            self.now,
        )

    def fixed(self, view: Snapshot) -> set[str]:  # noqa: ARG002 - of all works
        """The keys of its partitions that stay as they were made.

        What they reach back to is kept no longer: made again, they would be another's values.
        """
        return set()

    def _is_made_otherwise(self, view: Snapshot) -> bool:
        """Whether what is there was made by another recipe."""
        noted = view.recipes.of(self.dataset)
        return self.recipe() != (self.first_recipe() if noted is None else noted)

    def _versions(self, view: Snapshot) -> list[Versions]:
        return [
            Versions(source, view.partitions.standing(source.dataset)) for source in self.inputs
        ]

    def _outlines(self, partitions: Sequence[Partition]) -> dict[str, Outline]:
        """The span of each of some partitions, by key."""
        outlines = {
            partition.key: Outline(*partition.window.micros, NEVER) for partition in partitions
        }
        part = partition_key(self.cadence).cast(pl.String)
        closed = pl.col("closes_at").filter(pl.col("closes_at") <= literal(self.now)).max()
        # In pieces: ten years of minutes are five million bars.
        for at in range(0, len(partitions), _PIECE):
            bars = self.bars(hull(partitions[at : at + _PIECE]))
            edges = bars.group_by(part).agg(
                pl.min("opens_at"), pl.max("closes_at"), closed.alias("closed")
            )
            for key, *spans in edges.with_columns(pl.col(TS).to_physical()).iter_rows():
                if key in outlines:
                    opens, closes, last = spans
                    start, end, _ = outlines[key]
                    outlines[key] = Outline(
                        min(start, opens), max(end, closes), NEVER if last is None else last
                    )
        return outlines

    def open(self, transaction: Transaction) -> None:
        """See `Work.open`."""
        self.prepare(transaction)
        if self._is_made_otherwise(transaction):
            transaction.partitions.outdate(self.dataset)
        transaction.recipes.put(self.dataset, self.recipe())
        self._fixed = self.fixed(transaction)

    def commits(self, job: Job) -> Generator[list[PartitionOutcome]]:
        """See `Work.commits`."""
        about = f"{self.dataset.owner} {self.dataset.timeframe}"
        todo = deque(partition for partition in self.partitions if partition.key not in self._fixed)
        while todo:
            batch = [todo.popleft()]
            size = self.size(batch[0])
            while todo and size + self.size(todo[0]) <= self.batch_bars:
                batch.append(todo.popleft())
                size += self.size(batch[-1])
            window = hull(batch)
            with self._store.writing(f"{self.kind} {about} {window}") as transaction:
                outcomes = self.make(transaction, batch, window, job)
                versions = made_of(batch, self._outlines(batch), self._versions(transaction))
                transaction.partitions.put_made_of(self.dataset, versions)
                job.count(outcomes, transaction)
            yield outcomes

    @abstractmethod
    def prepare(self, transaction: Transaction) -> None:
        """Prepare the first batch: create tables, and read what is known of the series."""

    @abstractmethod
    def bars(self, window: Window) -> pl.DataFrame:
        """The bars that the calendar has in a window by their `ts`, also those still to come.

        Returns:
            ts, opens_at, closes_at.
        """

    @property
    def reads(self) -> timedelta:
        """How long the bars are that it reads."""
        return self.dataset.timeframe.duration

    def size(self, partition: Partition) -> int:
        """About how many bars a partition reads."""
        length = partition.window.end - partition.window.start
        return len(self._target.symbols) * int(length / self.reads)

    @abstractmethod
    def make(
        self, transaction: Transaction, batch: Sequence[Partition], window: Window, job: Job
    ) -> list[PartitionOutcome]:
        """Make some partitions, whose hull is the window.

        Returns:
            One outcome per partition, in their order.
        """


def fixed_by(
    view: Snapshot,
    dataset: Dataset,
    partitions: Sequence[Partition],
    reach: int,
    inputs: Collection[Dataset],
) -> set[str]:
    """The partitions that were made to their end, of what is kept no longer.

    Args:
        view: The store.
        dataset: What is made.
        partitions: All that it has, oldest first: from the floor on.
        reach: How many partitions before its own a partition reads.
        inputs: What it is made of, as far as a floor cuts it.
    """
    if not any(view.pruned.has(source) for source in inputs):
        return set()
    near = partitions[:reach]
    length = max((part.window.end - part.window.start for part in near), default=timedelta())
    early = view.partitions.judged_early(dataset, length + dataset.timeframe.duration)
    return {part.key for part in near} & (view.partitions.keys(dataset) - set(early))


def counts_of(states: pl.DataFrame, cadence: Cadence) -> dict[str, tuple[SymbolCounts, ...]]:
    """What each symbol has, by partition key.

    Args:
        states: symbol, ts, state of every bar that must exist.
        cadence: How long partitions are.
    """
    table = states.group_by(partition_key(cadence), "symbol").agg(
        pl.len(),
        stored=(pl.col("state") == State.STORED).sum(),
        missing=pl.col("state").is_in(MISSING).sum(),
    )
    counts: dict[str, tuple[SymbolCounts, ...]] = {}
    for key, symbol, expected, stored, missing in table.sort("part", "symbol").iter_rows():
        explained = expected - stored - missing
        symbol_counts = SymbolCounts(symbol, expected, stored, explained, missing)
        counts[key.isoformat()] = (*counts.get(key.isoformat(), ()), symbol_counts)
    return counts


def joined_counts(
    pieces: Sequence[Mapping[str, Sequence[SymbolCounts]]],
) -> dict[str, tuple[SymbolCounts, ...]]:
    """What each symbol has, by partition key, of what `counts_of` gives for some symbols each."""
    if len(pieces) == 1:
        return {key: tuple(counts) for key, counts in pieces[0].items()}
    keys = sorted({key for piece in pieces for key in piece})
    return {
        key: tuple(
            sorted(
                (counts for piece in pieces for counts in piece.get(key, ())),
                key=lambda counts: counts.symbol,
            )
        )
        for key in keys
    }


def missing_before(
    judged: pl.DataFrame, outcomes: Sequence[PartitionOutcome]
) -> dict[str, dict[str, int]]:
    """How many bars were missing by partition and symbol before these outcomes.

    All of them were where the partition had never been judged.
    """
    missing_by_key = {
        (key, symbol): missing
        for key, symbol, missing in judged.select("partition", "symbol", "missing").rows()
    }
    return {
        outcome.partition.key: {
            counts.symbol: missing_by_key.get(
                (outcome.partition.key, counts.symbol), counts.expected
            )
            for counts in outcome.counts
        }
        for outcome in outcomes
    }


def nothing_yet(counts: Sequence[SymbolCounts], source: str) -> tuple[str, ...]:
    """Why a partition that is made of another table's rows does not count as filled: it has none.

    Args:
        counts: What each symbol has in it.
        source: The table that it is made of, such as candles_1m.
    """
    if any(symbol_counts.stored for symbol_counts in counts) or not any(
        symbol_counts.missing for symbol_counts in counts
    ):
        return ()
    return (f"{source} has nothing here yet to make it of; backfill it first",)
