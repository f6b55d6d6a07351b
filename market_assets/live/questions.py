"""For which symbols of a session REST is to be asked, when, and whose bars wait for the answer.

What is asked, and how the answer is stored, is in `catch_up`.

A vendor revises a bar for some minutes after it has closed, and its REST service may be behind its
stream. So what REST gave while a symbol was served anew is compared with it once more,
`update.recheck` bars later; no schedule of updates has to run for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future, ThreadPoolExecutor
    from datetime import datetime

    from market_assets.config.settings import UpdateSettings
    from market_assets.live.catch_up import CatchUp, CaughtUp
    from market_assets.live.states import SymbolStreams
    from market_assets.market.timer import Timer

_AGAIN = timedelta(seconds=30)
_AGAIN_CAP = timedelta(minutes=5)
"""The wait before REST is asked once more for bars that it did not give, and the longest one."""


@dataclass
class Question:
    """That REST is to be asked for a symbol.

    Attributes:
        due_at: Not before this, by the seconds of the session's timer.
        tries: How often it was asked in vain.
    """

    due_at: float
    tries: int = 0


@dataclass
class Comparison:
    """That what REST gave of a symbol is to be compared with it once more.

    Attributes:
        due_at: Not before this, by the seconds of the session's timer.
        since: From the bar that opened then on, aware; None is as far back as REST is asked.
    """

    due_at: float
    since: datetime | None


class Questions:
    """What REST is to be asked, one question after the other.

    Args:
        catch_up: Asks.
        settings: When a bar is settled, and how often REST is asked where no stream serves.
        step: The length of a bar.
        timer: The session's time: waits go by its seconds, which no setting of a clock moves.

    Attributes:
        held: Symbols whose bars wait until REST was asked.
        answered: When REST was asked for a symbol: what came before and waits is older than its
            answer.
    """

    def __init__(
        self, catch_up: CatchUp, settings: UpdateSettings, step: timedelta, timer: Timer
    ) -> None:
        self.held: set[str] = set()
        self.answered: dict[str, datetime] = {}
        self._catch_up = catch_up
        self._settings = settings
        self._step = step
        self._timer = timer
        self._open: dict[str, Question] = {}
        self._comparisons: dict[str, Comparison] = {}
        self._tries: dict[str, int] = {}
        self._asking: Future[CaughtUp] | None = None
        self._asked_at = timer.now()
        """When that question was put that is under way, or was answered last."""

    def hold(self, symbols: Iterable[str]) -> None:
        """Ask for symbols that are served anew; their bars wait for the answer."""
        for symbol in symbols:
            self.held.add(symbol)
            self._open[symbol] = Question(self._timer.seconds())

    def add(self, symbols: Iterable[str], after: timedelta = timedelta()) -> None:
        """Ask for symbols after a time; those that are to be asked for already stay."""
        due_at = self._timer.seconds() + after.total_seconds()
        for symbol in symbols:
            self._open.setdefault(symbol, Question(due_at))

    def hurry(self) -> None:
        """See `CatchUp.hurry`."""
        self._catch_up.hurry()

    def put(
        self, pool: ThreadPoolExecutor, streams: SymbolStreams, wake: Callable[[], None]
    ) -> None:
        """Begin to ask REST for the symbols for which that is due, all at once.

        Args:
            pool: Where it is asked.
            streams: How far these symbols have come.
            wake: Called once there is an answer.
        """
        due = self._due(self._open)
        compared = self._due(self._comparisons)
        if not (due or compared) or self._asking is not None:
            return
        now = self._timer.now()
        self._tries = {symbol: self._open.pop(symbol).tries for symbol in due}
        begins = {symbol: self._comparisons.pop(symbol).since for symbol in compared}
        last_bars = {symbol: streams[symbol].last_bar for symbol in due}
        self._compare_later(
            {symbol: last_bar for symbol, last_bar in last_bars.items() if not self._tries[symbol]}
        )
        self._asked_at = now
        self._asking = pool.submit(self._catch_up.ask, last_bars | begins, now)
        self._asking.add_done_callback(lambda _: wake())

        # A bar that closed just before a symbol was served is in no stream, and not settled yet.
        settle = self._settings.settle
        is_unsettled = now - settle < _floor(now, self._step)
        self.add(due & self.held if is_unsettled else (), settle)

    def _due(self, asks: Mapping[str, Question | Comparison]) -> frozenset[str]:
        """The symbols whose question, or comparison, is due now."""
        now = self._timer.seconds()
        return frozenset(symbol for symbol, ask in asks.items() if ask.due_at <= now)

    def _compare_later(self, last_bars: Mapping[str, datetime | None]) -> None:
        """Have what REST is about to give compared with it once more."""
        due_at = self._timer.seconds() + (self._settings.recheck * self._step).total_seconds()
        for symbol, since in last_bars.items() if self._settings.recheck else ():
            comparison = self._comparisons.setdefault(symbol, Comparison(due_at, since))
            if comparison.since is not None:
                comparison.since = None if since is None else min(comparison.since, since)

    def answer(self, streams: SymbolStreams) -> CaughtUp | None:
        """Take in what REST has given, and release the bars that have waited for it.

        Args:
            streams: How the symbols are streamed; what REST has given is noted there.

        Returns:
            What REST has given; None where there is no answer yet.
        """
        if self._asking is None or not self._asking.done():
            return None
        answer, self._asking = self._asking.result(), None
        self.answered |= dict.fromkeys(answer.symbols, self._asked_at)
        for symbol, newest in answer.newest.items():
            stream = streams[symbol]
            stream.last_bar = max(newest, stream.last_bar or newest)
        # Those that were served anew once more meanwhile have to wait for the next answer.
        released = (self.held & answer.symbols) - self._due(self._open)
        self.held -= released
        now = self._timer.now()
        for symbol in released:
            streams[symbol].released_at = now
        # Nothing but REST brings these bars, also where no schedule of updates runs.
        unserved = {symbol for symbol in answer.symbols if streams[symbol].is_unserved}
        for symbol in answer.lacking:
            tries = self._tries.get(symbol, 0)
            longest = self._settings.every if symbol in unserved else _AGAIN_CAP
            wait = min(_AGAIN * 2**tries, longest)
            due_at = self._timer.seconds() + wait.total_seconds()
            self._open.setdefault(symbol, Question(due_at, tries + 1))
        self.add(unserved, self._settings.every)
        return answer


def _floor(instant: datetime, step: timedelta) -> datetime:
    """The last end of a bar of the day."""
    begin = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return begin + (instant - begin) // step * step
