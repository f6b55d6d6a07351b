"""The main job beside its peers and its floor: a year of 1m candles from the practice vendor.

The whole has 4 symbols, 366 days and 3 rounds; the second line is a quick try:

    python benchmarks/backfill.py
    python benchmarks/backfill.py --days 30 --symbols 2 --rounds 1

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
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_HERE = Path(__file__).resolve().parent
_START = datetime(2024, 1, 1, tzinfo=UTC)
_NAMES = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT", "LTCUSDT")
_WHOLE = (4, 366)
_FLAT = 1.25
"""Peak memory counts as flat when ten times the window takes at most so many times as much."""

WHOLE, FILL, TENTH, PEER, FREQTRADE, BARE = (
    "backfill through Dagster",
    "fill alone",
    "fill, a tenth",
    "ccxt and pandas",
    "freqtrade download-data",
    "bare httpx loop",
)

_PEERS = {
    PEER: ("ccxt_peer.py", "peer-requirements.txt"),
    FREQTRADE: ("freqtrade_peer.py", "freqtrade-requirements.txt"),
}
"""The script of each peer, and what its environment needs."""


@dataclass(frozen=True)
class Task:
    """What everybody has to get."""

    symbols: tuple[str, ...]
    days: int

    @property
    def end(self) -> datetime:
        return _START + timedelta(days=self.days)

    @property
    def candles(self) -> int:
        return len(self.symbols) * self.days * 1440

    @property
    def arguments(self) -> list[str]:
        """Symbols and window as the scripts beside this one take them."""
        bounds = [str(int(instant.timestamp() * 1000)) for instant in (_START, self.end)]
        return [",".join(self.symbols), *bounds]


@dataclass
class Measured:
    """One process from its start to its end.

    Attributes:
        wall: Seconds.
        cpu: Seconds of all its threads and children, user and system.
        peak: The most memory that was resident, MB of 10^6 bytes.
        vendor: CPU seconds that the vendor spent meanwhile; None where the system does not tell.
        facts: What the process itself said, and what was read off its files.
    """

    wall: float
    cpu: float
    peak: float
    vendor: float | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class Aim:
    """A figure that the project wants to reach, and the one that it has reached."""

    words: str
    figure: float
    limit: float
    unit: str
    more_is_better: bool = False

    @property
    def met(self) -> bool:
        return self.figure >= self.limit if self.more_is_better else self.figure <= self.limit


class Vendor:
    """The practice vendor as a process of its own.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    def cpu(self) -> float | None:
        """CPU seconds that it has spent so far."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        if not stat.exists():
            return None
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def practice_vendor(
    folder: Path, task: Task, *, faults: Sequence[dict[str, object]] = ()
) -> Iterator[Vendor]:
    """Start the vendor, and end it."""
    market = folder / "market.yaml"
    symbols = {name: {"kind": "crypto"} for name in task.symbols}
    market.write_text(json.dumps({"symbols": symbols, "cache": "512MiB", "faults": [*faults]}))
    command = [
        sys.executable,
        "-m",
        "market_assets.cli",
        "practice-vendor",
        "--port",
        "0",
        "--market",
        str(market),
    ]
    with (folder / "vendor.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url:
                log.seek(0)
                raise SystemExit(f"the practice vendor did not start: {log.read()[-2000:]}")
            yield Vendor(process, url)
        finally:
            process.terminate()
            process.wait()


class Bench:
    """Runs one contestant after the other.

    Args:
        folder: Everything is written below it.
        vendor: Whom they ask.
        task: What they have to get.
        peers: The interpreter of the environment of each peer that there is.
    """

    def __init__(self, folder: Path, vendor: Vendor, task: Task, peers: Mapping[str, Path]) -> None:
        self._folder = folder
        self._vendor = vendor
        self._task = task
        self._peers = peers
        self._number = 0

    def contestants(self) -> dict[str, Callable[[], Measured]]:
        """By name, in the order of the first round."""
        named = {
            WHOLE: self.backfill,
            FILL: lambda: self.fill(self._task),
            TENTH: self.fill_a_tenth,
            BARE: self.bare,
        }
        return named | {name: partial(self.peer, name) for name in self._peers}

    def backfill(self) -> Measured:
        """The product as a user runs it, from an empty home folder."""
        home, variables = self._home(self._task)
        command = [sys.executable, "-m", "market_assets.cli", "backfill", "--json"]
        began = time.time()
        measured = self._run(command, variables)
        ended = time.time()
        candles = sum(row["stored"] for row in measured.facts["completeness"])
        _must_equal(WHOLE, candles, self._task.candles)
        measured.facts = {
            "candles": candles,
            "bytes_per_candle": (home / "market.duckdb").stat().st_size / candles,
            **_dagster_times(home / "history" / "runs" / "index.db", began, ended),
        }
        shutil.rmtree(home)
        return measured

    def fill(self, task: Task) -> Measured:
        """The same without Dagster."""
        home, variables = self._home(task)
        measured = self._run([sys.executable, str(_HERE / "fill_alone.py")], variables)
        _must_equal(FILL, measured.facts["candles"], task.candles)
        shutil.rmtree(home)
        return measured

    def fill_a_tenth(self) -> Measured:
        """The same over a tenth of the days."""
        return self.fill(Task(self._task.symbols, max(1, self._task.days // 10)))

    def bare(self) -> Measured:
        """The same pages, thrown away."""
        return self._run(
            [sys.executable, str(_HERE / "bare_loop.py"), self._vendor.url, *self._task.arguments]
        )

    def peer(self, name: str) -> Measured:
        """The same by a peer, into its files."""
        out = self._folder / "peer"
        script, _ = _PEERS[name]
        command = [
            str(self._peers[name]),
            str(_HERE / script),
            self._vendor.url,
            *self._task.arguments,
            str(out),
        ]
        measured = self._run(command)
        _must_equal(name, measured.facts["candles"], self._task.candles)
        shutil.rmtree(out)
        return measured

    def _home(self, task: Task) -> tuple[Path, dict[str, str]]:
        """An empty home folder and a universe, and the variables that point to them."""
        self._number += 1
        home = self._folder / f"home{self._number}"
        universe = self._folder / f"universe{self._number}.yaml"
        profile = {
            "kind": "CRYPTO",
            "start": f"{_START:%Y-%m-%d}",
            "end": f"{task.end:%Y-%m-%d}",
            "timeframes": {"fetch": ["1m"], "derive": []},
            "sources": ["practice"],
            "symbols": {name: {} for name in task.symbols},
        }
        sources = {"practice": {"base_url": self._vendor.url}}
        universe.write_text(json.dumps({"sources": sources, "profiles": {"crypto": profile}}))
        return home, {"MARKET_ASSETS_HOME": str(home), "MARKET_ASSETS_UNIVERSE": str(universe)}

    def _run(self, command: Sequence[str], variables: dict[str, str] | None = None) -> Measured:
        """Run a process to its end; its facts are the JSON that it printed."""
        vendor_before = self._vendor.cpu()
        with tempfile.TemporaryFile(mode="w+") as out, tempfile.TemporaryFile(mode="w+") as err:
            began = time.perf_counter()
            process = subprocess.Popen(
                command, stdout=out, stderr=err, env=os.environ | (variables or {})
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(
                status
            )  # so that nobody waits for it again
            out.seek(0)
            err.seek(0)
            if process.returncode:
                raise SystemExit(
                    f"{' '.join(command)} ended with {process.returncode}:\n"
                    f"{err.read()[-3000:]}{out.read()[-1000:]}"
                )
            answer = json.loads(out.read())
        vendor_after = self._vendor.cpu()
        vendor = (
            None if vendor_before is None or vendor_after is None else vendor_after - vendor_before
        )
        unit = 1 if sys.platform == "darwin" else 1024
        return Measured(
            wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6, vendor, answer
        )


def _dagster_times(log: Path, began: float, ended: float) -> dict[str, float]:
    """Read off the instance's event log what Dagster took.

    An event's time is that from its own stamp to the next event's: it is stored, the step resumes
    and the next one is made. Events of one commit follow each other with nothing between them: a
    materialization for each of its partitions, then all their checks. From a check to the next
    materialization lies a commit, so that interval is left out. A partition is one materialization
    and its checks.

    Args:
        log: Dagster's index of events (SQLite).
        began: When the process was started, in seconds since 1970.
        ended: When it was gone.
    """
    made, checked = "ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION"
    wanted = (made, checked, "PIPELINE_START", "PIPELINE_SUCCESS")
    with closing(sqlite3.connect(log)) as connection:
        rows = connection.execute(
            """
            SELECT dagster_event_type, timestamp
            FROM event_logs
            WHERE dagster_event_type IN (?, ?, ?, ?)
            ORDER BY id
            """,
            wanted,
        ).fetchall()
    events = [
        (kind, datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp())
        for kind, stamp in rows
    ]
    spent: dict[str, list[float]] = {made: [], checked: []}
    for (kind, at), (following, after) in pairwise(events):
        if kind in spent and following in spent and (kind, following) != (checked, made):
            spent[kind].append(after - at)
    partitions = sum(kind == made for kind, _ in events)
    checks = sum(kind == checked for kind, _ in events) / partitions
    run_began = next(at for kind, at in events if kind == "PIPELINE_START")
    run_ended = next(at for kind, at in reversed(events) if kind == "PIPELINE_SUCCESS")
    return {
        "partitions": partitions,
        "event_ms_per_partition": 1000
        * (statistics.fmean(spent[made]) + checks * statistics.fmean(spent[checked])),
        "seconds_before_run": run_began - began,
        "seconds_of_run": run_ended - run_began,
        "seconds_after_run": ended - run_ended,
    }


def _must_equal(name: str, candles: float, expected: int) -> None:
    if candles != expected:
        raise SystemExit(
            f"{name} has {candles:,.0f} candles and should have {expected:,}: "
            "a benchmark of wrong results is none"
        )


def prepare_peer(
    folder: Path, requirements: str = "peer-requirements.txt"
) -> tuple[Path | None, str]:
    """Make the peer's environment, or use the one that is there.

    Returns:
        Its interpreter, or None; and why there is none.
    """
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run(
                [sys.executable, "-m", "venv", str(folder)],
                check=True,
                capture_output=True,
                text=True,
            )
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "-r", str(_HERE / requirements)],
            check=True,
            capture_output=True,
            text=True,
            timeout=900,
        )
    except subprocess.CalledProcessError as error:
        words = [line for line in (error.stderr or "").splitlines() if line.strip()]
        return (
            None,
            (
                "the peer is left out, its environment could not be made: "
                f"{words[-1] if words else error}"
            ),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"the peer is left out, its environment could not be made: {error}"
    return python, ""


def measure(bench: Bench, rounds: int) -> dict[str, list[Measured]]:
    """Run every contestant once a round, each round in the opposite order of the one before."""
    contestants = bench.contestants()
    found: dict[str, list[Measured]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants) if number % 2 == 0 else list(reversed(contestants))
        for name in names:
            _say(f"round {number + 1} of {rounds}: {name} ...")
            found[name].append(contestants[name]())
            _say(f"    {found[name][-1].wall:.1f} s")
    return found


def aims_of(found: dict[str, list[Measured]], task: Task) -> list[Aim]:
    """The aims with the medians beside them."""
    fill_seconds = _median(found[FILL], lambda one: one.facts["seconds"])
    growth = _median(found[FILL], lambda one: one.peak) / _median(
        found[TENTH], lambda one: one.peak
    )
    whole = found[WHOLE]
    return [
        Aim(
            "fetch, clean and commit",
            task.candles / fill_seconds,
            600_000,
            "candles/s",
            more_is_better=True,
        ),
        Aim(
            "Dagster's events",
            _median(whole, lambda one: one.facts["event_ms_per_partition"]),
            4,
            "ms a partition",
        ),
        *_beside_freqtrade(found),
        Aim("its peak memory", _median(whole, lambda one: one.peak), 400, "MB"),
        Aim(
            "on disk",
            _median(whole, lambda one: one.facts["bytes_per_candle"]),
            9,
            "bytes a candle",
        ),
        Aim("memory over a tenfold window", growth, _FLAT, "times that of a tenth"),
    ]


def _beside_freqtrade(found: dict[str, list[Measured]]) -> list[Aim]:
    """How many times as long freqtrade takes, where it was there."""
    if FREQTRADE not in found:
        return []
    ours, theirs = (_median(found[name], lambda one: one.wall) for name in (WHOLE, FREQTRADE))
    words = "freqtrade's time over the whole process's"
    return [Aim(words, theirs / ours, 1.3, "times", more_is_better=True)]


def print_report(found: dict[str, list[Measured]], task: Task, notes: Sequence[str]) -> None:
    """Print tables for a person."""
    print(
        f"\n{len(task.symbols)} symbols x {task.days} days of 1m = {task.candles:,} candles, "
        "min / median / max\n"
    )
    print(
        f"{'':26}{'wall, s':>22}{'candles/s':>12}{'cpu, s':>9}"
        f"{'peak, MB':>10}{'vendor cpu, s':>15}{'ratio':>8}"
    )
    base = _median(found[WHOLE], lambda one: one.wall)
    for name, runs in found.items():
        walls = sorted(one.wall for one in runs)
        wall = statistics.median(walls)
        spread = f"{walls[0]:.2f} / {wall:.2f} / {walls[-1]:.2f}"
        rate = f"{_median(runs, lambda one: one.facts['candles']) / wall:,.0f}"
        vendor = (
            "-" if runs[0].vendor is None else f"{_median(runs, lambda one: one.vendor or 0):.1f}"
        )
        ratio = "" if name == TENTH else f"{wall / base:.2f}"
        print(
            f"{name:26}{spread:>22}{rate:>12}{_median(runs, lambda one: one.cpu):9.1f}"
            f"{_median(runs, lambda one: one.peak):10.0f}{vendor:>15}{ratio:>8}"
        )
    print(
        "\nEach row is a whole process, start-up included; the ratio is its wall time over that "
        "of the first row.\n"
    )
    _print_parts(found)
    print(f"\n{'aim':30}{'wanted':>38}{'median':>12}")
    for aim in aims_of(found, task):
        wanted = f"{'at least' if aim.more_is_better else 'at most'} {aim.limit:,g} {aim.unit}"
        print(
            f"{aim.words:30}{wanted:>38}{_figure(aim.figure):>12}   "
            f"{'met' if aim.met else 'NOT MET'}"
        )
    if (len(task.symbols), task.days) != _WHOLE:
        print(
            f"The aims are meant for {_WHOLE[0]} symbols and {_WHOLE[1]} days; "
            "this was another task."
        )
    print()
    for note in notes:
        print(f"- {note}")


def _print_parts(found: dict[str, list[Measured]]) -> None:
    def part(name: str, fact: str) -> float:
        return _median(found[name], lambda one: one.facts[fact])

    whole, fill = found[WHOLE], found[FILL]
    start_up = _median(fill, lambda one: one.wall - one.facts["seconds"])
    dagster = _median(whole, lambda one: one.cpu) - _median(fill, lambda one: one.cpu)
    print("The backfill in parts, medians")
    print(
        f"  before the run (imports, instance, plan)   {part(WHOLE, 'seconds_before_run'):7.2f} s"
    )
    print(f"  the run                                    {part(WHOLE, 'seconds_of_run'):7.2f} s")
    print(
        "      of it Dagster's events                 "
        f"{part(WHOLE, 'event_ms_per_partition') * part(WHOLE, 'partitions') / 1000:7.2f} s"
    )
    print(f"  after it (completeness, exit)              {part(WHOLE, 'seconds_after_run'):7.2f} s")
    print(f"  cpu that Dagster adds to the fill alone    {dagster:7.2f} s")
    print(
        f"The fill alone: fetch, clean, commit, judge  {part(FILL, 'seconds'):7.2f} s, "
        f"and {start_up:.2f} s of start-up"
    )
    print(
        f"Bytes a candle: {part(WHOLE, 'bytes_per_candle'):.2f} through Dagster, "
        f"{part(FILL, 'bytes_per_candle'):.2f} by the fill alone",
        end="",
    )
    print(f", {part(PEER, 'bytes_per_candle'):.2f} in the peer's Parquet" if PEER in found else "")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _median(runs: Sequence[Measured], of: Callable[[Measured], float]) -> float:
    return statistics.median(of(one) for one in runs)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _notes(peer_missing: str, load: float, vendor: float | None) -> list[str]:
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("dagster", "duckdb", "polars", "httpx")
    )
    warm = "" if vendor is None else f" (the warm-up pass cost it {vendor:.1f} s of CPU)"
    machine = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"load average {load:.1f} before the first round; "
        f"Python {platform.python_version()}, {packages}."
    )
    vendors = (
        "The vendor is a process on the same cores. It renders pages as it is asked, "
        f"and was asked for all of them once before the first round{warm}; "
        "what it keeps it need not render again. "
        "Its CPU is in the table, to show what it takes from everybody."
    )
    events = (
        "The time of Dagster's events is read off the stamps in the instance's event log: "
        "from each event to the next one of the same commit."
    )
    requests = (
        "ccxt fetches page after page for each symbol, all symbols at once and without its "
        "rate limit, as its users do; the bare loop has eight requests in flight, as our fill has."
    )
    notes = [machine, vendors, events, requests, f"Memory counts as flat up to {_FLAT:g} times."]
    return [*notes, peer_missing] if peer_missing else notes


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--days", type=int, default=_WHOLE[1], help="days from 2024-01-01 on (default: %(default)s)"
    )
    parser.add_argument(
        "--symbols",
        type=int,
        default=_WHOLE[0],
        choices=range(1, len(_NAMES) + 1),
        help="how many (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--latency",
        type=int,
        default=0,
        help="milliseconds after which the vendor answers a request (default: %(default)s)",
    )
    parser.add_argument(
        "--peer-venv",
        type=Path,
        help="ccxt's environment, kept for the next time; without it a temporary one",
    )
    parser.add_argument(
        "--freqtrade-venv",
        type=Path,
        help="freqtrade's environment, made if need be; without it freqtrade is left out",
    )
    parser.add_argument("--no-peer", action="store_true", help="leave the peers out")
    parser.add_argument(
        "--json", action="store_true", help="print every measurement as JSON, and nothing else"
    )
    given = parser.parse_args()
    if given.days < 1 or given.rounds < 1:
        parser.error("--days and --rounds must be at least 1")
    return given


def _peers(given: argparse.Namespace, folder: Path) -> tuple[dict[str, Path], str]:
    """The interpreters of the peers, and why one is left out."""
    if given.no_peer:
        return {}, "the peers were left out as asked for"
    venvs = {PEER: given.peer_venv or folder / "peer-venv"}
    if given.freqtrade_venv:
        venvs[FREQTRADE] = given.freqtrade_venv
    peers, missing = {}, []
    for name, venv in venvs.items():
        _say(f"preparing the environment of {name} ...")
        python, why = prepare_peer(venv.absolute(), _PEERS[name][1])
        if python is None:
            missing.append(f"{name}: {why}")
        else:
            peers[name] = python
    return peers, "; ".join(missing)


def _slow(milliseconds: int) -> list[dict[str, object]]:
    """The fault of a vendor that answers so late."""
    return [{"fault": "delay", "seconds": milliseconds / 1000}] if milliseconds else []


def main() -> None:
    given = _arguments()
    task = Task(_NAMES[: given.symbols], given.days)
    with tempfile.TemporaryDirectory(prefix="market-assets-benchmark-") as name:
        folder = Path(name)
        peers, missing = _peers(given, folder)
        load = os.getloadavg()[0]
        with practice_vendor(folder, task, faults=_slow(given.latency)) as vendor:
            bench = Bench(folder, vendor, task, peers)
            _say("warming the vendor ...")
            warm = bench.bare().vendor
            found = measure(bench, given.rounds)
    notes = _notes(missing, load, warm)
    if given.json:
        aims = [asdict(aim) | {"met": aim.met} for aim in aims_of(found, task)]
        runs = {name: [asdict(one) for one in runs] for name, runs in found.items()}
        print(
            json.dumps(
                {
                    "task": asdict(task) | {"candles": task.candles},
                    "runs": runs,
                    "aims": aims,
                    "notes": notes,
                },
                indent=1,
            )
        )
    else:
        print_report(found, task, notes)


if __name__ == "__main__":
    main()
