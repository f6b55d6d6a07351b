"""What readers cost: a copy made, renewed and opened, and what commits wait for it.

Usage: python benchmarks/readers.py FOLDER MILLION_CANDLES
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store

COMMITS = 60
PAUSE = 0.5


def main() -> None:
    """Fill a store, and time its copies and its commits."""
    folder, rows = Path(sys.argv[1]), int(float(sys.argv[2]) * 1e6)
    store = Store(folder, clock=lambda: datetime.now(UTC))
    with store.writing("filling") as transaction:
        transaction.candles.create(Dataset.candles("crypto", Timeframe.M1), derived=False)
        transaction.connection.execute(
            """
            INSERT INTO crypto.candles_1m (symbol, ts, open, high, low, close, volume, source)
            SELECT 'S' || (range % 20), TIMESTAMP '2020-01-01' + INTERVAL (range // 20) MINUTE,
                100 + random(), 101 + random(), 99 + random(), 100 + random(), random(), 'practice'
            FROM range(?)
            """,
            [rows],
        )
    print(f"{store.path.stat().st_size / 1e6:,.0f} MB")

    seconds("first copy", lambda: store.copy("measuring"))
    seconds("nothing changed", lambda: store.copy("measuring"))
    commit(store, 0)
    seconds("second copy, also whole", lambda: store.copy("measuring"))
    for number in range(1, 4):
        commit(store, number)
        seconds("copy after a commit", lambda: store.copy("measuring"))
    seconds("open it", lambda: duckdb.connect(store.link, read_only=True).close())

    latencies("commits, no reader", store)
    stop = threading.Event()
    reader = threading.Thread(target=read_on_and_on, args=(store, stop))
    reader.start()
    latencies(f"commits, a reader that renews its copy every {PAUSE:g} s", store)
    stop.set()
    reader.join()


def commit(store: Store, number: int) -> None:
    """Write one minute of 20 symbols anew."""
    with store.writing("measuring") as transaction:
        ts = f"2020-01-01 00:{number:02}:00"
        transaction.connection.execute(
            "DELETE FROM crypto.candles_1m WHERE ts = ?::TIMESTAMP", [ts]
        )
        transaction.connection.execute(
            """
            INSERT INTO crypto.candles_1m (symbol, ts, open, high, low, close, volume, source)
            SELECT 'S' || range, ?::TIMESTAMP, 1, 1, 1, 1, 1, 'practice'
            FROM range(20)
            """,
            [ts],
        )


def read_on_and_on(store: Store, stop: threading.Event) -> None:
    """Renew the copy, and read it."""
    while not stop.wait(PAUSE):
        with store.reading_copy("measuring"):
            pass


def latencies(what: str, store: Store) -> None:
    """Print what commits take, one after the other."""
    taken = []
    for number in range(COMMITS):
        start = time.perf_counter()
        commit(store, number)
        taken.append(1000 * (time.perf_counter() - start))
    print(f"{what}: median {statistics.median(taken):,.0f} ms, longest {max(taken):,.0f} ms")


def seconds(what: str, work: object) -> None:
    """Print what something takes."""
    start = time.perf_counter()
    work()  # type: ignore[operator]
    print(f"{what}: {1000 * (time.perf_counter() - start):,.0f} ms")


if __name__ == "__main__":
    main()
