"""Streams in a thread of their own, so that nothing that takes long keeps frames waiting.

What the streams gave is kept until the session takes it; what becomes of it stands in `session`.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from market_assets.errors import MarketAssetsError
from market_assets.live.buffer import Buffer
from market_assets.stream.health import Health

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from types import TracebackType

    from market_assets.fill.streamed import Streamed
    from market_assets.stream.stream import Batch, News, Stream


@dataclass
class Gathered:
    """What a source's stream has said since it was looked at, beside bars.

    Attributes:
        reconnected: Symbols that are served anew, in the source's own names.
        doubtful: By symbol, why a bar may be missing.
        news: What there is to tell.
        health: How the stream is now.
        fault: Why the stream has ended by itself, None while it has not.
    """

    reconnected: set[str] = field(default_factory=set)
    doubtful: dict[str, str] = field(default_factory=dict)
    news: list[News] = field(default_factory=list)
    health: Health = field(default_factory=Health)
    fault: Exception | None = None

    def add(self, batch: Batch) -> None:
        """Add what a batch says."""
        self.reconnected |= batch.reconnected
        self.doubtful |= batch.doubtful
        self.news += batch.news
        self.health = batch.health


class Pump:
    """Runs streams while its context lasts, and keeps what they give.

    All of its methods may be called from another thread than that of the streams.

    Args:
        streams: The streams by the name of their source.
        most: So many bars wait at most; then the oldest are dropped.
    """

    def __init__(self, streams: Mapping[str, Stream], most: int) -> None:
        self._streams = streams
        self._buffer = Buffer(most)
        self._gathered: dict[str, Gathered] = {}
        self._health = dict.fromkeys(streams, Health())
        self._running = set(streams)
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="market-assets-stream", daemon=True)
        self._main: asyncio.Task[None] | None = None
        self._is_ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._main is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()

    @property
    def is_over(self) -> bool:
        """Whether every stream has ended."""
        return not self._running

    @property
    def waiting(self) -> int:
        """How many bars wait."""
        with self._changed:
            return len(self._buffer)

    @property
    def dropped(self) -> int:
        """How many bars were dropped because too many waited."""
        return self._buffer.dropped

    def stop(self) -> None:
        """Let the streams give what is there, and end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop)

    def wake(self) -> None:
        """End a wait in `gathered`."""
        with self._changed:
            self._changed.notify_all()

    def gathered(self, seconds: float) -> dict[str, Gathered]:
        """Wait until a stream has given something, for so many real seconds at most.

        Returns:
            By source, what its stream has said beside bars.
        """
        with self._changed:
            if not self._gathered and self._running:
                self._changed.wait(seconds)
            gathered, self._gathered = self._gathered, {}
            return gathered

    def take(self, held: Mapping[str, Collection[str]]) -> list[Streamed]:
        """See `Buffer.take`."""
        with self._changed:
            return self._buffer.take(held)

    def give_back(self, parts: Iterable[Streamed]) -> None:
        """See `Buffer.give_back`; of what is dropped REST is to be asked."""
        with self._changed:
            self._leave(self._buffer.give_back(parts))

    def _leave(self, lost: Iterable[tuple[str, str]]) -> None:
        """Say of which series bars were dropped."""
        for source, symbol in lost:
            gathered = self._of(source)
            gathered.doubtful[symbol] = "the store was busy for so long that bars were dropped"

    def _of(self, source: str) -> Gathered:
        if source not in self._gathered:
            self._gathered[source] = Gathered(health=self._health[source])
        return self._gathered[source]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._serve())
        self._loop.call_soon(self._is_ready.set)
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        finally:
            self._is_ready.set()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        await asyncio.gather(*(self._pump(name) for name in self._streams))

    async def _pump(self, name: str) -> None:
        stream = self._streams[name]
        try:
            async with stream:
                async for batch in stream.batches():
                    self._keep(name, batch)
        # A fault of this program in one stream leaves the others alone.
        except Exception as error:  # noqa: BLE001
            with self._changed:
                self._of(name).fault = error
        finally:
            with self._changed:
                self._running.discard(name)
                self._changed.notify_all()

    def _keep(self, name: str, batch: Batch) -> None:
        with self._changed:
            self._of(name).add(batch)
            self._health[name] = batch.health
            self._leave(self._buffer.add(name, batch.bars))
            self._changed.notify_all()

    def _stop(self) -> None:
        for stream in self._streams.values():
            stream.stop()


def fault_words(fault: Exception) -> str:
    """Why a stream has ended, in words."""
    if isinstance(fault, MarketAssetsError):
        return str(fault)
    return f"a fault of this program: {type(fault).__name__}: {fault}"
