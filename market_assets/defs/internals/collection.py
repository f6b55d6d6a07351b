"""Python's search for garbage, which has nothing to find while definitions are made.

Loading Dagster and ours makes some 150,000 objects that stay for the life of the process. Python
looks through all of them again and again as their number grows: a quarter of the time, for a few
hundred objects.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def without_collection() -> Iterator[None]:
    """Search for no garbage in a block, and never again among the objects that it leaves.

    What is made once and stays belongs in it, and nothing else: garbage in circles that the block
    leaves is never freed. Where the search is off already, it stays off.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if on:
            gc.enable()
