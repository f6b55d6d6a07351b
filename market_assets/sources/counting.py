"""How a vendor counts what it allows, as a source's traits say it.

Pure. How requests are counted here, so that the vendor refuses none, is in `transport`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counting:
    """How a vendor counts the requests of one address and key.

    By default any stretch of time counts: what keeps to that keeps to every other way of counting,
    too. Whether a request counts once or by its weight is the source's affair: see `rate`.

    Attributes:
        clock: Seconds of the vendor's windows, where these begin at whole multiples of it by the
            vendor's clock (60: with each minute), and its count begins at 0 with each. A `rate`
            over another time is kept in any stretch of it.
        header: The header of an answer that says how much the window has used so far; empty where
            there is none.
        requests: What the vendor allows besides, in requests of any weight: how many, and in how
            many seconds, counted as the rest. None where it allows any number.
    """

    clock: int | None = None
    header: str = ""
    requests: tuple[int, int] | None = None


ANY_STRETCH = Counting()
"""Any stretch of time counts, and the vendor says nothing of it."""
