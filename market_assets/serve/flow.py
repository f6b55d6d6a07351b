"""An answer that is too long to be kept: it is made while it is sent, and waits for its reader."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from market_assets.errors import ServeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Executor
    from contextlib import ExitStack
    from datetime import timedelta

    from starlette.types import Receive, Scope, Send

log = logging.getLogger("market_assets.serve")

_AT_A_TIME = 16
"""Answers that stream at the same time: each holds some megabytes, and its copy of the store."""


@dataclass
class Source:
    """The pieces of an answer, and what they are made of.

    Attributes:
        ready: The first pieces, made already.
        pieces: The others.
        stack: Lets go of the copy of the store when all of them were sent, or nobody reads on.
    """

    ready: list[bytes]
    pieces: Iterator[bytes]
    stack: ExitStack

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def take(self) -> bytes | None:
        """The next pieces; None behind the last one."""
        with self._lock:
            if self.ready:
                ready, self.ready = self.ready, []
                return b"".join(ready)
            return next(self.pieces, None)

    def close(self) -> None:
        """Let go of all, once the piece that a thread may be making is made."""
        with self._lock:
            self.pieces = iter(())
            self.stack.close()


class Flows:
    """The answers that stream now.

    Args:
        threads: Where their pieces are made.
        longest: How long each may take.
    """

    def __init__(self, threads: Executor, longest: timedelta) -> None:
        self.threads = threads
        self.longest = longest.total_seconds()
        self.count = 0

    def enter(self) -> None:
        """Count one more.

        Raises:
            ServeError: There are too many.
        """
        if self.count >= _AT_A_TIME:
            raise ServeError(
                f"{self.count} long answers are being read already: "
                "read yours a moment later, or in pages with `limit`",
                busy=True,
            )
        self.count += 1

    def leave(self, source: Source) -> None:
        """Count one less, and let go of what it held."""
        self.count -= 1
        self.drop(source)

    def drop(self, source: Source) -> None:
        """Let go of what an answer held, in a thread while there are some."""
        try:
            self.threads.submit(source.close)
        except RuntimeError:
            # The server ends.
            source.close()


class Flow(Response):
    """A response whose pieces are made in threads, one when the one before was taken.

    A reader who takes longer than an answer may is left: its connection is closed in the middle of
    the body, which no client takes for the end.

    Args:
        flows: The answers that stream now.
        source: The pieces.
        media_type: The content type.
        headers: More headers.
    """

    def __init__(
        self, flows: Flows, source: Source, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(None, 200, {**headers, "Cache-Control": "no-store"}, media_type)
        self._flows = flows
        self._source = source
        # It is not known before the last piece is made.
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, until all of it was sent or nobody reads it."""
        del scope
        try:
            self._flows.enter()
        except ServeError:
            self._flows.drop(self._source)
            raise
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait(
                {sending, leaving},
                timeout=self._flows.longest,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not sending.done():
                log.info("an answer was broken off: its reader left, or was too slow")
        finally:
            for task in (sending, leaving):
                if not task.done():
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            self._flows.leave(self._source)

    async def _send(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        loop = asyncio.get_running_loop()
        while True:
            piece = await loop.run_in_executor(self._flows.threads, self._source.take)
            if piece is None:
                break
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    """Wait until the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
