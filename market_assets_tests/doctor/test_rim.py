"""The facts, gathered from real files, locks, sockets and servers."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from market_assets.config.sources import with_limit
from market_assets.doctor.rim.locks import look_at_locks
from market_assets.doctor.rim.network import look_at_network
from market_assets.doctor.rim.place import look_at_place
from market_assets.doctor.rim.ports import look_at_port, look_at_ports
from market_assets.doctor.rim.records import look_at_store
from market_assets.doctor.rim.setup import look_at_setup
from market_assets.doctor.rim.software import look_at_software
from market_assets.sources.transport.hold import Hold
from market_assets.store.process import this_host
from market_assets.store.schema import VERSION
from market_assets.store.store import Store
from market_assets.up.state import State, write_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from market_assets.doctor.facts import Reach, StoreFile

METADATA = """Metadata-Version: 2.4
Name: toy
Version: 1.0
Requires-Python: <3
Provides-Extra: more
Provides-Extra: dev
Requires-Dist: polars>=1
Requires-Dist: nothing-has-this-name>=1
Requires-Dist: polars<0.1; extra == "more"
Requires-Dist: nothing-for-developers; extra == "dev"
Requires-Dist: nothing-for-windows; sys_platform == "win32"
"""

UNIVERSE = """
sources:
  first: {{type: binance, base_url: "{url}", headers: {{X-Key: "${{FIRST_KEY}}"}}}}
  second: {{type: bitfinex, base_url: "${{SECOND_URL}}"}}
  closed: {{type: kraken, base_url: "http://127.0.0.1:{port}"}}
  files: {{type: archive, path: "candles/{{symbol}}.csv"}}
  simulated: {{type: practice}}
  unused: {{type: bybit, base_url: "http://127.0.0.1:{port}/never"}}
profiles:
  crypto:
    kind: CRYPTO
    start: 2025-02-03
    mix_venues: true
    timeframes: {{fetch: [1h]}}
    sources: [first, second, closed, files, simulated]
    symbols: {{BTC: {{}}}}
"""


class _Refusal(BaseHTTPRequestHandler):
    """Answers each request with 404, and keeps what was asked for."""

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        self.send_error(404)

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def vendor() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusal)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def listener() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_needs_are_those_of_the_package_and_of_its_extras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "toy-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# tested\npolars==0.1\nnothing-has-this-name==1\n")

    software = look_at_software(None, package="toy", constraints=constraints)

    assert (software.pythons, software.python_fits) == ("<3", False)
    assert [(need.package, need.fits) for need in software.needs] == [
        ("polars", True),
        ("nothing-has-this-name", False),
    ]
    assert {extra: [need.fits for need in needs] for extra, needs in software.extras.items()} == {
        "more": [False]
    }
    assert {name: test for name, (_, test) in software.tests.items()} == {"polars": "0.1"}
    assert look_at_software(None, constraints=tmp_path / "none").tests is None


def test_a_package_that_was_never_installed_is_what_is_lacking() -> None:
    (itself,) = look_at_software(None, package="nothing-has-this-name").needs
    assert (itself.package, itself.release, itself.fits) == ("nothing-has-this-name", None, False)


def test_this_package_has_what_it_needs() -> None:
    software = look_at_software(None)
    assert software.python_fits
    assert [need for need in software.needs if not need.fits] == []


def test_a_place_is_looked_at_whether_it_is_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "market.duckdb").write_bytes(b"x" * 100)
    (tmp_path / "file").touch()
    here, absent, wrong = (
        look_at_place(path) for path in (tmp_path, tmp_path / "a/b", tmp_path / "file/b")
    )
    assert (here.exists, here.is_folder, here.is_writable, here.store) == (True, True, True, 100)
    assert (absent.exists, absent.is_folder, absent.is_writable) == (False, True, True)
    assert not wrong.is_folder
    assert here.free > 0
    assert here.system == absent.system
    assert bool(here.system) is (sys.platform == "linux")
    assert not (tmp_path / "a").exists()


def test_a_universe_is_read_as_if_its_keys_were_set(tmp_path: Path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_text(UNIVERSE.format(url="https://vendor.example", port=9))
    environ = {
        "MARKET_ASSETS_UNIVERSE": str(path),
        "MARKET_ASSETS_HOME": str(tmp_path / "home"),
        "SECOND_URL": "https://vendor.example",
    }

    setup, universe = look_at_setup(environ)
    assert universe is not None
    assert (setup.problems, setup.profiles, setup.symbols) == ((), 1, 1)
    assert setup.keys == {"FIRST_KEY": False, "SECOND_URL": True}
    assert look_at_setup({**environ, "FIRST_KEY": "secret"})[0].keys["FIRST_KEY"]

    path.write_text("profiles: {crypto: {kind: CRYPTOO}}")
    setup, universe = look_at_setup(environ)
    assert universe is None
    assert "CRYPTOO" in " ".join(setup.problems)

    setup, universe = look_at_setup({**environ, "MARKET_ASSETS_UNIVERSE": "/no/such/file"})
    assert universe is None
    assert "no such file" in " ".join(setup.problems)


def test_each_address_that_is_used_is_asked_once_and_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "universe.yaml"
    monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "home"))
    with vendor() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        path.write_text(UNIVERSE.format(url=url, port=free_port()))
        keys = {"FIRST_KEY": "tell-nobody", "SECOND_URL": url}
        environ = {"MARKET_ASSETS_UNIVERSE": str(path), **keys}
        _, universe = look_at_setup(environ)
        began = datetime.now(UTC).timestamp()
        reaches: dict[str, Reach] = {reach.source: reach for reach in look_at_network(universe)}
        assert [path for path, _ in server.requests] == ["/"]
        assert "tell-nobody" not in str(server.requests)

        Hold("second", Path(f"{with_limit('second', universe)['limiter_path']}.hold")).ask(60)
        held = {reach.source: reach for reach in look_at_network(universe)}

    assert list(reaches) == ["first", "second", "closed", "files", "simulated"]
    assert reaches["second"].place == "${SECOND_URL}"
    assert reaches["first"].status == reaches["second"].status == 404
    assert abs(reaches["first"].date - began) < 60
    assert "onnect" in reaches["closed"].fault
    assert reaches["files"].fault == "there is no such folder"
    assert "probe simulated SYMBOL" in reaches["simulated"].reason
    # Whoever has a key of its own has a limit of its own.
    assert 0 < held["second"].hold <= 60
    assert held["first"].hold == 0


def test_who_has_a_port_is_named(tmp_path: Path) -> None:
    assert not look_at_port("pages", "127.0.0.1", free_port()).is_in_use
    with listener() as number:
        port = look_at_port("pages", "127.0.0.1", number)
        assert port.is_in_use
        if sys.platform == "linux":
            assert f"(process {os.getpid()})" in port.holder

        state = State(os.getpid(), f"http://127.0.0.1:{number}", "u.yaml", datetime.now(UTC))
        write_state(tmp_path, state)
        _, universe = look_at_setup({"MARKET_ASSETS_HOME": str(tmp_path)})
        pages, _ = look_at_ports(tmp_path, universe.serve)
        assert (pages.number, pages.is_ours) == (number, True)
    assert look_at_port("serve", "no-such-host.invalid", 3001).fault


def test_locks_are_tried_and_their_notes_read(tmp_path: Path) -> None:
    store, stream = tmp_path / "market.duckdb.lock", tmp_path / "streams" / "crypto.candles_1m.lock"
    stream.parent.mkdir()
    store.touch()
    stream.touch()
    assert [lock.is_in_use for lock in look_at_locks(tmp_path)] == [False] * 3

    dead = dead_process()
    note = {"pid": dead, "host": this_host(), "command": "backfill", "purpose": "x", "since": "y"}
    (tmp_path / "market.duckdb.holder.json").write_text(json.dumps(note))
    words = {"words": f"Dagster's run a (process {os.getpid()})", "since": "z"}
    stream.with_suffix(".json").write_text(json.dumps(words))
    write_state(tmp_path, State(dead, "http://127.0.0.1:3000", "u.yaml", datetime.now(UTC)))
    with stream.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        of_store, of_stream, of_up = look_at_locks(tmp_path)
    assert (of_store.is_in_use, of_store.process, of_store.is_alive) == (False, dead, False)
    assert (of_stream.is_in_use, of_stream.process, of_stream.is_alive) == (True, os.getpid(), True)
    assert (of_up.is_in_use, of_up.is_alive) == (False, False)

    (tmp_path / "market.duckdb.holder.json").write_text(json.dumps({**note, "host": "elsewhere"}))
    assert look_at_locks(tmp_path)[0].is_alive is None


def test_the_version_of_a_store_is_read_where_nobody_has_it(tmp_path: Path) -> None:
    def look() -> StoreFile:
        return look_at_store(tmp_path, look_at_locks(tmp_path)[0])

    assert not look().exists
    store = Store(tmp_path, clock=lambda: datetime.now(UTC))
    with store.writing("testing"):
        assert look().holder != ""
    assert look().version == VERSION

    store.path.write_bytes(b"no database" * 1000)
    assert "cannot be opened" in look().fault
    store.path.unlink()
    with duckdb.connect(store.path) as connection:
        connection.execute("CREATE TABLE letters (a INT)")
    assert "of another program" in look().fault
