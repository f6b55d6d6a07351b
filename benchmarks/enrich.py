"""Twenty features of ten million candles: this project beside pandas-ta and TA-Lib on numpy.

All work on the same rows. The whole has 20 symbols of 500,000 minutes and 3 rounds; the second line
is a quick try:

    python benchmarks/enrich.py
    python benchmarks/enrich.py --rows 50000 --rounds 1

Each contestant is a process of its own, started anew in every round; the next round has the
opposite order. This process imports nothing but the standard library: a child's peak memory, as the
kernel counts it, begins with that of its parent.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backfill import Aim, Measured, prepare_peer

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALONE = Path(__file__).resolve().with_name("enrich_alone.py")
_NEAR = 1e-9

OURS, STORE, TENTH, TALIB, PANDAS = (
    "features, computed",
    "features of a store, stored",
    "the same, a tenth of the rows",
    "TA-Lib on numpy",
    "pandas-ta-classic",
)


class Bench:
    """Runs one contestant after the other.

    Args:
        folder: Everything is written below it.
        symbols: How many.
        rows: Candles of each.
        peer: The interpreter of the peer's environment; None where there is none.
    """

    def __init__(self, folder: Path, symbols: int, rows: int, peer: Path | None) -> None:
        self._folder, self._tenth = folder / "whole", folder / "tenth"
        self._symbols, self._rows, self._peer = symbols, rows, peer
        for where, each in ((self._folder, rows), (self._tenth, max(1, rows // 10))):
            where.mkdir()
            self._run("prepare", where, "--symbols", str(symbols), "--rows", str(each))

    def contestants(self) -> list[str]:
        """In the order of the first round."""
        talib = [TALIB] if _has("TA-Lib") else []
        return [OURS, STORE, TENTH, *talib, *([PANDAS] if self._peer else [])]

    def measure(self, name: str) -> Measured:
        """Run one of them once.

        A store is copied before, so that its table of features is always new.
        """
        if name in {STORE, TENTH}:
            home = self._tenth if name == TENTH else self._folder
            copy = home.with_name("copy")
            copy.mkdir()
            for file in ("market.duckdb", "universe.yaml"):
                shutil.copy(home / file, copy / file)
            measured = self._run("store", copy)
            measured.facts["bytes"] = (copy / "market.duckdb").stat().st_size - (
                home / "market.duckdb"
            ).stat().st_size
            shutil.rmtree(copy)
        else:
            python = self._peer if name == PANDAS else None
            measured = self._run(
                {OURS: "features", TALIB: "talib", PANDAS: "pandas_ta"}[name],
                self._folder,
                python=python,
            )
        expected = self._symbols * (max(1, self._rows // 10) if name == TENTH else self._rows)
        if measured.facts["rows"] != expected:
            raise SystemExit(
                f"{name} has {measured.facts['rows']:,} rows and should have {expected:,}: "
                "that is none of the task"
            )
        return measured

    def _run(self, way: str, folder: Path, *more: str, python: Path | None = None) -> Measured:
        command = [str(python or sys.executable), str(_ALONE), way, str(folder), *more]
        with tempfile.TemporaryFile(mode="w+") as out, tempfile.TemporaryFile(mode="w+") as err:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=out, stderr=err)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(
                status
            )  # so that nobody waits for it again
            out.seek(0)
            err.seek(0)
            if process.returncode:
                raise SystemExit(
                    f"{' '.join(command)} ended with {process.returncode}:\n{err.read()[-3000:]}"
                )
            facts = json.loads(out.read())
        unit = 1 if sys.platform == "darwin" else 1024
        return Measured(
            wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6, None, facts
        )


def compare(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> float:
    """How far our last values lie from TA-Lib's at most, as a share of these.

    Ends the benchmark where the values are others.
    """
    worst = 0.0
    for name, values in theirs.items():
        for mine, other in zip(ours[name], values, strict=True):
            # What is next to 0 is a difference of prices or volumes of about 100.
            worst = max(worst, abs(mine - other) / max(abs(other), 1.0))
    if worst > _NEAR:
        raise SystemExit(
            f"our values lie {worst:.1e} from TA-Lib's: a benchmark of wrong results is none"
        )
    return worst


def aims_of(found: dict[str, list[Measured]]) -> list[Aim]:
    """The aims with the medians beside them."""
    aims = []
    if PANDAS in found:
        aims.append(
            Aim(
                "times as fast as pandas-ta",
                _seconds(found[PANDAS]) / _seconds(found[OURS]),
                5,
                "times",
                more_is_better=True,
            )
        )
    peak = max(statistics.median(one.peak for one in found[name]) for name in (OURS, STORE))
    aims.append(Aim("peak memory", peak, 1500, "MB"))
    # Of the CPU, because what else goes on on a machine is never the same for a minute and for ten.
    cost = {
        name: statistics.median(one.cpu for one in found[name]) / found[name][0].facts["rows"]
        for name in (STORE, TENTH)
    }
    aims.append(Aim("CPU a row, of that of a tenth", cost[STORE] / cost[TENTH], 1.25, "times"))
    return aims


def print_report(
    found: dict[str, list[Measured]], rows: int, apart: float | None, notes: Sequence[str]
) -> None:
    """Print tables for a person."""
    print(f"\n20 features of {rows:,} candles, min / median / max\n")
    print(
        f"{'':32}{'seconds':>24}{'rows/s':>12}{'wall, s':>9}"
        f"{'cpu, s':>9}{'peak, MB':>10}{'ratio':>8}"
    )
    base = _seconds(found[OURS])
    for name, runs in found.items():
        seconds = sorted(one.facts["seconds"] for one in runs)
        middle = statistics.median(seconds)
        spread = f"{seconds[0]:.2f} / {middle:.2f} / {seconds[-1]:.2f}"
        ratio = "" if name == TENTH else f"{middle / base:.2f}"
        print(
            f"{name:32}{spread:>24}{runs[0].facts['rows'] / middle:>12,.0f}"
            f"{statistics.median(one.wall for one in runs):9.1f}"
            f"{statistics.median(one.cpu for one in runs):9.1f}"
            f"{statistics.median(one.peak for one in runs):10.0f}{ratio:>8}"
        )
    print("\nSeconds are without imports; wall, CPU and memory are those of the whole process.\n")
    for aim in aims_of(found):
        wanted = f"{'at least' if aim.more_is_better else 'at most'} {aim.limit:,g} {aim.unit}"
        print(f"{aim.words:34}{wanted:>20}{aim.figure:>12,.2f}   {'met' if aim.met else 'NOT MET'}")
    print()
    if apart is not None:
        print(f"- The last values of all columns and symbols are TA-Lib's to {apart:.1e} of them.")
    size = statistics.median(one.facts["bytes"] for one in found[STORE]) / rows
    print(f"- {size:.0f} bytes a row of features on disk.")
    for note in notes:
        print(f"- {note}")


def _seconds(runs: Sequence[Measured]) -> float:
    return statistics.median(one.facts["seconds"] for one in runs)


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--symbols", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument(
        "--rows", type=int, default=500_000, help="candles of each symbol (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--peer-venv", type=Path, help="the peer's environment, kept for the next time"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave pandas-ta out")
    parser.add_argument(
        "--json", action="store_true", help="print every measurement as JSON, and nothing else"
    )
    given = parser.parse_args()
    if given.rows < 1000 or given.rounds < 1 or given.symbols < 1:
        parser.error("--rows must be at least 1000, --rounds and --symbols at least 1")
    return given


def main() -> None:
    given = _arguments()
    rows = given.symbols * given.rows
    with tempfile.TemporaryDirectory(prefix="market-assets-benchmark-") as name:
        folder = Path(name)
        peer, missing = None, "pandas-ta was left out as asked for"
        if not given.no_peer:
            _say("preparing the peer's environment ...")
            where = given.peer_venv.absolute() if given.peer_venv else folder / "peer-venv"
            peer, missing = prepare_peer(where, "enrich-requirements.txt")
        _say("writing candles ...")
        bench = Bench(folder, given.symbols, given.rows, peer)
        load = os.getloadavg()[0]
        found: dict[str, list[Measured]] = {each: [] for each in bench.contestants()}
        for number in range(given.rounds):
            for each in list(found) if number % 2 == 0 else list(reversed(found)):
                _say(f"round {number + 1} of {given.rounds}: {each} ...")
                found[each].append(bench.measure(each))
                _say(f"    {found[each][-1].facts['seconds']:.1f} s")
    apart = (
        compare(found[OURS][0].facts["last"], found[TALIB][0].facts["last"])
        if TALIB in found
        else None
    )
    packages = ", ".join(
        f"{each} {version(each)}" for each in ("polars", "polars-talib", "numpy", "duckdb")
    )
    notes = [
        (
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
            f"load average {load:.1f} before the first round."
        ),
        f"Python {platform.python_version()}, {packages}.",
        *([missing] if missing else []),
    ]
    if given.json:
        runs: dict[str, Any] = {
            each: [vars(one) for one in measured] for each, measured in found.items()
        }
        aims = [vars(aim) | {"met": aim.met} for aim in aims_of(found)]
        print(
            json.dumps(
                {"rows": rows, "runs": runs, "aims": aims, "apart": apart, "notes": notes}, indent=1
            )
        )
    else:
        print_report(found, rows, apart, notes)


if __name__ == "__main__":
    main()
