"""Ctrl-C and a run's termination wait until DuckDB is done: tenths of a second, in a store of short transactions."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class HeldBack:
    """Holds back the signals that stop a program while its block runs, and delivers them when it ends.

    DuckDB runs Python's signal handlers in the middle of a statement. One that raises, as Ctrl-C does, is lost, or breaks a
    commit off so that the file can never be opened again in this process, which then waits for itself for ever.

    Only the main thread runs handlers, so that in any other one this does nothing. Blocks do not nest.
    """

    def __init__(self) -> None:
        self._pending: list[int] = []
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        if _in_main_thread():
            for number in _STOPPING:
                # None is a handler that was not installed by Python and that Python cannot put back.
                if signal.getsignal(number) is not None:
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if not _in_main_thread():
            return
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal has returned
        while self._pending:
            signal.raise_signal(self._pending.pop())

    def deliver(self) -> None:
        """Deliver what came so far: for a block that waits for long."""
        if _in_main_thread() and self._pending:
            self.__exit__()
            self.__enter__()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
