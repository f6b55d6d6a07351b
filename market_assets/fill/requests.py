"""One request to a source: in its turn, within the budget, and only if something may come of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from market_assets.errors import MarketAssetsError, SourceError
from market_assets.fill.answers import LateError, UnaskedError
from market_assets.fill.stumble import naming
from market_assets.sources.contract import PartialAnswerError
from market_assets.sources.transport.gate import FIRST, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    import polars as pl

    from market_assets.fill.standing import Key, Standing
    from market_assets.market.timeframes import Timeframe, Window
    from market_assets.sources.contract import Source

T = TypeVar("T")

Reply: TypeAlias = "tuple[pl.DataFrame, Sequence[tuple[Window, str]]]"
"""A source's rows, and the parts of the window that they are no answer for, with the reasons."""


class AnotherWindowError(MarketAssetsError):
    """While a page waited, it was learned that the source serves only a part of its window."""


@dataclass(frozen=True)
class Question:
    """Who is asked for what.

    Attributes:
        source: The source to ask.
        symbol: The source's own name for the symbol.
        timeframe: The length of the bars.
        what: What is asked for, in words; of a window it is filled in.
        rank: Its place among those that wait for the source.
        probe: It asks for nothing but the symbol's first bar, so that a refusal is one of the
            symbol.
    """

    source: Source
    symbol: str
    timeframe: Timeframe
    what: str = ""
    rank: int = FIRST
    probe: bool = False

    @property
    def key(self) -> Key:
        """The source's name, and its own name for the symbol."""
        return self.source.name, self.symbol

    def __str__(self) -> str:
        return f"source {self.source.name}: {self.symbol} {self.timeframe} {self.what}"


class Requests:
    """Sends the requests of one fill, as many at once to each source as it bears.

    It is opened in the thread that sends.

    Args:
        standing: Who is not asked again; what comes of the requests is counted there.
        budget: Seconds after which nothing more is asked. None for no limit.
    """

    def __init__(self, standing: Standing, budget: float | None) -> None:
        self._standing = standing
        self._budget = budget
        self._deadline: float | None = None
        self._waits: set[asyncio.Timeout] = set()
        self._gates: dict[str, Gate] = {}

    def open(self, sources: Iterable[Source]) -> None:
        """Start the budget's time, and open a gate for each source."""
        now = asyncio.get_running_loop().time()
        self._deadline = None if self._budget is None else now + self._budget
        self._gates = {source.name: Gate(partial(_concurrency, source)) for source in sources}

    def hurry(self) -> None:
        """End the budget's time now: nothing more is asked, and nothing is waited for."""
        self._deadline = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(self._deadline)

    async def fetch(
        self, question: Question, window: Window, *, unless: Callable[[], bool] = bool
    ) -> Reply:
        """Ask a source for a window.

        Args:
            question: Who is asked for what.
            window: What is asked for.
            unless: Asked when its turn has come; true where the window is no longer to be asked
                for.

        Raises:
            AnotherWindowError: It is not.
            SourceError: There is no answer.
        """

        async def request() -> Reply:
            if unless():
                raise AnotherWindowError
            source, symbol, length = question.source, question.symbol, question.timeframe
            try:
                return await source.fetch(symbol, length, window.start, window.end), ()
            except PartialAnswerError as part:
                return part.frame, part.lost

        return await self.send(replace(question, what=f"{window}"), request)

    async def send(
        self, question: Question, request: Callable[[], Coroutine[object, object, T]]
    ) -> T:
        """Send a request in its turn, unless it is already clear that nothing would come of it.

        Raises:
            SourceError: There is no answer.
        """
        key, probe = question.key, question.probe

        async with self._gates[question.source.name].turn(question.rank):
            self._see_whether_to_ask(question)
            try:
                async with asyncio.timeout_at(self._deadline) as budget:
                    self._waits.add(budget)
                    try:
                        with naming(f"{question}"):
                            answer = await request()
                    finally:
                        self._waits.discard(budget)
            except TimeoutError as error:
                if budget.expired():
                    raise LateError(self._late(question)) from error
                late = SourceError(
                    f"{question}: no answer in the time that the source allows itself"
                )
                self._standing.note_error(key, late, probe=probe)
                raise late from error
            except SourceError as error:
                self._standing.note_error(key, error, probe=probe)
                raise

            self._standing.note_answer(key, probe=probe)
            return answer

    def _see_whether_to_ask(self, question: Question) -> None:
        self._standing.check(question.key, probe=question.probe)
        if self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline:
            raise UnaskedError(self._late(question))

    def _late(self, question: Question) -> str:
        budget = "" if self._budget is None else f" of {self._budget:g} s"
        return (
            f"{question}: the time budget{budget} is spent; "
            "what came before is kept, run it again for the rest"
        )


def _concurrency(source: Source) -> int:
    """How many requests to a source may be in flight now."""
    return source.concurrency
