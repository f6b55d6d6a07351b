"""The keeper of the home folder that a command is about."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from market_assets.cli.places import open_store, universe_here
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.defs.automation.retention import Keeper
    from market_assets.defs.automation.runs import instance_at

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def keeper_here(*, quiet: bool) -> Iterator[Keeper]:
    """What counts and removes bookkeeping, over the home folder and its universe.

    Args:
        quiet: Name neither on standard error, as where JSON is asked for.
    """
    universe, store = universe_here(quiet=quiet), open_store()
    with instance_at(home()) as instance:
        yield Keeper(home(), store, instance, universe, present)
