"""Where requests are counted: what a file or a server does, and how long a server is waited for.

A request is kept with the two instants between which the vendor has counted it: it was sent after
the first and answered before the second. What holds for every instant in between holds for the
vendor, however long requests are on their way. pyrate-limiter and limits, which count well-known
instants, are not used: decision 31 says why.

One step looks at the clock of the place, at the hold and at the counts, and grants nothing that a
hold forbids. How SQLite does it is in `limit_file`, Redis in `limit_redis`, PostgreSQL in
`limit_postgres`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 5
"""Seconds for a server to answer."""

KEPT = 3_600 + 60
"""Seconds for which counts are kept: the longest period that a rate can have, and some."""


class Unit(StrEnum):
    """What is counted."""

    WEIGHT = "weight"
    REQUESTS = "requests"


@dataclass(frozen=True)
class Bound:
    """At most so much since an instant.

    Attributes:
        most: How much, the request itself included.
        unit: What counts.
        span: Seconds up to the present that count.
        since: The instant from which on it counts, by the clock of the place; None for `span`.
        by_start: True to count requests by when they were sent, not by when the vendor may have
            counted them.
    """

    most: int
    unit: Unit
    span: float
    since: float | None = None
    by_start: bool = False

    def shifted(self, seconds: float) -> Bound:
        """The same by a clock that is so far ahead."""
        return self if self.since is None else replace(self, since=self.since + seconds)


class Answer(NamedTuple):
    """A request that was answered, or given up.

    Attributes:
        id: The request's.
        slot: What it is put together with: neighbours that the next windows treat alike.
        age: Seconds since then.
    """

    id: str
    slot: str
    age: float


class Report(NamedTuple):
    """What the vendor says that a window has used; it is believed where we have counted less.

    Then others ask it, too, and nobody knows which of ours that are on their way it has counted
    already: none of them, to be safe.

    Attributes:
        id: The window's.
        since: Its start, by the clock of the place.
        at: An instant within it.
        weight: What it has used.
    """

    id: str
    since: float
    at: float
    weight: int


@dataclass(frozen=True)
class Request:
    """A request that is to be sent.

    Attributes:
        id: Its own.
        weight: What it weighs.
        longest: Seconds after which it is over, if nobody says so before.
        bounds: What must hold.
        answers: What has become of others since.
        reports: What the vendor has said.
    """

    id: str
    weight: int
    longest: float
    bounds: Sequence[Bound] = ()
    answers: Sequence[Answer] = ()
    reports: Sequence[Report] = ()


class Count(NamedTuple):
    """What became of a request that was to be counted. It was where nothing is in its way.

    Attributes:
        hold: Seconds for which the vendor is to be left alone.
        ages: Of each bound that leaves no room the seconds since the end of the request that takes
            it up, 0 while that is under way; None where there is room.
        now: The instant, by the clock of the place.
    """

    hold: float
    ages: Sequence[float | None]
    now: float

    @property
    def is_in(self) -> bool:
        """Whether the request was counted."""
        return not self.hold and all(age is None for age in self.ages)


class LimitServer(Protocol):
    """A server that counts; one thread at a time asks it, except for `hold`.

    Attributes:
        trouble: What its library raises.
    """

    trouble: type[Exception]

    def now(self) -> float:
        """The server's clock, in seconds since 1970."""
        ...

    def take(self, key: str, request: Request) -> Count:
        """Note what was answered, and count a request if nothing speaks against it."""
        ...

    def settle(self, key: str, answers: Sequence[Answer]) -> None:
        """Note what was answered."""
        ...

    def hold(self, key: str, seconds: float) -> None:
        """Let nothing be counted for so long, or longer where that is known already."""
        ...

    def close(self) -> None:
        """Let go of the server."""
        ...
