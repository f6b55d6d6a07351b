"""Turns the outcomes of a fill or a derivation into what Dagster shows of each partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.defs.internals.adapter import asset_output, latest_materializations
from market_assets.defs.internals.checks import (
    check_evaluation,
    check_output,
    failures_elsewhere,
)
from market_assets.defs.keys import process_tags
from market_assets.imports import late_imports
from market_assets.market.clock import machine
from market_assets.market.instants import to_minute

with late_imports():
    from market_assets.defs.internals.event_log import stored_together
    from market_assets.verdicts.colour import names_of
    from market_assets.verdicts.verdicts import share
    from market_assets.work import job


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from market_assets.defs.pictures import Pictures
    from market_assets.market.partitions import Partition
    from market_assets.verdicts.verdicts import Verdict
    from market_assets.work.outcome import PartitionOutcome

CHECKS = ("continuity", "genesis", "validity")
"""The checks of every fetched candle asset."""
_WORST = 20
_WORDS = 5
"""How many reasons a description has at most; a table has more."""
_LINES = 20
"""How many lines about its progress a run has at most."""


@dataclass
class Reporter:
    """Yields the events of one step over a range of partitions.

    The events of a partition come as soon as it is committed.

    Use `report` for each batch and `close` at the end.

    Args:
        context: The step's context.
        asset_key: The asset that is materialized.
        checks: The checks that the step owes; none for derived candles.
        due: How many partitions will be reported.
        pictures: Draws some of them, as of the instant up to which bars are counted.
        noted: Is told which partitions have now been reported to Dagster, with their versions.
    """

    context: dg.AssetExecutionContext
    asset_key: dg.AssetKey
    checks: Sequence[str] = ()
    due: int = 0
    pictures: Pictures | None = None
    noted: Callable[[Mapping[str, datetime | None]], None] | None = None
    failures: dict[str, Sequence[str]] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    new: int = 0
    told: int = 0

    def __post_init__(self) -> None:
        # So that a run whose process dies with the machine can be told from one that goes on.
        self.context.instance.add_run_tags(self.context.run.run_id, process_tags())

    def report(self, outcomes: Sequence[PartitionOutcome]) -> Iterator[Any]:
        """Materialize the filled ones, say why the others are not, then give all their verdicts."""
        self.reported |= {outcome.partition.key for outcome in outcomes}
        self.new += sum(outcome.new for outcome in outcomes)
        with stored_together(self.context.instance):
            yield from self._facts(outcomes)
        if self.checks:
            with stored_together(self.context.instance):
                yield from self._judge(outcomes)
        if self.noted is not None:
            # By now each event that was yielded is stored.
            self.noted(
                {outcome.partition.key: _version_time(outcome.version) for outcome in outcomes}
            )
        self._tell_progress()

    def _facts(self, outcomes: Sequence[PartitionOutcome]) -> Iterator[Any]:
        """What is stored of each partition, or why it is not filled."""
        pictures = {} if self.pictures is None else self.pictures.of(outcomes)
        for outcome in outcomes:
            key = outcome.partition.key
            metadata = (
                self._running(outcome.partition)
                | materialization_metadata(outcome)
                | pictures.get(key, {})
            )
            if outcome.filled:
                yield dg.AssetMaterialization(
                    self.asset_key,
                    partition=key,
                    description=not_whole(outcome),
                    metadata=metadata,
                    tags=_version_tags(outcome.version),
                )
            else:
                self.failures[key] = outcome.failures
                # A partition that is not materialized has no other place for why on its page.
                yield dg.AssetObservation(
                    self.asset_key,
                    partition=key,
                    description=not_filled(outcome),
                    metadata=metadata,
                )

    def _judge(self, outcomes: Sequence[PartitionOutcome]) -> Iterator[Any]:
        newest = latest_materializations(
            self.context.instance, self.asset_key, [outcome.partition.key for outcome in outcomes]
        )
        verdicts = [
            (outcome.partition.key, verdict) for outcome in outcomes for verdict in outcome.verdicts
        ]
        # Failed partitions come last: beside a word about all of them the UI shows the latest one.
        verdicts.sort(key=lambda judged: not judged[1].passed)
        last = {verdict.check: place for place, (_, verdict) in enumerate(verdicts)}
        keys = {key for key, _ in verdicts}
        for place, (key, verdict) in enumerate(verdicts):
            elsewhere = ""
            if verdict.passed and place == last[verdict.check] and self._is_over():
                elsewhere = failures_elsewhere(
                    self.context.instance, self.asset_key, verdict.check, keys
                )
            yield check_evaluation(
                asset_key=self.asset_key,
                check=verdict.check,
                partition=key,
                passed=verdict.passed,
                severity=dg.AssetCheckSeverity[verdict.severity.value],
                description=f"{verdict.summary} {elsewhere}".rstrip(),
                metadata=verdict_metadata(verdict),
                materialization=newest.get(key),
                run_id=self.context.run.run_id,
                timestamp=machine().timestamp(),
            )

    def _running(self, partition: Partition) -> dict[str, Any]:
        """What says of a partition that it goes on; the pictures are as of the same instant."""
        return {} if self.pictures is None else running_metadata(partition, self.pictures.now)

    def _is_over(self) -> bool:
        """Whether nothing more will be reported."""
        return len(self.reported) >= self.due

    def _tell_progress(self) -> None:
        done = len(self.reported)
        step = _LINES * done // max(self.due, done, 1)
        if step > self.told:
            self.told = step
            self.context.log.info(
                "progress %d %%: %d of %d partitions, %d not filled; %s new rows",
                100 * done // max(self.due, done),
                done,
                self.due,
                len(self.failures),
                f"{self.new:,}",
            )

    def close(self, wanted: Sequence[str], audit: Mapping[str, Any]) -> Iterator[Any]:
        """Yield what the step did as a whole and the outputs that it owes.

        The step fails if a partition that is due was not filled.

        Args:
            wanted: The partitions of the run.
            audit: What the fill or derivation says of itself; empty where nothing was due.

        Raises:
            dagster.Failure: Some were not filled; it names them and says what to do.
        """
        not_due = [key for key in wanted if key not in self.reported]
        if not_due:
            self.context.log.info(
                "nothing is due in %d partitions, %s to %s", len(not_due), not_due[0], not_due[-1]
            )
        if audit:
            # Of no partition: what it tells is of the run.
            yield dg.AssetObservation(
                self.asset_key, description=_sentence(audit), metadata=audit_metadata(audit)
            )
        for check in self.checks:
            yield check_output(self.asset_key, check)
        if self.failures:
            raise dg.Failure(
                description=(
                    f"{len(self.failures)} of {len(wanted)} partitions could not be filled "
                    f"({_first_of(self.failures)}); the others are stored and stay materialized. "
                    "Mend the cause that the table names, "
                    "then backfill the failed partitions again: only what is missing is asked for."
                ),
                metadata={
                    "failed_partitions": _table(
                        {"partition": key, "why": why}
                        for key, whys in list(self.failures.items())[:_WORST]
                        for why in whys[:3]
                    ),
                    "failed": len(self.failures),
                },
                # The same window would meet the same trouble at once; what there was is stored.
                allow_retries=False,
            )
        yield asset_output()


def _version_time(version: str | None) -> datetime | None:
    """The instant that a partition's version names; None where it has none."""
    return None if version is None else datetime.fromisoformat(version)


def not_filled(outcome: PartitionOutcome) -> str:
    """Why a partition is red, for its own page."""
    words = f"Not filled: {'; '.join(why.rstrip('.') for why in outcome.failures[:_WORDS])}."
    details = [
        verdict.summary
        for verdict in outcome.verdicts
        if verdict.check == "continuity" and not verdict.passed
    ]
    return " ".join([words, *details])


def not_whole(outcome: PartitionOutcome) -> str | None:
    """What a filled partition still lacks, for its own page; None where it is whole."""
    failed = {verdict.check: verdict.summary for verdict in outcome.verdicts if not verdict.passed}
    if "continuity" in failed:
        # A head that is absent is among what is missing.
        failed.pop("genesis", None)
    lacks = [failed[check] for check in CHECKS if check in failed]
    words = [*lacks, *(f"{fault}." for fault in outcome.faults[:_WORDS])]
    if not words and not outcome.verdicts:
        words = _missing_words(outcome)
    return f"Not whole: {' '.join(words)}" if words else None


def _missing_words(outcome: PartitionOutcome) -> list[str]:
    """Of what is made of candles: the symbols that lack bars."""
    lacking = sorted(
        (count for count in outcome.counts if count.missing), key=lambda count: -count.missing
    )
    if not lacking:
        return []
    missing, expected = (
        sum(count.missing for count in lacking),
        sum(count.expected for count in outcome.counts),
    )
    names = names_of([count.symbol for count in lacking])
    return [f"{missing:,} of {expected:,} bars are missing, as their candles are ({names})."]


def _version_tags(version: str | None) -> dict[str, str]:
    """The tags by which Dagster sees whether a materialization has changed anything."""
    return {} if version is None else {"dagster/data_version": version}


def materialization_metadata(outcome: PartitionOutcome) -> dict[str, Any]:
    """What the UI shows of one materialized partition."""
    expected = sum(count.expected for count in outcome.counts)
    missing = sum(count.missing for count in outcome.counts)
    reason = not_whole(outcome) if outcome.filled else not_filled(outcome)
    why = {} if reason is None else {"not_whole" if outcome.filled else "not_filled": reason}
    metadata: dict[str, Any] = {
        # First, because it is what a person looks for.
        **{name: dg.MetadataValue.text(words) for name, words in why.items()},
        "dagster/partition_row_count": outcome.rows,
        "expected": expected,
        "missing": missing,
        "completeness": share(expected - missing, expected),
        "new_rows": outcome.new,
    }
    if outcome.revised:
        metadata["revised_rows"] = outcome.revised
    if outcome.rejected:
        metadata["rejected_rows"] = outcome.rejected
    if outcome.first_ts and outcome.last_ts:
        metadata["first_bar"] = to_minute(outcome.first_ts)
        metadata["last_bar"] = to_minute(outcome.last_ts)
    if outcome.sources:
        metadata["new_rows_by_source"] = ", ".join(
            f"{name} {rows:,}" for name, rows in sorted(outcome.sources.items())
        )
    worst = sorted(outcome.counts, key=lambda count: (-count.missing, count.symbol))[:_WORST]
    metadata["symbols"] = _table(
        {
            "symbol": count.symbol,
            "expected": count.expected,
            "stored": count.stored,
            "explained": count.explained,
            "missing": count.missing,
        }
        for count in worst
    )
    if len(outcome.counts) > _WORST:
        metadata["symbols_not_shown"] = len(outcome.counts) - _WORST
    return metadata


def running_metadata(partition: Partition, now: datetime) -> dict[str, Any]:
    """What says of a partition that goes on that its numbers do; empty for one that is over.

    An observation of the same partition has it too, and takes its place on the page.

    Args:
        partition: Which one.
        now: The instant up to which its bars are counted, aware UTC.
    """
    if partition.window.end <= now:
        return {}
    words = (
        f"The partition runs until {to_minute(partition.window.end)}. What is expected, "
        f"stored and missing is as of {to_minute(now)}; later bars are not counted."
    )
    return {"still_running": dg.MetadataValue.text(words)}


def audit_metadata(audit: Mapping[str, Any]) -> dict[str, Any]:
    """What the UI shows of one run: the record of its job.

    The numbers are separate, so that Dagster plots them over the runs.

    Args:
        audit: A job's record: the columns of `ops.jobs`, its detail unpacked.
    """
    detail, sources = audit["detail"], audit["detail"]["requests"]
    metadata: dict[str, Any] = {
        "window": f"{to_minute(audit['start_ts'])} to {to_minute(audit['end_ts'])}",
        "trigger": audit["trigger"],
        "status": audit["status"],
        "progress_percent": round(100 * audit["progress"], 1),
        "symbols": len(audit["symbols"]),
        "requests": sum(int(usage["requests"]) for usage in sources.values()),
        "retries": sum(int(usage["retries"]) for usage in sources.values()),
        "waits_seconds": round(float(sum(usage["waits"] for usage in sources.values())), 3),
        "new_rows": detail["rows"]["new"],
        "revised_rows": detail["rows"]["revised"],
        "rejected_rows": detail["rows"]["rejected"],
        **{
            name: detail[name]
            for name in (
                "repaired",
                "gaps_before",
                "gaps_after",
                "missing_before",
                "missing_after",
                "abandoned",
            )
        },
        "partitions": detail["partitions"],
        "failed_partitions": detail["partitions_failed"],
        "partitions_with_faults": detail["partitions_with_faults"],
        "seconds": float(detail["seconds"]),
        "job": audit["job_id"],
    }
    if sources:
        metadata["by_source"] = _table(
            {"source": name, **{key: round(value, 3) for key, value in usage.items()}}
            for name, usage in sources.items()
        )
    # The job has them worst first, and leaves out what is 0.
    by_symbol = list(detail["by_symbol"].items())
    metadata["by_symbol"] = _table(
        {"symbol": symbol, **{name: numbers.get(name, 0) for name in job.BY_SYMBOL}}
        for symbol, numbers in by_symbol[:_WORST]
    )
    if more := len(by_symbol[_WORST:]) + detail["symbols_not_shown"]:
        metadata["symbols_not_shown"] = more
    return metadata


def verdict_metadata(verdict: Verdict) -> dict[str, dg.MetadataValue]:
    """A verdict's facts and tables as metadata."""
    metadata: dict[str, dg.MetadataValue] = {}
    for name, value in verdict.facts.items():
        if isinstance(value, str):
            metadata[name] = dg.MetadataValue.text(value)
        elif isinstance(value, int):
            metadata[name] = dg.MetadataValue.int(value)
        else:
            metadata[name] = dg.MetadataValue.float(value)
    # A table may list the first of what a fact counts, and both are to be seen.
    return metadata | {
        f"{name}_listed" if name in metadata else name: _table(rows)
        for name, rows in verdict.tables.items()
    }


def _sentence(audit: Mapping[str, Any]) -> str:
    detail = audit["detail"]
    return (
        f"{audit['kind']} by {audit['trigger']}: {detail['partitions_done']:,} "
        f"of {detail['partitions']:,} partitions, {detail['rows']['new']:,} new rows, "
        f"{detail['missing_before']:,} bars missing before and {detail['missing_after']:,} after"
    )


def _first_of(partitions: Iterable[str]) -> str:
    keys = sorted(partitions)
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3:,} more" if len(keys) > 3 else "")


def _table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord(dict(row)) for row in rows]
    if records:
        return dg.MetadataValue.table(records)
    return dg.MetadataValue.table([], schema=dg.TableSchema(columns=[dg.TableColumn("nothing")]))
