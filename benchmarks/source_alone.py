"""One of our sources over a window, into one frame per symbol.

All its pages are asked for at once, as far as its concurrency goes. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import polars as pl

from market_assets.market.timeframes import Timeframe, Window, from_micros
from market_assets.sources.contract import Source, build_source


async def _load(source: Source, symbols: list[str], window: Window) -> list[pl.DataFrame]:
    step = source.traits.page_size * Timeframe.M1.micros
    start, end = window.micros
    pages = [Window.of_micros(at, min(at + step, end)) for at in range(start, end, step)]

    async def whole(symbol: str) -> pl.DataFrame:
        parts = [source.fetch(symbol, Timeframe.M1, page.start, page.end) for page in pages]
        return pl.concat(await asyncio.gather(*parts))

    async with source:
        return await asyncio.gather(*(whole(symbol) for symbol in symbols))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("symbols", help="separated by commas")
    parser.add_argument("start", type=int, help="milliseconds since 1970")
    parser.add_argument("end", type=int)
    given = parser.parse_args()
    source = build_source(
        "binance", {"base_url": given.url, "rate": None}, base=Path(), kind="crypto"
    )
    window = Window(from_micros(given.start * 1000), from_micros(given.end * 1000))
    began = time.perf_counter()
    frames = asyncio.run(_load(source, given.symbols.split(","), window))
    seconds = time.perf_counter() - began
    print(json.dumps({"candles": sum(map(len, frames)), "seconds": seconds}))


if __name__ == "__main__":
    main()
