"""The practice vendor over HTTP."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime

import httpx
import pytest

from market_assets.practice.book import Market
from market_assets.practice.faults import Fault
from market_assets.practice.vendor import PracticeVendor

NOW = datetime(2024, 6, 1, 12, 0, 30, tzinfo=UTC)
START = datetime(2024, 1, 2, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)


class TestLog:
    def test_it_tells_what_was_asked_for(self, vendor, klines, client):
        vendor.set_faults([Fault(fault="delay", seconds=0)])
        klines()
        klines(symbol="NOPE")

        first, second = client.get("/practice/log").json()
        assert first == {
            "symbol": "BTCUSDT",
            "interval": "1m",
            "startTime": str(START_MS),
            "endTime": str(START_MS + 99 * 60_000),
            "limit": "1000",
            "status": 200,
            "faults": ["delay"],
        }
        assert (second["symbol"], second["status"]) == ("NOPE", 400)
        assert list(vendor.log) == [first, second]


class TestRunning:
    def test_two_vendors_of_one_seed_serve_the_same(self):
        query = {"symbol": "ANY", "interval": "1m", "startTime": START_MS, "limit": 50}
        bodies = []
        for seed in (5, 5, 6):
            with PracticeVendor(Market(seed=seed, kind="futures"), lambda: NOW) as vendor:
                bodies.append(
                    httpx.get(f"{vendor.url}/api/v3/klines", params=query, trust_env=False).content
                )

        assert bodies[0] == bodies[1] != bodies[2]

    def test_it_stops_at_once_also_while_it_answers(self):
        with PracticeVendor(
            Market(kind="crypto", faults=[Fault(fault="drip", seconds=60)])
        ) as vendor:
            stream = httpx.stream(
                "GET",
                f"{vendor.url}/api/v3/klines",
                params={"symbol": "A", "interval": "1m"},
                trust_env=False,
            )
            with stream as response:
                next(response.iter_raw())
                began = time.monotonic()
                vendor.stop()

        assert time.monotonic() - began < 1
        with pytest.raises(httpx.ConnectError):
            httpx.get(vendor.url, trust_env=False)

    def test_as_a_process_it_says_where_it_is_and_ends_when_told_to(self):
        code = (
            "from market_assets.practice.book import Market\n"
            "from market_assets.practice.vendor import serve\n"
        )
        code += "serve(Market(kind='crypto'), announce=lambda url: print(url, flush=True))"
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        ) as process:
            url = process.stdout.readline().strip()
            answer = httpx.get(f"{url}/api/v3/ping", trust_env=False)
            process.terminate()
            process.wait(5)

        assert answer.json() == {}
