"""Ends a process when the supervisor that it belongs to is gone, however that went.

The supervisor holds a lock on a file, and the environment names the file. Every process that it starts, and every one
that these start, waits for that lock: it gets it the moment the supervisor is no more, after a `kill -9` as well.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ALIVE_VARIABLE = "MARKET_ASSETS_UP_ALIVE"
"""Names the file that the supervisor holds a lock on as long as it lives."""

GRACE = 5.0
"""Seconds that a process has to end by itself before it is killed."""


def take(path: Path) -> IO[bytes] | None:
    """Take the lock of a file without waiting; None where another process holds it. Closing the file gives it back.

    Raises:
        OSError: The file cannot be opened.
    """
    # Opened to append, so that whoever does not get the lock changes nothing.
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def live_at(path: Path) -> IO[bytes]:
    """Hold a new file at a path as a sign of life until the process ends.

    Whoever waits for the file that was there before does not wait for this one.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    file = fresh.open("wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    fresh.replace(path)
    return file


def hold_on(environ: Mapping[str, str] = os.environ) -> None:
    """End this process soon after its supervisor has ended; without one in the environment nothing happens."""
    if path := environ.get(ALIVE_VARIABLE):
        threading.Thread(target=_follow, args=(Path(path),), name="leash", daemon=True).start()


def _follow(path: Path) -> None:
    # Without the file there is no supervisor either.
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
