"""The first of several things ends the others."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from market_assets.stream.listener import Ending
from market_assets.stream.waits import first_of, seconds_between, until_any
from market_assets_tests.support.stream_ground import run

NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)


async def forever(ends: list[str], name: str) -> Ending:
    try:
        await asyncio.Event().wait()
    finally:
        ends.append(name)
    return Ending("never")


async def at_once(words: str) -> Ending:
    return Ending(words)


@run
async def test_the_first_gives_the_result_and_the_rest_is_ended():
    ends: list[str] = []

    ending = await first_of(forever(ends, "reading"), at_once("it broke"), forever(ends, "writing"))

    assert ending.words == "it broke"
    assert sorted(ends) == ["reading", "writing"]


@run
async def test_a_task_goes_on_when_a_wait_is_over():
    ends: list[str] = []
    task = asyncio.create_task(forever(ends, "task"))

    await until_any([task], at_once("now"), forever(ends, "wait"))

    assert ends == ["wait"]
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_seconds_are_those_of_the_clock_and_may_be_negative():
    later = NOON + timedelta(minutes=1, milliseconds=250)
    assert seconds_between(NOON, later) == 60.25
    assert seconds_between(later, NOON) == -60.25
