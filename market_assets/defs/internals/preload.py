"""What the processes of `up` have in common, loaded once before they are forked.

The fork server, `up.forkserver`, loads it. Nothing is run here. Nothing of ours that knows of a
universe is loaded, and nothing that starts a thread: neither polars nor duckdb, nor a module that
imports one of them.
"""

from __future__ import annotations

from importlib import import_module

from market_assets.defs.internals.adapter import SERVERS

LIBRARIES = (
    "alembic",
    "dagster_graphql",
    "dagster_webserver.app",
    "exchange_calendars",
    "httpx",
    "httpx_retries",
    "msgspec",
    "pandas",
    "pandas_market_calendars",
    "pyrate_limiter",
    "rich.console",
    "sqlalchemy.dialects.sqlite",
    "yaml",
)
"""What most of them load sooner or later, by the memory that it takes."""

OURS = ("market_assets.defs.internals.event_log", "market_assets.defs.internals.serve")

for name in (*SERVERS, *LIBRARIES, *OURS):
    import_module(name)
