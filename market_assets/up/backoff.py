"""How long to wait before a process that has ended is started again. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

QUIET = timedelta(minutes=10)
"""After so long without a restart everything is as before."""

LONGEST = 60.0
"""The longest wait, in seconds."""


def wait_before(restarts: Sequence[float], now: float) -> float:
    """The seconds until the next start: 1, doubled by every restart of the last ten minutes, a minute at most.

    Args:
        restarts: When the process was started again so far, in seconds of a clock that nobody sets.
        now: The present instant of that clock.
    """
    recent = sum(now - at < QUIET.total_seconds() for at in restarts)
    return min(2.0 ** min(recent, 10), LONGEST)
