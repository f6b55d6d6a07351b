"""What the HTTP API costs: memory of a long answer, CPU of short ones, and fifty readers at a time.

Usage: python benchmarks/serve.py FOLDER MILLION_CANDLES

A process serves a home while this one commits a minute of candles every half second and another
one, with fifty readers, asks for the newest candles and for pages. Waiting times mean little on a
busy machine; CPU seconds and megabytes are those of the server's process.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import httpx

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store

SYMBOLS = 20
FIRST = datetime(2020, 1, 1)  # noqa: DTZ001 - as the store has it
READERS, SECONDS, PAUSE = 50, 20, 0.25
LATEST = "/v1/candles/latest?profile=crypto&timeframe=1m"
PAGE = "/v1/candles?profile=crypto&timeframe=1m&symbols=S{}&from=2020-01-05&limit=1000"
UNIVERSE = """
sources: {{practice: {{}}}}
profiles:
  crypto: {{kind: CRYPTO, start: 2020-01-01, timeframes: {{fetch: [1m]}}, sources: [practice],
            symbols: {{{symbols}}}}}
"""


def main() -> None:
    """Fill a store, serve it, and ask."""
    folder, rows = Path(sys.argv[1]), int(float(sys.argv[2]) * 1e6)
    store = filled(folder, rows)
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(folder),
        "MARKET_ASSETS_UNIVERSE": str(folder / "universe.yaml"),
    }
    command = [sys.executable, "-m", "market_assets.cli", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        lines = process.stdout or ()
        url = json.loads(next(iter(lines)))["url"]
        server = Server(process.pid)
        with httpx.Client(base_url=url, timeout=600) as client:
            for form in ("arrow", "parquet", "csv", "json"):
                long_answer(client, server, form)
            repeated(client, server, LATEST)
            repeated(client, server, PAGE.format(1))
        crowd(url, server, store, rows)
        process.terminate()


def filled(folder: Path, rows: int) -> Store:
    """A store with so many minutes of all symbols, and its universe."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = ", ".join(f"S{number}: {{}}" for number in range(SYMBOLS))
    (folder / "universe.yaml").write_text(UNIVERSE.format(symbols=symbols))
    store = Store(folder, clock=lambda: datetime.now(UTC))
    with store.writing("filling") as transaction:
        transaction.candles.create(Dataset.candles("crypto", Timeframe.M1), derived=False)
        transaction.connection.execute(
            """
            INSERT INTO crypto.candles_1m (symbol, ts, open, high, low, close, volume, source)
            SELECT 'S' || (range % $n), $first + INTERVAL 1 MINUTE * (range // $n),
                100 + random(), 101 + random(), 99 + random(), 100 + random(), random(), 'practice'
            FROM range($rows)
            """,
            {"n": SYMBOLS, "first": FIRST, "rows": rows},
        )
    print(f"{rows:,} candles, {store.size / 1e6:,.0f} MB")
    return store


class Server:
    """The CPU seconds and the memory of the process that serves."""

    def __init__(self, process: int) -> None:
        self._folder = Path(f"/proc/{process}")

    @property
    def cpu(self) -> float:
        """Seconds of user and system."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak(self) -> int:
        """The most megabytes that were resident."""
        lines = (self._folder / "status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024


def long_answer(client: httpx.Client, server: Server, form: str) -> None:
    """All candles in one answer."""
    before, length = server.cpu, 0
    with client.stream("GET", f"/v1/candles?profile=crypto&timeframe=1m&format={form}") as answer:
        answer.raise_for_status()
        for piece in answer.iter_raw():
            length += len(piece)
    print(
        f"all as {form}: {length / 1e6:,.0f} MB, {server.cpu - before:.1f} s of CPU, "
        f"peak {server.peak:,} MB"
    )


def repeated(client: httpx.Client, server: Server, path: str, times: int = 1000) -> None:
    """The same question again and again."""
    client.get(path)
    before = server.cpu
    for _ in range(times):
        client.get(path).raise_for_status()
    print(f"again {path}: {(server.cpu - before) / times * 1000:.2f} ms of CPU")


def crowd(url: str, server: Server, store: Store, rows: int) -> None:
    """Fifty readers, while a writer commits."""
    stop, commits = threading.Event(), list[float]()
    writer = threading.Thread(target=commit_on_and_on, args=(store, rows, stop, commits))
    writer.start()
    before = server.cpu
    # In a process of its own: what waits for this one's other threads is not the server's.
    readers = subprocess.run(
        [sys.executable, __file__, "--readers", url], check=True, capture_output=True
    )
    waits = json.loads(readers.stdout)
    stop.set()
    writer.join()
    for name, seconds in {**waits, "commit": commits}.items():
        ordered = sorted(seconds)
        print(
            f"{name}: {len(ordered):,}, median {statistics.median(ordered) * 1000:.0f} ms, "
            f"p99 {ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms, "
            f"longest {ordered[-1] * 1000:.0f} ms"
        )
    print(f"{server.cpu - before:.1f} s of CPU in {SECONDS} s, peak {server.peak:,} MB")


def commit_on_and_on(store: Store, rows: int, stop: threading.Event, seconds: list[float]) -> None:
    """Commit a minute of all symbols every half second."""
    minute = FIRST + timedelta(minutes=rows // SYMBOLS)
    while not stop.wait(0.5):
        begun = time.perf_counter()
        with store.writing("a minute") as transaction:
            transaction.connection.execute(
                """
                INSERT INTO crypto.candles_1m (symbol, ts, open, high, low, close, volume, source)
                SELECT 'S' || range, ?, 100, 101, 99, 100, 1, 'practice'
                FROM range(?)
                """,
                [minute, SYMBOLS],
            )
        seconds.append(time.perf_counter() - begun)
        minute += timedelta(minutes=1)


async def ask_all(url: str) -> dict[str, list[float]]:
    """The waiting times of all readers, by what they asked for."""
    waits: dict[str, list[float]] = {"latest": [], "page": []}
    connector = aiohttp.TCPConnector(limit=READERS)
    async with aiohttp.ClientSession(url, connector=connector) as client:
        await asyncio.gather(*(ask(client, number, waits) for number in range(READERS)))
    return waits


async def ask(client: aiohttp.ClientSession, number: int, waits: dict[str, list[float]]) -> None:
    """Ask for the newest candles, or for a page, some four times a second."""
    name = "page" if number % 5 == 0 else "latest"
    path = PAGE.format(number % SYMBOLS) if name == "page" else LATEST
    await asyncio.sleep(PAUSE * number / READERS)
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begun = time.perf_counter()
        async with client.get(path) as answer:
            answer.raise_for_status()
            await answer.read()
        waits[name].append(time.perf_counter() - begun)
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    if sys.argv[1] == "--readers":
        print(json.dumps(asyncio.run(ask_all(sys.argv[2]))))
    else:
        main()
