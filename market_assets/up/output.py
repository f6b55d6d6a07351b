"""What the processes print, and what the supervisor says: to the log and to the terminal.

What is worth a line is decided where it happens. How the log is kept bounded stands in `log`.
"""

from __future__ import annotations

import os
import re
import selectors
from typing import TYPE_CHECKING

from market_assets.market.instants import bare_second
from market_assets.up.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path


class Output:
    """Reads what processes print, and writes it to the log; tells a person what happens.

    Args:
        say: Prints a line; the first word may be a mark such as "wrong:".
        clock: Gives the present instant, aware UTC.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], datetime]) -> None:
        self._say = say
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._lines: dict[int, bytes] = {}

    def wake_by(self, file: int) -> None:
        """End a wait for output when something can be read from a file."""
        self._selector.register(file, selectors.EVENT_READ)
        self._wakeup = file

    def open(self, path: Path) -> Log:
        """Open the log."""
        self._log = Log(path)
        return self._log

    def read_from(self, name: str, file: int) -> None:
        """Write to the log what a process prints, until it closes this file."""
        os.set_blocking(file, False)
        self._lines[file] = b""
        self._selector.register(file, selectors.EVENT_READ, name)

    def pump(self, seconds: float) -> None:
        """Write to the log what the processes print, and wait a moment for more."""
        for key, _ in self._selector.select(seconds):
            file = key.fd
            try:
                chunk = os.read(file, 65536)
            except BlockingIOError:
                continue
            if file == self._wakeup:
                continue
            if not chunk:
                self._selector.unregister(file)
                self.write_lines(key.data, self._lines.pop(file) + b"\n")
                os.close(file)
                continue
            whole, _, rest = (self._lines[file] + chunk).rpartition(b"\n")
            self.write_lines(key.data, whole)
            self._lines[file] = rest

    def write_lines(self, name: str, text: bytes) -> None:
        """Write lines of a process to the log."""
        for line in text.decode(errors="backslashreplace").splitlines():
            if line.strip():
                self._log.write(f"{bare_second(self._clock())} {name}: {_plain(line)}")

    def tell(self, line: str) -> None:
        """Say something in the terminal and in the log."""
        self.note(line)
        self._say(line)

    def note(self, line: str) -> None:
        """Write something about the supervisor itself to the log alone."""
        self._log.write(f"{bare_second(self._clock())} up: {line}")


def _plain(line: str) -> str:
    """A line without what would move the cursor or the colour of a terminal that shows the log."""
    return re.sub(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f\x7f]", "", line)
