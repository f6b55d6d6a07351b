"""What the checks of a partition have in common: the counts that go in, the verdict that comes out.

Pure. Each check is a module beside this one: continuity, genesis, validity, plausibility,
alignment, agreement, and that on corporate actions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.config.settings import Severity

SAMPLE = 20
"""How many rows a table in a verdict has at most; the verdict says how many there were."""


@dataclass(frozen=True)
class SymbolCounts:
    """The counts of one symbol in one partition, in bars.

    expected = stored + explained + missing; abandoned bars are missing.
    """

    symbol: str
    expected: int
    stored: int
    explained: int
    missing: int
    halted: int = 0
    no_trade: int = 0
    outage: int = 0
    closed: int = 0
    abandoned: int = 0

    @property
    def completeness(self) -> float:
        """The share of the expected bars that are stored or explained, 0 to 1."""
        return 1.0 if self.expected == 0 else 1 - self.missing / self.expected

    @property
    def has_nothing(self) -> bool:
        """Whether bars are missing and not one is stored or explained but by a halted market."""
        return self.missing > 0 and self.missing + self.halted == self.expected


@dataclass(frozen=True)
class Verdict:
    """A judgement on one partition.

    Attributes:
        check: continuity, genesis, validity, plausibility, alignment, agreement or
            actions_match_prices.
        passed: Whether all is as it must be.
        severity: How bad it is if not.
        summary: One sentence: what is so and what happens next.
        facts: Single values.
        tables: Bounded tables, worst first.
    """

    check: str
    passed: bool
    severity: Severity
    summary: str
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def share(part: int, whole: int) -> float:
    """A share to six digits, cut and not rounded: it is 1 only where nothing is missing."""
    return part * 1_000_000 // whole / 1_000_000 if whole else 1.0
