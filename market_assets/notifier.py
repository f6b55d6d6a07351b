"""The library that sends messages, made to say nothing by itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from market_assets.imports import late_imports

with late_imports():
    import apprise

if TYPE_CHECKING:
    from types import ModuleType


def load_apprise() -> ModuleType:
    """Import apprise, which takes a fifth of a second: only who has something to send pays for it.

    What it logs is in its results, and of a bad URL it holds the URL.
    """
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return apprise
