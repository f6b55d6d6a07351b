"""The first of several things ends the others."""

from __future__ import annotations

import asyncio

from market_assets.stream.listener import Ending
from market_assets.stream.waits import first_of, until_any
from market_assets_tests.support.stream_ground import run


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
