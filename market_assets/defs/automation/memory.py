"""What a repair sensor remembers from tick to tick."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Self

import dagster as dg

from market_assets.plan.repair import Launches

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from market_assets.market.timeframes import Timeframe
    from market_assets.plan.repair import RepairPlan, RepairRun


@dataclass
class Memory:
    """What a repair sensor remembers from tick to tick, as its cursor.

    Attributes:
        sequence: How many runs it has asked for; part of each run key, so that none is ever used
            twice.
        launches: By timeframe and partition, for those that are in trouble.
    """

    sequence: int = 0
    launches: dict[str, dict[str, Launches]] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None, instance: dg.DagsterInstance, sensor: str) -> Self:
        """Read a cursor; without one the runs that are there say how far the sequence has come."""
        if not cursor:
            return cls(
                sequence=instance.get_runs_count(
                    dg.RunsFilter(tags={"dagster/sensor_name": sensor})
                )
            )
        kept = json.loads(cursor)
        launches = {
            timeframe: {
                key: Launches(count, datetime.fromisoformat(at))
                for key, (count, at) in entries.items()
            }
            for timeframe, entries in kept["launches"].items()
        }
        return cls(kept["sequence"], launches)

    def dump(self) -> str:
        """The cursor."""
        launches = {
            timeframe: {key: [tries.count, tries.at.isoformat()] for key, tries in entries.items()}
            for timeframe, entries in self.launches.items()
        }
        return json.dumps({"sequence": self.sequence, "launches": launches})

    def note(
        self,
        timeframe: Timeframe,
        troubled: Collection[str],
        plan: RepairPlan,
        launched: Sequence[RepairRun],
        now: datetime,
    ) -> None:
        """Count the launches of what is in trouble, and forget what is not any more.

        Args:
            timeframe: Whose partitions.
            troubled: The partitions that are in trouble.
            plan: What was planned for them.
            launched: Those of its runs that are launched.
            now: The present instant.
        """
        before = self.launches.get(timeframe, {})
        kept = {key: tries for key, tries in before.items() if key in troubled}
        # A partition that waits may lie in a run's range; it has had no try of its own.
        waiting = {key for keys in plan.paused.values() for key in keys}
        for key in (key for run in launched for key in run.partitions):
            if key in troubled and key not in waiting:
                kept[key] = Launches(kept[key].count + 1 if key in kept else 1, now)
        self.launches[timeframe] = kept
