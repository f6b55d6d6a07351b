"""Candles by the minute, and other processes that use the store until they are told to stop."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from collections import Counter
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.store import Store
from market_assets_tests.support.store_processes import ROWS, Releases
from market_assets_tests.support.store_rows import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from market_assets_tests.conftest import Clock


SCHEMA = {
    "symbol": pl.String,
    "ts": TS,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
}

START = datetime(2025, 1, 1, tzinfo=UTC)

M1 = Timeframe.M1
DAY = 1440

NEW_YORK = "America/New_York"
KEPT = (Timeframe.M1, Timeframe.D1, Timeframe.W1)


class Minutes:
    """Frames and windows of minutes counted from the start of 2025."""

    profile, timeframe = "crypto", Timeframe.M1

    def at(self, minute: int) -> datetime:
        return START + timedelta(minutes=minute)

    def window(self, first: int, after: int) -> Window:
        return Window(self.at(first), self.at(after))

    def candles(
        self, *rows: tuple[str, int, float, float | None], source: str = "binance"
    ) -> pl.DataFrame:
        """Flat candles of some symbols, minutes, prices and volumes."""
        values = [
            (symbol, self.naive(minute), *(price,) * 4, volume)
            for symbol, minute, price, volume in rows
        ]
        return pl.DataFrame(values, schema=SCHEMA, orient="row").with_columns(source=pl.lit(source))

    def naive(self, minute: int) -> datetime:
        return self.at(minute).replace(tzinfo=None)


@pytest.fixture
def minutes() -> Minutes:
    return Minutes()


class Child:
    """Another process.

    It says a line when it is ready, and goes on when it is told to or its input ends.
    """

    def __init__(self, code: str, *arguments: object, timezone: str | None = None) -> None:
        environ = os.environ | ({"TZ": timezone} if timezone else {})
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def says(self) -> str:
        line = self.process.stdout.readline()
        assert line, f"the other process ended with {self.process.wait()}"
        return line.strip()

    def go_on(self) -> None:
        self.process.stdin.close()

    def do_one(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ends(self) -> str:
        """What it still had to say."""
        rest = self.process.stdout.read()
        assert self.process.wait() == 0
        return rest


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Starts another Python process with a script and its arguments; none outlives the test."""
    children = []

    def start(code: str, *arguments: object, **options: str) -> Child:
        children.append(Child(code, *arguments, **options))
        return children[-1]

    yield start
    for each in children:
        each.kill()
        each.process.stdout.close()
        if not each.process.stdin.closed:
            each.process.stdin.close()


@pytest.fixture
def days(store: Store, minutes):
    """How many rows of each symbol and day are stored."""

    def count(*_: object) -> Counter[tuple[str, int]]:
        with store.reading("counting") as view:
            rows = view.candles.opens(
                Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 100 * DAY)
            ).rows()
        assert len(set(rows)) == len(rows), "a bar is stored twice"
        return Counter((symbol, (ts - minutes.naive(0)).days) for symbol, ts in rows)

    return count


@pytest.fixture
def released_on_waiting(caplog):
    """Gives a process that holds the store until a wait for it is logged; the log is captured."""
    logger = logging.getLogger("market_assets.store")
    caplog.set_level(logging.INFO, logger.name)
    handlers = []

    def arrange(child):
        handlers.append(Releases(child))
        logger.addHandler(handlers[-1])
        return child

    yield arrange
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.fixture
def opening(clock):
    """Opens the store of a folder, to read and to write; both must fail alike.

    Returns:
        The message.
    """

    def fail(folder: Path, match: str) -> str:
        messages = []
        for way in ("reading", "writing"):
            fresh = Store(folder, clock=clock, patience=timedelta(minutes=10))
            with pytest.raises(StoreError, match=match) as raised, getattr(fresh, way)("looking"):
                pass
            messages.append(str(raised.value))
        assert messages[0] == messages[1]
        return messages[0]

    return fail


@pytest.fixture
def home(store: Store) -> Path:
    """The folder of a store with an empty table of crypto minutes."""
    with store.writing("preparing") as transaction:
        transaction.candles.create(Dataset.candles("crypto", M1), derived=False)
    return store.path.parent


@pytest.fixture
def home_of_numbers(store: Store) -> Path:
    """The folder of a store with a table that every `count_up` writes anew."""
    with store.writing("preparing") as transaction:
        transaction.connection.execute(
            f"CREATE TABLE numbers AS SELECT random() AS n FROM range({ROWS})"
        )
    return store.path.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name has a word of DuckDB's lock errors in it."""
    folder = tmp_path / "clock and lock"
    folder.mkdir()
    return folder


@pytest.fixture
def write(store: Store):
    """Does one thing in a transaction of its own."""

    def commit(method: str, *arguments: object, **options: object) -> object:
        with store.writing(method) as transaction:
            return attrgetter(method)(transaction)(*arguments, **options)

    return commit


@pytest.fixture
def read(store: Store):
    def look(method: str, *arguments: object, **options: object):
        with store.reading(method) as view:
            return attrgetter(method)(view)(*arguments, **options)

    return look


@pytest.fixture
def kept(store: Store, clock: Clock) -> Kept:
    return Kept(store, clock)
