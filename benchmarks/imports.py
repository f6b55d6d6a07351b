"""What loading the definitions costs beside `import dagster`, in CPU time.

Each round has a new process for each contestant. The universe is the packaged one.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile

DAGSTER = "import dagster"
CONTESTANTS = {
    "import dagster": DAGSTER,
    "import market_assets.definitions": "import market_assets.definitions",
    "the same, and the definitions made": (
        "import market_assets.definitions as location; location.defs()"
    ),
}


def cpu_of(code: str, home: str) -> float:
    """Seconds of user and system time of a Python process that executes some code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "MARKET_ASSETS_HOME": home}
    environment.pop("MARKET_ASSETS_UNIVERSE", None)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds

    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as home:
        for code in CONTESTANTS.values():
            cpu_of(code, home)  # its bytecode is written
        for _ in range(rounds):
            for name, code in CONTESTANTS.items():
                times[name].append(cpu_of(code, home))

    floor = times[DAGSTER]
    print(f"{'':40}{'least, s':>10}{'median, s':>11}{'ratio':>7}{'ratio':>7}")
    for name, seconds in times.items():
        least, median = min(seconds), statistics.median(seconds)
        ratios = least / min(floor), median / statistics.median(floor)
        print(f"{name:40}{least:10.2f}{median:11.2f}{ratios[0]:7.2f}{ratios[1]:7.2f}")


if __name__ == "__main__":
    main()
