"""A sensor of alerts that is asked tick by tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._daemon.types import DaemonHeartbeat

from market_assets.alerts import alerts_in
from market_assets.config.services import AlertSettings
from market_assets.defs.automation.alerts import alert_sensor
from market_assets.defs.resources import Clock, StoreResource
from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from market_assets.alerts import Alert
    from market_assets.config.universe import Universe

MINUTE = timedelta(minutes=1)
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Bell:
    """Ticks the sensor at an instant of the test's choice."""

    def __init__(
        self,
        universe: Universe,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        home: Path,
        automations: Mapping[str, timedelta] | None = None,
    ) -> None:
        self.universe, self.definitions, self.instance = universe, definitions, instance
        self.automations = automations or {}
        self.store = StoreResource(database=str(home / "market.duckdb"))
        self.now = NOW
        self.silent: set[str] = set()
        self.restart()

    def restart(self) -> None:
        """Begin without what the process remembered."""
        self.sensor = alert_sensor(self.universe, self.automations)

    def tick(self, after: timedelta = MINUTE) -> str:
        """Tick some time after the last tick; gives the reason that the UI shows."""
        self.now += after
        for name in set(self.instance.get_required_daemon_types()) - self.silent:
            self.instance.add_daemon_heartbeat(
                DaemonHeartbeat(self.now.timestamp(), name, "one", [])
            )
        with dg.build_sensor_context(
            instance=self.instance,
            definitions=self.definitions,
            resources={"store": self.store, "clock": Clock(fixed=self.now.isoformat())},
        ) as context:
            reason: Any = self.sensor(context)
        assert isinstance(reason, dg.SkipReason)
        return str(reason.skip_message)

    @property
    def alerts(self) -> list[Alert]:
        with Store(self.store.home, clock=lambda: self.now).reading("a test") as view:
            return alerts_in(view.alerts.of(everything=True))

    def present(self) -> list[tuple[str, str, int]]:
        return sorted(
            (one.kind.value, one.subject, one.count) for one in self.alerts if one.over_at is None
        )


def loud(universe: Universe, *channels: str) -> Universe:
    return universe.model_copy(update={"alerts": AlertSettings(channels=channels)})
