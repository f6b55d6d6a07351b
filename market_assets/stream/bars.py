"""From candles as they stand, or from trades, to bars that are closed. Pure.

A bar is passed on when its vendor says that it is closed, or, where the vendor never says so, when
a newer bar has opened. It is passed on again when it comes later with other values. A bar that may
be unfinished is never passed on: its symbol is named instead, and REST has the last word.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from market_assets.market.timeframes import Timeframe, from_micros
from market_assets.sources.streaming import Candle, Closing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from market_assets.sources.streaming import Beat, Trade

_SKEW = 30_000_000
"""Microseconds by which a vendor's clock may run before this machine's."""

_SECOND = 1_000_000


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A closed bar.

    Attributes:
        candle: Its values.
        received: When it was known to be closed, in microseconds since 1970, UTC.
        is_revision: True where it was passed on before, with other values.
    """

    candle: Candle
    received: int
    is_revision: bool


class _Series:
    """What is remembered of one symbol.

    Attributes:
        newest: The open of the newest bar that was seen.
        overdue: The open of the newest bar that was named as overdue.
        open: Bars that are not closed, as they stand, by their opens.
        closed: The values of the last closed bars, by their opens.
        doubtful: The opens of unfinished bars of which a change may have been missed.
    """

    __slots__ = ("closed", "doubtful", "newest", "open", "overdue")

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.overdue = newest - 1
        self.open: dict[int, Candle] = {}
        self.closed: dict[int, tuple[float | int | None, ...]] = {}
        self.doubtful: set[int] = set()


class Bars:
    """The closed bars of all symbols of a stream.

    Duplicates, candles out of order and those of a second connection change nothing.

    Args:
        timeframe: The timeframe of the candles.
        closing: How the vendor says that a bar is closed.
        memory: So many bars of a symbol are remembered; what is older is left to REST.
        grace: Seconds after its end in which a bar has to be closed.
        is_gapless: True where every bar comes, so that one that is left out was missed.

    Attributes:
        counts: How many candles changed nothing, by the reason: duplicate, late, old.
    """

    def __init__(
        self,
        timeframe: Timeframe,
        closing: Closing,
        *,
        memory: int = 30,
        grace: float = 5.0,
        is_gapless: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._is_gapless = is_gapless
        self._timeframe = timeframe
        self._closing = closing
        self._memory = memory * timeframe.micros
        self._grace = round(grace * _SECOND)
        self._series: dict[str, _Series] = {}
        self._lost: set[str] = set()

    def fault(self, candle: Candle, now: int) -> str | None:
        """Say why a candle cannot be one of these bars, None where it can.

        Args:
            candle: The candle.
            now: When it came, in microseconds since 1970.
        """
        step = self._timeframe.micros
        if self._timeframe is not Timeframe.W1 and candle.ts % step:
            opened = from_micros(candle.ts)
            return f"a candle of {candle.symbol} opens at {opened}, off the {self._timeframe} grid"
        if candle.ts > now + _SKEW:
            opened = from_micros(candle.ts)
            return (
                f"a candle of {candle.symbol} opens at {opened}, which is still to come: "
                "is this machine's clock right?"
            )
        return None

    def take(self, candle: Candle, now: int) -> list[Bar]:
        """Take a candle that is no fault, and give the bars that are closed by it.

        Args:
            candle: The candle.
            now: When it came, in microseconds since 1970.
        """
        series = self._series.get(candle.symbol)
        if series is None:
            series = self._series[candle.symbol] = _Series(candle.ts)
        if candle.ts < series.newest - self._memory:
            self.counts["old"] += 1
            return []
        if candle.closed:
            return self._close(series, candle, now)
        if self._closing is Closing.NEXT:
            return self._follow(series, candle, now)
        if candle.ts in series.closed or candle.ts < series.newest:
            self.counts["late"] += 1
            return []
        self._hold(series, candle)
        return []

    def forget_unfinished(self, symbols: Iterable[str]) -> None:
        """Drop the unfinished bars of symbols: their last change may have been missed."""
        for symbol in symbols:
            if symbol in self._series:
                self._series[symbol].open.clear()
                self._series[symbol].doubtful.clear()

    def distrust_unfinished(self, symbols: Iterable[str]) -> None:
        """Take the unfinished bars of symbols for doubtful: what could not be read may be theirs.

        A bar is trusted again once it comes again, because it comes whole each time.
        """
        for symbol in symbols:
            if symbol in self._series:
                self._series[symbol].doubtful.update(self._series[symbol].open)

    def lost(self) -> set[str]:
        """Name the symbols of which a bar was not passed on that there is, once for each time."""
        lost, self._lost = self._lost, set()
        return lost

    def overdue(self, now: int) -> list[str]:
        """Name the symbols with a bar that should be closed by now and is not. Each bar once."""
        latest = now - self._timeframe.micros - self._grace
        symbols = []
        for symbol, series in self._series.items():
            late = [ts for ts in series.open if series.overdue < ts <= latest]
            if late:
                series.overdue = max(late)
                symbols.append(symbol)
        return symbols

    def _follow(self, series: _Series, candle: Candle, now: int) -> list[Bar]:
        """Take a candle of a vendor that never says that a bar is closed.

        The volume of a bar only grows, so that less of it is an older state of the bar.
        """
        before = series.closed.get(candle.ts)
        if before is not None and candle.volume < float(before[4] or 0):
            self.counts["late"] += 1
            return []
        if candle.ts < series.newest:
            return self._close(series, candle, now)
        current = series.open.get(candle.ts)
        if current is not None and candle.volume < current.volume:
            self.counts["late"] += 1
            return []
        earlier = [ts for ts in sorted(series.open) if ts < candle.ts]
        self._hold(series, candle)
        return [bar for ts in earlier for bar in self._close_open(series, ts, now)]

    def _close_open(self, series: _Series, ts: int, now: int) -> list[Bar]:
        """Close a bar as it stands, unless a change of it may have been missed."""
        candle = series.open[ts]
        if ts not in series.doubtful:
            return self._close(series, candle, now)
        series.doubtful.discard(ts)
        del series.open[ts]
        self._lost.add(candle.symbol)
        return []

    def _hold(self, series: _Series, candle: Candle) -> None:
        series.doubtful.discard(candle.ts)
        series.open[candle.ts] = candle
        series.newest = max(series.newest, candle.ts)
        self._trim(series)

    def _close(self, series: _Series, candle: Candle, now: int) -> list[Bar]:
        before, values = series.closed.get(candle.ts), candle.values
        series.open.pop(candle.ts, None)
        series.doubtful.discard(candle.ts)
        if before == values:
            self.counts["duplicate"] += 1
            return []
        series.newest = max(series.newest, candle.ts)
        if self._is_gapless and series.closed:
            is_next = candle.ts <= max(series.closed) + self._timeframe.micros
            if not is_next:
                self._lost.add(candle.symbol)
        series.closed[candle.ts] = values
        self._trim(series)
        return [Bar(candle, now, before is not None)]

    def _trim(self, series: _Series) -> None:
        oldest, most = series.newest - self._memory, 2 * self._memory // self._timeframe.micros
        if len(series.closed) > most:
            series.closed = {ts: values for ts, values in series.closed.items() if ts >= oldest}
        if len(series.open) > most:
            series.open = {ts: candle for ts, candle in series.open.items() if ts >= oldest}
            series.doubtful &= series.open.keys()


class _Tape:
    """The trades of one symbol that belong to no closed minute yet.

    Attributes:
        settled: All trades up to this number are done with.
        doubtful: No minute up to this one is known whole.
        trades: The trades after `settled`, by number.
        oldest: The oldest minute that they belong to.
        gap: The minute before which a trade is missing, and since when; None where none is.
        behind: The minute in which a heartbeat named a trade that is missing, and since when.
    """

    __slots__ = ("behind", "doubtful", "gap", "oldest", "settled", "trades")

    def __init__(self, first: Trade, minute: int) -> None:
        self.settled = first.number
        self.doubtful = minute
        self.trades: dict[int, Trade] = {}
        self.oldest = minute
        self.gap: tuple[int, int] | None = None
        self.behind: tuple[int, int] | None = None

    def add(self, trade: Trade, minute: int) -> None:
        self.oldest = min(self.oldest, minute) if self.trades else minute
        self.trades[trade.number] = trade
        self.behind = None


class Minutes:
    """Bars made of trades, which have numbers without holes.

    A minute is closed by a trade of a later one, or by a heartbeat of a later one that names the
    last trade. It is passed on if every number of its trades was seen. A minute without a trade has
    no bar. It does not matter on which connection a trade came.

    Args:
        timeframe: The length of the bars.
        grace: Seconds in which trades that are missing may still come.
    """

    def __init__(self, timeframe: Timeframe, *, grace: float = 5.0) -> None:
        self._step = timeframe.micros
        self._grace = round(grace * _SECOND)
        self._tapes: dict[str, _Tape] = {}
        self._lost: set[str] = set()

    def trade(self, trade: Trade, now: int) -> list[Candle]:
        """Take a trade, and give the minutes that are closed by it."""
        minute = self._minute(trade.at)
        tape = self._tapes.get(trade.symbol)
        if tape is None:
            # What was traded before it in its minute was not seen.
            self._tapes[trade.symbol] = _Tape(trade, minute)
            return []
        if trade.number <= tape.settled or trade.number in tape.trades:
            return []
        tape.add(trade, minute)
        return self._closed(trade.symbol, tape, minute, now)

    def beat(self, beat: Beat, now: int) -> list[Candle]:
        """Take a heartbeat, and give the minutes that are closed by it."""
        tape = self._tapes.get(beat.symbol or "")
        if tape is None or beat.symbol is None or beat.at is None or beat.last_trade is None:
            return []
        minute = self._minute(beat.at)
        if beat.last_trade > max(tape.trades, default=tape.settled):
            # It may still come: there is no order between the channels.
            tape.behind = tape.behind or (minute, now)
            return []
        return self._closed(beat.symbol, tape, minute, now)

    def overdue(self, now: int) -> list[Candle]:
        """Give up on trades that are missing for longer than the grace."""
        candles = []
        for symbol, tape in self._tapes.items():
            if tape.gap is not None and now - tape.gap[1] > self._grace:
                candles += self._settle(symbol, tape, tape.gap[0])
            if tape.behind is not None and now - tape.behind[1] > self._grace:
                tape.doubtful = max(tape.doubtful, tape.behind[0])
                tape.behind = None
                self._lost.add(symbol)
        return candles

    def lost(self) -> set[str]:
        """Name the symbols of which a minute is not known whole, once for each time."""
        lost, self._lost = self._lost, set()
        return lost

    def _minute(self, at: int) -> int:
        return at - at % self._step

    def _closed(self, symbol: str, tape: _Tape, present: int, now: int) -> list[Candle]:
        """Close what lies before the present minute, if no trade is missing."""
        if not tape.trades or tape.oldest >= present:
            return []
        border = self._border(tape, present)
        missing = border - 1 - tape.settled - sum(number < border for number in tape.trades)
        if missing:
            tape.gap = tape.gap or (present, now)
            return []
        return self._settle(symbol, tape, present)

    def _border(self, tape: _Tape, present: int) -> int:
        """The number of the first trade that belongs to the present minute or a later one."""
        later = (
            number for number, trade in tape.trades.items() if self._minute(trade.at) >= present
        )
        return min(later, default=max(tape.trades) + 1)

    def _settle(self, symbol: str, tape: _Tape, present: int) -> list[Candle]:
        """Be done with the minutes before the present one."""
        border = self._border(tape, present)
        done = [tape.trades[number] for number in sorted(tape.trades) if number < border]
        is_whole = len(done) == border - 1 - tape.settled
        if not is_whole:
            # Those that are missing may belong to the first minute that stays, too.
            first = tape.trades.get(border)
            tape.doubtful = present if first is None else self._minute(first.at)

        minutes: dict[int, list[Trade]] = {}
        for trade in done:
            minutes.setdefault(self._minute(trade.at), []).append(trade)
        if any(minute <= tape.doubtful for minute in minutes):
            self._lost.add(symbol)

        tape.trades = {number: trade for number, trade in tape.trades.items() if number >= border}
        tape.oldest = min((self._minute(t.at) for t in tape.trades.values()), default=present)
        tape.settled = border - 1
        tape.gap = None
        return [
            _candle(symbol, minute, trades)
            for minute, trades in minutes.items()
            if minute > tape.doubtful
        ]


def _candle(symbol: str, minute: int, trades: Collection[Trade]) -> Candle:
    prices = [trade.price for trade in trades]
    volume = sum(trade.size for trade in trades)
    return Candle(
        symbol,
        minute,
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        float(volume),
        closed=True,
    )
