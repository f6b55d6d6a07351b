"""A process with a child of its own, as a code server has runs."""

from __future__ import annotations

import sys
import threading


def stay(name: str) -> None:
    sys.stdout.write(f"{name}\n")
    sys.stdout.flush()
    threading.Event().wait()
