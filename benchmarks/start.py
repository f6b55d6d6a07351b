"""What a start costs: the CPU time of each command, of `market_assets.read`, and of a run.

    python benchmarks/start.py [--rounds 5] [--home FOLDER] [--other CHECKOUT] [--up]

A home of 100 symbols with a year of days is made first by `market-assets backfill`, some three
minutes; `--home` keeps it for the next time. Each round starts a new process for each contestant.
With `--other`, the package of another checkout is measured in turns with this one. `--up` starts
the platform as well, and looks at what all of its processes have taken when the first page is
there.

Nothing is asserted: what is aimed at stands beside the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parents[1]
TERMINAL = ("-m", "market_assets.cli")
LATEST = "market_assets.read('crypto', 'candles_1d', start='{day}')"
CALENDAR = "market_assets.read('equity', 'candles_1h', start='{day}', as_of='{day}')"


@dataclass(frozen=True)
class Contestant:
    """A process to be started.

    Attributes:
        name: What it is.
        arguments: What Python is given.
        aim: The seconds that it may take; None where nothing is aimed at.
    """

    name: str
    arguments: tuple[str, ...]
    aim: float | None = None


@dataclass
class Times:
    """What a contestant took, in seconds of CPU, by checkout."""

    by_checkout: dict[Path, list[float]] = field(default_factory=dict)

    def add(self, checkout: Path, seconds: float) -> None:
        self.by_checkout.setdefault(checkout, []).append(seconds)


def contestants() -> list[Contestant]:
    day = f"{datetime.now(UTC) - timedelta(days=30):%Y-%m-%d}"
    floors = [
        Contestant("python -c pass", ("-c", "pass")),
        Contestant("import dagster", ("-c", "import dagster")),
        Contestant("import polars, duckdb", ("-c", "import polars, duckdb")),
    ]
    words: dict[str, float | None] = {
        "--version": 0.5,
        "--help": 0.5,
        "status --help": 0.5,
        "status": 0.8,
        "gaps": 0.5,
        "list": 0.5,
        "tail -n 5": 0.5,
        "jobs": 0.5,
        "genesis": 0.5,
        "alerts": 0.5,
        "returns equity": 0.5,
        "usage": None,
        "prune --dry-run": None,
        "validate": 0.5,
        "sources": 0.5,
        "inspect --help": 0.5,
        "probe --help": 0.5,
        "snapshot --help": 0.5,
        "export --help": 0.5,
        "forget --help": 0.5,
        "backfill --help": 0.5,
        "repair --dry-run": None,
        "backfill equity --days 300": None,
        "backfill": None,
    }
    commands = [
        Contestant(f"market-assets {text}", (*TERMINAL, *text.split()), aim)
        for text, aim in words.items()
    ]
    codes = {
        "market_assets.read": LATEST,
        "market_assets.read, as_of, New York": CALENDAR,
    }
    reads = [
        Contestant(name, ("-c", f"import market_assets; {code.format(day=day)}"), 0.4)
        for name, code in codes.items()
    ]
    making = "import market_assets.definitions as location; location.defs()"
    return [*floors, *commands, *reads, Contestant("the definitions made", ("-c", making))]


def environment_of(checkout: Path, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MARKET_ASSETS_HOME": str(home),
        "MARKET_ASSETS_UNIVERSE": str(home / "universe.yaml"),
        "PYTHONPATH": str(checkout),
        "COLUMNS": "200",
    }


def cpu_of(contestant: Contestant, checkout: Path, home: Path) -> float:
    """Seconds of user and system time of a process and of those that it has waited for.

    Raises:
        SystemExit: The process failed; an answer of "something is missing" is none.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *contestant.arguments],
        env=environment_of(checkout, home),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in {0, 3}:
        sys.exit(f"{contestant.name}: {done.stdout}{done.stderr}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def make_home(home: Path) -> None:
    """Fill a home with a year of 100 symbols of four kinds of market, up to today."""
    start = (datetime.now(UTC) - timedelta(days=365)).date()
    kinds = {"crypto": 40, "equity": 40, "futures": 10, "forex": 10}
    more = {"crypto": {"features": ["1d"]}, "equity": {"returns": ["1d"]}}
    profiles: dict[str, Any] = {
        kind: {
            "kind": kind.upper(),
            "start": start,
            "sources": ["practice"],
            "timeframes": {"fetch": ["1h"], "derive": ["1d"], **more.get(kind, {})},
            "symbols": {f"{kind[:2].upper()}{number:02}": {} for number in range(count)},
        }
        for kind, count in kinds.items()
    }
    prices = {name: {"price": 100} for profile in profiles.values() for name in profile["symbols"]}
    universe = {"sources": {"practice": {"symbols": prices}}, "profiles": profiles}
    home.mkdir(parents=True, exist_ok=True)
    (home / "universe.yaml").write_text(yaml.safe_dump(universe, sort_keys=False))
    print(f"filling {home}", file=sys.stderr)
    subprocess.run(
        [sys.executable, *TERMINAL, "backfill"],
        env=environment_of(HERE, home),
        cwd=home,
        stdout=subprocess.DEVNULL,
        check=False,
    )


def first_page(checkout: Path, home: Path) -> tuple[float, float]:
    """Start the platform, and ask for its first page.

    Returns:
        Seconds of CPU of all its processes until the page was there, and seconds of the clock.
    """
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        environment = environment_of(checkout, home) | {"MARKET_ASSETS_HOME": folder}
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *TERMINAL, "up", "--json", "--port", "3907"],
            env=environment,
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as platform:
            for line in platform.stdout or ():
                if url := json.loads(line).get("url"):
                    break
            with urllib.request.urlopen(url, timeout=60) as page:  # noqa: S310 - our own address
                page.read()
            seconds = time.perf_counter() - began
            spent = cpu_of_tree(platform.pid)
            platform.send_signal(signal.SIGINT)
            platform.communicate()
    return spent, seconds


def cpu_of_tree(root: int) -> float:
    """Seconds of CPU of a process, of all below it, and of those that they have waited for."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        stats[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    tree, added = {root}, True
    while added:
        added = {pid for pid, (parent, _) in stats.items() if parent in tree} - tree
        tree |= added
    return sum(stats[pid][1] for pid in tree if pid in stats) / os.sysconf("SC_CLK_TCK")


def print_table(times: dict[Contestant, Times], checkouts: list[Path]) -> None:
    print(f"{'':38}{'aim':>6}" + "".join(f"{'least':>9}{'median':>8}" for _ in checkouts))
    for contestant, taken in times.items():
        aim = "" if contestant.aim is None else f"{contestant.aim:g}"
        cells = [taken.by_checkout[checkout] for checkout in checkouts]
        figures = "".join(f"{min(cell):9.2f}{statistics.median(cell):8.2f}" for cell in cells)
        ratio = f"{min(cells[0]) / min(cells[1]):8.2f}" if len(cells) > 1 else ""
        print(f"{contestant.name:38}{aim:>6}{figures}{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path, help="a home of an earlier time, or where to make one")
    parser.add_argument("--other", type=Path, help="another checkout, measured in turns")
    parser.add_argument("--only", default="", help="contestants with this in their name")
    parser.add_argument("--up", action="store_true", help="start the platform as well")
    options = parser.parse_args()
    checkouts = [HERE, *([options.other.resolve()] if options.other else [])]

    with ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (home / "market.duckdb").exists():
            make_home(home)
        chosen = [entry for entry in contestants() if options.only in entry.name]
        times = {contestant: Times() for contestant in chosen}
        for contestant in chosen:
            for checkout in checkouts:
                cpu_of(contestant, checkout, home)  # bytecode, copies and tables are written
        for _ in range(options.rounds):
            for contestant in chosen:
                for checkout in checkouts:
                    times[contestant].add(checkout, cpu_of(contestant, checkout, home))
        print_table(times, checkouts)
        for checkout in checkouts if options.up else ():
            pairs = [first_page(checkout, home) for _ in range(options.rounds)]
            spent, seconds = map(min, zip(*pairs, strict=True))
            print(f"{'up to its first page':38}{spent:15.2f} CPU, {seconds:.2f} by the clock")


if __name__ == "__main__":
    main()
