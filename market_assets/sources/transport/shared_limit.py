"""What a vendor allows, kept by every machine that shares a Redis or PostgreSQL server.

What the processes of one machine share stands in `limit`.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from market_assets.errors import SourceError
from market_assets.sources.transport.limit import LONGEST_HOLD, rates_of
from market_assets.sources.transport.limits_url import server_at

if TYPE_CHECKING:
    from pydantic import SecretStr

_SHORT = 1.0
_log = logging.getLogger(__name__)


class SharedLimit:
    """How often a source may ask, and whether it may ask now, on all machines together.

    It is as `Limit`, but all machines that use the server count together. The server's clock
    counts. Without the server nothing is sent: that no limit is known is no permit.

    Args:
        name: The source's, for errors.
        rate: The most requests in a time; None is unlimited, except for holds.
        url: Where the server is; its password is shown nowhere.
        key: What the limit is kept under; the same for all who share it.
    """

    def __init__(self, name: str, rate: str | None, url: SecretStr, key: str) -> None:
        self._name = name
        self._rates = rates_of(rate) if rate else []
        self._key = key
        self._url = url.get_secret_value()
        self._server = server_at(self._url)
        self._until = 0.0
        self._queue = asyncio.Lock()

    def open(self) -> None:
        """Make ready to count, in the running event loop.

        The server is asked when the first permit is.
        """
        self._queue = asyncio.Lock()  # one that has waited belongs to the loop it waited in

    def close(self) -> None:
        """Let go of the server."""
        self._server.close()

    async def permit(self, weight: int = 1) -> float:
        """Wait until a request of this weight may be sent; returns the seconds that it took.

        There is no permit while the vendor is to be left alone: `held` then says for how long, and
        the permit is to be asked for again.

        Raises:
            SourceError: The weight is more than the rate ever allows, or the server does not
                answer.
        """
        most = min((rate.limit for rate in self._rates), default=weight)
        if weight > most:
            raise SourceError(
                f"source {self._name}: a request weighs {weight}, "
                f"and its rate allows {most} at once; raise the rate",
                permanent=True,
            )
        began = monotonic()
        async with self._queue:
            while True:
                held, wait = await self._take(weight)
                if held:
                    self._until = max(self._until, monotonic() + held)
                # The end of a hold is waited for here: a moment later it would look like a permit.
                if held > _SHORT or not (held or wait):
                    return monotonic() - began
                await asyncio.sleep(held or wait)

    def held(self) -> float:
        """Give the seconds for which nothing may be sent, 0.0 where something may.

        It says what is known here; the server is not asked.
        """
        return max(0.0, self._until - monotonic())

    def hold(self, seconds: float) -> None:
        """Let nobody who shares the server send anything for so long."""
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
                self._told(error),
            )

    async def _take(self, weight: int) -> tuple[float, float]:
        try:
            return await asyncio.to_thread(self._server.take, self._key, weight, self._rates)
        except self._server.trouble as error:
            # The library's own error may hold the address: it goes no further than here.
            raise SourceError(
                f"source {self._name}: its limit cannot be shared: {self._told(error)}; "
                "see whether the server of `limits` (or `limiter`) runs "
                "and lets this machine in, and fill again"
            ) from None

    def _told(self, error: Exception) -> str:
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
