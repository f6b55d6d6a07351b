"""The peer: what a user of ccxt and pandas writes to keep the same candles as Parquet.

Prints one line of JSON.

It runs in an environment of its own (peer-requirements.txt), and imports nothing of this project.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import ccxt.async_support as ccxt
import pandas as pd

_PAGE = 1000
_MINUTE = 60_000
_COLUMNS = ["ts", "open", "high", "low", "close", "volume"]


def _exchange(url: str, symbols: list[str]) -> ccxt.binance:
    exchange = ccxt.binance({"enableRateLimit": False})
    exchange.urls["api"]["public"] = f"{url}/api/v3"
    # The practice vendor has no list of markets, so ccxt is told what it would have read there.
    exchange.set_markets(
        [
            exchange.safe_market_structure(
                {
                    "id": name,
                    "symbol": name,
                    "base": name,
                    "quote": "USDT",
                    "type": "spot",
                    "spot": True,
                }
            )
            for name in symbols
        ]
    )
    return exchange


async def _keep(exchange: ccxt.binance, symbol: str, start: int, end: int, folder: Path) -> int:
    """Ask page after page for one symbol, and write them to one file.

    Returns:
        The number of candles.
    """
    rows: list[list[float]] = []
    at = start
    while at < end:
        page = await exchange.fetch_ohlcv(symbol, "1m", at, _PAGE, {"until": end - 1})
        if not page:
            break
        rows += page
        at = int(page[-1][0]) + _MINUTE
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    frame["ts"] = pd.to_datetime(frame["ts"], unit="ms", utc=True)
    frame.to_parquet(folder / f"{symbol}.parquet", index=False)
    return len(frame)


async def _load(url: str, symbols: list[str], start: int, end: int, folder: Path) -> int:
    exchange = _exchange(url, symbols)
    try:
        counts = await asyncio.gather(
            *(_keep(exchange, symbol, start, end, folder) for symbol in symbols)
        )
    finally:
        await exchange.close()
    return sum(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("symbols", help="separated by commas")
    parser.add_argument("start", type=int, help="milliseconds since 1970")
    parser.add_argument("end", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    candles = asyncio.run(
        _load(given.url, given.symbols.split(","), given.start, given.end, given.folder)
    )
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in given.folder.iterdir())
    print(json.dumps({"candles": candles, "seconds": seconds, "bytes_per_candle": size / candles}))


if __name__ == "__main__":
    main()
