"""What a stream of many symbols costs: the parsing alone, and the whole over real sockets.

    python benchmarks/stream.py [--symbols 200] [--minutes 20] [--speed 20]

Parsing: the frames of so many symbols, an update of each every two seconds as Binance sends them,
are read and closed to bars; printed is the share of a core that this takes at real speed.

The whole: a practice vendor in a process of its own streams with a clock that runs fast, and a
`Stream` in another takes its bars as batches. Printed are the processor time of the second process
by second of the vendor's clock, which is the share of a core at real speed, its lag in seconds of
that clock, and its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import repeat

from market_assets.market.clock import CLOCK_VARIABLE
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.stream_formats import SPOKEN
from market_assets.practice.stream_truth import Truth
from market_assets.practice.streams import StreamVendor
from market_assets.sources.streaming import Candle, StreamFormat, Trade
from market_assets.sources.vendors.binance_stream import BinanceStream
from market_assets.sources.vendors.bitfinex_stream import BitfinexStream
from market_assets.sources.vendors.bybit_stream import BybitStream
from market_assets.sources.vendors.coinbase_stream import CoinbaseStream
from market_assets.sources.vendors.kraken_stream import KrakenStream
from market_assets.stream.bars import Bars, Minutes
from market_assets.stream.limits import Limits
from market_assets.stream.stream import Stream, frame_of

FORMATS: dict[str, type[StreamFormat]] = {
    "binance": BinanceStream,
    "bybit": BybitStream,
    "bitfinex": BitfinexStream,
    "kraken": KrakenStream,
    "coinbase": CoinbaseStream,
}
MINUTE = 60_000
FIRST = round(datetime(2025, 3, 3, 12, tzinfo=UTC).timestamp() * 1000)
UPDATES = 30
"""Updates of a bar in a minute."""


def frames(name: str, symbols: list[str]) -> list[list[str]]:
    """What a vendor sends of these symbols in three minutes, and what must be answered before."""
    market = Market(symbols={symbol: Instrument() for symbol in symbols})
    truth = Truth(market)
    spoken = SPOKEN[name](truth.has, lambda _: None)
    stream = FORMATS[name](Timeframe.M1)
    answers = [
        text for message in stream.subscribe(symbols) for text in spoken.answer(json.loads(message))
    ]
    minutes = []
    for minute in range(FIRST, FIRST + 3 * MINUTE, MINUTE):
        sent = []
        if spoken.is_of_trades:
            for symbol in symbols:
                # As many trades as other vendors send updates.
                trade = truth.trades(symbol, minute)[0]
                for place in range(UPDATES):
                    number = minute // MINUTE * UPDATES + place
                    moved = trade._replace(number=number, at=minute + place * 2000)
                    sent.append(spoken.trade(symbol, moved))
        else:
            for place in range(1, UPDATES + 1):
                now = minute + place * MINUTE // UPDATES
                for symbol in symbols:
                    row = truth.standing(symbol, Timeframe.M1, minute, now)
                    if row is not None:
                        closed = spoken.is_flagged and place == UPDATES
                        sent.append(spoken.candle(symbol, Timeframe.M1, row, closed=closed))
        minutes.append(sent)
    return [answers, *minutes]


def parsing(name: str, count: int) -> dict[str, object]:
    """Read three minutes of frames, and say what that costs."""
    symbols = [symbol_of(name, number) for number in range(count)]
    answers, *minutes = frames(name, symbols)
    stream = FORMATS[name](Timeframe.M1)
    stream.subscribe(symbols)
    for answer in answers:
        stream.read(answer)
    bars, whole = Bars(Timeframe.M1, stream.traits.closing), Minutes(Timeframe.M1)
    closed, read = [], 0
    began = time.process_time()
    for minute, sent in enumerate(minutes):
        now = (FIRST + minute * MINUTE + MINUTE) * 1000
        for frame in sent:
            read += 1
            for event in stream.read(frame):
                candles = whole.trade(event, now) if isinstance(event, Trade) else [event]
                for candle in candles:
                    if isinstance(candle, Candle):
                        closed += bars.take(candle, now)
    frame_of(closed)
    took = time.process_time() - began
    return {
        "format": name,
        "frames": read,
        "us/frame": round(took / read * 1e6, 2),
        "core at real speed": f"{took / (len(minutes) * 60):.3%}",
        "bars": len(closed),
    }


def symbol_of(name: str, number: int) -> str:
    """A name as the vendor writes names."""
    shapes = {"bitfinex": "tS{}USD", "kraken": "S{}USD", "coinbase": "S{}-USD"}
    return shapes.get(name, "S{}USDT").format(number)


async def serve(name: str, symbols: list[str]) -> None:
    """Stream until the parent ends the process."""
    market = Market(symbols={symbol: Instrument() for symbol in symbols})
    async with StreamVendor(market) as vendor:
        print(vendor.url(name), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def take(url: str, symbols: list[str], minutes: int) -> dict[str, object]:
    """Take the bars of so many minutes, and say what that costs."""
    make = partial(BinanceStream, Timeframe.M1, url)
    # The limits are in the vendor's seconds, of which many pass in one of ours.
    limits = Limits(idle=600, answer=600, grace=120, pulse=60, total=timedelta(minutes=minutes + 2))
    count, batches = 0, 0
    async with Stream("binance", make, symbols, Timeframe.M1, limits=limits) as stream:
        began = began_at = None
        async for batch in stream.batches():
            if began is None and len(batch.bars):
                began, began_at = time.process_time(), batch.bars["received_at"].max()
                memory = resident()
                continue
            if began is not None and len(batch.bars):
                count += len(batch.bars)
                batches += 1
                took, ended_at = time.process_time() - began, batch.bars["received_at"].max()
        passed = (ended_at - began_at).total_seconds()
        health = stream.health
        return {
            "symbols": len(symbols),
            "bars": count,
            "batches": batches,
            "frames": health.frames,
            "core at real speed": f"{took / passed:.2%}",
            "lag p50, p99": [round(health.lag_p50 or 0, 2), round(health.lag_p99 or 0, 2)],
            "reconnects": health.reconnects,
            "memory, MB": [round(memory), round(resident())],
        }


def resident() -> float:
    """The peak of this process's memory in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def whole(count: int, minutes: int, speed: float) -> dict[str, object]:
    """Run vendor and stream as processes with one clock."""
    now = datetime.now(UTC)
    clock = f"2025-03-03T12:00:30Z@{now.isoformat()}*{speed}"
    environ = os.environ | {CLOCK_VARIABLE: clock}
    words = [sys.executable, __file__, "--symbols", str(count), "--minutes", str(minutes)]
    pipes = {"stdout": subprocess.PIPE, "text": True, "env": environ}
    with subprocess.Popen([*words, "--serve"], stdin=subprocess.PIPE, **pipes) as vendor:
        url = vendor.stdout.readline().strip() if vendor.stdout is not None else ""
        done = subprocess.run([*words, "--take", url], check=True, **pipes)
        vendor.communicate()
        result: dict[str, object] = json.loads(done.stdout)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--speed", type=float, default=20)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--take", help=argparse.SUPPRESS)
    given = parser.parse_args()
    symbols = [symbol_of("binance", number) for number in range(given.symbols)]
    if given.serve:
        asyncio.run(serve("binance", symbols))
    elif given.take:
        print(json.dumps(asyncio.run(take(given.take, symbols, given.minutes))))
    else:
        for result in map(parsing, FORMATS, repeat(given.symbols)):
            print(json.dumps(result), flush=True)
        print(json.dumps(whole(given.symbols, given.minutes, given.speed)))


if __name__ == "__main__":
    main()
