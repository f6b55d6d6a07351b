"""What `market-assets up` costs while it is left on, and how the costs grow.

    python benchmarks/left_on.py                        an hour of real time: one crypto profile of
    two symbols, all defaults python benchmarks/left_on.py --minutes 10 --profiles 4 --symbols 8
    python benchmarks/left_on.py --minutes 10 --empty   nothing is filled before: `up` has runs
    under way from the start python benchmarks/left_on.py --simulate-year        a year in 130
    minutes: a clock that runs 4,043 times as fast python benchmarks/left_on.py --simulate-days 30
    --minutes 5         a quick try of the same python benchmarks/left_on.py --redraw left_on.csv
    the picture of figures that are there already

A temporary home is made, a practice vendor on loopback is its source, and `up` runs over it as a
user starts it. Every ten seconds its processes are looked at in /proc and its files in the home;
nothing of its inside is asked. A table is printed, a CSV and a picture are written, and everything
that was started is stopped. Linux only.

Processor time is exact, also of processes that came and went between two looks: whatever `up`
leaves behind becomes a child of this script, and the kernel counts it. Memory is PSS: what
processes share is counted once.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from market_assets.practice.vendor import PracticeVendor

KINDS = {
    "crypto": ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BNBUSDT", "DOTUSDT"),
    "equity": ("SPY", "AAPL", "MSFT", "QQQ", "IWM", "TLT", "XOM"),
    "futures": ("ES", "NQ", "RTY", "YM", "MES", "MNQ"),
    "forex": ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCHF", "USDCAD"),
}
PARTS = ("candles", "schedules", "events", "runs", "run files", "logs", "rest")
"""Where the bytes of a home are; `_part_of` tells which file is of which part."""

_TICKS = os.sysconf("SC_CLK_TCK")
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""


@dataclass
class Plan:
    """What runs for how long.

    Attributes:
        profiles: The profiles' symbols by the name of the profile, which is that of its kind.
        length: How long it is left on, in real time.
        speed: How many simulated seconds pass in one.
        origin: The simulated instant of the beginning.
        settings: More keys of the universe.
        days_before: So many days are there to be filled when it begins.
        filled: They are filled before; else `up` fills them by runs of its own.
        prune: How often the run of the daily prune is launched; None leaves it to its schedule.
        events: What happens on the way: when, by the simulated clock, what is said of it, and the
            vendor's faults from then on.
    """

    profiles: dict[str, tuple[str, ...]]
    length: timedelta
    speed: float = 1.0
    origin: datetime = field(default_factory=lambda: datetime.now(UTC))
    settings: str = ""
    days_before: int = 7
    filled: bool = True
    prune: timedelta | None = None
    events: list[tuple[datetime, str, list[dict[str, Any]]]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, help="how long it is left on, real time; 60, for a year 130"
    )
    parser.add_argument(
        "--profiles", type=int, default=1, choices=range(1, 5), help="how many of the four kinds"
    )
    parser.add_argument("--symbols", type=int, default=2, help="how many symbols in all")
    parser.add_argument(
        "--simulate-year",
        action="store_true",
        help="four profiles, 20 symbols, 365 days in --minutes",
    )
    parser.add_argument("--simulate-days", type=int, default=0, help="the same with so many days")
    parser.add_argument("--empty", action="store_true", help="fill nothing before it begins")
    parser.add_argument("--port", type=int, default=13700)
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("left_on"),
        help="name of the CSV and the picture, without ending",
    )
    parser.add_argument(
        "--home", type=Path, help="an empty folder to be kept, in place of a temporary one"
    )
    parser.add_argument(
        "--redraw", type=Path, help="only draw and print the figures of this CSV again"
    )
    options = parser.parse_args()
    if options.redraw:
        report(read_csv(options.redraw), options.redraw.with_suffix(""))
        return
    days = 365 if options.simulate_year else options.simulate_days
    options.minutes = options.minutes or (130 if options.simulate_year else 60)
    plan = fast_plan(days, options.minutes) if days else plain_plan(options)
    with home_folder(options.home) as home:
        rows = leave_on(
            plan,
            home,
            port=options.port,
            every=options.every,
            target=options.out.with_suffix(".csv"),
        )
    report(rows, options.out)


def plain_plan(options: argparse.Namespace) -> Plan:
    """Real time and all defaults."""
    names = list(KINDS)[: options.profiles]
    length = timedelta(minutes=options.minutes)
    return Plan(spread(names, options.symbols), length, filled=not options.empty)


def fast_plan(days: int, minutes: float) -> Plan:
    """Days that end now, so that no candle is of the future, with what happens in a year."""
    length, simulated = timedelta(minutes=minutes), timedelta(days=days)
    origin = datetime.now(UTC) - simulated
    profiles = spread(list(KINDS), 20)
    unknown, delisted = "NOSUCHUSDT", profiles["crypto"][1]
    profiles["crypto"] = (*profiles["crypto"][:-1], unknown)
    delisting, outage = origin + simulated * 0.33, origin + simulated * 0.55
    refused = {
        "fault": "error",
        "symbols": [unknown],
        "status": 400,
        "code": -1121,
        "message": "Invalid symbol.",
    }
    gone = {"fault": "hole", "symbols": [delisted], "start": _iso(delisting)}
    down = {"fault": "error", "status": 503, "message": "The exchange is down."}
    return Plan(
        profiles,
        length,
        speed=simulated / length,
        origin=origin,
        settings=FAST_SETTINGS,
        prune=PRUNE_EVERY,
        events=[
            (origin, f"{unknown} is unknown to the vendor", [refused, gone]),
            (delisting, f"{delisted} is delisted", [refused, gone]),
            (outage, "the source is down for a day", [refused, gone, down]),
            (outage + timedelta(days=1), "", [refused, gone]),
        ],
    )


PRUNE_EVERY = timedelta(minutes=2)
"""How often the run of the daily schedule `retention` is launched, in its place.

The schedule goes by real time, and would not tick.
"""

FAST_SETTINGS = """
# Schedules and sensors go by real time: an update a minute, \
which takes the newest three days, and a repair now and then.
repair: {every: 5m}
"""


def spread(names: Sequence[str], symbols: int) -> dict[str, tuple[str, ...]]:
    """So many symbols, dealt out to the profiles in turn."""
    counts = Counter(names[number % len(names)] for number in range(symbols))
    for name in names:
        if not 0 < counts[name] <= len(KINDS[name]):
            sys.exit(
                f"--symbols {symbols}: {name} has 1 to {len(KINDS[name])} symbols, "
                f"not {counts[name]}"
            )
    return {name: KINDS[name][: counts[name]] for name in names}


def universe_of(plan: Plan, url: str) -> str:
    """The universe file: as the README writes one, with the vendor's address."""
    start = plan.origin.date() - timedelta(days=plan.days_before)
    profiles = "".join(
        f"""
  {name}:
    kind: {name.upper()}
    start: {start}
    timeframes: {{fetch: [1m], derive: [5m, 15m, 1h, 1d]}}
    sources: [practice]
    symbols: {{{", ".join(f"{symbol}: {{}}" for symbol in symbols)}}}
"""
        for name, symbols in plan.profiles.items()
    )
    return (
        f'sources:\n  practice: {{base_url: "{url}", retries: 1, backoff: '
        f"0.2}}\n{plan.settings}profiles:{profiles}"
    )


@contextmanager
def home_folder(path: Path | None) -> Iterator[Path]:
    """A folder that goes with the end, or the one that was named."""
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)
        yield path.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="left_on_"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Running


def leave_on(
    plan: Plan, home: Path, *, port: int, every: float, target: Path
) -> list[dict[str, Any]]:
    """Run `up` over the home, look at it again and again, stop it, and give what was seen."""
    from market_assets.practice.book import Market  # noqa: PLC0415 - to redraw needs none of it
    from market_assets.practice.vendor import PracticeVendor  # noqa: PLC0415

    adopt_orphans()
    clock = simulated_clock(plan)
    # Symbols without a kind of their own: each is asked for by the profile of its kind.
    kinds = {
        symbol: {"kind": name} for name, symbols in plan.profiles.items() for symbol in symbols
    }
    market = Market.model_validate(
        {"symbols": kinds, "faults": plan.events[0][2] if plan.events else []}
    )
    with PracticeVendor(market, clock) as vendor:
        universe = home.parent / f"{home.name}.yaml"
        universe.write_text(universe_of(plan, vendor.url))
        environment: dict[str, str] = {
            **os.environ,
            "MARKET_ASSETS_HOME": str(home),
            "MARKET_ASSETS_UNIVERSE": str(universe),
            "PYTHONWARNINGS": "ignore",
        }
        environment.pop("DAGSTER_HOME", None)
        try:
            set_clock(environment, plan.origin, STANDING if plan.speed != 1 else 1)
            if plan.filled:
                print(f"filling {plan.days_before} days before it begins", flush=True)
                terminal(environment, "backfill", "--json")
            set_clock(environment, plan.origin, plan.speed)
            return watch(
                plan, home, environment, clock, vendor, port=port, every=every, target=target
            )
        finally:
            universe.unlink(missing_ok=True)


def watch(
    plan: Plan,
    home: Path,
    environment: dict[str, str],
    clock: Callable[[], datetime],
    vendor: PracticeVendor,
    *,
    port: int,
    every: float,
    target: Path,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    events, happened = list(plan.events), list[str]()
    pruned = 0.0
    command = [sys.executable, "-m", "market_assets.cli", "up", "--port", str(port), "--json"]
    with (
        (home.parent / f"{home.name}.up.log").open("w") as log,
        target.open("w", newline="") as out,
    ):
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        spent = cpu_of_children()
        began = time.monotonic()
        try:
            for number in range(int(plan.length.total_seconds() / every) + 1):
                while (left := began + number * every - time.monotonic()) > 0:
                    happened += happen(events, clock(), vendor)
                    time.sleep(min(left, 0.5))
                if process.poll() is not None:
                    print(
                        f"up has ended by itself with {process.returncode}; {log.name} may say why",
                        flush=True,
                    )
                    break
                seconds, before = time.monotonic() - began, rows[-1] if rows else None
                row = look(
                    home, process.pid, seconds=seconds, instant=clock(), spent=spent, before=before
                )
                row["event"] = "; ".join(happened)
                if plan.prune and seconds >= pruned + plan.prune.total_seconds():
                    pruned = seconds
                    prune(port)
                happened.clear()
                rows.append(row)
                writer = csv.DictWriter(out, row)
                if len(rows) == 1:
                    writer.writeheader()
                writer.writerow(row)
                out.flush()
                if number % max(1, round(60 / every)) == 0:
                    print(one_line(row), flush=True)
        finally:
            stop(process)
    set_clock(environment, clock(), STANDING if plan.speed != 1 else 1)
    told = terminal(environment, "status", "--json")
    with suppress(ValueError):
        for series in json.loads(told):
            if series["timeframe"] == "1m":
                print(
                    *(
                        series[name]
                        for name in (
                            "profile",
                            "symbol",
                            "expected",
                            "missing",
                            "last_ts",
                            "health",
                        )
                    )
                )
    return rows


def happen(
    events: list[tuple[datetime, str, list[dict[str, Any]]]], now: datetime, vendor: PracticeVendor
) -> list[str]:
    """Let the vendor do what is due by now, and give what is said of it."""
    from market_assets.practice.faults import Fault  # noqa: PLC0415 - to redraw needs none of it

    said = []
    while events and events[0][0] <= now:
        _, words, faults = events.pop(0)
        vendor.set_faults([Fault.model_validate(fault) for fault in faults])
        if words:
            print(f"{now:%Y-%m-%d %H:%M} {words}", flush=True)
            said.append(words)
    return said


PRUNE = """
mutation {
  launchRun(
    executionParams: {
      selector: {
        repositoryLocationName: "market_assets.definitions"
        repositoryName: "__repository__"
        jobName: "retention"
      }
      executionMetadata: {
        tags: [
          {key: "market_assets/automatic", value: "true"}
          {key: "dagster/priority", value: "9"}
        ]
      }
    }
  ) { __typename ... on PythonError { message } }
}
"""
"""What the schedule `retention` asks for where its tick does not suffice, with the same tags."""


def prune(port: int) -> None:
    """Launch the run of the daily prune by the pages; it takes turns with the other runs."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": PRUNE}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            text = answer.read().decode()
    except OSError as error:
        text = str(error)
    if "LaunchRunSuccess" not in text:
        print(f"no prune: {text[:300]}", flush=True)


def simulated_clock(plan: Plan) -> Callable[[], datetime]:
    """The clock that `up` and the vendor share."""
    if plan.speed == 1:
        return lambda: datetime.now(UTC)
    # Its environment variable has just been set.
    from market_assets.market.clock import present  # noqa: PLC0415

    return present


STANDING = 0.000001
"""The speed of a clock that stands: what is done before and after takes no time by it."""


def set_clock(environment: dict[str, str], instant: datetime, speed: float) -> None:
    """Set the clock of this process and of those that get the environment.

    At real speed the clock is the machine's.
    """
    if speed != 1:
        clock = f"{_iso(instant)}@{datetime.now(UTC).isoformat()}*{speed:.6f}"
        os.environ["MARKET_ASSETS_CLOCK"] = environment["MARKET_ASSETS_CLOCK"] = clock


def terminal(environment: Mapping[str, str], *arguments: str) -> str:
    """What a command of the terminal prints; what it costs is not counted."""
    command = [sys.executable, "-m", "market_assets.cli", *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    if done.returncode not in {0, 3}:
        sys.exit(
            f"market-assets {' '.join(arguments)} ended with {done.returncode}\n"
            f"{done.stderr[-2000:]}"
        )
    return done.stdout


def stop(process: subprocess.Popen[bytes]) -> None:
    """End `up` as a user does, and what is left after half a minute by force."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    for sign, patience in ((None, 30), (signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        for pid in processes():
            with suppress(ProcessLookupError):
                os.kill(pid, sign or 0)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            process.poll()
            reap(process.pid)
            if not processes():
                return
            time.sleep(0.2)


# Looking


def look(
    home: Path,
    up: int,
    *,
    seconds: float,
    instant: datetime,
    spent: float,
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """All figures of one instant; processor time since the start."""
    reap(up)
    there = processes()
    cpu = cpu_of_children() + sum(cpu_of(pid) for pid in there) - spent
    memory = [memory_of(pid) for pid in there]
    files, sizes = files_of(home)
    row: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "instant": f"{instant:%Y-%m-%dT%H:%M:%SZ}",
        "processes": len(there),
        "threads": sum(threads_of(pid) for pid in there),
        "cpu_seconds": round(cpu, 2),
        "cpu_percent": 0.0,
        "rss_mb": round(sum(rss for rss, _ in memory) / 1024, 1),
        "pss_mb": round(sum(pss for _, pss in memory) / 1024, 1),
        "files": files,
        "bytes": sum(sizes.values()),
        **{f"{part} bytes": sizes[part] for part in PARTS},
        "beside_candles": sum(sizes.values()) - sizes["candles"],
        "under_way": count(home, "runs.db", UNDER_WAY)[0],
        "runs": count(home, "runs.db", "SELECT count(*), max(id) FROM runs")[0],
        "runs_ever": count(home, "runs.db", "SELECT count(*), max(id) FROM runs")[1],
        "ticks": count(home, "schedules.db", "SELECT count(*), max(id) FROM job_ticks")[0],
    }
    if before is not None:
        row["cpu_percent"] = round(
            100 * (cpu - before["cpu_seconds"]) / (seconds - before["seconds"]), 1
        )
    return row


UNDER_WAY = "SELECT count(*), 0 FROM runs WHERE status IN ('STARTING', 'STARTED', 'CANCELING')"
"""Counts the runs that have a process."""


def adopt_orphans() -> None:
    """Make each process that loses its parent a child of this one: seen, counted and stopped."""
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


def processes() -> list[int]:
    """All descendants of this process that are alive."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and (fields := stat_of(int(path.name))) and fields[0] != "Z":
            parents[int(path.name)] = int(fields[1])
    found, fresh = set[int](), {os.getpid()}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return sorted(found)


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent and so on.

    The list is empty where the process is gone.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_of(pid: int) -> float:
    """Seconds of a process and of those of its children that are gone."""
    fields = stat_of(pid)
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def threads_of(pid: int) -> int:
    fields = stat_of(pid)
    return int(fields[17]) if fields else 0


def cpu_of_children() -> float:
    """Seconds of the children of this process that are gone, orphans too."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_of(pid: int) -> tuple[int, int]:
    """RSS and PSS in KiB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0, 0
    figures = {line.partition(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return figures["Rss"], figures["Pss"]


def reap(but: int) -> None:
    """Bury the orphans that this process has adopted, so that their time is counted."""
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and (pid := int(path.name)) != but:
            fields = stat_of(pid)
            if fields and fields[0] == "Z" and int(fields[1]) == os.getpid():
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def files_of(home: Path) -> tuple[int, Counter[str]]:
    """How many files there are, and the bytes that each part takes on the disk."""
    files, sizes = 0, Counter[str]()
    for folder, _, names in os.walk(home):
        for name in names:
            with suppress(FileNotFoundError):
                sizes[_part_of(Path(folder, name).relative_to(home))] += (
                    Path(folder, name).stat().st_blocks * 512
                )
                files += 1
    return files, sizes


def _part_of(path: Path) -> str:
    name = path.name
    if name.startswith("market.duckdb"):
        return "candles"
    for start, part in (("schedules.db", "schedules"), ("index.db", "events"), ("runs.db", "runs")):
        if name.startswith(start):
            return part
    if ".db" in name:
        return "run files"
    return (
        "logs"
        if "log" in str(path) or name in {"out", "err"} or path.suffix in {".out", ".err"}
        else "rest"
    )


def count(home: Path, name: str, sql: str) -> tuple[int, int]:
    """Two numbers out of one of Dagster's files, zero where it is not there or busy."""
    path = next(home.rglob(name), None)
    if path is None:
        return 0, 0
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as connection,
    ):
        first, second = connection.execute(sql).fetchone()
        return first or 0, second or 0
    return 0, 0


# Telling


def one_line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['seconds'] / 60:6.1f} min  {row['instant'][:16]}  {row['processes']} processes  "
        f"{row['pss_mb']:.0f} MB  "
        f"{row['cpu_seconds']:.0f} s of processor  {row['files']:,} files  "
        f"{row['bytes'] / 1e6:.1f} MB "
        f"({row['beside_candles'] / 1e6:.1f} beside the candles)  {row['runs_ever']:,} runs  "
        f"{row['ticks']:,} ticks"
    )


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as lines:
        return [
            {
                name: text if name in {"instant", "event"} else float(text)
                for name, text in row.items()
            }
            for row in csv.DictReader(lines)
        ]


def report(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Print the table of growth, and write the picture beside the CSV."""
    if len(rows) < 3:
        sys.exit("too few looks to tell anything")
    # The first fifth is the start: processes load, and what was missed is filled.
    calm = rows[len(rows) // 5 :]
    hours = (calm[-1]["seconds"] - calm[0]["seconds"]) / 3600
    days = (instant_of(calm[-1]) - instant_of(calm[0])) / timedelta(days=1)
    print(f"\n{'':22}{'first':>12}{'last':>12}{'an hour':>12}{'a day':>12}")
    for name, unit in TABLE:
        first, last = rows[0][name] / unit, rows[-1][name] / unit
        # A line through all looks: what comes and goes within minutes is no growth.
        growth = (
            fitted([row["seconds"] for row in calm], [row[name] / unit for row in calm])
            * hours
            * 3600
        )
        print(f"{name:22}{first:12,.1f}{last:12,.1f}{growth / hours:12,.2f}{growth / days:12,.2f}")
    share = (calm[-1]["cpu_seconds"] - calm[0]["cpu_seconds"]) / (hours * 36)
    peak = max(row["pss_mb"] for row in rows)
    print(f"\nprocessor: {share:.1f} % of a core; memory at most {peak:.0f} MB (PSS) in all")
    # Figures of earlier times do not tell of runs.
    for runs in sorted({row["under_way"] for row in calm if "under_way" in row}):
        sizes = sorted(row["pss_mb"] for row in calm if row["under_way"] == runs)
        middle = sizes[len(sizes) // 2]
        print(
            f"  with {runs:.0f} runs under way: {middle:.0f} MB, "
            f"at most {sizes[-1]:.0f} ({len(sizes)} looks)"
        )
    print(
        "bytes are in MB; the first fifth of the time is left out of the growth; "
        "a day is one of the clock that `up` goes by"
    )
    from left_on_picture import draw  # noqa: PLC0415 - beside this script

    out.with_suffix(".png").write_bytes(draw(rows))
    print(f"{out.with_suffix('.csv')}, {out.with_suffix('.png')}")


def fitted(times: Sequence[float], values: Sequence[float]) -> float:
    """The slope of the straight line that lies closest to the values."""
    mean = sum(times) / len(times)
    spread_of_times = sum((instant - mean) ** 2 for instant in times)
    return (
        sum((instant - mean) * value for instant, value in zip(times, values, strict=True))
        / spread_of_times
    )


MB = 1e6
TABLE = (
    ("cpu_seconds", 1.0),
    ("pss_mb", 1.0),
    ("rss_mb", 1.0),
    ("processes", 1.0),
    ("files", 1.0),
    ("runs_ever", 1.0),
    ("ticks", 1.0),
    ("bytes", MB),
    ("beside_candles", MB),
    *((f"{part} bytes", MB) for part in PARTS),
)


def instant_of(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(row["instant"])


def _iso(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}Z"


if __name__ == "__main__":
    # A reader of the terminal may go away; what runs is stopped all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    main()
