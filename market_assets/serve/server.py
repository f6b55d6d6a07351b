"""Runs the application on a socket until the process is told to end."""

from __future__ import annotations

import resource
import socket
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING

import uvicorn

from market_assets.errors import ServeError
from market_assets.hosts import is_loopback, url_of
from market_assets.serve.app import build
from market_assets.serve.cache import SharedCache
from market_assets.serve.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from market_assets.config.services import ServeSettings
    from market_assets.config.universe import Universe
    from market_assets.serve.platform import Platform

_BACKLOG = 1024
_MOST_FILES = 65_536
_GOODBYE = 5
"""Seconds that requests have to end when the server does."""

_LONGEST_HEAD = 65_536
"""Bytes of a request's first line and headers together."""


@dataclass(frozen=True)
class Listener:
    """A socket that is listened on.

    Attributes:
        socket: The socket.
        url: The address of the server.
    """

    socket: socket.socket
    url: str


def listen(settings: ServeSettings) -> Listener:
    """Open the socket of the settings.

    Raises:
        ServeError: The address can be reached by other machines and there is no token, or it is
            taken.
    """
    if settings.token is None and not is_loopback(settings.host):
        raise ServeError(
            f"{settings.host} can be reached by other machines: "
            "add `serve: {token: ${SERVE_TOKEN}}` to the universe, or listen on 127.0.0.1",
            key="serve.host",
        )
    host = settings.host.strip("[]")
    try:
        family, *_, address = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(
            address[:2], family=family, backlog=_BACKLOG, reuse_port=False
        )
    except OSError as error:
        raise ServeError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "name another one with --port, or in `serve` of the universe",
            key="serve.port",
        ) from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Whoever reads nothing for so long is cut off by the system, with what was to be sent.
        longest = int(settings.max_time.total_seconds() * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, longest)
    port = listener.getsockname()[1]
    return Listener(listener, url_of(host, port))


def allow_connections() -> None:
    """Let this process have as many files open as it may: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def server_of(
    universe: Universe,
    home: Path,
    *,
    clock: Callable[[], datetime],
    platform: Platform | None = None,
) -> uvicorn.Server:
    """The server of a home folder, to be run on a socket.

    Args:
        universe: What is kept, and how it is served.
        home: The home folder.
        clock: Gives the present instant (aware).
        platform: Dagster, as far as it is asked.
    """
    desk = Desk(universe, home, clock=clock, platform=platform, shared=_shared(universe))
    config = uvicorn.Config(
        build(desk),
        http="h11",
        ws="none",
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        # Who asked for what is nobody's business, and a question may hold anything.
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=_GOODBYE,
        server_header=False,
        proxy_headers=False,
    )
    return uvicorn.Server(config)


def _shared(universe: Universe) -> SharedCache | None:
    if universe.serve.cache is None:
        return None
    kept = sha256(universe.model_dump_json().encode()).hexdigest()
    return SharedCache(str(universe.serve.cache), f"{version('market-assets')} {kept}")
