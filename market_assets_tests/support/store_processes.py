"""What other processes do with a store."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets.store import Store

DAY = 1440

ROWS = 20_000
"""How many rows the table has that `count_up` writes anew."""

COMMON = """
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
import polars as pl
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window, midnight
from market_assets.store import Store

# Whoever started the tests may have told its children to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
store = Store(Path(sys.argv[1]), clock=lambda: datetime(2025, 3, 1, tzinfo=UTC))

def say(*words):
    print(*words, flush=True)

def wait():
    sys.stdin.read()

def day(number, price):
    first = date(2025, 1, 1) + timedelta(days=number)
    window = Window.of_days(first, first + timedelta(days=1))
    ts = pl.datetime_range(
        midnight(first), midnight(first + timedelta(days=1)), "1m", closed="left", eager=True
    )
    ts = ts.dt.replace_time_zone(None).cast(TS).to_frame("ts")
    prices = {name: pl.lit(price) for name in ("open", "high", "low", "close", "volume")}
    symbols = pl.DataFrame({"symbol": ["BTC", "ETH"]})
    return window, symbols.join(ts, how="cross").with_columns(source=pl.lit("binance"), **prices)

def merge(transaction, number, price=1.0):
    window, rows = day(number, price)
    return transaction.candles.merge(
        Dataset.candles("crypto", Timeframe.M1), ["BTC", "ETH"], window, rows
    )
"""

OPENS_THE_FILE = """
import sys
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "to read")
print("open", flush=True)
sys.stdin.read()
"""

HOLDS_THE_FILE = """
import sys
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "to read")
print("open", flush=True)
sys.stdin.readline()
print(*connection.execute("SELECT floor(max(n)), count(*) FROM numbers").fetchone(), flush=True)
"""


class Releases(logging.Handler):
    """Tells another process to go on as soon as somebody logs that they wait for it."""

    def __init__(self, child) -> None:
        super().__init__()
        self._child = child

    def emit(self, record: logging.LogRecord) -> None:
        if "waiting" in record.getMessage():
            self._child.go_on()


def whole(*numbers: int) -> dict[tuple[str, int], int]:
    return {(symbol, number): DAY for symbol in ("BTC", "ETH") for number in numbers}


def count_up(store: Store) -> None:
    with store.writing("filling crypto 1m") as transaction:
        transaction.connection.execute("UPDATE numbers SET n = n + 1")
