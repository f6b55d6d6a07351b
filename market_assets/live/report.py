"""What a session in which a profile is streamed says of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.market.timeframes import Timeframe
    from market_assets.store.tables.streams import StreamState
    from market_assets.work.outcome import PartitionOutcome


@dataclass(frozen=True, kw_only=True)
class StreamReport:
    """What a session has done since the report before, and how it is.

    Attributes:
        at: When.
        timeframe: What is streamed.
        stored: Bars that were new, in this report.
        revised: Bars whose values changed, in this report.
        stored_in_all: Bars that were new, since the session began.
        revised_in_all: Likewise, of changed values.
        rejected_in_all: Rows that cannot be, since it began.
        caught_up: Bars that REST has given, since it began.
        states: The state of each symbol: see `StreamState`.
        words: Why, by symbol, where there is a reason.
        last_bar: By symbol, the open of its newest bar that was stored.
        sources: The source that streams each symbol.
        lag_p50: Seconds from the end of a bar until it was stored, of half of the bars; None
            without any.
        lag_p99: Likewise, of 99 in a hundred.
        lags: Seconds from the end of each bar of this report until it was stored; of bars that
            have ended while they were streamed.
        delays: Likewise, from when the stream had it.
        waits: The lags of bars that have waited until REST was asked after a connection: they are
            not among the others.
        reconnects: Connections that broke and were opened again.
        left_to_rest: Bars that were dropped because the store was busy.
        waiting: Bars that wait to be stored.
        outcomes: What became of the partitions that hold the stored bars.
        news: What there is to tell, a sentence each.
        is_last: Whether the session is over.
    """

    at: datetime
    timeframe: Timeframe
    stored: int = 0
    revised: int = 0
    stored_in_all: int = 0
    revised_in_all: int = 0
    rejected_in_all: int = 0
    caught_up: int = 0
    states: Mapping[str, StreamState] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    last_bar: Mapping[str, datetime] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    lag_p50: float | None = None
    lag_p99: float | None = None
    lags: Sequence[float] = ()
    delays: Sequence[float] = ()
    waits: Sequence[float] = ()
    reconnects: int = 0
    left_to_rest: int = 0
    waiting: int = 0
    outcomes: Sequence[PartitionOutcome] = ()
    news: Sequence[str] = ()
    is_last: bool = False

    @property
    def counted_states(self) -> str:
        """How many symbols are in each state: 3 live, 1 refused; by the names of the states."""
        counts = Counter(self.states.values())
        return ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
