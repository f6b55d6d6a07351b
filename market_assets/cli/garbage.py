"""How often Python looks for garbage while a command is at work."""

from __future__ import annotations

import gc

_USUAL = gc.get_threshold()
_SEARCH_AFTER = 50_000
"""How many more objects there are when Python looks for garbage: 700 is usual.

A command imports 100,000 that stay, and Python would look through them again and again.
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
