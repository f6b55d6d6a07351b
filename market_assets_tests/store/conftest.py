"""Candles by the minute, and other processes that use the store until they are told to stop."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.market.timeframes import TS, Timeframe, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = {
    "symbol": pl.String,
    "ts": TS,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
}
START = datetime(2025, 1, 1, tzinfo=UTC)


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
