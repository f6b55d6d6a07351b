"""What a fill has under way at a time: planned, asked for, answered, committed, reported.

While a batch is reported by who iterates, the next one is committed, and pages of the chunk after
are asked for and read. How each of these is done is in `fill`.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from market_assets.fill.answers import Answer
from market_assets.fill.fetch import raise_fault
from market_assets.work.committer import Committer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from datetime import datetime

    from market_assets.fill.chunks import Batch, Chunk
    from market_assets.market.partitions import Partition
    from market_assets.work.outcome import PartitionOutcome

    Message: TypeAlias = Answer | BaseException
    Tell: TypeAlias = Callable[[Message], None]
    """Is given the answer to a page, or the exception that must end the program."""

    Outcomes: TypeAlias = list[PartitionOutcome]

_ASKED = 2
"""Chunks that are asked for or committed at a time: they are in memory, however long a fill is."""


@dataclass(frozen=True)
class Pace:
    """When a part of a chunk is committed although more of the chunk is under way.

    DuckDB rewrites what it has of a row group at each commit, so that many small commits cost more
    time and room than the candles.

    Attributes:
        bars: How many bars of all symbols a partition has at most.
        most: Bars that one transaction takes at most: more keep a reader waiting. A part of so many
            is committed at once.
        history: Seconds after which fewer are, of partitions that are over.
        present: The same of one that goes on.
        is_over: Whether a partition is over.
    """

    bars: Callable[[Partition], int]
    most: int
    history: float
    present: float
    is_over: Callable[[Partition], bool]

    def fitting(self, ready: list[Partition]) -> list[Partition]:
        """The first of some partitions that fit into one transaction, one at least."""
        bars = self.bars(ready[0])
        for place, partition in enumerate(ready[1:], 1):
            bars += self.bars(partition)
            if bars > self.most:
                return ready[:place]
        return ready

    def wait(self, ready: list[Partition], *, seconds: float) -> float:
        """Seconds that some partitions are to wait for more.

        Args:
            ready: All that could be committed.
            seconds: How long ago the last commit was.
        """
        if len(self.fitting(ready)) < len(ready):
            return 0.0
        every = self.history if self.is_over(ready[0]) else self.present
        return max(0.0, every - seconds)


class Flow:
    """Plans chunks, and commits them in their order as their answers come.

    Args:
        chunks: All of them, in the order of the fill.
        plan: Finds what is absent from a chunk, and starts to ask for it: each answer is told.
        commit: Commits a batch, and gives its outcomes.
        pace: When a part of a chunk is committed.
    """

    def __init__(
        self,
        chunks: Iterable[Chunk],
        *,
        plan: Callable[[Chunk, Tell], None],
        commit: Callable[[Batch], Outcomes],
        pace: Pace,
    ) -> None:
        self._waiting = deque(chunks)
        self._asked: deque[Chunk] = deque()
        self._plan = plan
        self._commit = commit
        self._pace = pace
        self._inbox: SimpleQueue[Future[Any] | tuple[Chunk, Message]] = SimpleQueue()
        self._under_way: Future[Outcomes] | None = None
        self._committed: deque[Outcomes] = deque()
        self._last = time.monotonic()
        self._newest: datetime | None = None
        self._fault: Callable[[], NoReturn] | None = None
        """Raises what ends the fill, when what was committed before is reported."""

    def batches(self, beside: Callable[[], None]) -> Generator[Outcomes]:
        """The outcomes of each commit, in the order of the fill.

        Closing it early waits for the commit that is under way, and begins no other.

        Args:
            beside: Work with the store that is done once, while the first answers are under way.
        """
        with Committer() as committer:
            self._ask(committer)
            self._begin(committer, beside)
            while True:
                self._begin_commit(committer)
                if self._committed:
                    yield self._committed.popleft()
                    self._receive(0.0)
                elif self._fault is not None and self._under_way is None:
                    self._fault()
                elif self._asked or self._under_way:
                    self._receive(self._wait())
                else:
                    return

    def _ask(self, committer: Committer) -> None:
        """Plan the next chunks, as many as may be in memory."""
        while self._waiting and len(self._asked) < _ASKED:
            chunk = self._waiting.popleft()
            self._asked.append(chunk)
            self._begin(committer, partial(self._plan, chunk, partial(self._tell, chunk)))

    def _tell(self, chunk: Chunk, message: Message) -> None:
        self._inbox.put((chunk, message))

    def _begin(self, committer: Committer, work: Callable[[], None]) -> None:
        committer.begin(work).add_done_callback(self._inbox.put)

    def _begin_commit(self, committer: Committer) -> None:
        """Commit what is ready, unless a commit is under way or more is worth waiting for."""
        if self._under_way is not None or self._fault is not None or self._wait() != 0.0:
            return
        chunk = self._asked[0]
        batch = chunk.cut(self._pace.fitting(chunk.ready()), self._newest)
        self._newest = batch.newest
        self._under_way = committer.begin(partial(self._commit, batch))
        self._under_way.add_done_callback(self._inbox.put)
        if not chunk.todo:
            # Planned behind that commit: what it holds is gone by then.
            self._asked.popleft()
            self._ask(committer)

    def _wait(self) -> float | None:
        """Seconds until something is to be committed; None until something is told."""
        if self._under_way is not None or self._fault is not None or not self._asked:
            return None
        chunk = self._asked[0]
        ready = chunk.ready()
        if not ready:
            return None
        if chunk.is_answered:
            return 0.0
        return self._pace.wait(ready, seconds=time.monotonic() - self._last)

    def _receive(self, seconds: float | None) -> None:
        """Take what was told meanwhile; where it is nothing, wait for the first of it."""
        try:
            # An answer that is told later is of a fill that goes on: the queue gets empty.
            while True:
                self._take(self._inbox.get(timeout=seconds))
                seconds = 0.0
        except Empty:
            return

    def _take(self, message: Future[Any] | tuple[Chunk, Message]) -> None:
        if isinstance(message, Future):
            self._take_work(message)
            return
        chunk, answer = message
        if isinstance(answer, Answer):
            chunk.take(answer)
        else:
            self._fault = self._fault or partial(raise_fault, answer)

    def _take_work(self, work: Future[Any]) -> None:
        if work.cancelled():
            return
        is_commit = work is self._under_way
        if is_commit:
            self._under_way, self._last = None, time.monotonic()
        if (error := work.exception()) is not None:
            self._fault = self._fault or partial(_raised, error)
        elif is_commit:
            self._committed.append(work.result())


def _raised(error: BaseException) -> NoReturn:
    raise error
