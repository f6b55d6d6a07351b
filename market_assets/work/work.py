"""What every kind of work is: partitions in batches, each batch committed and counted at once.

A fill is one kind, and making partitions out of stored candles (`making`) another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from market_assets.work.job import Job, Target

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from datetime import datetime

    from market_assets.sources.contract import Source
    from market_assets.store import Store, Transaction
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run


class Work(ABC):
    """Brings some partitions of a dataset up to date; to be iterated once.

    It yields a PartitionOutcome as soon as that partition is committed. Closing the iterator early
    keeps what was committed.

    Args:
        store: Where all is kept.
        target: What is brought up to date.
        run: Who has asked for it.

    Attributes:
        kind: What the job is called in `ops.jobs`.
        dataset: What is filled or made.
        cadence: How long its partitions are.
        now: The present instant.
        partitions: The partitions to do, in their order.
    """

    kind: ClassVar[str]

    def __init__(self, store: Store, target: Target, run: Run) -> None:
        self._store = store
        self._target = target
        self._run = run
        self._job: Job | None = None
        self.dataset = target.dataset
        self.cadence = target.cadence
        self.now = target.now
        self.partitions = target.partitions

    def __iter__(self) -> Generator[PartitionOutcome]:
        with closing(self.batches()) as batches:
            for batch in batches:
                yield from batch

    @property
    def audit(self) -> Mapping[str, object]:
        """The work so far, as its row of `ops.jobs` says it; empty where nothing was due."""
        return {} if self._job is None else self._job.record

    def note_reported(self, versions: Mapping[str, datetime | None]) -> None:
        """Record which versions of partitions were reported: with the next commit, or at the end.

        Args:
            versions: By partition key, aware UTC; None where the partition has none.
        """
        if self._job is not None:
            self._job.note_reported(versions)

    @property
    def sources(self) -> Mapping[str, Source]:
        """The sources that are asked, by name."""
        return {}

    def batches(self) -> Generator[list[PartitionOutcome]]:
        """The outcomes of each commit together, for a caller with work of its own per commit."""
        if not self.partitions:
            return
        self.begin()
        with (
            Job(
                self._store,
                self.kind,
                replace(self._target, partitions=self.partitions),
                sources=self.sources,
                run=self._run,
                opening=self.open,
            ) as self._job,
            closing(self.commits(self._job)) as commits,
        ):
            yield from commits
            self.finish()

    @abstractmethod
    def commits(self, job: Job) -> Generator[list[PartitionOutcome]]:
        """Do the work: the outcomes of each commit, which counts them in the job."""

    def begin(self) -> None:  # noqa: B027 - most kinds have nothing to do then
        """Do what is due before the job is opened."""

    def open(self, transaction: Transaction) -> None:  # noqa: B027 - as `begin`
        """Do what is due in the transaction that opens the job."""

    def finish(self) -> None:  # noqa: B027 - most kinds have nothing to do then
        """Do what is due when all partitions are done."""
