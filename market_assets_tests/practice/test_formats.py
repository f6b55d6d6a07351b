"""The practice vendor in other vendors' formats.

Each adapter gets the same bars from it, and meets the same faults.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.faults import Fault
from market_assets.practice.formats import BINANCE, BITFINEX, BYBIT, COINBASE, FORMATS, KRAKEN
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.contract import CANDLE_SCHEMA, build_source

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2024, 6, 1, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
START = NOW.replace(second=0) - 500 * MINUTE
VENDORS = {"bitfinex": BITFINEX, "bybit": BYBIT, "coinbase": COINBASE, "kraken": KRAKEN}


@pytest.fixture(scope="module")
def running() -> Iterator[PracticeVendor]:
    with PracticeVendor(
        Market(symbols={"BTCUSDT": Instrument(), "ETHUSDT": Instrument()}), lambda: NOW
    ) as vendor:
        yield vendor


@pytest.fixture
def vendor(running):
    """A vendor without faults and with an empty log."""
    running.set_faults([])
    running.log.clear()
    return running


@pytest.fixture(params=VENDORS)
def name(request) -> str:
    """Each vendor in turn."""
    return request.param


@pytest.fixture
def ask(vendor, tmp_path):
    """Fetch so many bars by an adapter, sorted."""

    def ask(name, *, bars=100, start=START, symbol="BTCUSDT", timeframe=Timeframe.M1):
        quick = {
            "base_url": vendor.url,
            "rate": None,
            "backoff": 0,
            "retries": 2,
            "timeout": 2,
            "max_elapsed": 5,
        }
        source = build_source(name, quick, base=tmp_path, kind="crypto")

        async def fetch():
            async with source:
                return await source.fetch(
                    symbol, timeframe, start, start + bars * timeframe.duration
                )

        return asyncio.run(fetch()).select(CANDLE_SCHEMA.names()).sort("ts")

    return ask


def test_the_same_bars_come_in_every_format(name, ask):
    frame = ask(name, bars=250)

    assert frame.height == 250
    assert frame.equals(ask("binance", bars=250))


def test_every_timeframe_of_a_format_is_served(name, ask):
    for timeframe in VENDORS[name].intervals:
        if timeframe is Timeframe.W1:
            continue
        start = (
            datetime(2024, 5, 25, tzinfo=UTC)
            if timeframe.duration >= Timeframe.H1.duration
            else START.replace(minute=0)
        )
        frame = ask(name, bars=5, start=start, timeframe=timeframe)
        assert frame.equals(ask("binance", bars=5, start=start, timeframe=timeframe))


def test_a_full_page_is_what_the_vendor_calls_one(name, vendor, ask):
    size = {"bitfinex": 10_000, "bybit": 1000, "coinbase": 300, "kraken": 719}[name]

    frame = ask(name, bars=size, start=NOW.replace(second=0) - size * MINUTE)

    assert frame.height == size
    assert len(vendor.log) == 1


def test_a_symbol_that_there_is_not_is_an_error(name, ask):
    with pytest.raises(SourceError) as caught:
        ask(name, symbol="NOPE")

    assert caught.value.permanent


def test_a_hole_is_nothing_but_bars_that_are_left_out(name, vendor, ask):
    vendor.set_faults([Fault(fault="hole", start=START + 10 * MINUTE, end=START + 20 * MINUTE)])

    assert ask(name).height == 90


@pytest.mark.parametrize("fault", ["unsorted", "outside", "off_grid", "null", "nan", "inverted"])
def test_odd_pages_cost_no_bar(name, vendor, ask, fault):
    vendor.set_faults([Fault(fault=fault, start=START, end=START + 2 * MINUTE, seconds=7)])

    assert ask(name).height >= 100


def test_a_short_page_is_gone_on_with(name, vendor, ask):
    vendor.set_faults([Fault(fault="short", rows=40)])

    assert ask(name).equals(ask("binance"))


@pytest.mark.parametrize("fault", ["html", "truncated", "cut"])
def test_what_is_no_page_is_an_error_that_may_pass(name, vendor, ask, fault):
    vendor.set_faults([Fault(fault=fault)])

    with pytest.raises(SourceError, match="no answer after 3 attempts") as caught:
        ask(name)

    assert not caught.value.permanent


@pytest.mark.parametrize(("name", "minutes"), [("bitfinex", 50), ("bybit", -50), ("coinbase", -50)])
def test_a_page_again_and_again_is_an_error(name, minutes, vendor, ask):
    ask(name, bars=20)
    vendor.set_faults([Fault(fault="repeat")])

    with pytest.raises(SourceError, match="do not move forward"):
        ask(name, bars=20, start=START + minutes * MINUTE)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("bybit", 10016, "10016 down"),
        ("bitfinex", 20060, "20060 down"),
        ("kraken", 0, "EService:down"),
    ],
)
def test_an_error_with_status_200_is_in_the_vendors_form(name, vendor, ask, code, words):
    vendor.set_faults([Fault(fault="error", status=200, code=code, message=words.split()[-1])])

    with pytest.raises(SourceError, match=f"the answer is an error: {words}"):
        ask(name)


def test_a_full_page_of_the_newest_first_lacks_the_oldest(vendor):
    first, last = (int(at.timestamp()) * 1000 for at in (START, START + 299 * MINUTE))
    query = {
        "category": "spot",
        "symbol": "BTCUSDT",
        "interval": "1",
        "start": first,
        "end": last,
        "limit": 10,
    }

    answer = httpx.get(f"{vendor.url}{BYBIT.path}", params=query, trust_env=False).json()

    assert [int(row[0]) for row in answer["result"]["list"]] == [
        last - place * 60_000 for place in range(10)
    ]


@pytest.mark.parametrize(
    ("spoken", "query", "status"),
    [
        (BYBIT, {"symbol": "BTCUSDT", "interval": "7"}, 200),
        (BYBIT, {"symbol": "BTCUSDT", "interval": "1", "start": "soon"}, 200),
        (KRAKEN, {"interval": "1"}, 200),
        (BINANCE, {"symbol": "BTCUSDT", "interval": "1m", "limit": "-1"}, 400),
    ],
)
def test_a_request_that_is_not_understood_is_refused_in_the_vendors_form(
    vendor, spoken, query, status
):
    answer = httpx.get(f"{vendor.url}{spoken.path}", params=query, trust_env=False)

    assert answer.status_code == status
    assert set(answer.json()) == set(json.loads(json.dumps(spoken.error(1, "words"))))


def test_times_in_iso_8601_are_checked_too(vendor):
    query = {"granularity": "60", "start": "yesterday", "end": "2024-06-01T00:00:00Z"}
    answer = httpx.get(f"{vendor.url}/products/BTCUSDT/candles", params=query, trust_env=False)

    assert (answer.status_code, answer.headers["x-simulated"]) == (400, "true")
    assert "'start'" in answer.json()["message"]


def test_no_two_formats_are_asked_at_the_same_place():
    assert len({spoken.path for spoken in FORMATS}) == len(FORMATS)
