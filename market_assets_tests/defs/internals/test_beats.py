"""What this project relies on in Dagster of signs of life, most of it private.

A test that fails here says what an upgrade has moved.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import get_elapsed
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from market_assets.defs.internals.beats import (
    Beat,
    daemon_beats,
    launcher_seen_at,
    tick_beats,
    wake_sensors,
)

if TYPE_CHECKING:
    import dagster as dg

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)


def test_the_daemon_that_starts_runs_is_seen_by_its_heartbeat(instance: dg.DagsterInstance) -> None:
    assert launcher_seen_at(instance) is None
    at = datetime(2026, 3, 4, 12, tzinfo=UTC)
    kind = QueuedRunCoordinatorDaemon.daemon_type()
    instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), kind, "here", []))
    assert launcher_seen_at(instance) == at


def test_a_daemon_is_alive_as_of_its_last_heartbeat_and_says_what_went_wrong(
    instance: dg.DagsterInstance,
) -> None:
    before = daemon_beats(instance)
    assert {
        "SENSOR",
        "SCHEDULER",
        "BACKFILL",
        "ASSET",
        "QUEUED_RUN_COORDINATOR",
        "MONITORING",
    } <= set(before)
    assert set(before.values()) == {None}
    trouble = SerializableErrorInfo("disk full\nand more", [], "OSError")
    instance.add_daemon_heartbeat(DaemonHeartbeat(1000.0, "SENSOR", "one", [trouble]))
    instance.add_daemon_heartbeat(DaemonHeartbeat(2000.0, "SCHEDULER", "one", []))
    beats = daemon_beats(instance)
    assert (beats["SENSOR"], beats["SCHEDULER"]) == (Beat(1000.0, "disk full"), Beat(2000.0))


def instigator(
    instance: dg.DagsterInstance, name: str, status: InstigatorStatus
) -> InstigatorState:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="here"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "here"), name)
    state = InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData())
    return instance.add_instigator_state(state)


def tick(
    instance: dg.DagsterInstance,
    state: InstigatorState,
    at: float,
    status: TickStatus,
    error: str = "",
) -> None:
    instance.create_tick(
        TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=state.name,
            instigator_type=InstigatorType.SENSOR,
            status=status,
            timestamp=at,
            selector_id=state.selector_id,
            error=SerializableErrorInfo(error, [], "ValueError") if error else None,
        )
    )


def test_a_sensor_is_alive_as_of_its_last_tick_and_the_last_one_that_ended_says_what_went_wrong(
    instance: dg.DagsterInstance,
) -> None:
    running = instigator(instance, "repair", InstigatorStatus.DECLARED_IN_CODE)
    stopped = instigator(instance, "stopped", InstigatorStatus.STOPPED)
    instigator(instance, "fresh", InstigatorStatus.RUNNING)
    names = ["repair", "stopped", "fresh", "unknown"]
    assert tick_beats(instance, names) == {"stopped": Beat(0.0, stopped=True)}
    tick(instance, stopped, 500.0, TickStatus.SKIPPED)
    tick(instance, running, 1000.0, TickStatus.FAILURE, "ValueError: no\ntrace")
    tick(instance, running, 2000.0, TickStatus.STARTED)
    beats = {"repair": Beat(2000.0, "ValueError: no"), "stopped": Beat(500.0, stopped=True)}
    assert tick_beats(instance, names) == beats
    tick(instance, running, 3000.0, TickStatus.SKIPPED)
    assert tick_beats(instance, ["repair"]) == {"repair": Beat(3000.0)}


def test_ticks_of_a_sensor_that_has_not_moved_are_not_read_again(
    instance: dg.DagsterInstance,
) -> None:
    state = instigator(instance, "repair", InstigatorStatus.RUNNING)
    tick(instance, state, 1000.0, TickStatus.SKIPPED)
    memory: dict[str, tuple[object, Beat | None]] = {}
    assert tick_beats(instance, ["repair"], memory) == {"repair": Beat(1000.0)}
    tick(instance, state, 2000.0, TickStatus.SKIPPED)
    assert tick_beats(instance, ["repair"], memory) == {"repair": Beat(1000.0)}
    # As the daemon does with each tick.
    moved = state.with_data(SensorInstigatorData(2000.0, None, 30, None, 1999.0))
    instance.update_instigator_state(moved)
    assert tick_beats(instance, ["repair"], memory) == {"repair": Beat(2000.0)}


def test_a_sensor_that_is_woken_has_no_last_tick_and_keeps_its_cursor(
    instance: dg.DagsterInstance,
) -> None:
    location = RegisteredCodeLocationOrigin("here")
    origin = RemoteRepositoryOrigin(location, "__repository__").get_instigator_origin("repair_kept")
    data = SensorInstigatorData(
        last_tick_timestamp=2e9, last_tick_start_timestamp=2e9, min_interval=3600, cursor="so far"
    )
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, data)
    )
    (state,) = instance.all_instigator_state()
    assert get_elapsed(state) < 0
    wake_sensors(instance)
    (state,) = instance.all_instigator_state()
    assert get_elapsed(state) is None
    assert state.sensor_instigator_data.cursor == "so far"
