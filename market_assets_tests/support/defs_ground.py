"""A practice ground for the Dagster side.

It has a home, a small universe, its definitions, and what can be seen of its runs.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import yaml

from market_assets.config.load import load_universe
from market_assets.definitions import build_definitions
from market_assets.defs.automation.runs import RangeRun, Runner
from market_assets.defs.events import CHECKS
from market_assets.defs.keys import dataset_key
from market_assets.defs.resources import Clock, StoreResource
from market_assets.fill.options import USUAL, FillOptions
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    import polars as pl

    from market_assets.config.universe import Profile
    from market_assets.practice.vendor import PracticeVendor

NOW = "2025-03-01T12:00:00+00:00"


class Ground:
    """A home with one profile, `kept`: hours of two symbols, in partitions of a day.

    The days are 2025-02-03 (a Monday) to 2025-02-10.
    """

    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.home = home
        self.instance = instance
        self.definitions = dg.Definitions()

    def keep(
        self,
        vendor: PracticeVendor | None = None,
        keys: str = "",
        now: str = NOW,
        sources: Mapping[str, Mapping[str, object]] | None = None,
        **top: object,
    ) -> Profile:
        """Write the universe and build its definitions.

        `keys` take the place of the profile's usual ones; `sources` are added, and so are the
        universe's own keys.
        """
        self.clock = Clock(fixed=now)
        address = {} if vendor is None else {"base_url": vendor.url}
        universe = {
            **top,
            "sources": {"practice": {**address, "retries": 0, "backoff": 0}, **(sources or {})},
            "profiles": {
                "kept": {
                    "kind": "CRYPTO",
                    "start": "2025-02-03",
                    "end": "2025-02-10",
                    "timeframes": {"fetch": ["1h"]},
                    "sources": ["practice"],
                    "symbols": {"BTC": {}, "ETH": {}},
                    **(yaml.safe_load(textwrap.dedent(keys)) or {}),
                }
            },
        }
        path = self.home / "universe.yaml"
        path.write_text(yaml.safe_dump(universe))
        self.universe = load_universe(path, environ={})
        self.profile = self.universe.profiles["kept"]
        self.store_resource = StoreResource(database=str(self.home / "market.duckdb"))
        self._define()
        return self.profile

    def move_clock(self, now: datetime) -> None:
        """Let time pass, as a code location does that is loaded again."""
        self.clock = Clock(fixed=now.isoformat())
        self._define()

    def _define(self) -> None:
        resources = {"store": self.store_resource, "clock": self.clock}
        self.definitions = build_definitions(self.universe, overrides=resources)

    def schedule(self) -> Any:
        # Not by Definitions.resolve_schedule_def: that makes a repository, and looks in an instance
        # that an earlier test has closed.
        return next(one for one in self.definitions.schedules or () if one.name == "update_kept")

    def sensor(self, name: str) -> Any:
        return next(one for one in self.definitions.sensors or () if one.name == name)

    def key(self, timeframe: str = "1h") -> dg.AssetKey:
        return dataset_key(Dataset.candles("kept", Timeframe(timeframe)))

    def partitions(self, timeframe: str = "1h") -> dg.PartitionsDefinition[str]:
        found = self.definitions.resolve_asset_graph().get(self.key(timeframe)).partitions_def
        assert found is not None
        return found

    def keys(self, timeframe: str = "1h") -> list[str]:
        return list(self.partitions(timeframe).get_partition_keys())

    def fill(self, *partitions: str, **options: Any) -> dg.DagsterRun:
        """Fill from the first to the last of some partitions, or all of them."""
        return self.run("1h", *partitions, options=FillOptions(**options))

    def run(self, timeframe: str, *partitions: str, options: FillOptions = USUAL) -> dg.DagsterRun:
        ranged = RangeRun(
            "kept", (Timeframe(timeframe),), partitions or tuple(self.keys(timeframe))
        )
        self.done = 0
        run_id, _ = Runner(self.definitions, self.instance).execute(
            ranged, options, done=self._count
        )
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def _count(self) -> None:
        self.done += 1

    def colours(self, timeframe: str = "1h") -> dict[str, str]:
        """Each partition with the colour of its square in the UI."""
        return colours(self.instance, self.key(timeframe), self.partitions(timeframe))

    def verdicts(self, timeframe: str = "1h") -> dict[str, tuple[str, ...]]:
        """Each judged partition with its verdicts in the order of CHECKS.

        A verdict that is not current is marked.
        """
        found: dict[str, dict[str, str]] = {}
        keys = [dg.AssetCheckKey(self.key(timeframe), check) for check in CHECKS]
        for info in self.instance.event_log_storage.get_asset_check_partition_info(keys):
            word = info.latest_execution_status.value + ("" if info.is_current else " BEFORE")
            found.setdefault(str(info.partition_key), {})[info.check_key.name] = word
        return {
            key: tuple(verdicts.get(check, "NONE") for check in CHECKS)
            for key, verdicts in found.items()
        }

    def evaluations(self, run: dg.DagsterRun) -> dict[tuple[str, str], Any]:
        """What a run said of each partition and check."""
        found = {}
        for entry in self.instance.all_logs(
            run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ):
            data: Any = entry.get_dagster_event().event_specific_data
            found[data.partition, data.check_name] = data
        return found

    def materializations(self, run: dg.DagsterRun) -> dict[str, dg.AssetMaterialization]:
        entries = self.instance.all_logs(
            run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        found = [entry.asset_materialization for entry in entries]
        return {str(one.partition): one for one in found if one is not None}

    def failure(self, run: dg.DagsterRun) -> Any:
        """What a run's failed step left for a person to read: the dg.Failure's own data."""
        (entry,) = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        data: Any = entry.get_dagster_event().event_specific_data
        return data.user_failure_data

    def messages(self, run: dg.DagsterRun) -> list[str]:
        return [entry.user_message for entry in self.instance.all_logs(run.run_id)]

    def table(self, sql: str) -> pl.DataFrame:
        with duckdb.connect(self.home / "market.duckdb", read_only=True) as db:
            return db.sql(sql).pl()


class Follower:
    """Ticks the sensor that follows what has changed.

    The cursor is remembered, as the daemon does it.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.cursor: str | None = None

    def tick(self) -> Any:
        """The result of a tick, checked as the daemon checks it.

        Its fields are run_requests, skip_message and cursor.
        """
        resources = {"store": self.ground.store_resource, "clock": self.ground.clock}
        with dg.build_sensor_context(
            instance=self.ground.instance,
            cursor=self.cursor,
            resources=resources,
            definitions=self.ground.definitions,
        ) as context:
            data = self.ground.sensor("derive_when_input_changes").evaluate_tick(context)
        self.cursor = data.cursor
        return data

    def asked(self) -> dict[str, list[tuple[str, str]]]:
        """The runs that a tick requests, oldest first.

        By dataset, these are the first and last partition of each run.
        """
        found: dict[str, list[tuple[str, str]]] = {}
        for request in self.tick().run_requests or ():
            bounds = (
                request.tags["dagster/asset_partition_range_start"],
                request.tags["dagster/asset_partition_range_end"],
            )
            for key in request.asset_selection or ():
                if key.path[-1] != "completeness":
                    found.setdefault(key.path[-1], []).append(bounds)
        return {name: sorted(ranges) for name, ranges in found.items()}

    def launch(self) -> int:
        """Execute what ticks ask for until they ask for nothing; gives how many runs that took."""
        job = self.ground.definitions.resolve_implicit_global_asset_job_def()
        runs = 0
        while requests := self.tick().run_requests:
            for request in requests:
                runs += 1
                job.execute_in_process(
                    instance=self.ground.instance,
                    asset_selection=list(request.asset_selection or ()),
                    run_config=request.run_config,
                    tags=dict(request.tags),
                    raise_on_error=False,
                )
        return runs


def colours(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: dg.PartitionsDefinition[str]
) -> dict[str, str]:
    """Each partition of an asset with the colour of its square in the UI."""
    found = instance.get_status_by_partition(key, partitions.get_partition_keys(), partitions)
    return {name: status.value if status else "MISSING" for name, status in (found or {}).items()}
