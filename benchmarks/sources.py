"""The sources beside their peer: how fast each reads its vendor's answers.

A whole fetch from a vendor that is 50 ms away is measured too.

    python benchmarks/sources.py                          the whole: some two minutes
    python benchmarks/sources.py --rounds 1 --days 3      a quick try

Ours and ccxt's take turns, each in a process of its own, in the opposite order in the next round.
Nothing but this machine is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from backfill import Task, practice_vendor, prepare_peer

from market_assets.market.timeframes import Timeframe
from market_assets.practice import formats
from market_assets.practice.book import Book, Market
from market_assets.practice.simulate import Instrument
from market_assets.sources.contract import build_source
from market_assets.sources.vendors.binance_zip import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from market_assets.practice.formats import Format

_HERE = Path(__file__).resolve().parent
_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")
_MEMBER = "BTCUSDT-1m-2024-01.csv"
_LATENCY = 0.05
_LONG_ENOUGH = 0.4
"""Seconds of CPU that an answer is read again and again for."""

OURS, PEER, TOGETHER = (
    "our binance source, 8 in flight",
    "ccxt, page after page for each symbol",
    "ccxt, 8 in flight",
)

Row = list[Any]


@dataclass(frozen=True)
class Case:
    """A full page of one vendor.

    Attributes:
        name: What it is called in the table.
        source: Our type.
        rows: Candles in the page.
        answer: Makes it out of Binance's rows: bytes, or what becomes JSON.
        exchange: ccxt's name for the vendor; None where it has none.
        settings: What our source needs to be built.
        kind: The kind of profile that it is built for.
        reads: Gives the candles of an answer.
    """

    name: str
    source: str
    rows: int
    answer: Callable[[list[Row]], Any]
    exchange: str | None = None
    settings: dict[str, object] = field(default_factory=dict)
    kind: str = "crypto"
    reads: Callable[[Any, bytes], pl.DataFrame] = lambda source, body: source.parse(body)


def _of(spoken: Format) -> Callable[[list[Row]], Any]:
    """A vendor's answer as the practice vendor writes it."""

    def answer(rows: list[Row]) -> Any:  # noqa: ANN401 - JSON
        ordered = rows[::-1] if spoken.newest_first and spoken.oldest_first is None else rows
        return spoken.answer(_SYMBOLS[0], [spoken.row(row) for row in ordered])

    return answer


def _named(row: Row, names: str) -> dict[str, Any]:
    """A row's open, high, low, close and volume as numbers under five names."""
    return dict(zip(names, map(float, row[1:6]), strict=True))


def _polygon(rows: list[Row]) -> Any:  # noqa: ANN401 - JSON
    results = [
        {**_named(row, "ohlcv"), "vw": float(row[4]), "t": row[0], "n": row[8]} for row in rows
    ]
    return {
        "ticker": _SYMBOLS[0],
        "status": "OK",
        "adjusted": False,
        "resultsCount": len(rows),
        "results": results,
    }


def _iso(row: Row) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(row[0] // 1000))}Z"


def _alpaca(rows: list[Row]) -> Any:  # noqa: ANN401 - JSON
    bars = [
        {**_named(row, "ohlcv"), "vw": float(row[4]), "t": _iso(row), "n": row[8]} for row in rows
    ]
    return {"bars": {_SYMBOLS[0]: bars}, "next_page_token": None}


def _oanda(rows: list[Row]) -> Any:  # noqa: ANN401 - JSON
    candles = [
        {
            "complete": True,
            "volume": row[8],
            "time": f"{_iso(row)[:-1]}.000000000Z",
            "mid": dict(zip("ohlc", row[1:5], strict=True)),
        }
        for row in rows
    ]
    return {"instrument": _SYMBOLS[0], "granularity": "M1", "candles": candles}


def _archive(rows: list[Row]) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(_MEMBER, "".join(f"{','.join(map(str, row))}\n" for row in rows))
    return packed.getvalue()


CASES = (
    Case("binance, spot", "binance", 1000, _of(formats.BINANCE), "binance"),
    Case("binance, USD-M", "binance", 499, _of(formats.BINANCE), "binanceusdm", {"market": "usdm"}),
    Case(
        "binance, a zip",
        "binance_archive",
        44_640,
        _archive,
        reads=lambda _, body: unpack(body, _MEMBER),
    ),
    Case("bybit", "bybit", 1000, _of(formats.BYBIT), "bybit"),
    Case("bitfinex", "bitfinex", 10_000, _of(formats.BITFINEX), "bitfinex"),
    Case("coinbase", "coinbase", 300, _of(formats.COINBASE), "coinbaseexchange"),
    Case("kraken", "kraken", 720, _of(formats.KRAKEN), "kraken"),
    Case("polygon", "polygon", 50_000, _polygon, settings={"key": "k"}, kind="equity"),
    Case("alpaca", "alpaca", 10_000, _alpaca, "alpaca", {"key": "k", "secret": "s"}, "equity"),
    Case("oanda", "oanda", 5000, _oanda, settings={"key": "k"}, kind="forex"),
)


def write_answers(folder: Path, task: Task) -> None:
    """Write each case's page, of simulated candles, and a list of what there is."""
    book = Book(Market(symbols={_SYMBOLS[0]: Instrument()}), lambda: task.end + timedelta(days=365))
    start = int(task.arguments[1])
    listed = []
    for case in CASES:
        last = start + case.rows * 60_000 - 1
        _, text = book.page(_SYMBOLS[0], Timeframe.M1, start, last, case.rows)
        rows = msgspec.json.decode(b"[" + text[:-1] + b"]")
        answer = case.answer(rows)
        (folder / case.name).write_bytes(
            answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        )
        known = {"name": case.name, "exchange": case.exchange, "symbol": _SYMBOLS[0]}
        listed.append({**known, "start": start, "rows": len(rows)})
    (folder / "cases.json").write_text(json.dumps(listed))


def read(folder: Path) -> dict[str, float]:
    """Candles a second of CPU of each of our sources, from the bytes of an answer to a frame."""
    found = {}
    for case in CASES:
        body = (folder / case.name).read_bytes()
        source: Any = build_source(case.source, case.settings, base=folder, kind=case.kind)
        rows, passes, began = 0, 0, time.process_time()
        while (spent := time.process_time() - began) < _LONG_ENOUGH:
            rows = len(case.reads(source, body))
            passes += 1
        if rows != case.rows:
            raise SystemExit(f"{case.name}: {rows} of {case.rows} rows were read")
        found[case.name] = passes * rows / spent
    return found


def _run(command: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
    """What a process prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}"
        )
    return json.loads(done.stdout)


def in_turns(contestants: dict[str, Sequence[str]], rounds: int) -> dict[str, list[Any]]:
    """Run every contestant once a round, each round in the opposite order of the one before."""
    found: dict[str, list[Any]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: 1 if number % 2 == 0 else -1]:
            print(f"round {number + 1} of {rounds}: {name} ...", file=sys.stderr, flush=True)
            found[name].append(_run(contestants[name]))
    return found


def print_reading(found: dict[str, list[dict[str, float]]]) -> None:
    """Print candles a second of CPU by vendor."""
    print("\nFrom the bytes of a full page to its candles, candles a second of CPU, median\n")
    print(f"{'':18}{'rows':>8}{'ours':>14}{'ccxt':>14}{'ratio':>8}")
    for case in CASES:
        rates = {
            who: [one[case.name] for one in runs if case.name in one] for who, runs in found.items()
        }
        ours = statistics.median(rates["ours"])
        peer = statistics.median(rates["ccxt"]) if rates.get("ccxt") else None
        theirs = f"{peer:14,.0f}{ours / peer:8.1f}" if peer else f"{'-':>14}{'-':>8}"
        print(f"{case.name:18}{case.rows:8,}{ours:14,.0f}{theirs}")


def print_fetching(found: dict[str, list[dict[str, float]]], task: Task) -> None:
    """Print the seconds of a whole fetch."""
    print(
        f"\n{task.candles:,} candles from a vendor that is {_LATENCY * 1000:.0f} ms away, seconds\n"
    )
    medians = {
        name: statistics.median(one["seconds"] for one in runs) for name, runs in found.items()
    }
    print(f"{'':40}{'min':>8}{'median':>8}{'candles/s':>12}{'ratio':>8}")
    for name, seconds in medians.items():
        least = min(one["seconds"] for one in found[name])
        ratio = seconds / medians[OURS]
        print(f"{name:40}{least:8.2f}{seconds:8.2f}{task.candles / seconds:12,.0f}{ratio:8.2f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--days",
        type=int,
        default=31,
        help="of the whole fetch, from 2024-01-01 on (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--peer-venv", type=Path, help="the peer's environment, kept for the next time"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave the peer out")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = _arguments()
    if given.read:
        print(json.dumps(read(given.read)))
        return
    task = Task(_SYMBOLS, given.days)
    with tempfile.TemporaryDirectory(prefix="market-assets-benchmark-") as name:
        folder = Path(name)
        peer, missing = None, "The peer was left out as asked for."
        if not given.no_peer:
            peer, missing = prepare_peer(
                given.peer_venv.absolute() if given.peer_venv else folder / "peer-venv"
            )
        load = os.getloadavg()[0]
        theirs = [str(peer), str(_HERE / "ccxt_sources.py")]
        (folder / "answers").mkdir()
        write_answers(folder / "answers", task)
        readers = {"ours": [sys.executable, __file__, "--read", str(folder / "answers")]}
        readers |= {"ccxt": [*theirs, "read", str(folder / "answers")]} if peer else {}
        reading = in_turns(readers, given.rounds)
        with practice_vendor(
            folder, task, faults=[{"fault": "delay", "seconds": _LATENCY}]
        ) as vendor:
            ours = [sys.executable, str(_HERE / "source_alone.py"), vendor.url, *task.arguments]
            asked = [*theirs, "fetch", vendor.url, *task.arguments]
            fetchers = {OURS: ours} | (
                {PEER: [*asked, "0"], TOGETHER: [*asked, "8"]} if peer else {}
            )
            _run(ours)  # the vendor renders each page when it is first asked for
            fetching = in_turns(fetchers, given.rounds)
    for who, runs in fetching.items():
        if any(one["candles"] != task.candles for one in runs):
            raise SystemExit(f"{who}: not the {task.candles:,} candles that there are")
    print_reading(reading)
    print_fetching(fetching, task)
    packages = ", ".join(
        f"{package} {version(package)}" for package in ("polars", "msgspec", "httpx")
    )
    machine = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"load average {load:.1f} at the start"
    )
    print(f"\n{machine}; Python {platform.python_version()}, {packages}. {missing}")


if __name__ == "__main__":
    main()
