"""The floor: the same pages over httpx, eight at a time, and nothing done with them.

Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import httpx

_PAGE = 1000
_MINUTE = 60_000


async def _load(url: str, symbols: list[str], start: int, end: int) -> int:
    """Ask for every page of every symbol; gives the number of pages that came."""
    gate = asyncio.Semaphore(8)

    async def page(client: httpx.AsyncClient, symbol: str, at: int) -> None:
        last = min(at + _PAGE * _MINUTE, end) - 1
        params: dict[str, str | int] = {
            "symbol": symbol,
            "interval": "1m",
            "startTime": at,
            "endTime": last,
            "limit": _PAGE,
        }
        async with gate:
            (await client.get("/api/v3/klines", params=params)).raise_for_status()

    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        pages = [(symbol, at) for at in range(start, end, _PAGE * _MINUTE) for symbol in symbols]
        await asyncio.gather(*(page(client, symbol, at) for symbol, at in pages))
    return len(pages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("symbols", help="separated by commas")
    parser.add_argument("start", type=int, help="milliseconds since 1970")
    parser.add_argument("end", type=int)
    given = parser.parse_args()
    symbols = given.symbols.split(",")
    began = time.perf_counter()
    pages = asyncio.run(_load(given.url, symbols, given.start, given.end))
    seconds = time.perf_counter() - began
    # What a page holds was not looked at: that is the point.
    candles = len(symbols) * (given.end - given.start) // _MINUTE
    print(json.dumps({"candles": candles, "pages": pages, "seconds": seconds}))


if __name__ == "__main__":
    main()
