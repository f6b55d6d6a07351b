"""Python's search for garbage, which has nothing to find while definitions are made.

While a run is at work it has little to find.

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

_SELDOM = (20_000, 20, 100)
"""How many new objects, and how many searches among younger ones, are waited for.

Python's own are 700, 10 and 10.
"""


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


@contextmanager
def rare_collection() -> Iterator[None]:
    """Search for garbage more seldom in a block.

    The pages and the events of a run are many objects that go by themselves. Python takes their
    number for a sign of garbage, and looks through all that was loaded: a twentieth of a backfill.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
