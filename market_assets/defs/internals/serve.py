"""The processes of a running platform, as `market-assets up` starts them.

`python -m market_assets.up.child market_assets.defs.internals.serve code SOCKET MODULE`, or `...
pages SOCKET WORKSPACE OPTIONS LISTENER`; OPTIONS is JSON, see `Web`, and LISTENER the number of the
socket that the supervisor has opened for the pages. The third is that of a run: `run_forks`.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import uvicorn

from market_assets.defs.internals.adapter import start_runs_by, web_app
from market_assets.defs.internals.guard import Guard, Rules
from market_assets.defs.internals.reasons import Reasons
from market_assets.defs.internals.run_forks import RunContext, execute
from market_assets.defs.internals.wear import Wear
from market_assets.up.processes import MAKES_WAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 120.0
"""Seconds that the code server has to load the definitions before the others begin without it."""

_BROWSER = 2
"""Seconds that open pages have to say goodbye."""


@dataclass(frozen=True)
class Web:
    """How the pages are served.

    Attributes:
        host: The address that it listens on.
        hosts: More names by which the pages may be asked for.
        reports: Whether other programs may report over HTTP.
        read_only: Whether nothing can be changed in the pages.
    """

    host: str
    hosts: tuple[str, ...] = ()
    reports: bool = False
    read_only: bool = False


def serve_code(path: str, module: str) -> None:
    """Serve the definitions, and launch their runs, until the process is told to end.

    Raises:
        SystemExit: With MAKES_WAY, where it has worked for so long that a fork should follow it.
    """
    wear, reasons = Wear(), list[str]()

    def make_way() -> bool:
        if not reasons and (words := wear.words()):
            reasons.append(words)
            print(f"another code server takes over, as {words}", file=sys.stderr)  # noqa: T201
        return bool(reasons)

    if context := RunContext.of_environment():
        start_runs_by(context, make_way)
    try:
        _dagster(
            "dagster", "api", "grpc", "--lazy-load-user-code", "--socket", path,
            "--module-name", module, "--location-name", module,
            # Without it the working folder would be looked through for modules.
            "--empty-working-directory", "--log-level", "warning",
        )  # fmt: skip
    except SystemExit:
        if reasons:
            sys.exit(MAKES_WAY)
        raise


def serve_pages(path: str, workspace: str, options: str, listener: str) -> None:
    """Serve the pages and run the daemons, until the process is told to end.

    The daemons run schedules, sensors, backfills and the queue.

    Pages and daemons share a process because each needs all of Dagster, which is a hundred
    megabytes. Where one of the two ends by itself, the process does.
    """
    web = Web(**json.loads(options))
    rules = Rules.of(web.host, tuple(web.hosts), reports=web.reports, read_only=web.read_only)
    _await(path)
    with (
        dg.DagsterInstance.get() as instance,
        web_app(instance, Path(workspace), read_only=web.read_only) as app,
    ):
        config = uvicorn.Config(
            Guard(Reasons(app, instance), rules),
            log_level="warning",
            timeout_graceful_shutdown=_BROWSER,
            server_header=False,
        )
        with _beside(uvicorn.Server(config), socket.socket(fileno=int(listener))):
            _dagster("dagster._daemon", "run", "--workspace", workspace, "--log-level", "warning")


@contextmanager
def _beside(server: uvicorn.Server, listener: socket.socket) -> Iterator[None]:
    """Serve the pages in a thread of their own while the block runs.

    Where the pages end first, the block is ended.

    Raises:
        SystemExit: The pages ended first.
    """

    def serve() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            if not server.should_exit:
                os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=serve, name="pages")
    thread.start()
    try:
        yield
    finally:
        ended = not thread.is_alive()
        server.should_exit = True
        thread.join()
        if ended:
            sys.exit(1)


def _dagster(module: str, *arguments: str) -> None:
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=False)


def _await(path: str) -> None:
    """Wait until the code server answers, so that the first page shows the assets."""
    end = time.monotonic() + _PATIENCE
    pause = threading.Event()
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(path) == 0:
                return
        pause.wait(0.1)


def main(process: str, *arguments: str) -> None:
    """Run one of the processes."""
    processes: dict[str, Callable[..., None]] = {
        "code": serve_code,
        "pages": serve_pages,
        "run": execute,
    }
    processes[process](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
