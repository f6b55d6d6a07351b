"""The row of `ops.jobs` that tells what one fill did."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.fill.outcome import PartitionOutcome
    from market_assets.market_time.timeframes import Timeframe, Window
    from market_assets.store import Store, Transaction

_FAILURES = 50
"""How many failed partitions a job's record names; it always says how many there were."""


class Job:
    """Counts outcomes and keeps the job's row up to date.

    Args:
        store: Where the row is.
        kind: fill or derive.
        profile: The profile's name.
        timeframe: The timeframe that is filled.
        symbols: The symbols that are filled.
        window: From the first partition's start to the last one's end.
        partitions: How many partitions there are to do.
        run_id: The Dagster run, if there is one.
    """

    def __init__(
        self,
        store: Store,
        *,
        kind: str,
        profile: str,
        timeframe: Timeframe,
        symbols: Sequence[str],
        window: Window,
        partitions: int,
        run_id: str | None,
    ) -> None:
        self._store = store
        self._id = uuid.uuid4().hex
        self._row: dict[str, object] = {
            "job_id": self._id,
            "run_id": run_id,
            "kind": kind,
            "profile": profile,
            "timeframe": str(timeframe),
            "symbols": list(symbols),
            "start_ts": window.start.replace(tzinfo=None),
            "end_ts": window.end.replace(tzinfo=None),
        }
        self._partitions = partitions
        self._done = 0
        self._began = time.monotonic()
        self._rows = dict.fromkeys(("new", "revised", "rejected"), 0)
        self._missing: dict[str, int] = {}
        self._failures: dict[str, Sequence[str]] = {}
        self.missing_before = 0

    @property
    def complete(self) -> bool:
        """True while every partition so far is filled."""
        return not self._failures

    def start(self) -> None:
        """Write the row."""
        with self._store.writing(f"starting {self._words()}") as transaction:
            transaction.start_job(self._row)

    def count(self, outcomes: Sequence[PartitionOutcome], transaction: Transaction) -> None:
        """Add what some partitions came to, in the transaction that commits them."""
        for outcome in outcomes:
            self._done += 1
            for name in self._rows:
                self._rows[name] += getattr(outcome, name)
            for own in outcome.counts:
                self._missing[own.symbol] = self._missing.get(own.symbol, 0) + own.missing
            if outcome.failures:
                self._failures[outcome.partition.key] = outcome.failures
        progress = self._done / self._partitions
        transaction.update_job(self._id, progress=progress, status="RUNNING", detail=self._detail({}))

    def end(self, status: str, usage: Mapping[str, Mapping[str, Any]]) -> None:
        """Write how it ended, with what each source was asked."""
        with self._store.writing(f"ending {self._words()}") as transaction:
            progress = self._done / self._partitions
            transaction.update_job(self._id, progress=progress, status=status, detail=self._detail(usage))

    def _words(self) -> str:
        return "the {kind} of {profile} {timeframe}".format(**self._row)

    def _detail(self, usage: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
        return {
            "partitions": self._partitions,
            "partitions_done": self._done,
            "partitions_failed": len(self._failures),
            "failures": dict(list(self._failures.items())[:_FAILURES]),
            "rows": self._rows,
            "missing_before": self.missing_before,
            "missing_after": sum(self._missing.values()),
            "missing_by_symbol": {symbol: bars for symbol, bars in self._missing.items() if bars},
            "requests": usage,
            "seconds": round(time.monotonic() - self._began, 3),
        }
