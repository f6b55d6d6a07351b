"""How long to wait before a process that has ended is started again. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

QUIET = timedelta(minutes=10)
"""After so long without a restart everything is as before."""

LONGEST = timedelta(minutes=1)


def wait_before(restarts: Sequence[datetime], now: datetime) -> timedelta:
    """The wait before the next start: 1 second, doubled by every restart of the last ten minutes, a minute at most.

    Args:
        restarts: When the process was started again so far.
        now: The present instant.
    """
    recent = sum(now - at < QUIET for at in restarts)
    return min(timedelta(seconds=2 ** min(recent, 10)), LONGEST)
