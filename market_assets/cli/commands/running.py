"""Starts the platform: the pages and the daemon over a home folder."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from market_assets.cli.console import (
    OUT,
    AsJson,
    open_store,
)


def up(
    port: Annotated[int, typer.Option(help="Where the UI listens.")] = 3000,
    host: Annotated[str, typer.Option(help="The address it listens on.")] = "127.0.0.1",
    as_json: AsJson = False,
) -> None:
    """Start the Dagster UI and the daemon over this home folder, until Ctrl-C."""
    from market_assets.defs.adapter import wake_sensors  # noqa: PLC0415 - Dagster takes seconds to import
    from market_assets.defs.runs import instance_at  # noqa: PLC0415
    from market_assets.universe import UNIVERSE_VARIABLE, home, load_universe  # noqa: PLC0415

    universe = load_universe()
    folder = home()
    with open_store().reading("starting up"), instance_at(folder) as instance:
        wake_sensors(instance)
    os.environ["MARKET_ASSETS_HOME"] = str(folder)
    if os.environ.get(UNIVERSE_VARIABLE):
        os.environ[UNIVERSE_VARIABLE] = str(universe.path)
    url = f"http://{host}:{port}"
    if as_json:
        print(json.dumps({"url": url, "home": str(folder), "universe": str(universe.path)}), flush=True)  # noqa: T201 - the answer
    else:
        OUT.print(
            f"The UI will be at [bold]{url}[/] in some seconds; its data is in {folder}. Ctrl-C stops it.",
            highlight=False,
        )
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "dagster",
        "dev",
        "-m",
        "market_assets.definitions",
        "-h",
        host,
        "-p",
        str(port),
    ]
    os.execv(sys.executable, command)  # noqa: S606 - no shell, fixed words
