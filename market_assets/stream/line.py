"""One share of a stream's symbols, kept connected: opened, replaced, opened again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.stream.connection import Connection
from market_assets.stream.waits import until_any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from market_assets.market.timer import Timer
    from market_assets.sources.streaming import StreamFormat
    from market_assets.stream.health import Silence
    from market_assets.stream.limits import Limits
    from market_assets.stream.listener import Ending, Listener
    from market_assets.stream.subscriptions import Gate


@dataclass
class _Running:
    """A connection and the task that serves it."""

    connection: Connection
    task: asyncio.Task[Ending]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Line:
    """One share of the symbols, kept connected.

    A connection that breaks is opened again after a wait that doubles, with full jitter. One that
    is about to end is replaced: the second is ready before the first is closed.

    Args:
        make: Gives a format for one more connection.
        symbols: What it serves.
        timer: Its time.
        limits: Its guards.
        silence: Remembers which symbols are silent.
        gate: Says when a connection may be opened; all lines of a stream share it.
        generator: Draws the jitter.
        listener: Who hears what comes.
    """

    def __init__(
        self,
        make: Callable[[], StreamFormat],
        symbols: Sequence[str],
        *,
        timer: Timer,
        limits: Limits,
        silence: Silence,
        gate: Gate,
        generator: random.Random,
        listener: Listener,
    ) -> None:
        self._make = make
        self._symbols = list(symbols)
        self._timer = timer
        self._limits = limits
        self._silence = silence
        self._gate = gate
        self._generator = generator
        self._listener = listener

    async def run(self) -> Ending:
        """Serve until another attempt cannot help, and say why. A cancellation ends it."""
        failures = 0
        while True:
            await self._pass_gate()
            opened_at = self._timer.seconds()
            ending = await self._hold(self._start())
            self._listener.lose(self._symbols, ending)
            if ending.is_final:
                return ending
            is_steady = self._timer.seconds() - opened_at >= self._limits.steady
            failures = 0 if is_steady else failures + 1
            await self._timer.sleep(max(ending.wait, self._jitter(failures)))

    def _start(self) -> _Running:
        stream = self._make()
        connection = Connection(
            stream,
            self._symbols,
            timer=self._timer,
            limits=self._limits,
            silence=self._silence,
            life=self._life(stream.traits.life),
            listener=self._listener,
        )
        return _Running(connection, asyncio.create_task(connection.run()))

    async def _hold(self, running: _Running) -> Ending:
        """Serve by this connection and those that replace it, until one of them breaks."""
        failures = 0
        try:
            while True:
                await until_any([running.task], running.connection.leaving.wait())
                self._symbols = [*running.connection.symbols]
                if running.task.done():
                    return running.task.result()
                successor = await self._replacement(running)
                if successor is None:
                    failures += 1
                    await until_any([running.task], self._timer.sleep(self._jitter(failures)))
                    continue
                failures = 0
                await running.end()
                running = successor
                self._listener.hand_over(self._symbols)
        finally:
            await running.end()

    async def _replacement(self, running: _Running) -> _Running | None:
        """Open the second connection; give it once it is ready, None where it does not become so.

        Where the first breaks meanwhile, the second is given up with it: its symbols are connected
        anew, so that the gap is told.
        """
        await until_any([running.task], self._pass_gate())
        successor = self._start()
        try:
            await until_any(
                [running.task, successor.task],
                successor.connection.ready.wait(),
                self._timer.sleep(2 * self._limits.answer),
            )
        except asyncio.CancelledError:
            await successor.end()
            raise
        is_ready = successor.connection.ready.is_set() and not successor.task.done()
        if is_ready and not running.task.done():
            return successor
        await successor.end()
        return None

    async def _pass_gate(self) -> None:
        while (wait := self._gate.wait(self._timer.seconds())) > 0:
            await self._timer.sleep(wait)

    def _jitter(self, failures: int) -> float:
        """A wait between nothing and the longest, which doubles with each failure."""
        longest = self._limits.backoff * 2.0 ** min(failures, 30)
        return self._generator.uniform(0, min(longest, self._limits.backoff_cap))

    def _life(self, life: timedelta | None) -> float | None:
        """The seconds after which a connection is replaced."""
        if life is None:
            return None
        ahead = min(self._limits.ahead, life.total_seconds() / 4)
        return life.total_seconds() - self._generator.uniform(ahead, 2 * ahead)
