"""What the processes of `up` have in common, loaded once before they are forked.

The fork server, `up.forkserver`, loads it. Nothing is run here, no universe is read, and nothing
starts a thread: polars and DuckDB are imported by `threadless`, before what imports them.
"""

from __future__ import annotations

from importlib import import_module

from market_assets.defs.internals.adapter import SERVERS

LIBRARIES = (
    "aiohttp",
    "alembic",
    "dagster_graphql",
    "dagster_webserver.app",
    "httpx",
    "httpx_aiohttp",
    "httpx_retries",
    "msgspec",
    "rich.console",
    "sqlalchemy.dialects.sqlite",
    "yaml",
)
"""What most of them load sooner or later, by the memory that it takes."""

OURS = (
    "market_assets.defs.internals.event_log",
    "market_assets.defs.internals.serve",
    "market_assets.defs.internals.threadless",
    # All that the definitions are made by, and what their work needs.
    "market_assets.defs.errands",
    "market_assets.defs.location",
    "market_assets.fill.fill",
    "market_assets.live.update",
    "market_assets.enrich.made",
    "market_assets.plan.repair",
)

for name in (*SERVERS, *LIBRARIES, *OURS):
    import_module(name)
