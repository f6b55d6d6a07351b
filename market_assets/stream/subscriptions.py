"""Many symbols on few connections, within what a vendor allows. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.sources.streaming import StreamTraits


def shares_of(
    symbols: Sequence[str], traits: StreamTraits
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Part symbols among as few connections as the vendor allows, evenly.

    Args:
        symbols: The symbols; one that is named twice counts once.
        traits: What the vendor allows.

    Returns:
        The symbols of each connection; and those that are too many for the vendor, which are left
        to REST.
    """
    distinct = tuple(dict.fromkeys(symbols))
    most = len(distinct) if traits.connections is None else traits.connections * traits.symbols
    served, rest = distinct[:most], distinct[most:]
    count = -(-len(served) // traits.symbols)
    return [served[place::count] for place in range(count)], rest


class Gate:
    """How many connections may be opened within a time.

    Args:
        most: So many.
        seconds: Within so many seconds.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._passed: deque[float] = deque(maxlen=most)

    def wait(self, now: float) -> float:
        """The seconds until one more may be opened; 0 opens it.

        Args:
            now: Seconds of a clock that never goes back.
        """
        if len(self._passed) == self._most:
            wait = self._passed[0] + self._seconds - now
            if wait > 0:
                return wait
        self._passed.append(now)
        return 0.0
