"""The guards of a stream: how long it waits for what, and how much it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True)
class Limits:
    """The guards of a stream. Seconds are those of its timer, if nothing else is said.

    Attributes:
        idle: Seconds without a frame after which a connection is dead; None is the vendor's own.
        silent_bars: So many bars without a candle of a symbol are silence.
        answer: Real seconds for the opening of a connection, and seconds for the answer to a
            subscription.
        backoff: The longest wait before the second attempt; doubled with each one.
        backoff_cap: The longest wait of all.
        steady: A connection that lasted so many seconds makes the next wait short again.
        ahead: A connection is replaced so many seconds before the vendor cuts it, and up to twice
            as many, so that not all are replaced at once.
        close: Real seconds that the end of a connection may take.
        grace: Seconds after its end in which a bar has to be closed.
        buffer: So many closed bars wait for whoever fetches them; then the oldest are dropped.
        gather: Seconds in which bars are gathered for one batch, at most.
        lull: Seconds without a bar after which a batch is given before that.
        pulse: A batch comes at least every so many seconds, if need be without bars.
        total: After so long the stream ends by itself; None is never.
    """

    idle: float | None = None
    silent_bars: int = 3
    answer: float = 30.0
    backoff: float = 1.0
    backoff_cap: float = 60.0
    steady: float = 60.0
    ahead: float = 300.0
    close: float = 0.5
    grace: float = 5.0
    buffer: int = 50_000
    gather: float = 1.0
    lull: float = 0.2
    pulse: float = 10.0
    total: timedelta | None = None
