"""What a practice vendor allows, and what it refuses beyond that.

It counts as vendors do: in windows of its clock, or over any stretch of time up to the present. It
never looks at what a client thinks of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from email.utils import format_datetime
from math import ceil, floor
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class Quota(BaseModel):
    """What a vendor allows in a time.

    Attributes:
        most: How much.
        seconds: In how many seconds.
        window: fixed, where its windows begin at whole multiples of that by its clock; sliding,
            where any stretch of so many seconds counts.
        unit: What counts: the weight of requests, or each of them once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    most: PositiveInt
    seconds: PositiveFloat = 60
    window: Literal["fixed", "sliding"] = "fixed"
    unit: Literal["weight", "requests"] = "weight"

    @property
    def is_of_a_minute(self) -> bool:
        """Whether it is the weight in each minute of the vendor's clock."""
        return (self.window, self.seconds, self.unit) == ("fixed", 60, "weight")


@dataclass
class _Window:
    quota: Quota
    sent: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0

    def use(self, now: float) -> int:
        """What has been used of it at an instant."""
        quota = self.quota
        since = now - quota.seconds
        if quota.window == "fixed":
            # Nothing of the window before counts, not even its last instant.
            since = floor(now / quota.seconds) * quota.seconds - 1e-9
        while self.sent and self.sent[0][0] <= since:
            self.total -= self.sent.popleft()[1]
        return self.total

    def charge(self, cost: int, now: float) -> None:
        """Count a request."""
        self.sent.append((now, cost))
        self.total += cost

    def left(self, now: float) -> float:
        """Seconds until some of it is free again."""
        quota = self.quota
        if quota.window == "fixed":
            return quota.seconds - now % quota.seconds
        return self.sent[0][0] + quota.seconds - now if self.sent else 0.0


class Till:
    """Counts what is asked of a vendor against its quotas.

    Args:
        quotas: All of them hold.

    Attributes:
        refusals: How many requests were refused so far.
    """

    def __init__(self, quotas: Sequence[Quota]) -> None:
        self.refusals = 0
        self._windows = [_Window(quota) for quota in quotas]

    @property
    def is_open(self) -> bool:
        """Whether anything is counted."""
        return bool(self._windows)

    def charge(self, weight: int, now: float) -> int | None:
        """Take a request, or refuse it, which costs nothing.

        Args:
            weight: What it weighs.
            now: The vendor's time, in seconds since 1970.

        Returns:
            None where it is taken, else after how many whole seconds it may come again.
        """
        waits = []
        for window in self._windows:
            cost = weight if window.quota.unit == "weight" else 1
            if window.use(now) + cost > window.quota.most:
                waits.append(max(1, ceil(window.left(now))))
        if waits:
            self.refusals += 1
            return max(waits)
        for window in self._windows:
            window.charge(weight if window.quota.unit == "weight" else 1, now)
        return None

    def use(self, now: float) -> list[int]:
        """What has been used of each quota at an instant, in their order."""
        return [window.use(now) for window in self._windows]

    def headers(self, now: datetime) -> dict[str, str]:
        """What an answer says of the vendor's clock and of its count of the minute."""
        headers = {"Date": format_datetime(now, usegmt=True)}
        for window in self._windows:
            if window.quota.is_of_a_minute:
                headers["X-MBX-USED-WEIGHT-1M"] = str(window.use(now.timestamp()))
        return headers
