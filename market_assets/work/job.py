"""The row of `ops.jobs` that says what one fill or derivation did."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from market_assets.market.datasets import Dataset
from market_assets.market.instants import iso
from market_assets.market.partitions import hull
from market_assets.store.process import birth_of, is_alive, this_host
from market_assets.verdicts.advice import advice_for
from market_assets.verdicts.evidence import MISSING
from market_assets.work.run import BY_HAND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.market.partitions import Cadence, Partition
    from market_assets.sources.contract import Source
    from market_assets.store import Snapshot, Store, Transaction
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run

_FAILURES = 50
"""How many failed partitions a job's record names; it always says how many there were."""

_FAULTS = 10
"""How many faults of a partition a job's record names."""

_SYMBOLS = 200
"""How many symbols a job's record lists, those with the most missing bars first.

It always says how many more there are.
"""

COUNTED = ("expected", "stored", "explained", "missing", "abandoned")
TALLIED = ("new", "revised", "rejected", "repaired")
BY_SYMBOL = ("missing_before", *COUNTED, *TALLIED)
"""What a job's record says of a symbol, in bars; a count of 0 is left out."""


@dataclass(frozen=True)
class Target:
    """What some work brings up to date.

    Attributes:
        dataset: What is filled or made.
        partitions: The partitions to do, in their order.
        symbols: Of which symbols.
        cadence: How long the partitions are.
        now: The present instant.
    """

    dataset: Dataset
    partitions: list[Partition]
    symbols: Sequence[str]
    cadence: Cadence
    now: datetime


def target_of(scope: Scope, dataset: Dataset, partitions: list[Partition]) -> Target:
    """Some partitions of a scope's candles, or of what is made of them in partitions alike."""
    return Target(dataset, partitions, scope.symbols, scope.cadence, scope.now)


class Job:
    """Counts outcomes and keeps the job's row up to date; a context manager around all the work.

    Its status ends as SUCCEEDED, INCOMPLETE (some partitions were not filled), CANCELLED (from
    outside) or FAILED. A process that is killed can say nothing: its job is FAILED as soon as
    another one begins or the jobs are listed.

    Args:
        store: Where the row is.
        kind: fill, derive, features or returns.
        target: What is brought up to date.
        sources: The sources that are asked; what that costs is counted from here on.
        run: Who has asked for it.
        opening: Is done in the transaction that writes the row first.

    Attributes:
        missing_before: Bars that were missing by partition and symbol, to be filled in before a
            partition is counted.
    """

    def __init__(
        self,
        store: Store,
        kind: str,
        target: Target,
        *,
        sources: Mapping[str, Source],
        run: Run = BY_HAND,
        opening: Callable[[Transaction], None] | None = None,
    ) -> None:
        self._store = store
        self._opening = opening
        self._id = uuid.uuid4().hex
        dataset = self._dataset = target.dataset
        self._candles = Dataset.candles(dataset.owner, dataset.timeframe)
        self._window = hull(target.partitions)
        self._row: dict[str, object] = {
            "job_id": self._id,
            "run_id": run.id,
            "kind": kind,
            "profile": dataset.owner,
            "timeframe": str(dataset.timeframe),
            "symbols": list(target.symbols),
            "start_ts": self._window.start.replace(tzinfo=None),
            "end_ts": self._window.end.replace(tzinfo=None),
            "trigger": run.trigger.value,
            "host": this_host(),
            "process": os.getpid(),
        }
        self._status = "RUNNING"
        self._partitions = len(target.partitions)
        self._sources = sources
        self._asked_before = self._usage()
        self._done = 0
        self._began = time.monotonic()
        self._rows = dict.fromkeys(TALLIED, 0)
        self._by_symbol: dict[str, dict[str, int]] = {}
        self._failures: dict[str, Sequence[str]] = {}
        self._faults: dict[str, Sequence[str]] = {}
        self._refused: dict[tuple[str, str], dict[str, Any]] = {}
        self._gaps_before = self._gaps_after = 0
        self._reported: SimpleQueue[Mapping[str, datetime | None]] = SimpleQueue()
        self.missing_before: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Self:
        with self._store.writing(f"starting {self._words()}") as transaction:
            for job in _lost(transaction):
                _end_lost(transaction, job)
            self._gaps_before = self._gaps_after = self._gaps(transaction)
            transaction.jobs.start(self._row, self._detail())
            if self._opening is not None:
                self._opening(transaction)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if kind is None:
            self._status = "INCOMPLETE" if self._failures else "SUCCEEDED"
        else:
            # Other exceptions are an end from outside: no consumer for the next outcome, Ctrl-C,
            # a run that is terminated.
            self._status = "FAILED" if issubclass(kind, Exception) else "CANCELLED"
        with self._store.writing(f"ending {self._words()}") as transaction:
            self._update(transaction)

    @property
    def record(self) -> Mapping[str, object]:
        """The row of `ops.jobs` as it is now, with its detail unpacked.

        The times of its start and end are not in it.
        """
        return {
            **self._row,
            "status": self._status,
            "progress": self._progress(),
            "detail": self._detail(),
        }

    def count(self, outcomes: Sequence[PartitionOutcome], transaction: Transaction) -> None:
        """Add the outcomes of some partitions, in the transaction that commits them."""
        for outcome in outcomes:
            self._done += 1
            for name in TALLIED:
                self._rows[name] += getattr(outcome, name)
            before = self.missing_before.pop(outcome.partition.key, {})
            for symbol_counts in outcome.counts:
                counts = self._of(symbol_counts.symbol)
                counts["missing_before"] += before.get(symbol_counts.symbol, 0)
                counts["expected"] += symbol_counts.expected
                counts["stored"] += symbol_counts.stored
                counts["explained"] += symbol_counts.explained
                counts["missing"] += symbol_counts.missing
                counts["abandoned"] += symbol_counts.abandoned
            for name, by_symbol in outcome.by_symbol.items():
                for symbol, bars in by_symbol.items():
                    self._of(symbol)[name] += bars
            for row in outcome.refused:
                self._add_refused(row)
            if outcome.failures:
                self._failures[outcome.partition.key] = outcome.failures
            if outcome.faults:
                self._faults[outcome.partition.key] = outcome.faults
        self._update(transaction)

    def note_reported(self, versions: Mapping[str, datetime | None]) -> None:
        """Record with the next commit which versions of partitions were reported.

        It may be called while another thread commits. A process that is killed before has reported
        what it has not recorded, and it is reported again.
        """
        self._reported.put(versions)

    def _add_refused(self, row: Mapping[str, Any]) -> None:
        """Add refused rows to those of the same source and reason.

        The first of them stays the example.
        """
        kind = self._refused.setdefault(
            (row["source"], row["reason"]),
            {
                "source": row["source"],
                "reason": row["reason"],
                "rows": 0,
                "symbol": row["symbol"],
                "ts": row["example_ts"] and iso(row["example_ts"]),
                "example": row["example"],
                "advice": advice_for(row["reason"]),
            },
        )
        kind["rows"] += row["rows"]

    def _of(self, symbol: str) -> dict[str, int]:
        return self._by_symbol.setdefault(symbol, dict.fromkeys(BY_SYMBOL, 0))

    def _update(self, transaction: Transaction) -> None:
        self._put_reported(transaction)
        self._gaps_after = self._gaps(transaction)
        transaction.jobs.update(
            self._id, progress=self._progress(), status=self._status, detail=self._detail()
        )

    def _put_reported(self, transaction: Transaction) -> None:
        versions: dict[str, datetime | None] = {}
        with suppress(Empty):
            while True:
                versions |= self._reported.get_nowait()
        if versions:
            transaction.partitions.put_reported(self._dataset, versions)

    def _gaps(self, view: Snapshot) -> int:
        return view.gaps.count(self._candles, self._window, MISSING)

    def _progress(self) -> float:
        return self._done / self._partitions

    def _usage(self) -> dict[str, dict[str, float]]:
        return {name: asdict(source.usage) for name, source in self._sources.items()}

    def _words(self) -> str:
        return "the {kind} of {profile} {timeframe}".format(**self._row)

    def _detail(self) -> dict[str, object]:
        before = self._asked_before
        total = {
            name: sum(tally[name] for tally in self._by_symbol.values())
            for name in ("missing_before", *COUNTED)
        }
        worst = sorted(self._by_symbol.items(), key=lambda item: (-item[1]["missing"], item[0]))
        return {
            "partitions": self._partitions,
            "partitions_done": self._done,
            "partitions_failed": len(self._failures),
            "failures": dict(list(self._failures.items())[:_FAILURES]),
            "partitions_with_faults": len(self._faults),
            "faults": {
                key: faults[:_FAULTS] for key, faults in list(self._faults.items())[:_FAILURES]
            },
            "rows": {name: self._rows[name] for name in ("new", "revised", "rejected")},
            "refused": sorted(self._refused.values(), key=lambda kind: -kind["rows"]),
            "repaired": self._rows["repaired"],
            "missing_before": total["missing_before"],
            "missing_after": total["missing"],
            "abandoned": total["abandoned"],
            "gaps_before": self._gaps_before,
            "gaps_after": self._gaps_after,
            "by_symbol": {
                symbol: {name: bars for name, bars in tally.items() if bars}
                for symbol, tally in worst[:_SYMBOLS]
            },
            "symbols_not_shown": len(worst[_SYMBOLS:]),
            "requests": {
                name: {key: value - before[name][key] for key, value in figures.items()}
                for name, figures in self._usage().items()
            },
            "seconds": round(time.monotonic() - self._began, 3),
            "process_born": birth_of(os.getpid()),
        }


def end_lost_jobs(store: Store) -> None:
    """Mark the jobs as FAILED whose process on this host is gone; their `ended_at` is now."""
    with store.reading("looking for jobs without a process") as view:
        lost = _lost(view)
    if lost:
        with store.writing("ending jobs without a process") as transaction:
            for job in lost:
                _end_lost(transaction, job)


def _lost(view: Snapshot) -> list[tuple[str, float, dict[str, object]]]:
    """The jobs that are RUNNING though their process on this host is gone.

    Returns:
        job_id, progress, detail.
    """
    return [
        (job_id, progress, detail)
        for job_id, process, progress, detail in view.jobs.running(this_host())
        if not is_alive(process, _text(detail.get("process_born")))
    ]


def _end_lost(transaction: Transaction, job: tuple[str, float, dict[str, object]]) -> None:
    job_id, progress, detail = job
    ended = {**detail, "ended": "its process ended without a word"}
    transaction.jobs.update(job_id, progress=progress, status="FAILED", detail=ended)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
