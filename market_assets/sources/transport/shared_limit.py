"""What a vendor allows, kept by every machine that shares a Redis or PostgreSQL server.

What the processes of one machine share stands in `limit`.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic, time
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from market_assets.errors import SourceError
from market_assets.sources.transport.limit import Allowance, Limit
from market_assets.sources.transport.limits_url import server_at
from market_assets.sources.transport.offset import Offset
from market_assets.sources.transport.settings import LONGEST_HOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import SecretStr

    from market_assets.sources.transport.limit_server import Answer, Count, Request

T = TypeVar("T")
_log = logging.getLogger(__name__)


class SharedLimit(Limit):
    """A limit that all machines share that use a server; its clock counts.

    Without the server nothing is sent: that no limit is known is no permit.

    Args:
        name: The source's, for errors.
        allowance: What the vendor allows.
        url: Where the server is; its password is shown nowhere.
        key: What the limit is kept under; the same for all who share it.
        clock: This machine's time, in seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        allowance: Allowance,
        url: SecretStr,
        key: str,
        *,
        clock: Callable[[], float] = time,
    ) -> None:
        super().__init__(name, allowance, clock=clock)
        self._key = key
        self._url = url.get_secret_value()
        self._server = server_at(self._url)
        self._until = 0.0
        self._ahead = Offset()
        self._knows_clock = False
        self._notes: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """See `Limit.close`."""
        if answers := self._drained():
            try:
                self._server.settle(self._key, answers)
            except self._server.trouble as error:
                self._warn(error)
        self._server.close()
        super().close()

    def held(self) -> float:
        """See `Limit.held`: it says what is known here; the server is not asked."""
        return max(0.0, self._until - monotonic())

    def hold(self, seconds: float) -> None:
        """See `Limit.hold`."""
        if seconds <= 0:
            return
        seconds = min(seconds, LONGEST_HOLD)
        self._until = max(self._until, monotonic() + seconds)
        try:
            self._server.hold(self._key, seconds)
        except self._server.trouble as error:
            _log.warning(
                "source %s: other machines will not know "
                "that it is to be left alone for %.0f s: %s",
                self._name,
                seconds,
                self._words(error),
            )

    @property
    def _place(self) -> Offset:
        return self._ahead

    async def _prepare(self) -> None:
        # A window of the vendor's clock is to be found on the server's.
        if self._knows_clock or self._clocked is None:
            return
        asked_at = self._clock()
        self._note_clock(await self._ask(self._server.now), asked_at)

    async def _take(self, request: Request) -> Count:
        asked_at = self._clock()
        counted = await self._ask(lambda: self._server.take(self._key, request))
        self._note_clock(counted.now, asked_at)
        if counted.hold:
            self._until = max(self._until, monotonic() + counted.hold)
        return counted

    def _note_clock(self, now: float, asked_at: float) -> None:
        self._ahead.note(now, now, asked_at, self._clock())
        self._knows_clock = True

    async def _ask(self, question: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(question)
        except self._server.trouble as error:
            # The library's own error may hold the address: it goes no further than here.
            raise SourceError(
                f"source {self._name}: its limit cannot be shared: {self._words(error)}; "
                "see whether the server of `limits` (or `limiter`) runs "
                "and lets this machine in, and fill again"
            ) from None

    def _settle_soon(self) -> None:
        if answers := self._drained():
            note = asyncio.get_running_loop().create_task(self._settle(answers))
            self._notes.add(note)
            note.add_done_callback(self._notes.discard)

    async def _settle(self, answers: Sequence[Answer]) -> None:
        try:
            await asyncio.to_thread(self._server.settle, self._key, answers)
        except self._server.trouble as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        _log.warning(
            "source %s: the server of its limit cannot be used, "
            "and answers count as if they were still to come: %s",
            self._name,
            self._words(error),
        )

    def _words(self, error: Exception) -> str:
        """What is wrong, and where: on one line, without the password."""
        url = urlsplit(self._url)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        for secret in {
            self._url,
            url.password,
            unquote(url.password or ""),
            *(word for _, word in parse_qsl(url.query)),
        }:
            if secret:
                text = text.replace(secret, "***")
        return f"{url.scheme}://{url.hostname}{url.path}: {text[:300]}"
