"""Waits for the first of several things."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from market_assets.stream.listener import Ending


async def first_of(*work: Coroutine[Any, Any, Ending]) -> Ending:
    """Do all at once, give the result of the first that ends, and end the rest."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task.result() for task in tasks if task in done)
    finally:
        await _end(tasks)


async def until_any(
    tasks: Collection[asyncio.Task[Ending]], *waits: Coroutine[Any, Any, object]
) -> None:
    """Wait until a task or one of the waits is over. The tasks go on, the waits are ended."""
    waiting = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait([*tasks, *waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(waiting)


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
