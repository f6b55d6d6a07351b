"""How a stream is: what it has counted, and how late its bars are. Pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from market_assets.stream.bars import Bar

_SMALLEST = 1e-3
_GROWTH = 1.02


class Quantiles:
    """Quantiles of durations, to within two per cent, in a fixed space.

    Durations are counted in classes, each two per cent wider than the one before it. All below a
    millisecond are in the first, all above a day in the last: 925 classes.
    """

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self._last = self._class(86_400.0)

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._classes[min(self._class(max(seconds, _SMALLEST)), self._last)] += 1

    def at(self, share: float) -> float | None:
        """The duration in seconds that this share of all is not longer than, None without any."""
        rank = math.ceil(share * self._classes.total())
        for number in sorted(self._classes):
            rank -= self._classes[number]
            if rank <= 0:
                return float(_SMALLEST * _GROWTH**number)
        return None

    @staticmethod
    def _class(seconds: float) -> int:
        return max(math.ceil(math.log(seconds / _SMALLEST, _GROWTH)), 0)


@dataclass(frozen=True)
class Health:
    """How a stream is at one instant. All counts are since it began.

    Attributes:
        connections: Connections that serve symbols now.
        frames: Frames that came.
        bars: Closed bars that were passed on, revisions aside.
        revisions: Bars that were passed on again, with other values.
        duplicates: Candles that came twice.
        late: Candles of a bar that was closed already, or that came out of order.
        old: Candles of bars so old that they are left to REST.
        faults: Frames that could not be read, that nobody asked for, or in which the vendor
            complained.
        reconnects: Connections that broke and were opened again.
        hand_overs: Connections that were replaced before the vendor cut them.
        dropped: Closed bars that nobody fetched in time, and that are left to REST.
        lag_p50: Seconds from a bar's end until it was known to be closed, of half of the bars; None
            without bars. Only bars that ended while their symbol was connected count.
        lag_p99: Likewise, of 99 in a hundred.
        last_bar: By symbol, the open of its newest closed bar in microseconds since 1970.
        refused: By symbol, the vendor's words.
        silent: Symbols without a candle for longer than they should be.
    """

    connections: int = 0
    frames: int = 0
    bars: int = 0
    revisions: int = 0
    duplicates: int = 0
    late: int = 0
    old: int = 0
    faults: int = 0
    reconnects: int = 0
    hand_overs: int = 0
    dropped: int = 0
    lag_p50: float | None = None
    lag_p99: float | None = None
    last_bar: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()


class Meter:
    """What a running stream counts.

    Args:
        step: The length of a bar in microseconds.

    Attributes:
        counts: By the names of `Health`.
        refused: See `Health`.
    """

    def __init__(self, step: int) -> None:
        self.counts: Counter[str] = Counter()
        self.refused: dict[str, str] = {}
        self._step = step
        self._lags = Quantiles()
        self._last_bar: dict[str, int] = {}
        self._since: dict[str, int] = {}

    def connect(self, symbols: Iterable[str], now: int) -> None:
        """Note that symbols are served from now on, in microseconds since 1970."""
        self._since |= dict.fromkeys(symbols, now)

    def count(self, bar: Bar) -> None:
        """Count a closed bar."""
        symbol, end = bar.candle.symbol, bar.candle.ts + self._step
        if bar.is_revision:
            self.counts["revisions"] += 1
            return
        self.counts["bars"] += 1
        if bar.candle.ts <= self._last_bar.get(symbol, -1):
            return
        self._last_bar[symbol] = bar.candle.ts
        if end >= self._since.get(symbol, end):
            self._lags.add((bar.received - end) / 1e6)

    def health(self, candles: Counter[str], silent: Iterable[str], connections: int) -> Health:
        """Say how the stream is.

        Args:
            candles: What `Bars` has counted.
            silent: The symbols that are silent now.
            connections: The connections that serve symbols now.
        """
        return Health(
            **self.counts,
            connections=connections,
            duplicates=candles["duplicate"],
            late=candles["late"],
            old=candles["old"],
            lag_p50=self._lags.at(0.5),
            lag_p99=self._lags.at(0.99),
            last_bar=dict(self._last_bar),
            refused=dict(self.refused),
            silent=frozenset(silent),
        )


class Silence:
    """Which symbols have no candles though they should. Heartbeats are no candles.

    A symbol that stays silent is named after twice the time, and so on: a quiet market is not asked
    for again and again. Times are seconds of a clock that never goes back.

    Args:
        step: Seconds of a bar.
        bars: So many bars without a candle are silence.
    """

    _LONGEST = 64

    def __init__(self, step: float, bars: int = 3) -> None:
        self._step = step
        self._bars = bars
        self._patience: dict[str, int] = {}
        self._deadline: dict[str, float] = {}

    @property
    def silent(self) -> set[str]:
        """The symbols that have been named and have no candle since."""
        return set(self._patience)

    def begin(self, symbols: Iterable[str], now: float) -> None:
        """Wait for candles of these symbols from now on."""
        for symbol in symbols:
            bars = self._patience.get(symbol, self._bars)
            self._deadline[symbol] = now + bars * self._step

    def end(self, symbols: Iterable[str]) -> None:
        """Wait no longer for these symbols."""
        for symbol in symbols:
            self._deadline.pop(symbol, None)
            self._patience.pop(symbol, None)

    def hear(self, symbol: str, now: float) -> bool:
        """Note a candle of a symbol; True where it had been named as silent."""
        self._deadline[symbol] = now + self._bars * self._step
        return self._patience.pop(symbol, None) is not None

    def due(self, now: float) -> list[str]:
        """Name the symbols that have been silent for too long."""
        symbols = [symbol for symbol, deadline in self._deadline.items() if deadline <= now]
        for symbol in symbols:
            bars = min(2 * self._patience.get(symbol, self._bars), self._LONGEST)
            self._patience[symbol] = bars
            self._deadline[symbol] = now + bars * self._step
        return symbols
