"""Troubles of the platform itself: processes, sensors, the store and the universe file. Pure.

Nothing is said of candles here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from market_assets.alerts.troubles import LINES, WIDTH, Kind, Level, Trouble
from market_assets.market.instants import to_minute
from market_assets.up.backoff import QUIET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_assets.keeping import PruneNote
    from market_assets.store import StoreMark
    from market_assets.up.state import State

_UNREACHABLE = "DagsterUserCodeUnreachableError"
"""What Dagster reports of a sensor or daemon that looks for a code server during its restart."""

_LATE = 3
"""How many intervals without a sign of life, and a minute, make a sensor dead."""


@dataclass(frozen=True)
class Life:
    """The last sign of life of something that should run: a sensor, a schedule or a daemon.

    Attributes:
        name: What it is, such as "sensor repair_crypto" or "daemon SCHEDULER".
        every: How often it should be heard of.
        seen: When it was heard of last; None if it never was.
        error: What went wrong then; empty if nothing did.
        stopped: Somebody has switched it off on purpose.
    """

    name: str
    every: timedelta
    seen: datetime | None
    error: str = ""
    stopped: bool = False


def dead(lives: Iterable[Life], now: datetime, awake: datetime) -> list[Trouble]:
    """Sensors, schedules and daemons that should have been heard of, or whose last tick failed.

    Args:
        lives: What should run.
        now: The present instant.
        awake: Since when somebody looks: before that everything may have been off, and nothing
            follows from silence.
    """
    troubles = []
    for life in lives:
        if life.stopped:
            continue
        if now - max(life.seen or awake, awake) > _LATE * life.every + timedelta(minutes=1):
            summary = (
                f"was last heard of at {to_minute(life.seen)}"
                if life.seen
                else "has never been heard of"
            )
        elif life.error:
            summary = f"fails: {life.error[:WIDTH]}"
        else:
            continue
        troubles.append(Trouble("", Kind.DEAD, life.name, Level.ERROR, summary, 1))
    return troubles


def platform_troubles(state: State, now: datetime) -> list[Trouble]:
    """Processes that `market-assets up` has started again, and a universe file that it refuses.

    Args:
        state: What the supervisor has left in the home folder.
        now: The present instant: a restart counts for ten minutes.
    """
    troubles = []
    for what in dict.fromkeys(restart.what for restart in state.restarts):
        restarts = [restart for restart in state.restarts if restart.what == what]
        if now - restarts[-1].at >= QUIET:
            continue
        lines = tuple(
            f"{to_minute(restart.at)}: {restart.why}"[:WIDTH]
            for restart in restarts[: -LINES - 1 : -1]
        )
        summary = f"ended by itself and was started again; the newest reason: {restarts[-1].why}"
        troubles.append(Trouble("", Kind.RESTART, what, Level.ERROR, summary, len(restarts), lines))
    if state.faults:
        lines = tuple(fault[:WIDTH] for fault in state.faults[:LINES])
        summary = f"{state.universe} has mistakes and is not taken over; the last good one goes on"
        troubles.append(
            Trouble(
                "", Kind.UNIVERSE, "universe file", Level.ERROR, summary, len(state.faults), lines
            )
        )
    return troubles


def prune_failed(note: PruneNote) -> list[Trouble]:
    """That what is kept no longer is not removed, because an archive or a prune failed.

    Args:
        note: What the last prunes have left in the home folder.
    """
    if note.failed_at is None:
        return []
    summary = f"the prune has failed since {to_minute(note.failed_at)}: {note.words}"
    trouble = Trouble("", Kind.RETENTION, "retention", Level.WARNING, summary[:WIDTH], 1)
    return [trouble]


def is_replacing(trouble: Trouble, state: State, now: datetime) -> bool:
    """Whether a failure comes from a restart of the code server, which is reported already.

    Args:
        trouble: What is wrong.
        state: What the supervisor has left in the home folder.
        now: The present instant.
    """
    starts = [restart.at for restart in state.restarts]
    starts += [state.taken_over_at] if state.taken_over_at else []
    recent = any(now - at < QUIET for at in starts)
    return recent and trouble.kind is Kind.DEAD and _UNREACHABLE in trouble.summary


def store_changed(was: StoreMark, present: StoreMark) -> Trouble:
    """The store is another one than it was, or an older copy of it."""
    before = (
        f"{was.commits:,} commits, the last at {to_minute(was.committed_at)}"
        if was.committed_at
        else "no commit"
    )
    after = (
        f"{present.commits:,} commits, the last at {to_minute(present.committed_at)}"
        if present.committed_at
        else "nothing"
    )
    if present.store_id == was.store_id:
        summary = "the store is an older copy of itself: what was filled since is not in it"
    else:
        summary = "the store was deleted or replaced: what was filled before is not in it"
    details = (
        f"before: {before} (store {was.store_id[:8]})",
        f"now: {after} (store {present.store_id[:8]})",
    )
    return Trouble("", Kind.STORE_CHANGED, "market.duckdb", Level.ERROR, summary, 1, details)
