"""What one minute of updates costs, in three shapes.

The shapes are the schedule's tick, a run per update, and a long-lived run.

    python benchmarks/minute.py [--minutes 10] [--symbols 2]

Each shape updates the same profile over a home of its own: two days of minutes and seven derived
timeframes, then so many minutes one after the other. Printed are processor seconds, files and bytes
of bookkeeping per minute, and the memory of a process that does nothing else (PSS, Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2025, 11, 5, 12, 0, 15, tzinfo=UTC)
UNIVERSE = """
sources: {{practice: {{base_url: "{url}"}}}}
profiles:
  crypto:
    kind: CRYPTO
    start: 2025-11-03
    timeframes: {{fetch: [1m], derive: [5m, 15m, 30m, 1h, 4h, 1d, 1w]}}
    sources: [practice]
    symbols: {{{symbols}}}
"""
NAMES = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BNBUSDT", "DOTUSDT")


def ticks(home: Path, first: int, minutes: int) -> None:
    """Update some minutes in this process, and print what that has cost."""
    from market_assets.config.load import load_universe  # noqa: PLC0415
    from market_assets.config.sources import sources_of  # noqa: PLC0415

    # Each shape in a process of its own.
    from market_assets.live.update import update_profile  # noqa: PLC0415
    from market_assets.store import Store  # noqa: PLC0415

    universe = load_universe(home / "universe.yaml", environ={})
    profile = universe.profiles["crypto"]
    for minute in range(first, first + minutes):
        now = START + timedelta(minutes=minute)
        store = Store(home, clock=lambda now=now: now)
        if minute == first + 1:
            # The first one loads what all the others use.
            began = time.process_time()
        update_profile(
            store, sources_of(universe, profile), universe, profile, now=now, busy=lambda *_: ()
        )
    print(json.dumps({"cpu": (time.process_time() - began) / (minutes - 1), "pss": _pss()}))


def run(home: Path, minute: int) -> None:
    """Update a minute in a Dagster run of this process, with what is derived by day."""
    from market_assets.config.load import load_universe  # noqa: PLC0415
    from market_assets.definitions import build_definitions  # noqa: PLC0415
    from market_assets.defs.automation.runs import RangeRun, Runner, instance_at  # noqa: PLC0415
    from market_assets.defs.resources import Clock  # noqa: PLC0415
    from market_assets.market.timeframes import Timeframe  # noqa: PLC0415

    universe = load_universe(home / "universe.yaml", environ={})
    now = START + timedelta(minutes=minute)
    definitions = build_definitions(universe, overrides={"clock": Clock(fixed=now.isoformat())})
    timeframes = tuple(Timeframe(name) for name in ("1m", "5m", "15m", "30m", "1h", "4h"))
    keys = RangeRun("crypto", timeframes, (f"{now.date()}",))
    with instance_at(home) as instance:
        _, success = Runner(definitions, instance).execute(keys, done=lambda: None)
    print(json.dumps({"success": success, "pss": _pss()}))


def _pss() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def _bookkeeping(home: Path) -> tuple[int, int]:
    """Files and bytes of a home without its store and its universe."""
    files = [
        path
        for path in home.rglob("*")
        if path.is_file() and not path.name.startswith(("market.", "universe"))
    ]
    return len(files), sum(path.stat().st_size for path in files)


def _child(home: Path, shape: str, first: int, minutes: int) -> dict[str, float]:
    environ = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(home),
        "MARKET_ASSETS_UNIVERSE": str(home / "universe.yaml"),
    }
    command = [sys.executable, "-W", "ignore", __file__, "--shape", shape, "--home", str(home)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--first", str(first), "--minutes", str(minutes)],
        env=environ,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"process": spent, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--symbols", type=int, default=2)
    parser.add_argument("--shape", choices=["ticks", "run"])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    if options.shape == "ticks":
        return ticks(options.home, options.first, options.minutes)
    if options.shape == "run":
        return run(options.home, options.first)

    from market_assets.practice.book import Market  # noqa: PLC0415
    from market_assets.practice.vendor import PracticeVendor  # noqa: PLC0415

    vendor = PracticeVendor(Market.model_validate({"kind": "crypto"})).start()
    symbols = ", ".join(f"{name}: {{}}" for name in NAMES[: options.symbols])
    with tempfile.TemporaryDirectory() as folder:
        homes = [Path(folder, name) for name in ("ticks", "runs")]
        for home in homes:
            home.mkdir()
            (home / "universe.yaml").write_text(UNIVERSE.format(url=vendor.url, symbols=symbols))
            _child(home, "run", 0, 1)
            _child(home, "ticks", 0, 2)
        tick = _child(homes[0], "ticks", 2, options.minutes + 1)
        before = _bookkeeping(homes[1])
        runs = [_child(homes[1], "run", 2 + minute, 1) for minute in range(options.minutes)]
        after = _bookkeeping(homes[1])
    vendor.stop()
    spent = sum(run["process"] for run in runs) / len(runs)
    files, size = ((now - then) / options.minutes for now, then in zip(after, before, strict=True))
    print(f"{options.symbols} symbols, per minute")
    print(f"in the tick          {tick['cpu']:6.2f} s of processor, no file, no process")
    print(
        f"a long-lived run     {tick['cpu']:6.2f} s of processor, no file, "
        f"a process of {tick['pss']:.0f} MB"
    )
    print(
        f"a run per minute     {spent:6.2f} s of processor, {files:.1f} files and "
        f"{size / 1000:.0f} kB, a process of {runs[-1]['pss']:.0f} MB"
    )
    print(
        f"a run per 15 minutes {spent / 15:6.2f} s of processor, "
        f"{files / 15:.1f} files and {size / 15_000:.0f} kB; candles are 15 minutes old"
    )
    return None


if __name__ == "__main__":
    main()
