"""One file per day with all symbols: what a backfill of it costs.

The cost is measured by the number of files and of symbols.

    python benchmarks/flat_files.py --files 100 --symbols 200

Writes files like Polygon's (gzipped, in the order of the symbols), fills a store from them in a
process of its own, and prints one line per size.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from market_assets.config.load import load_universe
from market_assets.config.sources import sources_of
from market_assets.expected.scope import scope_of
from market_assets.fill.fill import Fill
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.clock import present
from market_assets.market.timeframes import Timeframe, Window
from market_assets.store import Store

ROWS = 390


def _days(count: int) -> list[date]:
    window = Window(datetime(2023, 1, 2, tzinfo=UTC), datetime(2024, 12, 30, tzinfo=UTC))
    sessions = load_calendar("XNYS").bars(Timeframe.D1, window)
    full = sessions.filter(
        (sessions["closes_at"] - sessions["opens_at"]) == timedelta(minutes=ROWS)
    )
    return [ts.date() for ts in full["ts"][:count]]


def _write(folder: Path, days: list[date], symbols: int) -> int:
    calendar = load_calendar("XNYS")
    size = 0
    for day in days:
        opens = calendar.bars(Timeframe.M1, Window.of_days(day, day + timedelta(days=1)))["ts"]
        stamps = [f"{int(ts.replace(tzinfo=UTC).timestamp())}000000000" for ts in opens]
        lines = ["ticker,volume,open,close,high,low,window_start,transactions"]
        for number in range(symbols):
            price = 10 + number
            lines += [
                f"S{number:04},{100 + at % 7},{price},{price + 0.5},{price + 1},{price - 1},{ts},9"
                for at, ts in enumerate(stamps)
            ]
        body = ("\n".join(lines) + "\n").encode()
        size += len(body)
        (folder / f"{day}.csv.gz").write_bytes(gzip.compress(body, 1))
    return size


def _universe(folder: Path, days: list[date], symbols: int) -> None:
    document = {
        "sources": {"flat": {"type": "archive", "path": "{date}.csv.gz", "layout": "polygon"}},
        "profiles": {
            "equity": {
                "kind": "EQUITY",
                "start": days[0].isoformat(),
                "end": (days[-1] + timedelta(days=1)).isoformat(),
                "timeframes": {"fetch": ["1m"]},
                "sources": ["flat"],
                "symbols": {f"S{number:04}": {} for number in range(symbols)},
            }
        },
    }
    (folder / "universe.yaml").write_text(json.dumps(document))


def _fill(folder: Path) -> None:
    universe = load_universe(folder / "universe.yaml", environ={})
    profile = universe.profiles["equity"]
    store = Store(folder / "home", clock=present)
    scope = scope_of(profile, profile.base_timeframe, present())
    fill = Fill(store, sources_of(universe, profile), scope, scope.window)
    began = time.perf_counter()
    rows = sum(outcome.new for outcome in fill)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = round(time.perf_counter() - began, 1)
    cpu = round(used.ru_utime + used.ru_stime, 1)
    print(
        json.dumps(
            {"rows": rows, "seconds": seconds, "cpu": cpu, "peak_mb": used.ru_maxrss // 1024}
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument(
        "--parts", type=int, default=4, help="the sizes: so many equal steps up to the whole"
    )
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill:
        _fill(given.fill)
        return
    for part in range(1, given.parts + 1):
        days = _days(given.files * part // given.parts)
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            size = _write(folder, days, given.symbols)
            _universe(folder, days, given.symbols)
            command = [sys.executable, __file__, "--fill", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
        expected = len(days) * given.symbols * ROWS
        if found["rows"] != expected:
            sys.exit(f"{found['rows']:,} rows in place of {expected:,}")
        speed = size / 1e6 / found["seconds"]
        print(
            f"{len(days):4} files x {given.symbols} symbols: {found['rows']:10,} rows, "
            f"{size / 1e6:6.0f} MB of text, "
            f"{found['seconds']:6.1f} s ({found['cpu']:.1f} of CPU), {speed:5.1f} MB/s, "
            f"{found['peak_mb']:,} MB at most"
        )


if __name__ == "__main__":
    main()
