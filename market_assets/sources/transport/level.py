"""How many requests to a vendor go at once: as many as it answers quickly.

Pure: it is told of answers and refusals, and neither asks nor waits.
"""

from __future__ import annotations

START = 8
"""Requests at once before anything is known of a vendor."""

_TOLERANCE = 3.0
"""An answer takes longer than usual from so many times the shortest time on."""

_MARGIN = 0.05
"""Seconds above that, for what a busy machine takes."""

_WEIGHT = 0.2
"""What one answer counts in the mean of the latest."""

_LATELY = 2048
"""Answers after which the shortest time is measured anew, with few requests in flight: a vendor
that has moved farther away is not taken for a busy one forever, nor a busy one for a far one."""

_LATE = 0.8
_REFUSED = 0.5


class Level:
    """Requests in flight at once, between one and a ceiling.

    It grows by one with each answer until the first sign of trouble, and from then on by its square
    root with each round of answers. It shrinks to half when a request is refused or not answered,
    and to four fifths when answers take more than about three times the shortest time of late: once
    for all requests that were in flight then. Slow answers alone leave eight: on a busy machine
    they are slow however few are asked for. It does not grow before these are answered, nor while
    fewer are in flight than may be.

    Args:
        ceiling: The most that may be in flight, however quick the answers are.

    Attributes:
        ceiling: The same.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self._size = float(min(START, ceiling))
        self._is_steep = True
        self._shortest = [float("inf"), float("inf")]
        self._answers = 0
        self._recent: float | None = None
        # Answers to what was in flight when it shrank: they know nothing of that yet.
        self._old = 0

    @property
    def size(self) -> int:
        """How many may be in flight now."""
        return int(self._size)

    def answer(self, seconds: float, flying: int) -> None:
        """Take that a request was answered.

        Args:
            seconds: What it took.
            flying: Requests that were in flight with it, itself included.
        """
        self._note(seconds, flying)
        recent, shortest = self._recent or seconds, min(self._shortest)
        if recent > _TOLERANCE * shortest + _MARGIN:
            self._shrink(_LATE, flying, least=START)
        elif flying >= self.size and not self._old:
            step = 1.0 if self._is_steep else self._size**-0.5
            self._size = min(float(self.ceiling), self._size + step)
        self._old = max(0, self._old - 1)

    def refuse(self, flying: int) -> None:
        """Take that a request was refused, or not answered in its time."""
        self._shrink(_REFUSED, flying, least=1)
        self._old = max(0, self._old - 1)

    def _note(self, seconds: float, flying: int) -> None:
        self._answers += 1
        if self._answers % _LATELY == 0:
            self._shortest = [self._shortest[1], float("inf")]
            self._size, self._is_steep = min(self._size, float(START)), True
            self._old = flying
        self._shortest[1] = min(self._shortest[1], seconds)
        before = seconds if self._recent is None else self._recent
        self._recent = before + _WEIGHT * (seconds - before)

    def _shrink(self, factor: float, flying: int, *, least: int) -> None:
        if self._old:
            return
        smaller = min(self._size, float(max(flying, 1))) * factor
        self._size = min(self._size, max(smaller, float(least)))
        self._is_steep = False
        self._old = flying
