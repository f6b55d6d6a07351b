"""A stream of many symbols for hours, with faults and kills; then every bar is looked at.

    python benchmarks/stream_trial.py                      200 symbols, six hours at 60 times the
                                                           speed, every fault of the practice
                                                           vendor; backfill, repair and a reader
                                                           beside it
    python benchmarks/stream_trial.py --kills 20           the same, and twenty times kill -9
    python benchmarks/stream_trial.py --daemon-kills 5     the same by `market-assets up`: a run of
                                                           Dagster streams, and its daemon, or all
                                                           of `up`, is killed five times
    python benchmarks/stream_trial.py --updates 10         with an update every ten seconds of this
                                                           machine beside it, as well as repairs
    python benchmarks/stream_trial.py --hours 0.1 --speed 1 --calm --alone
                                                           six minutes as they are: what a stream
                                                           costs, and how late its bars are

The vendor, REST and WebSockets alike, is a process of its own on loopback; `market-assets stream`,
or `market-assets up`, is another. Both have one clock, which runs fast. The day is open from
midnight to noon, where the stream begins, until the backfill beside it has filled that; with
`--alone` it stays open.

At the end the faults stop, and ten minutes of the clock later, or once no bar lacks, the stream is
asked to end. Then each stored bar is compared with the vendor's truth, bit by bit, over the whole
time of the stream: no bar may be missing, wrong, twice, or unfinished. Lag is the time from the end
of a bar until it was stored, in seconds of this machine, of bars that closed while they were
streamed; `since received` is the part of it for which the vendor is not to blame. Memory is what
the process has for itself (USS). Of a run of Dagster the lags are those that the last one has noted
in `ops.streams`; what it and the platform cost is not measured. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import polars as pl
import yaml

import market_assets
from market_assets.config.load import load_universe
from market_assets.config.sources import sources_of
from market_assets.defs.automation.runs import instance_at
from market_assets.errors import MarketAssetsError
from market_assets.live.update import update_profile
from market_assets.market.clock import CLOCK_VARIABLE, fast_clock, machine, present
from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.book import Market, simulation_of
from market_assets.practice.faults import Fault
from market_assets.practice.simulate import Instrument
from market_assets.practice.stream_faults import StreamFault
from market_assets.practice.streams import PracticeStreams
from market_assets.practice.vendor import PracticeVendor
from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MINUTE = timedelta(minutes=1)
ORIGIN = datetime(2025, 3, 3, 12, tzinfo=UTC)
"""What the clock shows when the vendor starts: the day is half over."""

FIRST_DAY = ORIGIN.date() - timedelta(days=1)
OHLCV = ("open", "high", "low", "close", "volume")
_TERMINATED = 143
_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK = 2.0
"""Real seconds between two looks at the stream's process."""

_CALM = timedelta(minutes=10)
"""How long the stream goes on after the faults at least, by the clock."""

_PAUSE = 20.0
"""Real seconds between two repairs."""

_START = 240.0
"""Real seconds in which a stream has to be live after it, or its daemon, was started."""

_STILL_TO_COME, _ON_THE_WAY = timedelta(minutes=3), timedelta(seconds=5)
"""What has closed in the last minutes before the end may lack, by the clock, or in the last seconds
of this machine.

A symbol that the vendor refuses comes by REST alone, once a minute. What closed in the moment of
the end is left to the next session.
"""

_LONGEST = 300.0
"""After so many seconds a bar that lacks is a hole."""


def stream_faults(symbols: Sequence[str]) -> list[StreamFault]:
    """Every fault that a stream of the practice vendor can have."""
    bars = len(symbols)

    def fault(name: str, **keys: object) -> StreamFault:
        return StreamFault.model_validate({"fault": name, **keys})

    def between(first: float, last: float) -> dict[str, object]:
        return {"start": ORIGIN + first * MINUTE, "end": ORIGIN + last * MINUTE}

    return [
        fault("duplicate", every=7),
        fault("swap", every=11 * 5),
        fault("late", every=13 * 5, seconds=15),
        fault("revision", every=17 * 5, seconds=30),
        fault("unclosed", every=31 * 5),
        fault("empty", every=97 * 5),
        fault("truncated", every=200 * bars),
        fault("wrong_types", every=230 * bars),
        fault("stranger", every=50 * bars),
        fault("slow", every=290 * bars, seconds=0.5),
        fault("drop", every=400),
        fault("cut", seconds=4_000),
        fault("no_connection", every=3, status=503),
        fault("shutdown", seconds=20, times=2, **between(100, 350)),
        fault("silence", **between(40, 43)),
        fault("heartbeats", **between(70, 75)),
        fault("mute", symbols=frozenset(symbols[:3]), **between(120, 140)),
        fault("refuse", symbols=frozenset(symbols[3:5]), permanent=False, **between(160, 200)),
    ]


REST_FAULTS = (
    Fault(fault="error", every=41, status=503),
    Fault(fault="error", every=97, status=429, retry_after=1),
    Fault(fault="truncated", every=53),
    Fault(fault="cut", every=67),
    Fault(fault="html", every=71),
    Fault(fault="short", every=37, rows=20),
    Fault(fault="unsorted", every=43),
    Fault(fault="delay", every=59, seconds=1),
    Fault(fault="revision", every=61, heals_after=150),
)


@dataclass
class Ground:
    """Where a trial takes place, and what was seen of it."""

    folder: Path
    symbols: list[str]
    clock: str
    speed: float
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        own = {name: text for name, text in os.environ.items() if name != "DAGSTER_HOME"}
        return {
            **own,
            CLOCK_VARIABLE: self.clock,
            "MARKET_ASSETS_HOME": str(self.folder / "home"),
            "MARKET_ASSETS_UNIVERSE": str(self.folder / "universe.yaml"),
        }

    def now(self) -> datetime:
        return fast_clock(self.clock).at(machine())

    def sleep_until(self, instant: datetime) -> None:
        time.sleep(max(0.0, (instant - self.now()) / timedelta(seconds=1)) / self.speed)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def command(self, *words: str, **options: int | IO[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "market_assets.cli", *words]
        process = subprocess.Popen(command, env=self.environ, text=True, **options)
        self.processes.append(process)
        return process


# The vendor ---------------------------------------------------------------------------------------


def serve(symbols: list[str], update: float, *, calm: bool) -> None:
    """Serve until the parent closes the pipe; a line on it ends the faults."""
    market = Market(
        symbols={symbol: Instrument() for symbol in symbols},
        faults=[] if calm else [*REST_FAULTS],
    )
    with (
        PracticeVendor(market, present) as vendor,
        PracticeStreams(market, update=update) as streams,
    ):
        if not calm:
            streams.set_faults(stream_faults(symbols))
        print(vendor.url, streams.url("binance"), flush=True)
        sys.stdin.readline()
        vendor.set_faults([])
        streams.set_faults([])
        sys.stdin.read()


def started_vendor(
    ground: Ground, update: float, *, calm: bool, in_dagster: bool
) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "--serve", "--symbols", str(len(ground.symbols))]
    words += ["--update", str(update), *(["--calm"] if calm else [])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(words, env=ground.environ, **pipes)
    ground.processes.append(process)
    rest, stream = process.stdout.readline().split()
    source = {"type": "practice", "base_url": rest, "stream_url": stream, "retries": 2}
    profile = {
        "kind": "CRYPTO",
        "start": FIRST_DAY.isoformat(),
        "timeframes": {"fetch": ["1m"], "derive": ["5m", "1h"]},
        "sources": ["vendor"],
        "symbols": {symbol: {} for symbol in ground.symbols},
        "stream": {"total_timeout": "7d", "enabled": in_dagster},
    }
    universe = {"sources": {"vendor": source}, "profiles": {"live": profile}}
    (ground.folder / "universe.yaml").write_text(yaml.safe_dump(universe))
    return process


# The stream ---------------------------------------------------------------------------------------


class Streamer:
    """`market-assets stream`, started again whenever it is killed."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._is_ending = False
        self.process = self._started()
        self.kills = 0
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def _started(self) -> subprocess.Popen[str]:
        process = self._ground.command("stream", "live", "--json", stdout=subprocess.PIPE)
        threading.Thread(target=self._read, args=(process,), daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout:
            report = json.loads(line)
            if "lags" not in report:
                self._ground.errors.append(line[:500])
                continue
            report["process"] = process.pid
            del report["symbols"]
            self._ground.reports.append(report)
        if process.wait() not in {-signal.SIGKILL, _TERMINATED}:
            self._ground.errors.append(f"the stream ended by itself: {process.returncode}")
            self.process = self._started()

    def kill(self) -> None:
        """End it without a word, and start another."""
        self.kills += 1
        self.process.kill()
        self.process.wait()
        self.process = self._started()

    def end(self) -> int:
        """Ask it to end."""
        self._is_ending = True
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)

    def _watch(self) -> None:
        """Look at its memory and its processor time."""
        pid, seconds = 0, 0.0
        while not self._is_ending:
            time.sleep(_LOOK)
            try:
                smaps = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
                fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
            except OSError:
                continue
            uss = sum(
                int(line.split()[1]) for line in smaps.splitlines() if line.startswith("Private_")
            )
            spent = sum(map(int, fields.split()[11:13])) / _TICKS
            before = seconds if pid == self.process.pid else 0.0
            pid, seconds = self.process.pid, spent
            self._ground.seconds += max(0.0, spent - before)
            self._ground.memory.append((time.monotonic(), uss / 1024))


class Daemon:
    """`market-assets up`, which keeps a run alive that streams.

    Each second kill is one of the supervisor, with which all of its processes end; the others are
    of the process of pages and daemon, which the supervisor starts again.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.kills = 0
        self.process = self._started()
        self._wait_for("a stream that is live", self._is_live)

    def _started(self) -> subprocess.Popen[str]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with (self._ground.folder / "up.log").open("a") as log:
            return self._ground.command("up", "--port", str(port), "--json", stdout=log)

    def kill(self) -> None:
        """End a process without a word, and wait until a stream is live again."""
        self.kills += 1
        began = machine().replace(tzinfo=None)
        if self.kills % 2:
            self._wait_for("pages", lambda: "serve pages" in self._members())
            os.kill(self._members()["serve pages"], signal.SIGKILL)
        else:
            self.process.kill()
            self.process.wait()
            self._wait_for("the end of all processes", lambda: not self._members())
            self.process = self._started()
        words = f"a live stream after kill {self.kills} at {began:%H:%M:%S}"
        self._wait_for(words, self._is_live)

    def end(self) -> int:
        """Ask it to end."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=120)

    def figures(self) -> dict[str, object]:
        """What the store and Dagster know of the streams."""
        with market_assets.connect() as store:
            lags = store.execute(
                "SELECT max(lag_p50), max(lag_p99), max(reconnects), max(dropped) FROM ops.streams"
            ).fetchone()
        with instance_at(self._ground.home) as instance:
            statuses = [
                run.status.value for run in instance.get_runs() if run.job_name == "stream_live"
            ]
        return {
            "kills of the daemon and of all": self.kills,
            "runs that streamed": dict(Counter(statuses)),
            # Of one that was killed soon after it began there are none.
            "lag p50, p99 of the last (s)": [
                None if lag is None else round(lag / self._ground.speed, 2) for lag in lags[:2]
            ],
            "its reconnects, left to REST": list(lags[2:]),
        }

    def _is_live(self) -> bool:
        """Whether a session has noted lately that it streams."""
        os.environ.update(self._ground.environ)
        try:
            with market_assets.connect() as store:
                rows = store.execute(
                    "SELECT max(noted_at) FROM ops.streams WHERE state = 'live'"
                ).fetchone()
        except MarketAssetsError:
            return False
        noted_at = rows[0] if rows else None
        lately = self._ground.now() - timedelta(seconds=15)
        return noted_at is not None and noted_at.replace(tzinfo=UTC) >= lately

    def _members(self) -> dict[str, int]:
        """The processes of this home's `up` without its supervisor, by their names."""
        mark = f"MARKET_ASSETS_UP_ALIVE={self._ground.home}".encode()
        members = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    members[(entry / "comm").read_text().strip()] = int(entry.name)
            except OSError:
                continue
        return members

    def _wait_for(self, words: str, condition: Callable[[], object]) -> object:
        end = time.monotonic() + _START
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(_LOOK / 2)
        raise SystemExit(f"{words} took longer than {_START:g} s: see {self._ground.folder}/up.log")


# What goes on beside it ---------------------------------------------------------------------------


def beside(ground: Ground, stop: threading.Event) -> None:
    """Backfill once, then repair again and again."""
    for words in repeated(["backfill", "live"], ["repair", "live"]):
        process = ground.command(*words, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _, error = process.communicate()
        if process.returncode not in {0, 1, 3}:
            ground.errors.append(f"{words[0]}: {process.returncode}: {error[-300:]}")
        if stop.wait(_PAUSE):
            return


def repeated(*commands: list[str]) -> Iterator[list[str]]:
    """Each command once, and the last one forever."""
    yield from commands
    while True:
        yield commands[-1]


def go_on(ground: Ground, stop: threading.Event, *options: str) -> None:
    """Have a process do what it does again and again, until it is to stop."""
    words = [sys.executable, __file__, *options]
    process = subprocess.Popen(words, env=ground.environ, text=True, stdin=subprocess.PIPE)
    ground.processes.append(process)
    stop.wait()
    process.stdin.close()
    if process.wait():
        ground.errors.append(f"{options[0]}: {process.returncode}")


def update(pause: float) -> None:
    """Update every so many real seconds, as the schedule does, until the parent closes the pipe.

    An update comes each minute as a rule and asks again for the newest five bars: for some more
    than have closed since the one before. Here many minutes of the clock lie between two of them.
    """
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    universe = load_universe()
    profile = universe.profiles["live"]
    home = Path(os.environ["MARKET_ASSETS_HOME"])
    store = Store(home, clock=present, patience=timedelta(seconds=30))
    count, errors = 0, 0
    usual, before = profile.update, present()
    while not over.wait(pause):
        now = present()
        recheck = usual.recheck + ceil((now - before) / MINUTE)
        before = now
        settings = usual.model_copy(update={"recheck": recheck})
        updated = update_profile(
            store,
            sources_of(universe, profile),
            universe,
            profile.model_copy(update={"update": settings}),
            now=present() - profile.update.settle,
            busy=lambda *_: (),
        )
        count, errors = count + 1, errors + bool(updated.errors)
    print(f"updates beside: {count}, with an error: {errors}", flush=True)


def read() -> None:
    """Read the last hour of all symbols each second, until the parent closes the pipe."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    while not over.wait(1):
        try:
            rows = market_assets.read("live", "candles_1m", start=present() - timedelta(hours=1))
        except MarketAssetsError:
            continue
        if rows.select("symbol", "ts").is_duplicated().any():
            raise SystemExit("a reader saw a bar twice")


# Afterwards ---------------------------------------------------------------------------------------


def judged(ground: Ground, first: datetime, end: datetime) -> dict[str, object]:
    """Compare what is stored with the vendor's truth, nearly to the newest bar."""
    os.environ.update(ground.environ)
    stored = market_assets.read("live", "candles_1m", start=first)
    newest = stored["ts"].max().replace(tzinfo=UTC)
    still_to_come = max(_STILL_TO_COME, _ON_THE_WAY * ground.speed)
    last = max(end.replace(second=0, microsecond=0), newest + MINUTE - still_to_come)
    stored = stored.select("symbol", pl.col("ts").dt.replace_time_zone(None), *OHLCV).filter(
        pl.col("ts") < last.replace(tzinfo=None)
    )
    market = Market(symbols={symbol: Instrument() for symbol in ground.symbols})
    truth = pl.concat(
        simulation_of(market, symbol)
        .candles(Timeframe.M1, Window(first, last), last + timedelta(days=40))
        .select(
            pl.lit(symbol).alias("symbol"),
            pl.from_epoch("ts", "ms").cast(pl.Datetime("us")),
            *OHLCV,
        )
        for symbol in ground.symbols
    )
    key = ["symbol", "ts"]
    both = stored.join(truth, on=key, suffix="_true")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_true")) for name in OHLCV)
    wrong = both.filter(differs)
    holes = truth.join(stored, on=key, how="anti")
    foreign = stored.join(truth, on=key, how="anti")
    return {
        "bars": len(stored),
        "true": len(truth),
        "wrong": len(wrong),
        "holes": len(holes),
        "foreign": len(foreign),
        "double": int(stored.select(key).is_duplicated().sum()),
        "examples": [
            str(row) for part in (wrong, holes, foreign) for row in part.sort(key).head(4).rows()
        ],
    }


def until_whole(ground: Ground, first: datetime, last: datetime) -> float:
    """Wait until no bar of a window lacks; the seconds that this took."""
    began = time.monotonic()
    os.environ.update(ground.environ)
    window = Window(first, last - 2 * MINUTE)
    bars = int((window.end - window.start) / MINUTE) * len(ground.symbols)
    while time.monotonic() - began < _LONGEST:
        rows = market_assets.read("live", "candles_1m", start=window.start, end=window.end)
        if len(rows) >= bars:
            break
        time.sleep(_LOOK)
    return time.monotonic() - began


def quantile(numbers: Sequence[float], share: float) -> float | None:
    """A quantile to the hundredth, None without numbers."""
    ordered = sorted(numbers)
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2) if ordered else None


def summed(ground: Ground, streamer: Streamer, real: float) -> dict[str, object]:
    """What the reports and the process have shown."""
    lags = [lag / ground.speed for report in ground.reports for lag in report["lags"]]
    delays = [delay / ground.speed for report in ground.reports for delay in report["delays"]]
    waits = [wait / ground.speed for report in ground.reports for wait in report["waits"]]
    commits = [report for report in ground.reports if report["stored"] or report["revised"]]
    memory = [megabytes for _, megabytes in ground.memory]
    thirds = [memory[len(memory) * part // 6 : len(memory) * (part + 1) // 6] for part in (1, 3, 5)]
    last = {report["process"]: report for report in ground.reports}.values()
    return {
        "minutes": round(real / 60, 1),
        "kills": streamer.kills,
        "bars on time": len(lags),
        "lag p50, p99, max (s)": [quantile(lags, 0.5), quantile(lags, 0.99), quantile(lags, 1.0)],
        "since received": [quantile(delays, share) for share in (0.5, 0.99, 1.0)],
        "bars that waited for REST": len(waits),
        "their lag": [quantile(waits, share) for share in (0.5, 0.99, 1.0)],
        "commits": len(commits),
        "from the stream": sum(report["stored"] for report in ground.reports),
        "from REST": sum(report["caught_up"] for report in last),
        "revised": sum(report["revised_in_all"] for report in last),
        "reconnects": sum(report["reconnects"] for report in last),
        "left to REST": sum(report["left_to_rest"] for report in last),
        "of a core": f"{ground.seconds / real:.1%}",
        "memory in MB, early, midway, late": [quantile(part, 0.5) for part in thirds],
        "memory at most": quantile(memory, 1.0),
    }


def trial(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Stream for some hours of the clock, and judge what is stored."""
    symbols = [f"S{number:03}USDT" for number in range(given.symbols)]
    clock = f"{ORIGIN.isoformat()}@{machine().isoformat()}*{given.speed}"
    ground = Ground(folder, symbols, clock, given.speed)
    (folder / "home").mkdir()
    generator = random.Random(given.seed)  # noqa: S311 - it repeats
    stop = threading.Event()
    threads: list[threading.Thread] = []
    try:
        in_dagster = given.daemon_kills is not None
        vendor = started_vendor(ground, given.update, calm=given.calm, in_dagster=in_dagster)
        streamer = Daemon(ground) if in_dagster else Streamer(ground)
        began, first = time.monotonic(), ground.now()
        if not given.alone:
            threads = [
                threading.Thread(target=beside, args=(ground, stop)),
                threading.Thread(target=go_on, args=(ground, stop, "--read")),
            ]
        if given.updates:
            words = ("--update-beside", str(given.updates))
            threads.append(threading.Thread(target=go_on, args=(ground, stop, *words)))
        for thread in threads:
            thread.start()
        end = first + timedelta(hours=given.hours)
        for instant in sorted(
            first + timedelta(hours=given.hours) * generator.random()
            for _ in range(given.daemon_kills if in_dagster else given.kills)
        ):
            ground.sleep_until(instant)
            streamer.kill()
        ground.sleep_until(end)
        # A daemon that was killed may be long in coming back.
        end = max(end, ground.now())

        vendor.stdin.write("\n")
        vendor.stdin.flush()
        ground.sleep_until(end + (MINUTE if given.calm else _CALM))
        real = time.monotonic() - began
        begin = (first - timedelta(hours=2)).replace(second=0, microsecond=0)
        whole_after = until_whole(ground, begin, end) if not given.calm else 0.0
        began_ending = time.monotonic()
        code = streamer.end()
        ended = time.monotonic()
        stop.set()
        for thread in threads:
            thread.join()
        figures = (
            {"minutes": round(real / 60, 1), **streamer.figures()}
            if isinstance(streamer, Daemon)
            else summed(ground, streamer, real)
        )
        figures |= {"exit": code, "seconds to the end": round(ended - began_ending, 1)}
        figures |= {"seconds after the faults until whole": round(whole_after, 1)}
        return figures | {"errors": ground.errors[:5]} | judged(ground, begin, end)
    finally:
        stop.set()
        for process in ground.processes:
            if process.poll() is None:
                process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--hours", type=float, default=6, help="of the clock")
    parser.add_argument("--speed", type=float, default=60)
    parser.add_argument("--update", type=float, default=15, help="seconds between two updates")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--daemon-kills", type=int, help="stream by `up`, and kill its daemon")
    parser.add_argument("--updates", type=float, help="an update every so many real seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calm", action="store_true", help="without a fault")
    parser.add_argument("--alone", action="store_true", help="with nothing beside it")
    parser.add_argument("--keep", type=Path, help="where the home is left")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--update-beside", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        symbols = [f"S{number:03}USDT" for number in range(given.symbols)]
        serve(symbols, given.update, calm=given.calm)
    elif given.read:
        read()
    elif given.update_beside:
        update(given.update_beside)
    else:
        with tempfile.TemporaryDirectory(prefix="trial_") as name:
            folder = given.keep or Path(name)
            folder.mkdir(exist_ok=True)
            for words, value in trial(given, folder).items():
                print(f"{words}: {value}", flush=True)


if __name__ == "__main__":
    main()
