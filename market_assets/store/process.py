"""Whether a process of this host that has recorded its number is still running."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_host() -> str:
    """The name under which this host's processes leave their numbers."""
    return socket.gethostname()


def birth_of(process: int) -> str | None:
    """When a process began, as a text that no other process of the same number has.

    None where the system does not report it; Linux does.
    """
    fields = _state(process)
    return fields[19] if fields else None


def is_alive(process: int, birth: str | None = None) -> bool:
    """True when the process is running.

    Args:
        process: Its number.
        birth: What `birth_of` said of it, if it is known: the number of a process that has ended is
            given out again, in a container most often to the same program.
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    fields = _state(process)
    if not fields:
        return True
    # One that has ended stays in the table until its parent asks how.
    return fields[0] not in {"Z", "X"} and birth in {None, fields[19]}


def command_of(process: int) -> str:
    """What a process is, without its arguments but for the script or module that it runs."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    name, rest = Path(words[0]).name, [word for word in words[1:] if word]
    if rest[:1] == ["-m"] and len(rest) > 1:
        return f"{name} -m {rest[1]}"
    return f"{name} {Path(rest[0]).name}" if rest and not rest[0].startswith("-") else name


def _state(process: int) -> list[str]:
    """The fields of Linux's /proc/PID/stat that follow the command's name.

    The first is the state, the twentieth the start in ticks since the boot. Empty where there is no
    such file.
    """
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
