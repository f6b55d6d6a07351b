"""What an audit of everything costs: expected minus stored minus explained, of every series.

    python benchmarks/audit.py                                      # 10 M candles: half a minute
    python benchmarks/audit.py --symbols 200 --days 350             # 100 M: 1.3 GB of disk

Makes a store of one-minute candles inside DuckDB: a market that never closes, and beside it one
with nights, weekends and half days, of a tenth of the symbols. Some bars are absent: open in the
ledger, explained in it, deleted by hand, never filled; one symbol has left the market half way. A
process of its own then makes the completeness matrix and the cells of the heat map, and what they
say is compared with what was left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.load import load_universe
from market_assets.expected.scope import scope_of
from market_assets.expected.series import prepare
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import TS
from market_assets.reports.completeness import audit_profiles, heat_of
from market_assets.store import Store
from market_assets.store.schema import table_of

if TYPE_CHECKING:
    from market_assets.config.universe import Profile, Universe
    from market_assets.expected.scope import Scope

START = date(2024, 1, 1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

_AT_ONCE = 20
"""How many days are made in one transaction."""

_ABSENCES = pl.DataFrame(
    {
        "place": [0, 1, 2, 3],
        "status": ["open", "outage", "deleted", "never filled"],
        "first": [100, 40, 20, 0],
        "bars": [7, 30, 3, 100_000],
    }
)
"""What is left out of one symbol's day, by the remainder of its number.

`first` is the number of the day's bar that it begins with.
"""

_EVERY = 101
"""One in so many days of a symbol lacks bars in each of these ways."""

_PLACE = f"((symbols.number * 31 + bars.day * 17) % {_EVERY})"


@dataclass(frozen=True)
class Planted:
    """What a store must come to, in bars of all series of a profile."""

    expected: int
    stored: int
    explained: int
    missing: int


def write_universe(folder: Path, symbols: int, days: int) -> Universe:
    """Write the universe of the store that is made."""
    end = START + timedelta(days=days)
    left = START + timedelta(days=days // 2)

    def profile(kind: str, number: int) -> dict[str, object]:
        names: dict[str, dict[str, str]] = {f"S{at:04}": {} for at in range(number)}
        names[f"S{number - 1:04}"] = {"end": left.isoformat()}
        return {
            "kind": kind,
            "start": START.isoformat(),
            "end": end.isoformat(),
            "timeframes": {"fetch": ["1m"]},
            "sources": ["files"],
            "symbols": names,
        }

    document = {
        "sources": {"files": {"type": "archive", "path": "{symbol}.csv"}},
        "profiles": {
            "crypto": profile("CRYPTO", symbols),
            "equity": profile("EQUITY", max(2, symbols // 10)),
        },
    }
    (folder / "universe.yaml").write_text(json.dumps(document))
    return load_universe(folder / "universe.yaml", environ={})


def make(store: Store, profile: Profile) -> Planted:
    """Store the candles of a profile, and the evidence of what is absent."""
    scope = scope_of(profile, profile.base_timeframe, NOW)
    with store.writing("preparing") as transaction:
        prepare(transaction, profile)
    partitions = scope.partitions(scope.window)
    counted = [
        _make_days(store, scope, partitions[at : at + _AT_ONCE], at)
        for at in range(0, len(partitions), _AT_ONCE)
    ]
    expected, stored, explained = pl.concat(counted).sum().row(0)
    return Planted(expected, stored, explained, expected - stored - explained)


def _make_days(store: Store, scope: Scope, days: list[Partition], first: int) -> pl.DataFrame:
    bars = scope.grid(hull(days)).select("ts", scope.part())
    bars = bars.with_columns(
        day=pl.col("part").rle_id().cast(pl.Int64) + first,
        slot=pl.int_range(pl.len()).over("part"),
    )
    series = pl.DataFrame(
        [(s.symbol, at, s.window.end.replace(tzinfo=None)) for at, s in enumerate(scope.series)],
        schema={"symbol": pl.String, "number": pl.Int64, "end": TS},
        orient="row",
    )
    with store.writing("making candles") as transaction:
        db = transaction.connection
        for name, frame in (("bars", bars), ("symbols", series), ("absences", _ABSENCES)):
            db.register(name, frame.to_arrow())
        due = f"""
            FROM symbols
            CROSS JOIN bars
            LEFT JOIN absences a ON a.place = {_PLACE}
              AND bars.slot >= a.first AND bars.slot < a.first + a.bars
            WHERE bars.ts < symbols.end
        """
        db.execute(
            f"""
            INSERT INTO {table_of(scope.dataset)}
                (symbol, ts, open, high, low, close, volume, source)
            SELECT symbol, ts, 100 + slot % 17 * 0.01, 101, 99, 100, 5 + slot % 7, 'files'
            {due} AND a.place IS NULL
            ORDER BY symbol, ts
            """
        )
        db.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE days AS
            SELECT symbol, part, any_value({_PLACE}) AS place, count(*) AS expected,
                count(*) FILTER (a.place IS NULL) AS there,
                min(ts) FILTER (a.place IS NOT NULL) AS first_ts,
                max(ts) FILTER (a.place IS NOT NULL) AS last_ts
            {due}
            GROUP BY symbol, part
            """
        )
        # What somebody has deleted was judged as stored.
        db.execute(
            """
            INSERT INTO ops.partitions BY NAME
            SELECT ? AS profile, ? AS timeframe, strftime(part, '%Y-%m-%d') AS partition, symbol,
                expected, if(place = 2, expected, there) AS stored,
                if(place = 1, expected - there, 0) AS explained,
                if(place = 0, expected - there, 0) AS missing, ?::TIMESTAMP AS judged_at
            FROM days
            WHERE place <> 3
            """,
            [scope.profile.name, scope.timeframe, NOW.replace(tzinfo=None)],
        )
        db.execute(
            """
            INSERT INTO ops.gaps BY NAME
            SELECT ? AS profile, symbol, ? AS timeframe, first_ts, last_ts,
                expected - there AS bars, if(place = 0, 'open', 'outage') AS status, 1 AS attempts,
                2 AS confirmations, first_ts AS first_seen, 'it has none' AS reason
            FROM days
            WHERE place IN (0, 1)
            """,
            [scope.profile.name, scope.timeframe],
        )
        counted = db.execute(
            """
            SELECT sum(expected)::BIGINT AS expected, sum(there)::BIGINT AS stored,
                coalesce(sum(expected - there) FILTER (place = 1), 0)::BIGINT AS explained
            FROM days
            """
        ).to_arrow_table()
        for name in ("bars", "symbols", "absences"):
            db.unregister(name)
    return pl.DataFrame(pl.from_arrow(counted))


def audit(folder: Path) -> None:
    """Audit a store in this process, and print what it took as JSON."""
    universe = load_universe(folder / "universe.yaml", environ={})
    store = Store(folder / "home", clock=lambda: NOW)
    profiles = list(universe.profiles.values())
    # Calendars are loaded once in the life of a process.
    for profile in profiles:
        scope_of(profile, profile.base_timeframe, NOW).calendar  # noqa: B018
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    audits = audit_profiles(store, profiles, NOW)
    cells = sum(len(heat_of(audited.base)[0]) for audited in audits)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    matrix = pl.concat(audited.matrix for audited in audits)
    totals = matrix.group_by("profile").agg(pl.sum("expected", "stored", "explained", "missing"))
    print(
        json.dumps(
            {
                "seconds": round(seconds, 2),
                "cpu": round(cpu, 2),
                "peak_mb": after.ru_maxrss // 1024,
                "cells": cells,
                "totals": {name: counts for name, *counts in totals.iter_rows()},
            }
        )
    )


def main() -> None:
    """Make the store, audit it, and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--days", type=int, default=350)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--home", type=Path, help="a folder that keeps the store for the next time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--audit", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.audit:
        audit(given.audit)
        return
    folder = given.home or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _measure(folder, given)
    finally:
        if not given.home:
            shutil.rmtree(folder)


def _measure(folder: Path, given: argparse.Namespace) -> None:
    planted_in = folder / "planted.json"
    if not planted_in.exists():
        universe = write_universe(folder, given.symbols, given.days)
        store = Store(folder / "home", clock=lambda: NOW)
        made = {name: make(store, profile) for name, profile in universe.profiles.items()}
        planted_in.write_text(json.dumps({name: vars(counts) for name, counts in made.items()}))
    planted = {
        name: list(counts.values()) for name, counts in json.loads(planted_in.read_text()).items()
    }
    rounds = []
    for _ in range(given.rounds):
        command = [sys.executable, __file__, "--audit", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        if found["totals"] != planted:
            sys.exit(f"the audit says {found['totals']}, and the store has {planted}")
        rounds.append(found)
    middle = sorted(rounds, key=lambda found: found["cpu"])[len(rounds) // 2]
    if given.json:
        print(json.dumps({"planted": planted, "rounds": rounds}))
        return
    candles = sum(stored for _, stored, _, _ in planted.values())
    print(
        f"{candles:,} candles: {middle['seconds']:.1f} s, {middle['cpu']:.1f} s of CPU, "
        f"{middle['peak_mb']:,} MB at most, {middle['cells']:,} cells of heat maps; "
        f"{sum(missing for *_, missing in planted.values()):,} bars missing, as planted"
    )


if __name__ == "__main__":
    main()
