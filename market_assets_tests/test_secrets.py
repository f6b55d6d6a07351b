"""Keys are shown to nobody.

A run fails in every way, with vendors that repeat the keys. After it, the keys are looked for in
all that was written.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, quote_plus

import duckdb
import pytest

from market_assets_tests.support.shell import in_a_process, in_this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRETS = {
    "POLYGON_KEY": 'pOly"gon/kEy+47&11\\z',
    "ALPACA_KEY": "aLpaca-kEy-4711",
    "ALPACA_SECRET": "aLpaca/sEcret+1147==",
    "MIRROR_TOKEN": "mIrror-tOken-in-the-path-4711",
    "MIRROR_KEY": "mIrror kEy/47+11",
    "LIMITS_PASSWORD": "lImits%2FpAssword-4711",
    "HOOK_PASSWORD": "hOok-pAssword-4711",
}

SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "url": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "repr": lambda text: repr(text)[1:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "urlsafe": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
}


class Echo(BaseHTTPRequestHandler):
    """Refuses every request in the way that its path begins with.

    It repeats what it was sent as a key.
    """

    protocol_version = "HTTP/1.1"
    asked: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        _, way, spelling, *_ = self.path.split("/")
        self.asked.add(f"{way}/{spelling}")
        sent = {"authorization", "apca-api-key-id", "apca-api-secret-key", "x-more"}
        known = [
            value.removeprefix("Bearer ")
            for name, value in self.headers.items()
            if name.lower() in sent
        ]
        known += [SECRETS["MIRROR_TOKEN"]] if SECRETS["MIRROR_TOKEN"] in self.path else []
        said = " ".join(map(SPELLINGS[spelling], known))
        getattr(self, way)(said)
        self.close_connection = True

    def tell(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status, "No")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def words(self, said: str) -> None:
        self.tell(403, json.dumps({"code": 7, "message": f"no such key: {said}"}), X_Echo=said)

    def page(self, said: str) -> None:
        self.tell(401, f"<html>{said}</html>")

    def cut(self, said: str) -> None:
        self.tell(500, f"{'x' * (199 - len(said) // 2)}{said}")

    def moved(self, said: str) -> None:
        self.tell(302, "", Location=f"https://elsewhere.example/{said}/x?{said}")

    def fine(self, said: str) -> None:
        self.tell(
            200,
            json.dumps(
                {"status": "ERROR", "code": -1, "message": said, "msg": said, "error": said}
            ),
        )

    def html(self, said: str) -> None:
        self.tell(200, f"<html>{said}</html>")

    def wait(self, said: str) -> None:
        self.tell(429, said, Retry_After="3600")

    def babble(self, said: str) -> None:
        self.wfile.write(f"{said}\r\n\r\n".encode())

    def header(self, said: str) -> None:
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{said}\r\ncontent-length: 0\r\n\r\n".encode())

    def log_message(self, *_: Any) -> None:
        pass


WAYS = [
    *product(["page"], SPELLINGS),
    *product(["cut"], ["raw", "base64"]),
    *product(["words", "moved", "html", "fine", "wait", "babble", "header"], ["raw", "json"]),
]

UNIVERSE = """
alerts: {{channels: ["json://somebody:${{HOOK_PASSWORD}}@127.0.0.1:{closed}/${{HOOK_PASSWORD}}"]}}
sources:
{sources}
profiles:
  stocks:
    kind: EQUITY
    start: 2025-02-03
    end: 2025-02-05
    timeframes: {{fetch: [1d]}}
    symbols: {{{symbols}}}
"""


def universe(url: str, closed: int) -> str:
    """A universe with sources of their own for each way of failing.

    A source that fails again and again is left alone.
    """
    quick = "rate: null, retries: 1, backoff: 0, hold: 0, timeout: 5, max_elapsed: 10"
    keys = 'key: "${POLYGON_KEY}", headers: {X-More: "Bearer ${MIRROR_KEY}"}'
    sources, symbols = [], []
    for way, spelling in WAYS:
        name, at = f"{way}-{spelling}", f"{url}/{way}/{spelling}"
        sources += [
            (
                f'  polygon-{name}: {{type: polygon, base_url: "{at}/${{MIRROR_TOKEN}}", {keys}, '
                f"{quick}}}"
            ),
            (
                f'  alpaca-{name}: {{type: alpaca, base_url: "{at}", key: "${{ALPACA_KEY}}", '
                f'secret: "${{ALPACA_SECRET}}", {quick}}}'
            ),
        ]
        symbols.append(f"{name}: {{sources: [polygon-{name}, alpaca-{name}]}}")
    limiter = f'limiter: "redis://me:${{LIMITS_PASSWORD}}@127.0.0.1:{closed}/0"'
    sources.append(
        f'  limited: {{type: polygon, base_url: "{url}/words/raw", {limiter}, {keys}, {quick}}}'
    )
    symbols.append("limited: {sources: [limited]}")
    return UNIVERSE.format(closed=closed, sources="\n".join(sources), symbols=", ".join(symbols))


def spelled() -> dict[bytes, str]:
    """Every way to write every secret, and what it is."""
    texts = {
        spell(value).rstrip("="): f"{name} ({spelling})"
        for name, value in SECRETS.items()
        for spelling, spell in SPELLINGS.items()
    }
    return {text.encode(): name for text, name in texts.items()}


def all_written(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder as it is.

    The contents of databases and archives, which cannot be seen so, are added.
    """
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        name, body = str(path.relative_to(home)), path.read_bytes()
        yield name, body
        if body[:2] == b"\x1f\x8b":
            yield f"{name}, unpacked", gzip.decompress(body)
        if body[8:12] == b"DUCK":
            with duckdb.connect(path, read_only=True) as db:
                tables = db.execute(
                    "SELECT database_name, schema_name, table_name FROM duckdb_tables()"
                ).fetchall()
                for table in tables:
                    place = ".".join(f'"{part}"' for part in table)
                    for row in db.execute(f"FROM {place}").fetchall():
                        yield f"{name}: {table[-1]}", b"\0".join(str(cell).encode() for cell in row)
        if body.startswith(b"SQLite format 3"):
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
                for (table,) in db.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                ).fetchall():
                    for row in db.execute(f'SELECT * FROM "{table}"'):
                        yield f"{name}: {table}", b"\0".join(str(cell).encode() for cell in row)
            db.close()


def leaks(written: Iterator[tuple[str, bytes]]) -> list[str]:
    """Which secret stands where."""
    forbidden = spelled()
    return sorted(
        {
            f"{name} in {place}"
            for place, body in written
            for text, name in forbidden.items()
            if text in body
        }
    )


@pytest.fixture(scope="module")
def vendor() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_no_key_is_in_what_a_failing_run_and_those_who_ask_about_it_write(
    vendor: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    home, path = tmp_path / "home", tmp_path / "universe.yaml"
    path.write_text(universe(vendor, closed))
    environment = {
        **os.environ,
        **SECRETS,
        "MARKET_ASSETS_HOME": str(home),
        "MARKET_ASSETS_UNIVERSE": str(path),
    }
    environment.pop("DAGSTER_HOME", None)

    done = {"backfill": in_a_process(["backfill"], environment)}
    bar = "2025-02-03T00:00Z"
    for command in (
        "status",
        "status --json",
        "jobs",
        "jobs --json",
        "gaps --all",
        "gaps --json",
        "sources",
        "sources --json",
        "alerts",
        "alerts --test",
        "alerts --test --json",
        "repair --dry-run",
        f"gaps --explain words-raw {bar}",
        f"gaps --explain limited {bar} --json",
        "probe polygon-words-raw X --timeframe 1d",
        "probe alpaca-page-json X --timeframe 1d",
        "probe limited X --timeframe 1d",
    ):
        done[command] = in_this_process(command.split(), environment)

    assert done["backfill"].code == 3, done["backfill"].err
    assert Echo.asked == {f"{way}/{spelling}" for way, spelling in WAYS}
    everything = [
        *all_written(home),
        *((command, (it.out + it.err).encode()) for command, it in done.items()),
    ]
    assert not leaks(iter(everything))
    # The words around the keys are there: it was looked for in the right places.
    for place, words in {
        "market.duckdb": b"no such key",
        "jobs --json": b"no such key",
        "backfill": b"no such key",
    }.items():
        assert any(name.startswith(place) and words in body for name, body in everything), place
    assert any(
        b"no such key" in body and name.endswith(": event_logs") for name, body in everything
    )
    assert (
        "cannot be shared: redis://127.0.0.1/0: ConnectionError"
        in done[f"gaps --explain limited {bar} --json"].out
    )


def test_whoever_writes_a_key_somewhere_would_be_found_out(tmp_path: Path) -> None:
    words = [f"so {text.decode()} it is" for text in spelled()]
    (tmp_path / "plain").write_text("\n".join(words))
    (tmp_path / "packed").write_bytes(gzip.compress("\n".join(words).encode()))
    with sqlite3.connect(tmp_path / "lite.db") as lite:
        lite.execute("CREATE TABLE t (said)")
        lite.executemany("INSERT INTO t VALUES (?)", [(word,) for word in words])
    lite.close()
    with duckdb.connect(tmp_path / "duck.db") as duck:
        duck.execute("CREATE TABLE t AS SELECT unnest(?) AS said", (words,))

    found = leaks(all_written(tmp_path))

    for place, name in product(
        ["plain", "packed, unpacked", "lite.db: t", "duck.db: t"], spelled().values()
    ):
        assert f"{name} in {place}" in found
