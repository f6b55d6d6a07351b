"""What has to be so before anything is started; each refusal is one sentence."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from market_assets.errors import UpError

if TYPE_CHECKING:
    from pathlib import Path

ROOM = 200 * 1000**2
"""Bytes that must be free on the disk of the home folder."""

_LAST_PORT = 65535


def check_room(free: int, home: Path) -> None:
    """Refuse a disk that is nearly full.

    Raises:
        UpError: Fewer than ROOM bytes are free.
    """
    if free < ROOM:
        raise UpError(
            f"{home}: only {free / 1000**2:,.0f} MB are free on this disk, "
            f"and {ROOM / 1000**2:,.0f} MB are needed; "
            "make room, or set MARKET_ASSETS_HOME to a folder on another disk."
        )


def check_home(home: Path) -> None:
    """Make the home folder if it is not there, and see whether it can be written and has room.

    Raises:
        UpError: It cannot be made or written, or its disk is nearly full.
    """
    probe = home / f".writable-{os.getpid()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
        free = shutil.disk_usage(home).free
    except OSError as error:
        with suppress(OSError):
            probe.unlink()
        raise UpError(
            f"{home}: this home folder cannot be written: {error.strerror}; "
            "give this user write access to it, "
            "or set MARKET_ASSETS_HOME to a folder of yours."
        ) from error
    check_room(free, home)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        UpError: There is no such port or address, or the port is taken or not for this user.
    """
    if not 0 < port <= _LAST_PORT:
        raise UpError(
            f"--port {port}: there is no such port; choose one from 1024 to {_LAST_PORT}."
        )
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
    except OSError as error:
        raise UpError(f"--host {host}: there is no such address: {error.strerror}.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise UpError(_refused(host, port, error)) from error
    return listener


def _refused(host: str, port: int, error: OSError) -> str:
    where = f"http://{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: port {port} is taken by another program; choose another one with --port."
    if error.errno in {errno.EACCES, errno.EPERM}:
        return (
            f"{where}: this user may not listen on port {port}; "
            "choose one from 1024 on with --port."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: this machine has no such address."
    return f"{where}: cannot listen there: {error.strerror}."
