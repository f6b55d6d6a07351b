"""The log file of the processes: bounded, and no reason to end when it cannot be written."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILES, BYTES = 5, 2 * 1000**2
"""How many files there are at most, and how large each of them grows."""

_LINE = 64 * 1024


class Log(RotatingFileHandler):
    """Lines with time (UTC) and process; a full `up.log` becomes `up.log.1`, and so on.

    Args:
        path: The newest file; its folder is made. It must not be `logs` in a Dagster home, which
            Dagster empties.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(
            path, maxBytes=BYTES, backupCount=FILES - 1, encoding="utf-8", errors="backslashreplace"
        )

    def _open(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - logging has no types for it
        return open(
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors=self.errors,
            opener=_private,
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Lose the line: a full disk must not end what goes on without a log."""

    def close(self) -> None:
        """Close the file, and lose what there was no room for."""
        with suppress(OSError):
            super().close()

    def write(self, line: str) -> None:
        """Add a line."""
        self.emit(logging.makeLogRecord({"msg": line[:_LINE], "args": ()}))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
