"""Turns the outcomes of a fill or a derivation into what Dagster shows of each partition."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.defs.adapter import asset_output, check_evaluation, check_output, latest_materializations
from market_assets.quality.verdicts import share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from market_assets.fill import PartitionOutcome
    from market_assets.quality.verdicts import Verdict

CHECKS = ("continuity", "genesis", "validity")
_WORST = 20


@dataclass
class Reporter:
    """Yields the events of one step over a range of partitions, each as soon as its partition is committed.

    Use `report` for each batch and `close` at the end.

    Args:
        context: The step's context.
        asset_key: The asset that is materialized.
        checks: The checks that the step owes; none for derived candles.
    """

    context: dg.AssetExecutionContext
    asset_key: dg.AssetKey
    checks: Sequence[str] = ()
    failures: dict[str, Sequence[str]] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)

    def report(self, outcomes: Sequence[PartitionOutcome]) -> Iterator[Any]:
        """Materialize the filled ones, then give every one its verdicts."""
        self.reported |= {outcome.partition.key for outcome in outcomes}
        for outcome in outcomes:
            if outcome.filled:
                yield dg.AssetMaterialization(
                    self.asset_key, partition=outcome.partition.key, metadata=materialization_metadata(outcome)
                )
            else:
                self.failures[outcome.partition.key] = outcome.failures
        if not self.checks:
            return
        newest = latest_materializations(
            self.context.instance, self.asset_key, [outcome.partition.key for outcome in outcomes]
        )
        for outcome in outcomes:
            key = outcome.partition.key
            for verdict in outcome.verdicts:
                yield check_evaluation(
                    asset_key=self.asset_key,
                    check=verdict.check,
                    partition=key,
                    passed=verdict.passed,
                    severity=dg.AssetCheckSeverity[verdict.severity.value],
                    description=verdict.summary,
                    metadata=verdict_metadata(verdict),
                    materialization=newest.get(key),
                    run_id=self.context.run.run_id,
                    timestamp=time.time(),
                )

    def close(self, wanted: Sequence[str]) -> Iterator[dg.Output[None]]:
        """Yield the outputs that the step owes, and fail it if a partition that is due was not filled.

        Args:
            wanted: The partitions of the run.

        Raises:
            dagster.Failure: Some were not filled; it names them and says what to do.
        """
        not_due = [key for key in wanted if key not in self.reported]
        if not_due:
            self.context.log.info("nothing is due in %d partitions, %s to %s", len(not_due), not_due[0], not_due[-1])
        for check in self.checks:
            yield check_output(self.asset_key, check)
        if self.failures:
            raise dg.Failure(
                description=(
                    f"{len(self.failures)} of {len(wanted)} partitions could not be filled ({_first_of(self.failures)}); the others "
                    "are stored and stay materialized. Mend the cause that the table names, then backfill the failed partitions again: only what is missing is asked for."
                ),
                metadata={
                    "failed_partitions": _table(
                        {"partition": key, "why": why}
                        for key, whys in list(self.failures.items())[:_WORST]
                        for why in whys[:3]
                    ),
                    "failed": len(self.failures),
                },
                # The same window again at once would meet the same trouble; what could be had is stored.
                allow_retries=False,
            )
        yield asset_output()


def materialization_metadata(outcome: PartitionOutcome) -> dict[str, Any]:
    """What the UI shows of one materialized partition."""
    expected = sum(own.expected for own in outcome.counts)
    missing = sum(own.missing for own in outcome.counts)
    metadata: dict[str, Any] = {
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
        metadata["first_bar"] = f"{outcome.first_ts:%Y-%m-%d %H:%M}Z"
        metadata["last_bar"] = f"{outcome.last_ts:%Y-%m-%d %H:%M}Z"
    if outcome.sources:
        metadata["new_rows_by_source"] = ", ".join(f"{name} {rows:,}" for name, rows in sorted(outcome.sources.items()))
    worst = sorted(outcome.counts, key=lambda own: (-own.missing, own.symbol))[:_WORST]
    metadata["symbols"] = _table(
        {
            "symbol": own.symbol,
            "expected": own.expected,
            "stored": own.stored,
            "explained": own.explained,
            "missing": own.missing,
        }
        for own in worst
    )
    if len(outcome.counts) > _WORST:
        metadata["symbols_not_shown"] = len(outcome.counts) - _WORST
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
        f"{name}_listed" if name in metadata else name: _table(rows) for name, rows in verdict.tables.items()
    }


def _first_of(partitions: Iterable[str]) -> str:
    keys = sorted(partitions)
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3:,} more" if len(keys) > 3 else "")


def _table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord(dict(row)) for row in rows]
    if records:
        return dg.MetadataValue.table(records)
    return dg.MetadataValue.table([], schema=dg.TableSchema(columns=[dg.TableColumn("nothing")]))
