"""What is reported to Dagster about a session that still runs.

That is an observation from time to time and each verdict that has changed, but no materialization.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.defs.events import running_metadata, verdict_metadata
from market_assets.defs.internals.adapter import RUNLESS, latest_materializations
from market_assets.defs.internals.checks import (
    check_evaluation,
    failures_elsewhere,
    report_evaluation,
)
from market_assets.defs.keys import dataset_key
from market_assets.market.clock import machine
from market_assets.market.instants import to_second
from market_assets.verdicts.verdicts import share

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from market_assets.expected.newest import Standing
    from market_assets.expected.scope import Scope
    from market_assets.store import Store
    from market_assets.verdicts.verdicts import Verdict
    from market_assets.work.outcome import PartitionOutcome

_SHOWN = 20


def observe(
    instance: dg.DagsterInstance,
    store: Store,
    scope: Scope,
    newest: Sequence[Standing],
) -> None:
    """Observe the partition of the session that runs; nothing where none does.

    Args:
        instance: Where the observation goes.
        store: Where the counts are.
        scope: Which candles, as of the present.
        newest: How far the newest partitions are.
    """
    now, dataset = scope.now, scope.dataset
    running = [standing for standing in newest if standing.ends_at > now and standing.judged_at]
    if not running:
        return
    standing = running[-1]
    key = standing.partition.key
    with store.reading(f"observing {scope}") as view:
        counts = view.partitions.counts(dataset, [key])
        extents = view.candles.extents(dataset, standing.partition.window)
    last = dict(extents.select("symbol", "last_ts").iter_rows())
    expected, stored, missing = (
        int(counts[name].sum()) for name in ("expected", "stored", "missing")
    )

    rows = [
        dg.TableRecord(
            {
                "symbol": row["symbol"],
                "stored": row["stored"],
                "missing": row["missing"],
                "last bar": f"{last[row['symbol']]:%H:%M}Z" if row["symbol"] in last else "none",
            }
        )
        for row in counts.sort("missing", "symbol", descending=[True, False])
        .head(_SHOWN)
        .iter_rows(named=True)
    ]
    metadata: dict[str, Any] = {
        **running_metadata(standing.partition, now),
        "expected": expected,
        "stored": stored,
        "missing": missing,
        "completeness": share(expected - missing, expected),
    }
    if standing.judged_at is not None:
        lag = (now - standing.judged_at).total_seconds()
        metadata["judged_until"] = to_second(standing.judged_at)
        metadata["lag_seconds"] = round(lag, 1)
    if rows:
        metadata["symbols"] = dg.MetadataValue.table(rows)
    instance.report_runless_asset_event(
        dg.AssetObservation(
            dataset_key(dataset),
            partition=key,
            description=(
                f"The session runs: {stored:,} of {expected:,} bars are stored, "
                f"{missing:,} are missing. "
                "Its partition is materialized when it is over."
            ),
            metadata=metadata,
        )
    )


@dataclass
class RunningVerdicts:
    """Tells Dagster of the verdicts on sessions that still run, when they change.

    A bar that comes a minute late is no news: a verdict is told when it stands at the next update
    still.

    Args:
        asset_key: Whose partitions are judged.
    """

    asset_key: dg.AssetKey
    _newest: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    _told: dict[tuple[str, str], tuple[bool, int | None]] = field(default_factory=dict)

    def tell(
        self,
        instance: dg.DagsterInstance,
        running: Collection[str],
        outcomes: Sequence[PartitionOutcome],
    ) -> None:
        """Tell what stands since the look before and Dagster does not know.

        Args:
            instance: Where the evaluations go.
            running: The partitions whose sessions run.
            outcomes: What was found in them since the look before.
        """
        before = {place: verdict for place, verdict in self._newest.items() if place[0] in running}
        verdicts = before | {
            (outcome.partition.key, verdict.check): verdict
            for outcome in outcomes
            for verdict in outcome.verdicts
            if outcome.partition.key in running
        }
        reports = {place: report for place, report in self._told.items() if place[0] in running}
        # A run that was under way may have materialized the partition since: what was told of it
        # then counts no more.
        materializations = (
            latest_materializations(instance, self.asset_key, sorted({key for key, _ in verdicts}))
            if verdicts
            else {}
        )
        current = {
            place: (verdict.passed, materializations.get(place[0]))
            for place, verdict in verdicts.items()
        }
        news = [
            place
            for place, verdict in verdicts.items()
            if place in before
            and verdict.passed == before[place].passed
            and current[place] != reports.get(place)
        ]
        self._newest = verdicts
        self._told = reports | {place: current[place] for place in news}
        for key, check in news:
            verdict = verdicts[key, check]
            words = f"The session still runs. {verdict.summary}"
            if verdict.passed:
                elsewhere = failures_elsewhere(instance, self.asset_key, check, [key])
                words = f"{words} {elsewhere}".rstrip()
            evaluation = check_evaluation(
                asset_key=self.asset_key,
                check=check,
                partition=key,
                passed=verdict.passed,
                severity=dg.AssetCheckSeverity[verdict.severity.value],
                description=words,
                metadata=verdict_metadata(verdict),
                materialization=materializations.get(key),
                run_id=RUNLESS,
                timestamp=machine().timestamp(),
            )
            report_evaluation(instance, evaluation)
