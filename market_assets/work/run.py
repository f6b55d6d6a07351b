"""Who has asked for work: the run that does it, and how that came about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Trigger(StrEnum):
    """How a run came about, as `ops.jobs` has it."""

    AUTOMATION = "automation"
    BACKFILL = "backfill"
    MANUAL = "manual"
    REPAIR = "repair"
    STREAM = "stream"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Run:
    """The run that does some work.

    Attributes:
        id: The Dagster run; None where Dagster takes no part.
        trigger: How it came about.
    """

    id: str | None = None
    trigger: Trigger = Trigger.MANUAL


BY_HAND = Run()
"""The run of a process that a person has started, without Dagster."""
