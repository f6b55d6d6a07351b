"""Ctrl-C and SIGTERM ask a session to end, so that what was streamed is stored before it does."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a session is to end, and which signal has asked for it.

    Attributes:
        event: Set once somebody has asked.
        number: The signal; None where there was none.
    """

    def __init__(self, words: str) -> None:
        self.event = threading.Event()
        self.number: int | None = None
        self._words = words

    def ask(self, number: int, _frame: FrameType | None = None) -> None:
        """Ask for the end; a second signal ends at once.

        Raises:
            KeyboardInterrupt: It is the second one.
        """
        if self.number is not None:
            raise KeyboardInterrupt(self._words)
        self.number = number
        self.event.set()


@contextmanager
def stopping(words: str) -> Iterator[Stop]:
    """Take signals as a wish to end while the block runs; in another thread than the main one none.

    Args:
        words: What a second signal says.
    """
    stop = Stop(words)
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, stop.ask) for number in _NUMBERS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
