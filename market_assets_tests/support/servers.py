"""A Redis and a PostgreSQL server for one test alone.

They are real, on a free port of the loopback, in a folder that is removed with them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "pa55/w@rd-0f-the-limits"  # noqa: S105 - it opens nothing
_DEBIANS = "usr/lib/postgresql/*/bin"  # not in the PATH, as there may be several versions
QUOTED = "pa55%2Fw%40rd-0f-the-limits"


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis server; gives its URL."""
    binary = _binary("redis-server")
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        options = {
            "port": port,
            "bind": "127.0.0.1",
            "save": "",
            "dir": folder,
            "requirepass": PASSWORD,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with subprocess.Popen([binary, *words], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = next(
                (line for line in process.stdout if "eady to accept connections" in line), None
            )
            assert said, "redis-server has not started"
            yield f"redis://:{QUOTED}@127.0.0.1:{port}/0"
            process.terminate()
            process.stdout.read()


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a PostgreSQL server; gives its URL."""
    initdb, control = (_binary(name) for name in ("initdb", "pg_ctl"))
    owner = _who()
    # pytest's own folders are closed to the user that the server runs as.
    with tempfile.TemporaryDirectory() as folder:
        data, password = Path(folder) / "data", Path(folder) / "password"
        password.write_text(PASSWORD)
        for path in (folder, password):
            shutil.chown(path, owner)
        port = _free_port()
        options = (
            f"-F -p {port} -k {folder} -c listen_addresses=127.0.0.1 -c timezone=Europe/Berlin"
        )

        def run(*words: object) -> None:
            done = subprocess.run(
                [*map(str, words)],
                user=owner,
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

        run(
            initdb,
            "-D",
            data,
            "-U",
            "tester",
            "-A",
            "scram-sha-256",
            f"--pwfile={password}",
            "--no-sync",
            "-E",
            "UTF8",
        )
        run(control, "-D", data, "-w", "-l", Path(folder) / "log", "-o", options, "start")
        try:
            yield f"postgresql://tester:{QUOTED}@127.0.0.1:{port}/postgres"
        finally:
            run(control, "-D", data, "-m", "immediate", "stop")


SERVERS = {"redis": redis_server, "postgres": postgres_server}


def _binary(name: str) -> str:
    places = [os.environ.get("PATH", ""), *map(str, sorted(Path("/").glob(_DEBIANS), reverse=True))]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        pytest.skip(f"needs {name}, which is not installed")
    return found


def _who() -> str:
    """PostgreSQL runs as anybody but root."""
    if os.getuid():
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
