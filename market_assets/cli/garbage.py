"""How often Python looks for garbage while a command is at work, and where freed memory goes."""

from __future__ import annotations

import ctypes
import gc

_USUAL = gc.get_threshold()
_SEARCH_AFTER = 50_000
"""How many more objects there are when Python looks for garbage: 700 is usual.

A command imports 100,000 that stay, and Python would look through them again and again.
"""

_SHARED_BY_THREADS = ((-8, 2), (-1, 131_072))
"""Options of glibc's mallopt: how many arenas there are at most, and how many bytes stay free.

They are those that `market_assets.up.environment` gives its processes before they start.
"""


def search_seldom() -> None:
    """Look for garbage seldom: a command that ends soon leaves little."""
    gc.set_threshold(_SEARCH_AFTER)


def search_as_usual() -> None:
    """Look for garbage as often as Python does, but not among what was imported.

    A command that stays begins with it: what it leaves in circles would take more and more memory.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)


def give_memory_back() -> None:
    """Give freed memory back to the system soon, whichever thread had it.

    Each thread of a fill may get an arena of its own from glibc, which keeps what is free in it: a
    stream of hours grew to several times of what it needs. Other systems' allocators are left as
    they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _SHARED_BY_THREADS:
            mallopt(option, value)
