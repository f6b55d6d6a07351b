"""Who may read the files of the home folder: their owner alone."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS_ALONE = 0o700
"""The mode of a home folder that is made; one that is there keeps its own."""

_NOBODY_ELSE = 0o077
_VARIABLE = "MARKET_ASSETS_UMASK"
"""In which variable a program of ours gives its children the user's mask."""

_guard = threading.Lock()
_depth = 0
_before = 0


def keep_private() -> None:
    """From here on this process and its children make files for their owner alone.

    A program of ours does this at its start.
    """
    with _guard:
        mask = os.umask(_NOBODY_ELSE)
        os.environ.setdefault(_VARIABLE, f"{mask:03o}")


@contextmanager
def private_files() -> Iterator[None]:
    """Make files for their owner alone while the block runs; in all threads, as the mask is one."""
    global _depth, _before  # noqa: PLW0603 - the mask is the process's as well
    with _guard:
        if _depth == 0:
            _before = os.umask(_NOBODY_ELSE)
        _depth += 1
    try:
        yield
    finally:
        with _guard:
            _depth -= 1
            if _depth == 0:
                os.umask(_before)


def put_private(path: Path, content: bytes) -> None:
    """Put a file for its owner alone in its place, all of it or nothing, whatever lies there.

    Raises:
        OSError: It cannot be written.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def mask_of_the_user() -> int:
    """The mask for files that are meant for others."""
    if _VARIABLE in os.environ:
        return int(os.environ[_VARIABLE], 8)
    with _guard:
        if _depth:
            return _before
        mask = os.umask(_NOBODY_ELSE)
        os.umask(mask)
        return mask
