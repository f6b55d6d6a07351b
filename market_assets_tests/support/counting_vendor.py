"""A vendor that counts, and clients of it, in virtual time: a limit's whole day in seconds."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from math import floor
from random import Random
from typing import TYPE_CHECKING

from market_assets.practice.quotas import Quota, Till

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from market_assets.sources.transport.limit import Limit

NOON = 1_700_000_000.0 - 1_700_000_000.0 % 86_400 + 43_200


class CountingVendor:
    """A vendor behind a network.

    Args:
        quotas: What it allows.
        clock: The virtual time.
        ahead: Seconds by which its clock is ahead of the clients'.
        latency: The least and the most seconds of one way.
        header: Whether it says what a minute has used.
    """

    def __init__(
        self,
        quotas: Sequence[Quota],
        clock: Callable[[], float],
        *,
        ahead: float = 0.0,
        latency: tuple[float, float] = (0.005, 0.2),
        header: bool = True,
    ) -> None:
        self.till = Till(quotas)
        self.times: list[float] = []
        self._clock = clock
        self._ahead = ahead
        self._latency = latency
        self._header = header
        self._random = Random(7)  # noqa: S311 - times on the way

    def now(self) -> float:
        return NOON + self._clock() + self._ahead

    async def ask(self, weight: int) -> dict[str, str]:
        """Send a request, and give the headers of the answer."""
        await asyncio.sleep(self._random.uniform(*self._latency))
        self.charge(weight)
        headers = {"date": formatdate(floor(self.now()), usegmt=True)}
        if self._header:
            headers["x-mbx-used-weight-1m"] = str(self.till.use(self.now())[0])
        await asyncio.sleep(self._random.uniform(*self._latency))
        return headers

    def charge(self, weight: int) -> None:
        if self.till.charge(weight, self.now()) is None:
            self.times += [self.now()] * weight

    def used(self, seconds: float, begin: float) -> int:
        """What was used in so many seconds from a time on, by the vendor's clock."""
        return sum(1 for at in self.times if begin <= at < begin + seconds)


async def ask_all(
    limit: Limit, vendor: CountingVendor, clock: Callable[[], float], *, weight: int, until: float
) -> None:
    """Ask one after the other until a time; another request begins while one is on its way."""
    while clock() < until:
        permit = await limit.permit(weight)
        asked_at = NOON + clock()
        headers = await vendor.ask(weight)
        limit.hear(headers, asked_at)
        limit.done(permit)
