"""The peer of `sources.py`: how fast ccxt reads the same bytes and fetches the same candles.

Prints one line of JSON.

It runs in an environment of its own (peer-requirements.txt), and imports nothing of this project.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ccxt
import ccxt.async_support

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = 1000
_MINUTE = 60_000
_LONG_ENOUGH = 0.4
"""Seconds of CPU that an answer is read again and again for."""


def _exchange(made: Callable[..., ccxt.Exchange], symbols: list[str]) -> ccxt.Exchange:
    """Make an exchange that has been told its list of markets.

    The practice vendor does not have such a list to read.
    """
    exchange = made({"enableRateLimit": False})
    kind = "swap" if exchange.id == "binanceusdm" else "spot"
    exchange.set_markets(
        [
            exchange.safe_market_structure(
                {"id": name, "symbol": name, "base": name, "quote": "USD", "type": kind, kind: True}
            )
            for name in symbols
        ]
    )
    return exchange


def read(folder: Path) -> dict[str, float]:
    """How fast `fetch_ohlcv` is where the bytes are there already.

    Returns:
        Candles per second of CPU by the name of each answer.
    """
    found = {}
    for case in json.loads((folder / "cases.json").read_text()):
        if case["exchange"] is None:
            continue
        body = (folder / case["name"]).read_bytes()
        exchange = _exchange(getattr(ccxt, case["exchange"]), [case["symbol"]])
        exchange.fetch = lambda *_, exchange=exchange, body=body, **__: exchange.parse_json(
            body.decode()
        )
        rows, passes, began = 0, 0, time.process_time()
        while (spent := time.process_time() - began) < _LONG_ENOUGH:
            rows = len(exchange.fetch_ohlcv(case["symbol"], "1m", case["start"], case["rows"]))
            passes += 1
        if rows != case["rows"]:
            raise SystemExit(f"{case['name']}: ccxt has read {rows} of {case['rows']} rows")
        found[case["name"]] = passes * rows / spent
    return found


async def fetch(url: str, symbols: list[str], start: int, end: int, *, together: int) -> int:
    """Fetch all pages of all symbols; gives the number of candles.

    Args:
        url: Where the vendor is.
        symbols: Their names.
        start: Milliseconds since 1970.
        end: The first millisecond no longer wanted.
        together: Pages in flight at once; 0 asks for a symbol's pages one after the other, as
            ccxt's users do, and for all symbols at once.
    """
    exchange = _exchange(ccxt.async_support.binance, symbols)
    exchange.urls["api"]["public"] = f"{url}/api/v3"
    gate = asyncio.Semaphore(together or len(symbols))

    async def page(symbol: str, at: int) -> list[list[float]]:
        until = min(at + _PAGE * _MINUTE, end) - 1
        async with gate:
            return await exchange.fetch_ohlcv(symbol, "1m", at, _PAGE, {"until": until})

    async def one_by_one(symbol: str) -> list[list[float]]:
        rows: list[list[float]] = []
        for at in range(start, end, _PAGE * _MINUTE):
            rows += await page(symbol, at)
        return rows

    try:
        if together:
            starts = range(start, end, _PAGE * _MINUTE)
            parts = await asyncio.gather(*(page(symbol, at) for symbol in symbols for at in starts))
        else:
            parts = await asyncio.gather(*(one_by_one(symbol) for symbol in symbols))
    finally:
        await exchange.close()
    return sum(map(len, parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    tasks.add_parser("read").add_argument("folder", type=Path)
    fetching = tasks.add_parser("fetch")
    fetching.add_argument("url")
    fetching.add_argument("symbols", help="separated by commas")
    fetching.add_argument("start", type=int, help="milliseconds since 1970")
    fetching.add_argument("end", type=int)
    fetching.add_argument("together", type=int)
    given = parser.parse_args()
    if given.task == "read":
        print(json.dumps(read(given.folder)))
        return
    began = time.perf_counter()
    candles = asyncio.run(
        fetch(given.url, given.symbols.split(","), given.start, given.end, together=given.together)
    )
    print(json.dumps({"candles": candles, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
