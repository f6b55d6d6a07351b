"""What a fill may be told: the same wishes for a person, a sensor and an update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta


@dataclass(frozen=True, kw_only=True)
class FillOptions:
    """How a fill differs from one that asks, oldest first, for all that is absent.

    Attributes:
        symbols: Ask only for these; empty for all. Every symbol of the profile is judged all the
            same.
        newest_first: Newest partition first.
        refetch: Ask also for what is stored or explained, to find revisions and a moved genesis.
        only_due: Leave out gaps that were asked for and whose waiting time is not over, and symbols
            that no source has ever had.
        recheck: Ask also for so many of the newest closed bars, whatever is known of them, to find
            late rows and revisions.
        since: Leave out what opens before this; None for all that is absent.
        max_fills: At most so many requests, of each chunk's pages the newest; None for no limit.
        max_time: After this nothing more is asked; the answers until then are kept.
    """

    symbols: Sequence[str] = ()
    newest_first: bool = False
    refetch: bool = False
    only_due: bool = False
    recheck: int = 0
    since: datetime | None = None
    max_fills: int | None = None
    max_time: timedelta | None = None


USUAL = FillOptions()
"""Ask for all that is absent, oldest first."""
