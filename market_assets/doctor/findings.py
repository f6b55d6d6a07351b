"""What a check has to say: its state, what was seen, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class State(StrEnum):
    """How well it is, best first; `skip` says that nobody has looked, and counts as well."""

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What one check says.

    Attributes:
        subject: What was looked at, such as `home` or `source binance`.
        state: How well it is.
        words: What was seen, without secrets.
        step: What to do next; empty where all is well.
    """

    subject: str
    state: State
    words: str
    step: str = ""


def worst_of(findings: Iterable[Finding]) -> State:
    """The worst of the states; `ok` where nothing warns or fails."""
    states = {finding.state for finding in findings}
    return next((state for state in (State.FAIL, State.WARN) if state in states), State.OK)
