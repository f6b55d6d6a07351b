"""Processes that share what a vendor allows, and the places where they share it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from redis import Redis

from market_assets.sources.contract import Usage
from market_assets.sources.transport.http import HttpClient
from market_assets.sources.transport.settings import HttpSettings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Place:
    """Where processes share a limit: a file in a test's folder, or a server.

    Attributes:
        settings: What says so to a source.
    """

    settings: dict[str, object]

    @property
    def url(self) -> str:
        return str(self.settings.get("limiter", ""))

    def count(self, folder: Path, vendor: str) -> int:
        """How many requests to a vendor's URL were counted."""
        port = vendor.rpartition(":")[2]
        if not self.url:
            with closing(sqlite3.connect(folder / "limits" / "vendor.sqlite")) as counts:
                return counts.execute("SELECT sum(requests) FROM requests").fetchone()[0]
        if self.url.startswith("redis"):
            with Redis.from_url(self.url) as server:
                (key,) = server.keys(f"*_{port}-*:requests")
                return sum(int(row.split()[2]) for row in server.hvals(key))
        with psycopg.connect(self.url) as connection:
            return connection.execute(
                "SELECT sum(requests)::int FROM market_assets_requests WHERE name LIKE %s",
                (f"%\\_{port}-%",),
            ).fetchone()[0]

    def written(self, folder: Path) -> bytes:
        """All that has been written there."""
        if not self.url:
            return b"".join(file.read_bytes() for file in (folder / "limits").iterdir())
        if self.url.startswith("redis"):
            with Redis.from_url(self.url) as server:
                return b"".join(key + (server.dump(key) or b"") for key in server.keys("*"))
        with psycopg.connect(self.url) as connection:
            tables = [
                connection.execute(f"TABLE market_assets_{name}").fetchall()
                for name in ("requests", "holds")
            ]
            return repr(tables).encode()

    def cut(self) -> None:
        """Close the connections that the server has."""
        if self.url.startswith("redis"):
            with Redis.from_url(self.url) as server:
                server.client_kill_filter(_type="normal", skipme=True)
            return
        with psycopg.connect(self.url) as connection:
            ours = "application_name = 'market-assets'"
            connection.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"
            )


def client(url: str, folder: Path, **settings: object) -> HttpClient:
    model = HttpSettings.model_validate({"base_url": url, "backoff": 0, **settings})
    return HttpClient("mine", model, Usage(), base=folder)
