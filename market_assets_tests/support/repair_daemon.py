"""A daemon that repairs a home tick by tick."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.defs.resources import Sources

if TYPE_CHECKING:
    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground


QUICK = "{repair: {backoff: [1m, 1h], max_attempts: 3, legacy_cutoff: null}}"
"""A profile whose repair asks again soon, and gives up after three times."""

NEW = {
    "fault": "hole",
    "symbols": ["ETH"],
    "start": "2025-02-06T03:00Z",
    "end": "2025-02-06T05:00Z",
}


class Daemon:
    """Ticks the repair sensor of a ground.

    It launches what the sensor asks for in this process, as the daemon would.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.cursor: str | None = None
        self.launched: list[dg.RunRequest] = []

    def tick(self) -> dg.SensorResult:
        ground = self.ground
        resources = {
            "store": ground.store_resource,
            "sources": Sources(ground.universe),
            "clock": ground.clock,
        }
        with dg.build_sensor_context(
            instance=ground.instance, cursor=self.cursor, resources=resources
        ) as context:
            result = ground.sensor("repair_kept")(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def launch(self, result: dg.SensorResult) -> list[dg.DagsterRun]:
        """Execute the requested runs whose key was not used before."""
        runs = []
        job = self.ground.definitions.resolve_implicit_global_asset_job_def()
        keys = {request.run_key for request in self.launched}
        for request in result.run_requests or ():
            if request.run_key in keys:
                continue
            self.launched.append(request)
            done = job.execute_in_process(
                instance=self.ground.instance,
                asset_selection=list(request.asset_selection or ()),
                run_config=request.run_config,
                tags={**request.tags, "dagster/sensor_name": "repair_kept"},
                raise_on_error=False,
            )
            runs.append(done.dagster_run)
        return runs

    def heal(self) -> list[dg.DagsterRun]:
        return self.launch(self.tick())

    def wait(self, **time: float) -> None:
        later = self.ground.clock.now() + timedelta(**time)
        self.ground.move_clock(later)


def reason(result: dg.SensorResult) -> str:
    assert not result.run_requests
    skip: Any = result.skip_reason
    return str(getattr(skip, "skip_message", skip))


def ranges(result: dg.SensorResult) -> list[tuple[str, str]]:
    tags = [request.tags for request in result.run_requests or ()]
    return [
        (one["dagster/asset_partition_range_start"], one["dagster/asset_partition_range_end"])
        for one in tags
    ]


def asked(vendor: PracticeVendor) -> Counter[str]:
    """How many requests for candles each symbol has cost since the log was cleared."""
    return Counter(entry["symbol"] for entry in vendor.log if entry["endTime"] is not None)
