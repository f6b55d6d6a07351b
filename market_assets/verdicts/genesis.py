"""Whether each series begins where it should: the check `genesis`. Pure.

How a first bar is searched for is a matter of the fill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.config.settings import Severity
from market_assets.market.instants import brief
from market_assets.verdicts.verdicts import SAMPLE, Verdict
from market_assets.words import are, many

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True)
class Head:
    """Where one symbol's series should begin and does, as far as this partition shows.

    Attributes:
        symbol: The symbol.
        expected: The first bar that must exist.
        absent: How many bars at the start of the series are open in this partition; 0 if the series
            began before.
        genesis: The first bar as a source has named it, if one has.
        before_genesis: Stored bars that are older than the genesis.
    """

    symbol: str
    expected: datetime
    absent: int
    genesis: datetime | None
    before_genesis: int


def genesis(heads: Sequence[Head]) -> Verdict:
    """Judge whether each series begins where it should.

    That is at its start, or at a genesis that a source has named.
    """
    early = [h for h in heads if h.before_genesis]
    late = [h for h in heads if h.absent]
    starts = {h.symbol: brief(h.genesis) for h in heads if h.genesis}
    facts: dict[str, int | float | str] = {"symbols": len(heads), "known_genesis": len(starts)}
    tables = {
        "heads": [
            {
                "symbol": h.symbol,
                "first_expected": brief(h.expected),
                "genesis": starts.get(h.symbol, "not named by any source"),
                "absent_bars": h.absent,
                "bars_before_genesis": h.before_genesis,
            }
            for h in list(dict.fromkeys(early + late))[:SAMPLE]
        ]
    }
    if early:
        summary = (
            f"{early[0].symbol} has {many(early[0].before_genesis, 'bar')} before its genesis "
            f"{starts[early[0].symbol]}. "
            "Backfill with --refetch to have the sources name the genesis again."
        )
    elif late:
        summary = (
            f"{late[0].symbol} should begin at {brief(late[0].expected)}: "
            f"{many(late[0].absent, 'bar')} at its head "
            f"{are(late[0].absent)} absent here and no source has named its genesis. "
            "Give the symbol a start in the universe, or a source that has those bars."
        )
    else:
        summary = (
            "No series has a bar before its genesis, and none lacks its head without a reason."
        )
    failed = bool(early or late)
    return Verdict("genesis", not failed, Severity.ERROR, summary, facts, tables if failed else {})
