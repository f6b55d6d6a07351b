"""A vendor on the loopback: a double, the candles that it has, and the trouble that it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from market_assets.sources.testing.double import Page, Question
from market_assets.sources.testing.server import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from market_assets.sources.testing.candles import Candle
    from market_assets.sources.testing.double import VendorDouble
    from market_assets.sources.testing.server import Request

    Trouble = Callable[[Request, Reply], Reply]
    """Makes of a request and its true reply what is sent in its place."""


@dataclass
class Exchange:
    """What a vendor has and how it behaves; an instance answers the requests of a server.

    Attributes:
        double: The vendor's form.
        candles: What it has of its symbol, oldest first, of every length that is asked for.
        page: Rows in an answer at most.
        latest: It has so many of its newest candles and no older ones; None for all.
        running: A candle that has not closed yet, behind the others; it comes with every answer.
        turned: It gives the rows of a page in the opposite order.
        heedless: It gives all its candles, whatever is asked for.
        troubles: What comes in place of its answers about candles, one after another; then it
            answers as it should.
        requests: Those about candles.
        questions: What they asked for.
    """

    double: VendorDouble
    candles: Sequence[Candle]
    page: int
    latest: int | None = None
    running: Candle | None = None
    turned: bool = False
    heedless: bool = False
    troubles: Iterable[Trouble] = ()
    requests: list[Request] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    _troubles: Iterator[Trouble] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._troubles = iter(self.troubles)

    def __call__(self, request: Request) -> Reply:
        """Answer a request."""
        try:
            question = self.double.read(request)
        except ValueError as error:
            # A cursor or a time that is none: a vendor refuses it.
            question = self.double.refuse(f"{type(error).__name__}: {error}")
        if isinstance(question, Reply):
            return question
        self.requests.append(request)
        self.questions.append(question)
        reply = self._answer(question)
        trouble = next(self._troubles, None)
        return reply if trouble is None else trouble(request, reply)

    def _answer(self, question: Question) -> Reply:
        if question.symbol != self.double.symbol:
            return self.double.unknown(question)
        if self._is_too_wide(question):
            return self.double.refuse(f"at most {self.double.widest} bars")
        held = self.candles if self.latest is None else self.candles[-self.latest :]
        rows = [
            candle
            for candle in held
            if self.heedless
            or (
                (question.first is None or question.first <= candle.ts)
                and (question.last is None or candle.ts <= question.last)
            )
        ]
        answer = self.double.write(self._page(question, rows))
        return answer if isinstance(answer, Reply) else Reply(body=answer)

    def _is_too_wide(self, question: Question) -> bool:
        widest, first, last = self.double.widest, question.first, question.last
        if widest is None or first is None or last is None:
            return False
        return (last - first) // question.timeframe.duration + 1 > widest

    def _page(self, question: Question, rows: Sequence[Candle]) -> Page:
        most = min(self.page, question.limit or self.page)
        if self.heedless or (not self.double.pages and question.limit is None):
            most = len(rows)
        begin = max(0, len(rows) - most) if question.newest else question.offset
        given = rows[begin : begin + most]
        behind = begin + len(given)
        following = behind if not question.newest and behind < len(rows) else None
        if self.running is not None:
            given = [*given, self.running]
        return Page(question, given[::-1] if self.turned else given, following, self.running)
