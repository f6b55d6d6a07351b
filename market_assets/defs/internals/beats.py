"""Signs of life that Dagster keeps: of daemons, sensors and schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData, TickStatus

from market_assets.imports import late_imports

with late_imports():
    from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dagster import DagsterInstance
    from dagster._core.scheduler.instigation import InstigatorState


class Beat(NamedTuple):
    """The last sign of life of a sensor, a schedule or a daemon.

    Attributes:
        seen: When, in seconds since 1970.
        error: What went wrong then, its first line; empty if nothing did.
        stopped: Somebody has switched it off.
    """

    seen: float
    error: str = ""
    stopped: bool = False


def daemon_beats(instance: DagsterInstance) -> Mapping[str, Beat | None]:
    """The last heartbeat of each daemon that the instance needs; None where there never was one."""
    beats = instance.get_daemon_heartbeats()
    return {
        name: Beat(
            beats[name].timestamp,
            _first_line([error.message for error in beats[name].errors or ()]),
        )
        if name in beats
        else None
        for name in instance.get_required_daemon_types()
    }


def tick_beats(
    instance: DagsterInstance,
    names: Collection[str],
    memory: dict[str, tuple[object, Beat | None]] | None = None,
) -> Mapping[str, Beat]:
    """The last tick of each sensor and schedule, by its name.

    Only those are in it that have ticked or were switched by hand.

    Args:
        instance: The instance that keeps the ticks.
        names: Of which sensors and schedules.
        memory: What this has found before, kept by the caller: the ticks of one that has not moved
            are not read again.
    """
    beats: dict[str, Beat] = {}
    memory = {} if memory is None else memory
    for state in instance.all_instigator_state():
        if state.name in names:
            mark, beat = memory.get(state.instigator_origin_id, (None, None))
            # A sensor's data change with each tick, at its begin and at its end; a schedule's
            # once an hour.
            moved = (state.instigator_data, state.status)
            if mark != moved or not isinstance(state.instigator_data, SensorInstigatorData):
                beat = _last_tick(instance, state)
                memory[state.instigator_origin_id] = moved, beat
            # The same name may have been in another code location before.
            if beat and (state.name not in beats or beat.seen > beats[state.name].seen):
                beats[state.name] = beat
    return beats


def _last_tick(instance: DagsterInstance, state: InstigatorState) -> Beat | None:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2)
    if not ticks:
        return None if state.is_running else Beat(0.0, stopped=True)
    # One that is under way says nothing yet of how it ends: the one before it does.
    errors = [tick.error for tick in ticks if tick.status is not TickStatus.STARTED]
    return Beat(
        ticks[0].end_timestamp or ticks[0].timestamp,
        _first_line([errors[0].message]) if errors and errors[0] else "",
        stopped=not state.is_running,
    )


def _first_line(messages: Sequence[str]) -> str:
    return next((line for message in messages for line in message.splitlines() if line), "")


def wake_sensors(instance: DagsterInstance, names: Collection[str] | None = None) -> None:
    """Forget when sensors ticked last, so that the daemon ticks them at once; cursors stay.

    Args:
        instance: The instance that keeps the moments.
        names: Only these sensors; None for all.

    Dagster keeps that moment over a restart: a sensor of an hour's interval would sleep on for the
    rest of it, and after a clock that was ahead, until that time comes.
    """
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        data = state.instigator_data
        if isinstance(data, SensorInstigatorData) and (names is None or state.name in names):
            rested = data._replace(last_tick_timestamp=None, last_tick_start_timestamp=None)
            instance.update_instigator_state(state.with_data(rested))


def launcher_seen_at(instance: DagsterInstance) -> datetime | None:
    """When the daemon that starts queued runs was seen last; None where there was none yet."""
    heartbeat = instance.get_daemon_heartbeats().get(QueuedRunCoordinatorDaemon.daemon_type())
    return None if heartbeat is None else datetime.fromtimestamp(heartbeat.timestamp, UTC)
