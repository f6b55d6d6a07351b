"""Turns at a source: as many at once as it bears, the lowest rank first."""

from __future__ import annotations

import asyncio

from market_assets.sources.transport.gate import FIRST, Gate


async def served(ranks: list[int], *, size: int, cancelled: int | None = None) -> list[int]:
    """The ranks in the order in which they had their turns; all of them come at once."""
    gate, order, end = Gate(lambda: size), [], asyncio.Event()

    async def ask(rank: int) -> None:
        async with gate.turn(rank):
            order.append(rank)
            await end.wait()

    tasks = {rank: asyncio.create_task(ask(rank)) for rank in ranks}
    await asyncio.sleep(0)
    if cancelled is not None:
        tasks.pop(cancelled).cancel()
    assert len(order) == size

    end.set()
    await asyncio.gather(*tasks.values())
    return order


def test_the_lowest_rank_is_next_and_a_question_before_any_page():
    assert asyncio.run(served([3, 2, 1, FIRST, 0], size=1)) == [3, FIRST, 0, 1, 2]


def test_one_that_is_cancelled_while_it_waits_holds_up_nobody():
    assert asyncio.run(served([5, 4, 3, 2], size=2, cancelled=3)) == [5, 4, 2]


def test_a_turn_that_was_granted_and_then_cancelled_is_passed_on():
    async def run() -> list[str]:
        gate, order = Gate(lambda: 1), []

        async def ask(name: str) -> None:
            async with gate.turn(0):
                order.append(name)

        async with gate.turn(0):
            doomed, last = (asyncio.create_task(ask(name)) for name in ("doomed", "last"))
            await asyncio.sleep(0)
        doomed.cancel()
        await asyncio.gather(doomed, last, return_exceptions=True)
        return order

    assert asyncio.run(run()) == ["last"]


def test_as_many_go_as_there_is_room_for_when_one_has_gone():
    async def run() -> int:
        sizes, most, end = [2], 0, asyncio.Event()
        gate = Gate(lambda: sizes[0])

        async def ask(wait: asyncio.Event) -> None:
            nonlocal most
            async with gate.turn(0):
                most = max(most, gate.busy)
                await wait.wait()

        first = asyncio.Event()
        tasks = [asyncio.create_task(ask(first if place == 0 else end)) for place in range(9)]
        await asyncio.sleep(0)
        assert gate.busy == 2
        sizes[0] = 5
        first.set()
        await asyncio.sleep(0.01)
        assert gate.busy == 5
        sizes[0] = 1
        end.set()
        await asyncio.gather(*tasks)
        assert gate.busy == 0
        return most

    assert asyncio.run(run()) == 5
