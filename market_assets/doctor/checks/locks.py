"""The locks of the home folder: who has them, and which notes dead processes have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.doctor.findings import Finding, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from market_assets.doctor.facts import Lock


def check_locks(locks: Sequence[Lock]) -> Iterator[Finding]:
    """Judge the locks: one finding for each that somebody has or has left a note at."""
    findings = [finding for lock in locks if (finding := _lock(lock))]
    yield from findings or [Finding("locks", State.OK, "none is held, and none was left behind")]


def _lock(lock: Lock) -> Finding | None:
    subject = f"lock {lock.name}"
    if lock.is_in_use and lock.process is not None and lock.is_alive is False:
        return Finding(
            subject,
            State.FAIL,
            f"held, but the process that took it is gone ({lock.note}): a child of it lives on",
            f"end that child: `lsof {lock.name}` in the home folder names it",
        )
    if lock.is_in_use:
        return Finding(subject, State.OK, f"held by {lock.note or 'a process that left no note'}")
    if not lock.note:
        return None
    if lock.is_alive is None and lock.process is not None:
        return Finding(
            subject,
            State.WARN,
            f"its note is of another machine ({lock.note})",
            "see whether that machine works on this home: one home is for one machine",
        )
    if lock.is_alive:
        return None
    return Finding(
        subject,
        State.WARN,
        f"left by a process that was killed ({lock.note}); it is free, and blocks nobody",
        "nothing has to be removed: the next program that takes it writes its own note",
    )
