"""What happened to one bar: who asked, answered, refused, revised, repaired and compared, and when.

What is known of the bar, and what comes next, is in `market_assets/reports/story.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.market.columns import OHLCV
from market_assets.market.instants import brief
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Window
from market_assets.reports.bar import Bar, window_at
from market_assets.store.database import aware
from market_assets.verdicts.agreement import AGREES, NOT_COMPARED
from market_assets.work.refused import refused_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot


_JOBS = 5
"""How many of the newest jobs a story shows; it says how many there were."""


@dataclass(frozen=True)
class Event:
    """Something that happened, and when."""

    at: datetime
    what: str


class Events:
    """Lists what happened to the bars of one symbol.

    Args:
        view: The store.
        scope: What must exist: candles of a fetched timeframe.
        symbol: The symbol.
    """

    def __init__(self, view: Snapshot, scope: Scope, symbol: str) -> None:
        self._view = view
        self._scope = scope
        self._dataset = scope.dataset
        self._symbol = symbol

    def jobs(self, bar: Bar) -> list[Event]:
        """The newest jobs that covered the bar."""
        jobs = self._view.jobs.over(self._dataset, self._symbol, bar.ts)
        older = (
            f" (the oldest of the {_JOBS} newest such jobs; there were {len(jobs):,})"
            if len(jobs) > _JOBS
            else ""
        )
        shown = jobs.head(_JOBS)
        return [
            Event(
                aware(row["started_at"]),
                f"a {row['kind']} "
                f"of {aware(row['start_ts']):%Y-%m-%d}..{aware(row['end_ts']):%Y-%m-%d} "
                f"began: {row['status']}"
                + (f", run {row['run_id']}" if row["run_id"] else "")
                + (older if number == len(shown) - 1 else ""),
            )
            for number, row in enumerate(shown.iter_rows(named=True))
        ]

    def namings(self) -> list[Event]:
        """Which sources have named the first bar of the symbol."""
        rows = self._view.genesis.namings(self._dataset, self._symbol)
        return [
            Event(
                aware(named_at),
                f"{source} named {brief(aware(ts))} as the first bar of {self._symbol}",
            )
            for ts, source, named_at in rows.iter_rows()
        ]

    def coverage(self, bar: Bar) -> list[Event]:
        """Which sources have answered for the bar."""
        rows = self._view.coverage.of(self._dataset, [self._symbol], window_at(bar.ts))
        events = []
        for row in rows.iter_rows(named=True):
            stretch = Window(aware(row["start_ts"]), aware(row["end_ts"]))
            omits = (
                "leaves bars without a trade out"
                if row["omits_quiet"]
                else "gives every bar, also those without a trade"
            )
            gave = f"{row['bars']:,} bars" if row["bars"] else "not one bar, which proves nothing"
            if (first := row["answered_from"]) is not None:
                gave = f"{gave}, in several answers since {brief(aware(first))}"
            events.append(
                Event(
                    aware(row["answered_at"]),
                    f"{row['source']} answered for {stretch} with {gave}; it {omits}",
                )
            )
        return events

    def refused(self, partition: Partition) -> list[Event]:
        """The refused rows of the bar's partition, and what would mend that."""
        rows = self._view.refused.present()
        if "partition" not in rows.columns:
            return []
        refusals = rows.filter(
            pl.col("profile") == self._scope.profile.name,
            pl.col("symbol") == self._symbol,
            pl.col("timeframe") == self._scope.timeframe,
            pl.col("partition") == partition.key,
        )
        return [
            Event(
                aware(row["refused_at"]),
                f"in partition {partition.key}: "
                + refused_words(
                    {**row, "symbol": [row["symbol"]], "example_symbol": row["symbol"]}
                ),
            )
            for row in refusals.iter_rows(named=True)
        ]

    def repairs(self, bar: Bar) -> list[Event]:
        """When the bar was repaired."""
        rows = self._view.repairs.of(self._dataset, self._symbol, bar.ts)
        return [
            Event(
                aware(row["repaired_at"]),
                f"repaired: it had been {row['was']} since {brief(aware(row['first_seen']))}, "
                f"one of {row['bars']:,} bars, "
                f"and had been asked for {times_of(row['attempts'])}",
            )
            for row in rows.iter_rows(named=True)
        ]

    def revisions(self, bar: Bar) -> list[Event]:
        """What the bar was before it changed."""
        rows = self._view.revisions.of(self._dataset, self._symbol, bar.ts)
        return [
            Event(
                aware(row["revised_at"]),
                f"revised; until then it was, from {row['source']}: {prices_of(row)}",
            )
            for row in rows.iter_rows(named=True)
        ]

    def comparisons(self, bar: Bar) -> list[Event]:
        """How the bar's partition compares with other sources."""
        key = Partition.holding(bar.ts.date(), self._scope.cadence).key
        rows = self._view.agreement.of(self._dataset, [key])
        words = {
            AGREES: "was compared with {other}: both have the same in {compared:,} bars",
            NOT_COMPARED: "was not compared with {other}: {words}",
        }
        apart = "was compared with {other}: {words}"
        return [
            Event(
                aware(row["checked_at"]),
                f"partition {key} {words.get(row['kind'], apart).format(**row)}",
            )
            for row in rows.filter(pl.col("symbol") == self._symbol).iter_rows(named=True)
        ]

    def of_gap(self, gap: Mapping[str, Any]) -> list[Event]:
        """The story of a row of the ledger."""
        first, last = brief(aware(gap["first_ts"])), brief(aware(gap["last_ts"]))
        events = [
            (
                gap["first_seen"],
                f"seen to be absent, now one of {gap['bars']:,} bars from {first} to {last}",
            )
        ]
        if gap["confirmed_at"]:
            needed = self._scope.profile.evidence.confirmations
            events.append(
                (
                    gap["confirmed_at"],
                    f"answer {gap['confirmations']} of {needed} that there is no such bar",
                )
            )
        if gap["asked_at"]:
            tries = f"{gap['attempts']} answered, {gap['failures'] or 0} failed"
            events.append(
                (gap["asked_at"], f"asked for the last time so far ({tries}): {gap['reason']}")
            )
        return [Event(aware(at), what) for at, what in events]


def prices_of(row: Mapping[str, Any]) -> str:
    """The values of a candle in words."""
    return " ".join(
        f"{name} {'none' if row[name] is None else format(row[name], '.12g')}" for name in OHLCV
    )


def times_of(count: int) -> str:
    """How often, in words."""
    return {0: "not once", 1: "once"}.get(count, f"{count} times")
