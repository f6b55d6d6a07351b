"""A practice vendor, and who asks it."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import PracticeVendor

NOW = datetime(2024, 6, 1, 12, 0, 30, tzinfo=UTC)
START = datetime(2024, 1, 2, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)


@pytest.fixture(scope="module")
def clock():
    return [NOW]


@pytest.fixture(scope="module")
def running(clock):
    symbols = {
        "BTCUSDT": Instrument(price=60_000),
        "SPY": Instrument(kind="equity"),
        "LATE": Instrument(genesis=START),
    }
    with PracticeVendor(Market(symbols=symbols), lambda: clock[0]) as vendor:
        yield vendor


@pytest.fixture
def vendor(running, clock):
    clock[0] = NOW
    running.set_faults([])
    running.log.clear()
    return running


@pytest.fixture(scope="module")
def client(running):
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        yield client


@pytest.fixture
def klines(vendor, client):
    def klines(**changed: object) -> httpx.Response:
        query = {
            "symbol": "BTCUSDT",
            "interval": "1m",
            "startTime": START_MS,
            "endTime": START_MS + 99 * 60_000,
            "limit": 1000,
        }
        return client.get(
            f"{vendor.url}/api/v3/klines",
            params={name: value for name, value in (query | changed).items() if value is not None},
        )

    return klines
