"""The rules that a rate comes to, and what they say of a request at an instant.

Pure: what was sent is kept elsewhere, and so are the clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, floor
from typing import TYPE_CHECKING

from market_assets.sources.counting import ANY_STRETCH, Counting
from market_assets.sources.transport.limit_server import Bound, Unit

if TYPE_CHECKING:
    from market_assets.sources.transport.offset import Offset

_PERIODS = {"s": 1, "m": 60, "h": 3_600}
_BURST = 10
_TAIL = 0.1
"""The last part of a clock's window, in which a backfill may use what is left of the reserve."""

_SHORT = 10
"""Seconds. Who finds a window of less than that used up has not long to wait: no reserve is kept.
"""


class Way(StrEnum):
    """Over which time a rule counts."""

    CLOCK = "a window of the vendor's clock"
    STRETCH = "any stretch of time"
    SPREAD = "any stretch of time, by when requests were sent: our own rule, not the vendor's"


@dataclass(frozen=True)
class Rule:
    """At most so much in a time.

    Attributes:
        most: How much.
        span: Seconds of the time.
        way: Over which stretches of so many seconds.
        unit: What counts.
        reserve: How much of it only urgent requests may use.
    """

    most: int
    span: float
    way: Way = Way.STRETCH
    unit: Unit = Unit.WEIGHT
    reserve: int = 0

    def room(self, weight: int, *, urgent: bool, tail: bool) -> int:
        """How much may be used at all by requests like one of this weight."""
        kept = 0 if urgent or tail else self.reserve
        return self.most if weight > self.most - kept else self.most - kept

    def bound(self, weight: int, now: float, vendor: Offset, *, urgent: bool) -> Bound:
        """What has to hold for a request at an instant.

        Args:
            weight: What the request weighs.
            now: The instant, by our clock.
            vendor: How far the vendor's clock is ahead of ours.
            urgent: Whether it may use the reserve.
        """
        if self.way is not Way.CLOCK:
            room = self.room(weight, urgent=urgent, tail=False)
            return Bound(room, self.unit, self.span, by_start=self.way is Way.SPREAD)
        start = self.window(now, vendor)
        room = self.room(weight, urgent=urgent, tail=now + vendor.low >= self._tail(start))
        # What was on its way at the window's start may have come after it.
        return Bound(room, self.unit, self.span, since=start - vendor.high)

    def wait(self, age: float, now: float, vendor: Offset, *, urgent: bool) -> float:
        """Seconds after which there may be room for what has none now.

        Args:
            age: Seconds since the end of the request that takes up the room.
            now: The present, by our clock.
            vendor: How far the vendor's clock is ahead of ours.
            urgent: Whether it may use the reserve.
        """
        if self.way is not Way.CLOCK:
            return max(self.span - age, 0.0)
        start, present = self.window(now, vendor), now + vendor.low
        tail = self._tail(start)
        is_kept = self.reserve and not urgent and present < tail
        return (tail if is_kept else start + self.span) - present

    def window(self, now: float, vendor: Offset) -> float:
        """The start, by the vendor's clock, of the earliest window that the present may lie in."""
        return floor((now + vendor.low) / self.span) * self.span

    def _tail(self, start: float) -> float:
        return start + self.span * (1 - _TAIL)


def rules_of(text: str, counting: Counting = ANY_STRETCH, reserve: float = 0.0) -> list[Rule]:
    """Give the rules of a rate, the vendor's own first.

    Where any stretch of time counts, a fast process would use up a minute's requests in some
    seconds, and one that comes after it would find none for the rest of the minute. So a tenth of
    them, and no fewer than ten, may go at once; after a tenth of the time the next ones may. A
    window of the vendor's clock is used up as fast as may be: what is left of it at its end is
    lost.

    Args:
        text: The rate, such as "50/s".
        counting: How the vendor counts.
        reserve: The share that is kept for urgent requests.
    """
    count_text, period = text.split("/")
    most, span = int(count_text), _PERIODS[period]
    way = Way.CLOCK if counting.clock == span else Way.STRETCH
    kept = floor(most * reserve) if span >= _SHORT else 0
    rules = [Rule(most, span, way, reserve=kept)]

    burst = max(_BURST, ceil(most / 10))
    if way is Way.STRETCH and burst < most:
        rules.append(Rule(burst, span * burst / most, Way.SPREAD))
    if counting.requests is not None:
        requests, seconds = counting.requests
        rules.append(Rule(requests, seconds, way, Unit.REQUESTS, reserve=floor(requests * reserve)))
    return rules
