"""The row of `ops.jobs` that tells what one fill or derivation did."""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from market_assets.market_time.partitions import hull

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.fill.outcome import PartitionOutcome
    from market_assets.market_time.partitions import Partition
    from market_assets.market_time.timeframes import Timeframe
    from market_assets.sources.base import Source
    from market_assets.store import Store, Transaction

_FAILURES = 50
"""How many failed partitions a job's record names; it always says how many there were."""


class Job:
    """Counts outcomes and keeps the job's row up to date; a context manager around all the work.

    Its status ends as SUCCEEDED, INCOMPLETE (some partitions were not filled), CANCELLED (from outside) or FAILED.

    Args:
        store: Where the row is.
        kind: fill or derive.
        profile: The profile's name.
        timeframe: The timeframe that is filled.
        symbols: The symbols that are filled.
        partitions: What there is to do.
        sources: Who is asked; what that costs is counted from here on.
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
        partitions: Sequence[Partition],
        sources: Mapping[str, Source],
        run_id: str | None,
    ) -> None:
        self._store = store
        self._id = uuid.uuid4().hex
        whole = hull(partitions)
        self._row: dict[str, object] = {
            "job_id": self._id,
            "run_id": run_id,
            "kind": kind,
            "profile": profile,
            "timeframe": str(timeframe),
            "symbols": list(symbols),
            "start_ts": whole.start.replace(tzinfo=None),
            "end_ts": whole.end.replace(tzinfo=None),
        }
        self._partitions = len(partitions)
        self._sources = sources
        self._asked_before = self._usage()
        self._done = 0
        self._began = time.monotonic()
        self._rows = dict.fromkeys(("new", "revised", "rejected"), 0)
        self._missing: dict[str, int] = {}
        self._failures: dict[str, Sequence[str]] = {}
        self.missing_before = 0

    def __enter__(self) -> Self:
        with self._store.writing(f"starting {self._words()}") as transaction:
            transaction.start_job(self._row)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            status = "INCOMPLETE" if self._failures else "SUCCEEDED"
        else:
            # Not an error but an end from outside: nobody takes the next outcome, Ctrl-C, a run that is terminated.
            status = "FAILED" if issubclass(kind, Exception) else "CANCELLED"
        with self._store.writing(f"ending {self._words()}") as transaction:
            self._update(transaction, status)

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
        self._update(transaction, "RUNNING")

    def _update(self, transaction: Transaction, status: str) -> None:
        progress = self._done / self._partitions
        transaction.update_job(self._id, progress=progress, status=status, detail=self._detail())

    def _usage(self) -> dict[str, dict[str, float]]:
        return {name: asdict(source.usage) for name, source in self._sources.items()}

    def _words(self) -> str:
        return "the {kind} of {profile} {timeframe}".format(**self._row)

    def _detail(self) -> dict[str, object]:
        before = self._asked_before
        return {
            "partitions": self._partitions,
            "partitions_done": self._done,
            "partitions_failed": len(self._failures),
            "failures": dict(list(self._failures.items())[:_FAILURES]),
            "rows": self._rows,
            "missing_before": self.missing_before,
            "missing_after": sum(self._missing.values()),
            "missing_by_symbol": {symbol: bars for symbol, bars in self._missing.items() if bars},
            "requests": {
                name: {key: value - before[name][key] for key, value in own.items()}
                for name, own in self._usage().items()
            },
            "seconds": round(time.monotonic() - self._began, 3),
        }
