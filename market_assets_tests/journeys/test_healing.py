"""The platform heals itself, without anybody's help.

`market-assets up` runs over a vendor with all kinds of holes.
"""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.platform import look, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from market_assets_tests.support.platform import Platform

UNIVERSE = """
sources:
  vendor: {{type: practice, base_url: "{vendor}", retries: 2, backoff: 0.2, timeout: 10,
           total_timeout: 20}}
# An hour of the real world is some seconds here.
evidence: {{apart: 8s}}
repair: {{every: 5s, backoff: [5s, 15s], max_attempts: 3}}
alerts: {{every: 5s, channels: ["{webhook}"]}}
profiles:
  holed:
    kind: CRYPTO
    start: 2025-02-03
    end: 2025-02-10
    timeframes: {{fetch: [1m], derive: [1h]}}
    sources: [vendor]
    symbols: {{MINUTE: {{}}, HOUR: {{}}, DAYS: {{}}, LATE: {{}}, GONE: {{}}, DOWN: {{}},
              BUSY: {{}}}}
  ghost:
    kind: CRYPTO
    start: 2025-02-03
    end: 2025-02-05
    timeframes: {{fetch: [1h]}}
    sources: [vendor]
    symbols: {{NONE: {{}}}}
"""

GENESIS = "2025-02-04T07:30Z"
GONE = {
    "fault": "hole",
    "symbols": ["GONE"],
    "start": "2025-02-05T12:40Z",
    "end": "2025-02-05T14:00Z",
}
NONE = {
    "fault": "error",
    "symbols": ["NONE"],
    "status": 400,
    "code": -1121,
    "message": "Invalid symbol.",
}
FOR_EVER = [GONE, NONE]
AT_FIRST = [
    {
        "fault": "hole",
        "symbols": ["MINUTE"],
        "start": "2025-02-04T10:00Z",
        "end": "2025-02-04T10:01Z",
    },
    {
        "fault": "hole",
        "symbols": ["HOUR"],
        "start": "2025-02-05T10:00Z",
        "end": "2025-02-05T11:00Z",
    },
    {
        "fault": "hole",
        "symbols": ["DAYS"],
        "start": "2025-02-06T05:00Z",
        "end": "2025-02-09T05:00Z",
    },
    {
        "fault": "error",
        "symbols": ["BUSY"],
        "every": 3,
        "times": 4,
        "status": 429,
        "code": -1003,
        "retry_after": 1,
    },
]
OUTAGE = timedelta(seconds=45)


@pytest.fixture(scope="module")
def outage() -> dict[str, Any]:
    """The vendor answers 500 for one symbol at first, in the first fill too."""
    return {
        "fault": "error",
        "symbols": ["DOWN"],
        "status": 500,
        "ends_at": (datetime.now(UTC) + OUTAGE).isoformat(),
    }


@pytest.fixture(scope="module")
def vendor(outage: dict[str, Any]) -> Iterator[PracticeVendor]:
    symbols = {"LATE": {"genesis": GENESIS}}
    market = Market.model_validate(
        {"kind": "crypto", "symbols": symbols, "faults": [*FOR_EVER, *AT_FIRST, outage]}
    )
    with PracticeVendor(market) as running_vendor:
        yield running_vendor


@pytest.fixture(scope="module")
def messages() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback: its address, and what arrives."""
    arrived: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/alerts", arrived
    server.shutdown()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def platform(
    home: Path, vendor: PracticeVendor, messages: tuple[str, list[dict[str, Any]]]
) -> Iterator[Platform]:
    universe = home / "universe.yaml"
    universe.write_text(UNIVERSE.format(vendor=vendor.url, webhook=messages[0]))
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(home),
        "MARKET_ASSETS_UNIVERSE": str(universe),
    }
    environment.pop("DAGSTER_HOME", None)
    with running(home, environment) as platform:
        yield platform


def test_every_hole_that_can_be_filled_is_filled_and_every_other_one_is_explained_without_a_hand(
    platform: Platform,
    home: Path,
    vendor: PracticeVendor,
    outage: dict[str, Any],
    messages: tuple[str, list[dict[str, Any]]],
) -> None:
    first_fill = (
        "SELECT 1 FROM ops.jobs WHERE profile = 'holed' AND kind = 'fill' AND status <> 'RUNNING'"
    )
    until(lambda: look(home, first_fill), "the first fill")
    assert look(
        home,
        """
        SELECT count(*)
        FROM ops.gaps
        WHERE symbol IN ('MINUTE', 'HOUR', 'DAYS') AND status = 'open'
        """,
    ) != [(0,)]
    # The vendor has what it lacked at first; the outage goes on.
    vendor.set_faults(Market.model_validate({"faults": [*FOR_EVER, outage]}).faults)

    # A look into the store costs less than one at the pages.
    waiting = "SELECT 1 FROM ops.gaps WHERE profile = 'holed' AND status = 'open'"
    until(lambda: not look(home, waiting), "the healing of every gap")
    colours = lambda: platform.colours("holed", "candles_1m")  # noqa: E731
    until(lambda: set(colours().values()) == {"MATERIALIZED"}, "the healing of every partition")
    healed = {"SUCCEEDED"}
    until(
        lambda: set(platform.check("continuity", "holed", "candles_1m").values()) == healed,
        "the checks",
    )
    assert set(platform.check("genesis", "holed", "candles_1m").values()) == healed

    # What came later is there, to the last bar.
    whole = 7 * 1440
    late = whole - (1440 + 7 * 60 + 30)
    rows = dict(look(home, "SELECT symbol, count(*) FROM holed.candles_1m GROUP BY symbol"))
    assert rows == {
        **dict.fromkeys(("MINUTE", "HOUR", "DAYS", "DOWN", "BUSY"), whole),
        "GONE": whole - 80,
        "LATE": late,
    }
    repaired = dict(look(home, "SELECT symbol, sum(bars)::INT FROM ops.repairs GROUP BY symbol"))
    assert repaired["MINUTE"] >= 1
    assert repaired["HOUR"] >= 60
    assert repaired["DAYS"] >= 3 * 1440
    # What never came is explained.
    assert look(home, "SELECT symbol, status, bars FROM ops.gaps WHERE profile = 'holed'") == [
        ("GONE", "outage", 80)
    ]
    assert look(home, "SELECT symbol, ts::VARCHAR FROM ops.genesis WHERE symbol = 'LATE'") == [
        ("LATE", "2025-02-04 07:30:00")
    ]

    # What does not exist is red, given up, and told.
    abandoned = (
        "SELECT 1 FROM ops.gaps WHERE profile = 'ghost' HAVING bool_and(status = 'abandoned')"
    )
    until(lambda: look(home, abandoned), "the end of asking for a symbol that does not exist")
    assert set(platform.colours("ghost", "candles_1h").values()) == {"FAILED"}
    assert set(platform.check("continuity", "ghost", "candles_1h").values()) == {"FAILED"}
    until(lambda: any("NONE" in json.dumps(message) for message in messages[1]), "the alert")

    # Nothing that is explained or given up is asked for again.
    sensors = ("repair_holed", "repair_ghost")
    before = {name: platform.ticks(name) for name in sensors}
    vendor.log.clear()
    until(
        lambda: all(platform.ticks(name) >= before[name] + 3 for name in sensors),
        "three more ticks",
    )
    assert list(vendor.log) == []
