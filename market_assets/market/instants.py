"""How an instant is written for a person, a file or another program: always in UTC. Pure.

An instant without a time zone, as the store gives it, is one of UTC. How a text is read is in the
module that reads it; a `Window` writes itself.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def to_minute(instant: datetime) -> str:
    """An instant to the minute: 2024-05-01 10:00Z."""
    return f"{bare_minute(instant)}Z"


def to_second(instant: datetime) -> str:
    """An instant to the second: 2024-05-01 10:00:00Z."""
    return f"{bare_second(instant)}Z"


def brief(instant: datetime) -> str:
    """An instant to the minute, or to the second where it is not on a minute."""
    return to_minute(instant) if instant.second == 0 else to_second(instant)


def bare_minute(instant: datetime) -> str:
    """An instant to the minute, where what stands around says that it is UTC: 2024-05-01 10:00."""
    return f"{_in_utc(instant):%Y-%m-%d %H:%M}"


def bare_second(instant: datetime) -> str:
    """An instant to the second, as in a list or a log of UTC: 2024-05-01 10:00:00."""
    return f"{_in_utc(instant):%Y-%m-%d %H:%M:%S}"


def clock_time(instant: datetime) -> str:
    """The time of a day that is clear from what stands around it: 10:00:00Z."""
    return f"{_in_utc(instant):%H:%M:%S}Z"


def clock_minute(instant: datetime) -> str:
    """The same to the minute: 10:00Z."""
    return f"{_in_utc(instant):%H:%M}Z"


def with_zone(instant: datetime) -> str:
    """An instant to the second, with its zone as a word: 2024-05-01 10:00:00 UTC."""
    return f"{bare_second(instant)} UTC"


def iso_second(instant: datetime) -> str:
    """An instant to the second for a program: 2024-05-01T10:00:00Z."""
    return f"{_in_utc(instant):%Y-%m-%dT%H:%M:%S}Z"


def iso(instant: datetime) -> str:
    """An instant for a program, with microseconds where it has any: 2024-05-01T10:00:00.250000Z."""
    return f"{_in_utc(instant).replace(tzinfo=None).isoformat()}Z"


def _in_utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo is None else instant.astimezone(UTC)
