"""What can go wrong in a stream, on demand. What strikes a frame is carried out in `streams`."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeFloat, PositiveInt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

StreamFaultName = Literal[
    "no_connection",
    "refuse",
    "drop",
    "cut",
    "shutdown",
    "silence",
    "heartbeats",
    "mute",
    "unclosed",
    "duplicate",
    "late",
    "swap",
    "revision",
    "empty",
    "truncated",
    "wrong_types",
    "stranger",
    "slow",
]


class StreamFault(BaseModel):
    """One fault of a stream.

    - no_connection: a connection is refused with `status`.
    - refuse: the subscription of the symbols is refused, with `permanent` for good.
    - drop: the connection breaks, without a word.
    - cut: a connection is closed `seconds` after it was opened.
    - shutdown: the vendor says that it will close the connection, and does so after `seconds`.
    - silence: not one frame comes.
    - heartbeats: nothing but heartbeats comes.
    - mute: nothing of the symbols comes.
    - unclosed: what closes a bar does not come; of trades, the first of a minute does not come.
    - duplicate: every frame comes twice.
    - late: what closes a bar comes `seconds` late.
    - swap: what closes a bar comes after the next bar has begun.
    - revision: what closes a bar comes with other values, and right `seconds` later.
    - empty: an empty frame comes before every frame.
    - truncated: half of a frame comes.
    - wrong_types: a frame comes with objects in place of numbers.
    - stranger: a candle of a symbol that nobody asked for comes too.
    - slow: a frame comes in pieces, `seconds` apart.

    Attributes:
        fault: Which one.
        symbols: The symbols that it strikes; empty is all.
        start: The first instant at which it strikes, by the vendor's clock.
        end: The first instant at which it no longer strikes.
        every: Of what it could strike, it strikes every nth.
        times: After so many strikes it is over; None is never.
        seconds: Seconds of the vendor's clock.
        status: The HTTP status of a refused connection.
        permanent: True where a refused subscription is refused for good.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: StreamFaultName
    symbols: frozenset[str] = frozenset()
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    every: PositiveInt = 1
    times: PositiveInt | None = None
    seconds: NonNegativeFloat = 1
    status: int = 503
    permanent: bool = True


class StreamFaults:
    """The faults of running streams, with what they have done so far.

    Args:
        faults: The faults, in the order in which they strike.
    """

    def __init__(self, faults: Iterable[StreamFault] = ()) -> None:
        self._faults = list(enumerate(faults))
        self._met: Counter[int] = Counter()
        self._struck: Counter[int] = Counter()

    def striking(
        self,
        now: datetime,
        names: Iterable[StreamFaultName],
        symbol: str | None = None,
        *,
        age: float = math.inf,
    ) -> Iterator[StreamFault]:
        """Give the faults of these names that strike now, and count the strikes.

        Args:
            now: The vendor's time.
            names: What could strike here.
            symbol: Whose frame could be struck; None where it is nobody's alone.
            age: Seconds since the connection was opened, where it is about its age.
        """
        for place, fault in self._faults:
            is_young = fault.fault == "cut" and age < fault.seconds
            if fault.fault not in names or is_young or not _concerns(fault, now, symbol):
                continue
            self._met[place] += 1
            is_over = fault.times is not None and self._struck[place] >= fault.times
            if self._met[place] % fault.every == 0 and not is_over:
                self._struck[place] += 1
                yield fault


def _concerns(fault: StreamFault, now: datetime, symbol: str | None) -> bool:
    return (
        (not fault.symbols or symbol in fault.symbols)
        and (fault.start is None or now >= fault.start)
        and (fault.end is None or now < fault.end)
    )
