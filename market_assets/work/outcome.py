"""The outcome of a partition: what a fill or a derivation reports of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.market.partitions import Partition
    from market_assets.verdicts.verdicts import SymbolCounts, Verdict


@dataclass(frozen=True)
class PartitionOutcome:
    """One partition after its commit.

    Attributes:
        partition: Which one.
        failures: Why it does not count as filled as a whole (`verdicts.colour`), and the words of
            the sources that did not answer. Empty where it is filled, though a symbol may lack
            bars.
        faults: What went wrong with a part of it and leaves the rest as it is: a feature that could
            not be made, a candle that has no numbers. One sentence each.
        counts: What each symbol has.
        verdicts: The judgement, `agreement` too where the partition was compared; empty for derived
            candles, which are as good as their input.
        new: Rows that were not there before.
        revised: Rows whose values changed.
        rejected: Rows that were refused.
        repaired: Bars among the new ones that had been seen absent before.
        by_symbol: These figures apart: `new`, `revised`, `rejected`, `repaired`, each by symbol
            where it is not 0.
        rows: Rows stored in it, of all symbols.
        first_ts: Open of the oldest stored bar, None where there is none.
        last_ts: Open of the newest stored bar.
        sources: Rows by source that this fill took from it.
        refused: Rows that were refused, by symbol, source and reason
            (`work.refused.REFUSED_SCHEMA`).
        version: A text that differs as soon as its candles or its counts do.
    """

    partition: Partition
    counts: tuple[SymbolCounts, ...]
    failures: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    new: int = 0
    revised: int = 0
    rejected: int = 0
    repaired: int = 0
    by_symbol: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rows: int = 0
    first_ts: datetime | None = None
    last_ts: datetime | None = None
    sources: Mapping[str, int] = field(default_factory=dict)
    version: str | None = None
    refused: Sequence[Mapping[str, Any]] = ()

    @property
    def filled(self) -> bool:
        """True when the partition may be shown as materialized."""
        return not self.failures
