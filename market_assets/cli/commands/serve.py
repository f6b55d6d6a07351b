"""Answers other programs over HTTP."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from market_assets.cli.console import OUT
from market_assets.cli.garbage import give_memory_back, search_as_usual
from market_assets.cli.options import AsJson
from market_assets.cli.places import universe_here
from market_assets.errors import ServeError
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    import asyncio

    from market_assets.defs.launching import Pages
    from market_assets.serve.server import allow_connections, listen, server_of


def serve(
    port: Annotated[
        int | None,
        typer.Option(help="Where it listens; `serve.port` if not given.", min=0, max=65535),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The address it listens on; `serve.host` if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer other programs over HTTP, until Ctrl-C: candles, gaps, jobs, and why bars are absent.

    It reads copies of the store, so that nobody waits for it. With `serve: {token: ...}` in the
    universe it also starts backfills and repairs.
    """
    search_as_usual()
    give_memory_back()
    universe = universe_here(quiet=True)
    changed = {"host": host, "port": port}
    settings = universe.serve.model_copy(
        update={key: value for key, value in changed.items() if value is not None}
    )
    universe = universe.model_copy(update={"serve": settings})
    try:
        allow_connections()
        listener = listen(settings)
        server = server_of(
            universe, home(), clock=present, platform=Pages(home(), settings.dagster)
        )
    except ImportError as error:
        raise ServeError(
            f"{error.name} is not installed: pip install 'market-assets[serve]'"
        ) from error
    if as_json:
        facts = {"url": listener.url, "home": str(home()), "universe": str(universe.path)}
        print(json.dumps(facts), flush=True)  # noqa: T201 - the answer
    else:
        who = "whoever has the token" if settings.token else "this machine alone"
        OUT.print(
            f"[bold]market_assets[/] {escape(listener.url)}  "
            f"for programs {escape(listener.url)}/v1/openapi.json  "
            f"home {escape(str(home()))}  for {who}  Ctrl-C ends it.",
            highlight=False,
            soft_wrap=True,
        )
    asyncio.run(server.serve(sockets=[listener.socket]))
