"""What is no answer is never taken for one: refusals, limits, broken connections, odd bytes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec

from market_assets.errors import SourceError
from market_assets.sources.testing.checks.base import Checks
from market_assets.sources.testing.server import LoopbackServer, Reply
from market_assets.sources.testing.trial import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from market_assets.sources.contract import Source
    from market_assets.sources.testing.candles import Candle
    from market_assets.sources.testing.exchange import Trouble
    from market_assets.sources.testing.server import Request
    from market_assets.sources.testing.trial import Answer

_BARS = 5
_PASSING = (500, 502, 503, 504, 520)
_NO_PAGE = (b"", b"<html><h1>Maintenance</h1></html>", b"\0" * 100, b"\xff\xfe", b"[" * 100_000)
_OTHER_JSON = (b"17", b"null", b"{}", b'["a"]', b'[["1704067200000","1"]]', b'"words"', b"[{}]")
_ODD: tuple[object, ...] = (None, "odd", [], {}, -7)
_WORDS = "tHeir words"
_HOUR = "3600"


def instead(reply: Reply) -> Trouble:
    """A reply in place of the true one."""
    return lambda _request, _reply: reply


class TroubleChecks(Checks):
    """What a source makes of what is no page of candles."""

    def test_an_unknown_symbol_is_an_error_and_no_absence(self) -> None:
        """Asking again cannot help (`permanent`), and the message names symbol and timeframe."""
        candles = self.candles(30)

        answer = self.trial(candles).fetch(candles[0].ts, candles[20].ts, symbol="NOPE")

        error = answer.error()
        verify(error.permanent, f"an unknown symbol is not said to be `permanent`: {error}")
        for name in ("NOPE", self.timeframe.value):
            verify(name in str(error), f"the error does not name {name}: {error}")
        verify(answer.requests <= 2, f"{answer.requests} requests were sent for an unknown symbol")

    def test_a_symbol_cannot_lead_to_another_path(self) -> None:
        """Whatever a symbol holds, it is quoted."""
        candles = self.candles(10)
        shapes = []
        for symbol in (self.double.symbol, "t../../x?limit=1&a=b#"):
            trial = self.trial(candles)
            trial.fetch(candles[0].ts, candles[5].ts, symbol=symbol)
            self.needs(trial.exchange.requests, f"the source does not ask for {symbol!r}")
            request = trial.exchange.requests[0]
            shapes.append((request.raw_path.count("/"), {*request.query}))

        verify(shapes[0] == shapes[1], f"quote the symbol: it led to {request.raw_path!r}")

    def test_a_refusal_is_told_in_the_vendors_words(self) -> None:
        """Also where it comes with status 200: it is no empty page."""
        reply = self.double.refuse(_WORDS)

        error = self._answer(repeat(instead(reply)), retries=0).error()

        verify(_WORDS in str(error), f"the error has not the vendor's words {_WORDS!r}: {error}")

    def test_a_moments_trouble_is_got_over(self) -> None:
        """5xx, a broken connection or half a body is followed by another attempt."""
        for words, trouble in self._moments():
            answer = self._answer([trouble])

            if self.retries or not isinstance(answer.result, SourceError):
                answer.verify_rows(self.candles(_BARS), self.double.extras)
                usage = answer.usage
                verify(
                    usage.retries == usage.requests - 1 or not self.double.counted,
                    f"`usage` counts {usage.requests} requests for one answer, "
                    f"and {usage.retries} retries: {words}",
                )
            else:
                verify(not answer.error().permanent, f"this may pass: {words}")

    def test_trouble_that_stays_is_an_error_that_may_pass(self) -> None:
        """It is given up soon, and no evidence of anything."""
        for words, trouble in self._moments():
            answer = self._answer(repeat(trouble))

            error = answer.error()
            verify(not error.permanent, f"this may pass, and is said to be permanent: {words}")
            verify(answer.requests <= 10, f"{answer.requests} requests were sent: {words}")

    def test_too_many_requests_are_waited_for(self) -> None:
        """A limit is neither an absence nor the symbol's fault, in whichever words it is said."""
        for reply in self.double.limits:
            # A wait of more than that is an error here, so that the check does not wait.
            answer = self._answer([instead(reply)], max_elapsed=1)

            if isinstance(answer.result, SourceError):
                words = f"a limit is said to be permanent: {answer.result}"
                verify(not answer.error().permanent, words)
            else:
                answer.verify_rows(self.candles(_BARS), self.double.extras)

    def test_a_retry_after_is_obeyed(self) -> None:
        """Who asks to be left alone for an hour gets no second request before."""
        for status in (429, 503) if self.double.says_wait else (503,):
            reply = replace(self.double.limits[0], status=status, headers={"Retry-After": _HOUR})

            answer = self._answer(repeat(instead(reply)))

            verify(not answer.error().permanent, f"{status} is said to be permanent")
            # What a client library sends of its own accord is not the source's.
            requests = answer.usage.requests
            verify(
                requests == 1 or not self.double.counted,
                f"{requests} requests were sent in spite of HTTP {status} "
                f"with `Retry-After: {_HOUR}`",
            )

    def test_a_retry_after_of_nothing_is_followed_by_another_attempt(self) -> None:
        """A vendor that asks for no wait gets none."""
        self.needs(self.retries, "the source leaves another attempt to the platform")
        reply = replace(self.double.limits[0], status=429, headers={"Retry-After": "0"})

        self._answer([instead(reply)]).verify_rows(self.candles(_BARS), self.double.extras)

    def test_what_is_no_page_is_an_error_that_may_pass(self) -> None:
        """HTML, nothing, bytes, brackets without end."""
        for body in _NO_PAGE:
            error = self._answer(repeat(instead(Reply(body=body))), retries=0).error()

            verify(not error.permanent, f"{body[:40]!r} may pass, and is said to be permanent")

    def test_json_of_another_kind_is_an_error(self) -> None:
        """A number, a text, an object in place of a list."""
        for body in _OTHER_JSON:
            answer = self._answer(repeat(instead(Reply(body=body))), retries=0)

            verify(isinstance(answer.result, SourceError), f"{body!r} was taken for a page")
            answer.error()

    def test_an_answer_cut_off_anywhere_is_never_a_shorter_one(self) -> None:
        """Half of a body is none, also where its declared length is the half's."""
        candles = self.candles(_BARS)
        (body,) = self._bodies(candles)
        halves = [body[: len(body) * tenth // 10] for tenth in range(1, 10)]

        for answer in self._answers(candles, halves):
            error = answer.error()
            verify(not error.permanent, "an answer that was cut off is said to be permanent")

    def test_an_odd_value_costs_at_most_its_answer(self) -> None:
        """Whatever stands in place of a value: a SourceError, or the rows, and nothing else."""
        candles = self.candles(2)
        (body,) = self._bodies(candles)
        places, bodies = zip(*_spoilt(self._document(body)), strict=True)

        for place, answer in zip(places, self._answers(candles, bodies), strict=True):
            if isinstance(answer.result, SourceError):
                answer.error()
                continue
            rows = len(answer.frame())
            verify(rows, f"{place}: two rows were taken for none, as if there were nothing")

    def test_a_redirect_is_no_answer(self) -> None:
        """What another host says is not the vendor's word."""
        with LoopbackServer(lambda _request: Reply(404)) as elsewhere:
            reply = Reply(307, headers={"Location": f"{elsewhere.url}/there"})

            self._answer(repeat(instead(reply)), retries=0).error()

    def _moments(self) -> Iterator[tuple[str, Trouble]]:
        refusal = self.double.limits[0].body
        for status in _PASSING:
            yield f"HTTP {status}", instead(Reply(status, refusal))
        yield "a web page", instead(Reply(body=b"<html>"))
        yield "no byte of the body", lambda _request, reply: replace(reply, cut=0)
        yield (
            "half of the body, then the connection broke",
            lambda _request, reply: replace(reply, cut=len(reply.content) // 2),
        )

    def _answer(
        self,
        troubles: Sequence[Trouble] | repeat[Trouble],
        *,
        candles: Sequence[Candle] | None = None,
        **settings: object,
    ) -> Answer:
        """Ask for a few bars; the vendor has exactly these."""
        held = self.candles(_BARS) if candles is None else candles
        given = settings if self.retries else {}
        trial = self.trial(held, troubles=troubles, settings=given)
        return trial.fetch(held[0].ts, held[-1].ts + self.bar)

    def _bodies(self, candles: Sequence[Candle]) -> list[bytes]:
        """The bodies of the vendor's true answers to the question for some candles."""
        bodies: list[bytes] = []

        def keep(_request: Request, reply: Reply) -> Reply:
            bodies.append(reply.content)
            return reply

        trial = self.trial(candles, troubles=repeat(keep))
        trial.fetch(candles[0].ts, candles[-1].ts + self.bar).frame()
        return bodies[:1]

    def _answers(self, candles: Sequence[Candle], bodies: Sequence[bytes]) -> list[Answer]:
        """What one source makes of the question for some candles, answered with each body."""
        current = b""
        trial = self.trial(
            candles,
            troubles=repeat(lambda _request, _reply: Reply(body=current)),
            settings={"retries": 0} if self.retries else {},
        )
        ask = trial.asking(candles[0].ts, candles[-1].ts + self.bar)

        async def ask_all(source: Source) -> list[Answer]:
            nonlocal current
            answers = []
            for body in bodies:
                current = body
                answers.append(await ask(source))
            return answers

        (answers,) = trial.run(ask_all)
        return answers

    def _document(self, body: bytes) -> Any:  # noqa: ANN401 - JSON
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.needs(None, "the vendor's answer is no JSON")


def _spoilt(document: Any) -> Iterator[tuple[str, bytes]]:  # noqa: ANN401 - JSON
    """A document with one odd value, for every value in it, and where that is."""
    for path in [*_leaves(document)]:
        for value in _ODD:
            place = "".join(f"[{key!r}]" for key in path)
            yield f"{place} = {value!r}", msgspec.json.encode(_with(document, path, value))


def _leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    """The paths to all values of a document that hold no others."""
    if isinstance(document, dict | list):
        parts = document.items() if isinstance(document, dict) else enumerate(document)
        for key, part in parts:
            yield from _leaves(part, (*path, key))
    elif path:
        yield path


def _with(document: Any, path: tuple[Any, ...], value: object) -> Any:  # noqa: ANN401 - JSON
    """A document in which one value is another."""
    changed = deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed
