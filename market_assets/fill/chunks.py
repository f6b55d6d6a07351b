"""The partitions of a fill in pieces, and what was answered for each of these. Pure.

When a piece is planned, and when a part of it is committed, is in `flow`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.market.partitions import hull

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.fill.answers import Answer, Page
    from market_assets.market.partitions import Partition
    from market_assets.market.timeframes import Window


@dataclass(frozen=True)
class Batch:
    """Neighbouring partitions that one transaction commits.

    Attributes:
        partitions: Which ones, in the order of the fill.
        answers: All answers that touch them.
        newest: The newest bar's open that an answer of the fill has held so far.
    """

    partitions: list[Partition]
    answers: list[Answer]
    newest: datetime | None

    @property
    def window(self) -> Window:
        """From the start of the oldest to the end of the newest."""
        return hull(self.partitions)


class Chunk:
    """Some partitions that are planned at once, and the answers to the pages that they need.

    Args:
        partitions: Which ones, in the order of the fill.

    Attributes:
        todo: The partitions that are still to be committed.
        newest: The newest bar's open of its answers; None without one.
    """

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self.todo = deque(partitions)
        self.newest: datetime | None = None
        self._answers: list[Answer] = []
        self._outstanding: int | None = None

        oldest_first = sorted(partitions, key=lambda partition: partition.window.start)
        self._starts = [partition.window.start for partition in oldest_first]
        self._ends = [partition.window.end for partition in oldest_first]
        self._touching = [0] * len(oldest_first)

    @property
    def window(self) -> Window:
        """From the start of the oldest partition that is left to the end of the newest."""
        return hull(list(self.todo))

    def plan(self, pages: Sequence[Page]) -> None:
        """Say which pages are asked for; to be called before the first of them is answered."""
        for page in pages:
            for place in self._touched(page.window):
                self._touching[place] += 1
        self._outstanding = len(pages)

    def take(self, answer: Answer) -> None:
        """Keep the answer to a page."""
        self._answers.append(answer)
        self.newest = max(filter(None, (self.newest, answer.newest)), default=None)
        for place in self._touched(answer.page.window):
            self._touching[place] -= 1
        if self._outstanding is not None:
            self._outstanding -= 1

    @property
    def is_answered(self) -> bool:
        """Whether all that was asked for has an answer."""
        return self._outstanding == 0

    def ready(self) -> list[Partition]:
        """The next partitions for which nothing is outstanding, in the order of the fill."""
        ready: list[Partition] = []
        if self._outstanding is None:
            return ready
        for partition in self.todo:
            if self._touching[bisect_left(self._starts, partition.window.start)]:
                break
            ready.append(partition)
        return ready

    def cut(self, partitions: list[Partition], newest: datetime | None) -> Batch:
        """Take out the next partitions with their answers.

        An answer is kept as long as a partition that is left needs it.

        Args:
            partitions: The first of those that are left.
            newest: The newest bar's open of earlier chunks.
        """
        window = hull(partitions)
        answers = [answer for answer in self._answers if answer.page.window.intersect(window)]
        for _ in partitions:
            self.todo.popleft()
        rest = self.window if self.todo else None
        self._answers = [
            answer
            for answer in self._answers
            if rest is not None and answer.page.window.intersect(rest)
        ]
        latest = max(filter(None, (newest, self.newest)), default=None)
        return Batch(partitions, answers, latest)

    def _touched(self, window: Window) -> range:
        """The places of the partitions that a window touches, oldest first."""
        return range(bisect_right(self._ends, window.start), bisect_left(self._starts, window.end))
