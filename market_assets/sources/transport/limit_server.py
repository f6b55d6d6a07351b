"""A server that counts the requests of all machines: what it does, and how long it is waited for.

pyrate-limiter has a bucket for Redis and one for PostgreSQL. But the one for Redis goes by each
machine's own clock, and the one for PostgreSQL writes the times of a zone that has an hour twice in
a year, reads its whole table for every permit, and spins while another holds it.

Here one step on the server looks at its own clock, at the hold and at the counts, and neither
grants what a hold forbids. How Redis does it is in `limit_redis`, how PostgreSQL does it in
`limit_postgres`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrate_limiter import Rate

PATIENCE = 5
"""Seconds for a server to answer."""

KEPT = 3_600_000 + 60_000
"""Milliseconds for which counts are kept: the longest period that a rate can have, and some."""


class LimitServer(Protocol):
    """A server that counts; one thread at a time asks it, except for `hold`.

    Attributes:
        trouble: What its library raises.
    """

    trouble: type[Exception]

    def take(self, key: str, weight: int, rates: Sequence[Rate]) -> tuple[float, float]:
        """Count a request, if nothing speaks against it.

        Returns:
            Seconds for which the vendor is to be left alone, and seconds until the rate has room;
            it is counted where both are 0.
        """
        ...

    def hold(self, key: str, seconds: float) -> None:
        """Let nothing be counted for so long, or longer where that is known already."""
        ...

    def close(self) -> None:
        """Let go of the server."""
        ...
