"""What goes on at once in a fill, in which order it comes out, and what is never begun."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.errors import StoreError
from market_assets.fill.chunks import Chunk
from market_assets.fill.flow import Flow, Pace
from market_assets.market.partitions import Cadence, Partition

if TYPE_CHECKING:
    from market_assets.fill.chunks import Batch

SOON = 60.0


def days(number: int) -> list[Partition]:
    first = date(2025, 2, 24)
    return [Partition.holding(first + timedelta(days=day), Cadence.DAY) for day in range(number)]


def pace(*, most: int = 1, history: float = 0.0, present: float = 0.0) -> Pace:
    """Each partition has one bar, and is over before the 26th."""
    return Pace(
        lambda _: 1,
        most,
        history=history,
        present=present,
        is_over=lambda partition: partition.key < "2025-02-26",
    )


class Work:
    """Plans and commits at once, and says what it has done."""

    def __init__(self, *, broken: str = "") -> None:
        self.planned: list[str] = []
        self.committed: list[str] = []
        self._broken = broken

    def plan(self, chunk: Chunk, _tell: object) -> None:
        self.planned.append(chunk.todo[0].key)
        chunk.plan([])

    def commit(self, batch: Batch) -> list[str]:
        keys = [partition.key for partition in batch.partitions]
        if self._broken in keys:
            raise StoreError(f"no room for {self._broken}")
        self.committed += keys
        return keys

    def flow(self, chunks: list[Chunk], **options: float) -> Flow:
        return Flow(chunks, plan=self.plan, commit=self.commit, pace=pace(**options))


def nothing() -> None:
    """Nothing is done beside."""


def test_batches_come_in_the_order_of_the_chunks_and_hold_as_much_as_fits():
    partitions, work = days(5), Work()
    flow = work.flow([Chunk(partitions[:3]), Chunk(partitions[3:])], most=2)
    keys = [partition.key for partition in partitions]
    assert list(flow.batches(nothing)) == [keys[:2], keys[2:3], keys[3:]]


def test_while_a_batch_is_reported_the_next_is_committed_and_no_other_begun():
    partitions, work = days(4), Work()
    second, reported = threading.Event(), threading.Event()

    def commit(batch: Batch) -> list[str]:
        if batch.partitions[0] == partitions[1]:
            second.set()
            assert reported.wait(SOON)
        return work.commit(batch)

    flow = Flow([Chunk(partitions)], plan=work.plan, commit=commit, pace=pace())
    batches = flow.batches(nothing)
    assert next(batches) == [partitions[0].key]
    # The second commit is under way, and cannot end before the first batch is reported.
    assert second.wait(SOON)
    assert work.committed == [partitions[0].key]
    reported.set()
    batches.close()
    assert work.committed == [partition.key for partition in partitions[:2]]


def test_two_chunks_are_in_memory_and_the_third_is_planned_when_the_first_is_committed():
    partitions, work = days(3), Work()
    seen: list[list[str]] = []

    def commit(batch: Batch) -> list[str]:
        seen.append([*work.planned])
        return work.commit(batch)

    chunks = [Chunk([partition]) for partition in partitions]
    flow = Flow(chunks, plan=work.plan, commit=commit, pace=pace())
    assert len(list(flow.batches(nothing))) == 3
    keys = [partition.key for partition in partitions]
    assert seen == [keys[:2], keys, keys]


def test_what_was_committed_is_reported_before_an_error_of_what_comes_after():
    partitions = days(3)
    work = Work(broken=partitions[1].key)
    done = []
    with pytest.raises(StoreError, match="no room for 2025-02-25"):
        done.extend(work.flow([Chunk(partitions)]).batches(nothing))
    assert done == [[partitions[0].key]]
    assert work.committed == [partitions[0].key]


def test_what_is_done_beside_comes_before_the_first_commit():
    work = Work()
    beside: list[list[str]] = []
    list(work.flow([Chunk(days(1))]).batches(lambda: beside.append([*work.committed])))
    assert beside == [[]]


def test_history_waits_for_more_rows_and_the_present_for_a_time():
    usual = pace(most=3, history=10.0, present=2.0)
    assert usual.wait(days(2), seconds=4.0) == 6.0
    assert usual.wait(days(2), seconds=11.0) == 0.0
    assert usual.wait(days(3)[2:], seconds=1.5) == 0.5
    # More is there than one transaction takes.
    assert usual.wait(days(4), seconds=0.0) == 0.0
    assert usual.fitting(days(4)) == days(3)


def test_a_partition_of_more_than_a_transaction_takes_is_committed_by_itself():
    assert pace(most=0).fitting(days(2)) == days(1)
