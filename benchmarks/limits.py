"""What a limit costs: the pages of a backfill from a vendor that counts, limited and not.

    python benchmarks/limits.py                              # 2,109 pages, three latencies
    python benchmarks/limits.py --pages 500 --rounds 1       # a quick try

The practice vendor counts as Binance does: 6,000 weights in each minute of its clock, of which a
page has 2, and 61,000 requests in five minutes. It refuses what is over. A hundred windows are
asked for again and again, so that it need not render a year. Each run has a vendor of its own, and
the two kinds of run take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx

from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import build_source
from market_assets.sources.transport.limit import Allowance, FileLimit
from market_assets.sources.vendors.binance import BinanceSource

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISTINCT = 100
_FIRST = 1_704_067_200_000_000
_QUOTAS = [{"most": 6000, "seconds": 60}, {"most": 61_000, "seconds": 300, "unit": "requests"}]
_AIM = 1.3


@contextmanager
def _vendor(folder: Path, latency: float) -> Iterator[str]:
    """A vendor process that counts and answers so many seconds late; gives its URL."""
    market = folder / "market.yaml"
    delay = [{"fault": "delay", "seconds": latency}] if latency else []
    market.write_text(json.dumps({"kind": "crypto", "quotas": _QUOTAS, "faults": delay}))
    words = ["-m", "market_assets.cli", "practice-vendor", "--port", "0", "--market", str(market)]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.terminate()
        process.wait()


async def _ask(url: str, folder: Path, pages: int, rate: dict[str, object]) -> dict[str, float]:
    """Ask for so many pages; gives what it took: see the keys."""
    settings = {"base_url": url, "limiter_path": str(folder / "limit.sqlite"), **rate}
    source = build_source("binance", settings, base=folder, kind="crypto")
    windows = [
        Window.of_micros(at, at + 1000 * Timeframe.M1.micros)
        for at in range(_FIRST, _FIRST + _DISTINCT * 60_000_000_000, 60_000_000_000)
    ]
    async with source:
        began, cpu = time.perf_counter(), time.process_time()
        asked = (windows[place % _DISTINCT] for place in range(pages))
        parts = [source.fetch("BTCUSDT", Timeframe.M1, one.start, one.end) for one in asked]
        frames = await asyncio.gather(*parts)
    if sum(map(len, frames)) != 1000 * pages:
        raise SystemExit("pages are missing")
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "level": source.concurrency,
        "retries": source.usage.retries,
        "waits": source.usage.waits / pages,
    }


def _permit_us(folder: Path, pages: int) -> float:
    """CPU of one permit in a file, in microseconds."""

    async def run() -> float:
        allowance = Allowance("600000/m", BinanceSource.traits.counting)
        limit = FileLimit("binance", allowance, folder / "permits.sqlite")
        limit.open()
        cpu = time.process_time()
        for _ in range(pages):
            limit.done(await limit.permit(2))
        limit.close()
        return (time.process_time() - cpu) / pages * 1e6

    return asyncio.run(run())


def _run(latency: float, pages: int, rate: dict[str, object]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name, _vendor(Path(name), latency) as url:
        result = asyncio.run(_ask(url, Path(name), pages, rate))
        log = httpx.get(f"{url}/practice/log", timeout=30, trust_env=False).json()
    return result | {"refusals": sum(entry["status"] == 429 for entry in log)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=2109)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, nargs="*", default=[0.0, 0.05, 0.2])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()

    results = []
    for latency in given.latency:
        runs: dict[str, list[dict[str, float]]] = {"free": [], "default": []}
        for _ in range(given.rounds):
            runs["free"].append(_run(latency, given.pages, {"rate": None}))
            runs["default"].append(_run(latency, given.pages, {}))
        free, default = (median(run["seconds"] for run in runs[kind]) for kind in runs)
        refusals = sum(run["refusals"] for run in runs["default"])
        results.append({"latency": latency, "free": free, "default": default, "runs": runs})
        if not given.json:
            verdict = "met" if default <= _AIM * free and not refusals else "missed"
            print(
                f"latency {latency:g} s: free {free:.1f} s, at the default rate {default:.1f} s, "
                f"ratio {default / free:.2f} (at most {_AIM}), {refusals:g} refusals: {verdict}"
            )
    with tempfile.TemporaryDirectory() as name:
        permit = _permit_us(Path(name), given.pages)
    if given.json:
        print(json.dumps({"latencies": results, "permit_us": permit}))
    else:
        print(f"a permit in a file: {permit:.0f} us of CPU")


if __name__ == "__main__":
    main()
