"""What a connection of the practice vendor sends, and what each fault makes of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.stream_faults import StreamFault
from market_assets.practice.stream_truth import Truth
from market_assets.practice.streams import StreamVendor
from market_assets_tests.support.manual_timer import ManualTimer, settle, until
from market_assets_tests.support.stream_ground import FIRST, MINUTE, at, run

MARKET = Market(symbols={"BTCUSDT": Instrument()})
CLOSES = {
    minute: Truth(MARKET).final("BTCUSDT", Timeframe.M1, FIRST + minute * MINUTE).close
    for minute in range(3)
}


@dataclass
class Wire:
    """What came over a connection: its frames, and the code that it was closed with."""

    frames: list[str] = field(default_factory=list)
    code: int | None = None

    @property
    def bars(self) -> list[tuple[int, float, bool]]:
        """Of each bar's frame its minute, its close, and whether it is called closed."""
        bars = []
        for frame in self.frames:
            with suppress(ValueError):
                bar = json.loads(frame).get("data", {}).get("k")
                if bar:
                    bars.append(((bar["t"] - FIRST) // MINUTE, float(bar["c"]), bar["x"]))
        return bars

    @property
    def closed(self) -> list[tuple[int, float]]:
        return [(minute, close) for minute, close, is_closed in self.bars if is_closed]

    async def listen(self, vendor: StreamVendor, timer: ManualTimer, seconds: float) -> None:
        async with connect(vendor.url("binance")) as socket:
            params = ["btcusdt@kline_1m"]
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": params, "id": 1}))
            receiving = asyncio.create_task(self._receive(socket))
            await until(lambda: vendor.asked)
            await timer.advance(seconds)
            await settle()
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _receive(self, socket) -> None:
        with suppress(ConnectionClosed):
            async for frame in socket:
                self.frames.append(frame)
        self.code = socket.close_code


async def sent(*faults: StreamFault, seconds: float = 190) -> Wire:
    """What a client receives in so many seconds."""
    timer, wire = ManualTimer(), Wire()
    async with StreamVendor(MARKET, timer, update=20) as vendor:
        vendor.set_faults(faults)
        await wire.listen(vendor, timer, seconds)
    return wire


def second_close(fault: str, **settings: object) -> StreamFault:
    """A fault that strikes what is sent as the second minute closes."""
    return StreamFault(fault=fault, start=at(115), end=at(125), **settings)


@run
async def test_each_bar_is_closed_once_with_its_true_values():
    wire = await sent()

    assert wire.closed == [*CLOSES.items()]
    assert [minute for minute, _, _ in wire.bars].count(1) == 4


@run
async def test_a_frame_may_come_twice():
    wire = await sent(second_close("duplicate"))

    assert wire.closed == [(0, CLOSES[0]), (1, CLOSES[1]), (1, CLOSES[1]), (2, CLOSES[2])]


@run
async def test_a_bar_may_be_closed_with_other_values_before_the_true_ones():
    wire = await sent(second_close("revision", seconds=20))

    first, second = (close for minute, close in wire.closed if minute == 1)
    assert first != second == CLOSES[1]


@run
async def test_a_bar_may_never_be_closed():
    wire = await sent(second_close("unclosed"))

    assert wire.closed == [(0, CLOSES[0]), (2, CLOSES[2])]


@pytest.mark.parametrize("fault", ["late", "swap"])
@run
async def test_a_bar_may_be_closed_after_the_next_one_has_opened(fault):
    wire = await sent(second_close(fault, seconds=5))

    minutes = [minute for minute, _, _ in wire.bars]
    assert wire.closed == [*CLOSES.items()]
    assert minutes.index(2) < wire.bars.index((1, CLOSES[1], True))


@pytest.mark.parametrize("fault", ["mute", "heartbeats", "silence"])
@run
async def test_no_bar_may_come_though_the_connection_stands(fault):
    wire = await sent(second_close(fault))

    assert wire.closed == [(0, CLOSES[0]), (2, CLOSES[2])]
    assert wire.code is None


@pytest.mark.parametrize(
    ("fault", "is_struck"),
    [
        ("empty", lambda frame: frame == ""),
        ("truncated", lambda frame: frame.startswith("{") and not frame.endswith("}")),
        ("wrong_types", lambda frame: '"c":{}' in frame),
        ("stranger", lambda frame: "STRANGERUSD" in frame),
    ],
)
@run
async def test_a_frame_may_be_nonsense(fault, is_struck):
    wire = await sent(second_close(fault))

    assert [frame for frame in wire.frames if is_struck(frame)]
    assert not any(is_struck(frame) for frame in (await sent()).frames)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (StreamFault(fault="drop", start=at(70)), 1006),
        (StreamFault(fault="cut", seconds=70), 1001),
        (StreamFault(fault="shutdown", start=at(70), seconds=30), 1012),
    ],
)
@run
async def test_a_connection_may_end(fault, code):
    wire = await sent(fault)

    assert wire.code == code
    assert wire.closed == [(0, CLOSES[0])]
