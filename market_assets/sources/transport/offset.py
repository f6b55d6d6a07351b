"""How far another clock is ahead of ours, as far as its answers show it.

Pure: instants are given.
"""

from __future__ import annotations

_DRIFT = 1e-4
"""Seconds by which two clocks may part in a second: ten times what a poor one does."""


class Offset:
    """Between which bounds another clock is ahead of ours, in seconds.

    Each answer with a time in it lies between two instants of ours, those of the question and of
    the answer, and so bounds the difference. All bounds together are narrow after some answers,
    even where times come in whole seconds. An answer that contradicts the ones before shows that a
    clock was set: then it alone counts.

    Args:
        low: The least that is thought possible before the first answer.
        high: The most.
        slack: Seconds by which each answer is doubted.

    Attributes:
        low: The other clock is at least so far ahead.
        high: It is at most so far ahead.
    """

    def __init__(self, low: float = 0.0, high: float = 0.0, *, slack: float = 0.0) -> None:
        self.low = low
        self.high = high
        self._slack = slack
        self._noted_at: float | None = None

    def note(self, earliest: float, latest: float, asked_at: float, answered_at: float) -> None:
        """Take what an answer shows.

        Args:
            earliest: The least that the other clock can have shown.
            latest: The most.
            asked_at: When it was asked, by our clock.
            answered_at: When its answer came.
        """
        low = earliest - answered_at - self._slack
        high = latest - asked_at + self._slack
        before = answered_at if self._noted_at is None else self._noted_at
        drift = _DRIFT * max(0.0, answered_at - before)
        narrow_low, narrow_high = max(low, self.low - drift), min(high, self.high + drift)
        is_first = self._noted_at is None
        if is_first or narrow_low > narrow_high:
            narrow_low, narrow_high = low, high
        self.low, self.high = narrow_low, narrow_high
        self._noted_at = answered_at
