"""The present instant: the only place in which the machine's clock is asked what time it is.

`MARKET_ASSETS_CLOCK` makes it run fast, for tests and measuring only: `ORIGIN@ANCHOR*SPEED`, such
as `2025-12-01T00:00:00Z@2026-11-30T03:00:00Z*8760`. At the real instant ANCHOR it is ORIGIN, and
from then on SPEED seconds pass in one. All processes that have the variable share the clock, the
practice vendor's too. Timers, rate limits and what Dagster stamps stay real; the waits of a stream
alone follow the clock (`timer`). An ORIGIN so far back that the clock never passes the real one is
best: Dagster defines its partitions by that one.
"""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from market_assets.errors import ClockError

CLOCK_VARIABLE = "MARKET_ASSETS_CLOCK"

# Both go on while the machine sleeps, as its connections do not.
_STEADY = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC


@dataclass(frozen=True)
class FastClock:
    """A clock that shows `origin` at the real instant `anchor`, running `speed` times as fast.

    Attributes:
        origin: What it shows at the anchor, aware UTC.
        anchor: A real instant, aware UTC.
        speed: How many of its seconds pass in a real one.
    """

    origin: datetime
    anchor: datetime
    speed: float

    def at(self, real: datetime) -> datetime:
        """What the clock shows at a real instant, aware UTC."""
        return self.origin + (real - self.anchor) * self.speed

    def real(self, instant: datetime) -> datetime:
        """The real instant at which the clock shows another, aware UTC.

        Where that instant lies before year 1, the first instant of all.
        """
        try:
            return self.anchor + (instant - self.origin) / self.speed
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)


def present() -> datetime:
    """The present instant, aware UTC.

    It is the machine's, or that of the fast clock which the environment sets.

    Raises:
        ClockError: `MARKET_ASSETS_CLOCK` is set to what is no clock.
    """
    text = os.environ.get(CLOCK_VARIABLE)
    return fast_clock(text).at(machine()) if text else machine()


def machine() -> datetime:
    """The machine's instant, aware UTC.

    Only for what is compared with stamps that are always real, such as Dagster's.
    """
    return datetime.now(UTC)


def stamped(instant: datetime) -> datetime:
    """What the machine's clock shows at an instant, aware UTC.

    It is compared with the stamps of Dagster and of files.
    """
    text = os.environ.get(CLOCK_VARIABLE)
    return fast_clock(text).real(instant) if text else instant


def speed() -> float:
    """How many seconds of `present` pass in one of the machine's."""
    text = os.environ.get(CLOCK_VARIABLE)
    return fast_clock(text).speed if text else 1.0


def elapsed() -> float:
    """Seconds of `present` since some instant; setting the machine's clock does not move it."""
    return time.clock_gettime(_STEADY) * speed()


@lru_cache(maxsize=1)
def fast_clock(text: str) -> FastClock:
    """Read a clock as `MARKET_ASSETS_CLOCK` has it.

    Raises:
        ClockError: The text is no clock.
    """
    parts = re.fullmatch(r"([^@*]+)@([^@*]+)\*(\d{1,9}(?:\.\d+)?)", text.strip())
    try:
        origin, anchor = (
            (datetime.fromisoformat(part) for part in parts.groups()[:2]) if parts else (None, None)
        )
    except ValueError:
        origin = anchor = None
    if (
        parts is None
        or origin is None
        or anchor is None
        or not (origin.tzinfo and anchor.tzinfo and float(parts[3]))
    ):
        example = "2025-12-01T00:00:00Z@2026-11-30T03:00:00Z*8760"
        raise ClockError(
            f"{CLOCK_VARIABLE}: {text} is no clock; "
            f"write ORIGIN@ANCHOR*SPEED, such as {example}, or unset it"
        )
    return FastClock(origin.astimezone(UTC), anchor.astimezone(UTC), float(parts[3]))
