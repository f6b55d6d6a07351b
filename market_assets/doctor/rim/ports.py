"""The ports of our servers: whether somebody listens there, and who."""

from __future__ import annotations

import errno
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from market_assets.doctor.facts import Port
from market_assets.store.process import command_of, is_alive
from market_assets.up.options import PAGES_PORT
from market_assets.up.state import read_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets.config.services import ServeSettings

_PAGES = ("127.0.0.1", PAGES_PORT)
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS = "0A"


def look_at_ports(home: Path, serve: ServeSettings) -> list[Port]:
    """Look at the port of the pages, where this home has them or would, and of the HTTP API."""
    state = read_state(home)
    host, port = _PAGES
    pages = None
    if state and state.ended_at is None and is_alive(state.process):
        url = urlsplit(state.url)
        host, port = url.hostname or host, url.port or port
        pages = state.process
    return [
        look_at_port("pages", host, port, owner=pages),
        look_at_port("serve", serve.host.strip("[]"), serve.port),
    ]


def look_at_port(server: str, host: str, number: int, *, owner: int | None = None) -> Port:
    """Look at one port.

    Args:
        server: Which of our servers is meant.
        host: The address.
        number: The port.
        owner: The process of ours that has it, where that is known.
    """
    refusal = _refusal(host, number)
    if refusal is None:
        return Port(server, host, number)
    if refusal.errno != errno.EADDRINUSE:
        return Port(server, host, number, fault=f"cannot listen there: {refusal.strerror}")
    if owner is not None:
        return Port(
            server,
            host,
            number,
            is_in_use=True,
            holder=f"market-assets up (process {owner})",
            is_ours=True,
        )
    process = next(_listeners(number), None)
    command = command_of(process) if process else ""
    return Port(
        server,
        host,
        number,
        is_in_use=True,
        holder=f"{command} (process {process})" if process else "",
        is_ours="market-assets" in command or "market_assets" in command,
    )


def _refusal(host: str, number: int) -> OSError | None:
    """Why an address cannot be listened on; it is taken for a moment, and nobody is let in."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind, proto) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        return error
    return None


def _listeners(number: int) -> Iterator[int]:
    """The processes that listen on a port, where Linux lets this user know."""
    inodes = set()
    for table in _TABLES:
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == number:
                    inodes.add(fields[9])
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            for link in folder.iterdir():
                with suppress(OSError):
                    match = re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink()))
                    if match and match[1] in inodes:
                        yield int(folder.parent.name)
