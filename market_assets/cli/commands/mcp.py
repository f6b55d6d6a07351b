"""Answers programs that speak the Model Context Protocol."""

from __future__ import annotations

from datetime import timedelta

from market_assets.cli.garbage import search_as_usual
from market_assets.cli.places import need_store, universe_here
from market_assets.errors import ServeError
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.agents.answers import Answers
    from market_assets.agents.server import server_of
    from market_assets.serve.editions import Editions

_LONGEST = timedelta(seconds=30)
"""How long a question may take."""

_MEMORY = 256 << 20
"""Bytes that the queries may take before they go to the disk."""


def mcp() -> None:
    """Answer an agent over standard input and output, until it hangs up; nothing can be changed.

    It has the tools status, gaps, explain, candles and sources of the Model Context Protocol.
    """
    search_as_usual()
    universe = universe_here(quiet=True)
    need_store()
    store = Editions(home(), clock=present, memory=_MEMORY, longest=_LONGEST)
    try:
        server = server_of(universe, Answers(universe, home(), store, present))
    except ImportError as error:
        raise ServeError(
            f"{error.name} is not installed: pip install 'market-assets[mcp]'"
        ) from error
    try:
        server.run("stdio")
    finally:
        store.close()
