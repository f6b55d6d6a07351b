"""The practice vendor: candles over HTTP in the formats of several vendors.

They are simulated or those of a folder, and come with faults on demand.

    GET  /api/v3/klines     as Binance has it: twelve elements per row, at most 1000 rows,
                            errors with its codes
    GET  ...                as others have it: see `formats`
    GET  /api/v3/ping       {}
    GET  /practice/log      the latest requests, oldest first
    POST /practice/faults   a JSON list of faults takes the place of those before;
                            their counts start afresh

Every answer carries the header `X-Simulated: true`. No answer is a market's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
import uvicorn
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from market_assets.market.clock import present
from market_assets.market.timeframes import Timeframe, to_micros
from market_assets.practice.book import Book, Market
from market_assets.practice.faults import Fault, Faults, spoil
from market_assets.practice.formats import BINANCE, FORMATS, Format
from market_assets.practice.quotas import Till

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

_LOG_LENGTH = 50_000
_HEADERS = {"X-Simulated": "true"}
_JSON = "application/json"
_FAULT_LIST = TypeAdapter(list[Fault])


@dataclass(frozen=True)
class _Query:
    """The first `limit` bars that open between two milliseconds, both included.

    Attributes:
        first: The first millisecond since 1970.
        last: The last one.
        newest_first: Whether the newest of the bars comes first.
    """

    symbol: str
    timeframe: Timeframe
    first: int
    last: int
    limit: int
    newest_first: bool

    def widened(self, bars: int) -> _Query:
        more = bars * self.timeframe.micros // 1000
        return replace(
            self, first=self.first - more, last=self.last + more, limit=self.limit + 2 * bars
        )


class _RefusedError(Exception):
    """A request that the vendor answers with an error."""

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class Vendor:
    """The vendor as an ASGI application.

    Args:
        market: What it trades.
        clock: Its time: no bar that opens later is served, and the one that is open is served
            unfinished.

    Attributes:
        app: The application.
        till: What was used of its quotas.
        log: The latest requests for candles: symbol, interval, start, end and limit as they were
            sent, under the names that Binance has for them; status and faults.
    """

    def __init__(self, market: Market, clock: Callable[[], datetime] = present) -> None:
        self.log: deque[dict[str, Any]] = deque(maxlen=_LOG_LENGTH)
        self._market = market
        self._clock = clock
        self._book = Book(market, clock)
        self._last: dict[tuple[str, str, Timeframe], bytes] = {}
        self.till = Till(market.quotas)
        self.set_faults(market.faults)
        self.app = Starlette(
            routes=[
                *(Route(spoken.path, partial(self._candles, spoken)) for spoken in FORMATS),
                Route("/api/v3/ping", self._ping),
                Route("/practice/log", self._show_log),
                Route("/practice/faults", self._replace_faults, methods=["POST"]),
            ]
        )

    def set_faults(self, faults: list[Fault]) -> None:
        """Put these faults in the place of those before."""
        self._faults = Faults(faults, self._market.seed, self._clock)

    async def _ping(self, request: Request) -> Response:  # noqa: ARG002 - an endpoint's argument
        return _json(b"{}")

    # An endpoint's argument.
    async def _show_log(self, request: Request) -> Response:  # noqa: ARG002
        return JSONResponse(list(self.log), headers=_HEADERS)

    async def _replace_faults(self, request: Request) -> Response:
        try:
            self.set_faults(_FAULT_LIST.validate_json(await request.body()))
        except ValidationError as error:
            return _json(error.json().encode(), status=422)
        return _json(b"{}")

    async def _candles(self, spoken: Format, request: Request) -> Response:
        sent = {
            what: request.query_params.get(name) for what, name in spoken.names.items()
        } | request.path_params
        entry = {name: sent.get(what) for what, name in BINANCE.names.items()}
        ascending = (
            spoken.oldest_first is not None and spoken.oldest_first in request.query_params.items()
        )
        struck: list[Fault] = []
        if (too_many := self._too_many(spoken)) is not None:
            self.log.append(entry | {"status": too_many.status_code, "faults": []})
            return too_many
        try:
            query = self._understood(
                spoken, sent, newest_first=spoken.newest_first and not ascending
            )
            response = await self._page(spoken, query, struck)
        except _RefusedError as refusal:
            response = _error(spoken, refusal.status, refusal.code, str(refusal))
        if self._market.quotas:
            response.headers.update(self.till.headers(self._clock()))
        self.log.append(
            entry | {"status": response.status_code, "faults": [fault.fault for fault in struck]}
        )
        return response

    def _too_many(self, spoken: Format) -> Response | None:
        """The answer to a request beyond what the vendor allows, None where it is not."""
        wait = self.till.charge(spoken.weight, self._clock().timestamp())
        if wait is None:
            return None
        refusal = _error(spoken, 429, -1003, "Too much request weight used.")
        refusal.headers.update({"Retry-After": str(wait), **self.till.headers(self._clock())})
        return refusal

    def _understood(
        self, spoken: Format, sent: Mapping[str, str | None], *, newest_first: bool
    ) -> _Query:
        """Check a request as the vendor does, and fill in what was not sent."""
        symbol, interval = sent.get("symbol"), sent.get("interval")
        if not symbol:
            words = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            raise _RefusedError(*_wrong(spoken, -1102), words)
        timeframe = spoken.timeframes.get(interval or "")
        if timeframe is None:
            raise _RefusedError(*_wrong(spoken, -1120), "Invalid interval.")
        is_known = self._book.has(symbol)
        if not is_known and spoken.unknown is not None:
            raise _RefusedError(*spoken.unknown)
        step = timeframe.micros // 1000
        now = to_micros(self._clock()) // 1000
        default, most = spoken.limit
        limit = min(_count(spoken, sent.get("limit"), default), most) if is_known else 0
        last = _time(spoken, "end", sent, now)
        first = _time(spoken, "start", sent, last - limit * step + 1) + spoken.after
        if newest_first:
            first = max(first, last - limit * step + 1)
        for latest in (spoken.latest, self._market.latest_only):
            if latest is not None:
                first = max(first, now - latest * step + 1)
        return _Query(symbol, timeframe, first, last, limit, newest_first)

    async def _page(self, spoken: Format, query: _Query, struck: list[Fault]) -> Response:
        struck.extend(self._faults.of_request(query.symbol, query.first, query.last))
        for fault in struck:
            if fault.fault == "delay":
                await asyncio.sleep(fault.seconds)
            elif fault.fault == "error":
                return self._refuse(spoken, fault)
            elif fault.fault == "outside":
                query = query.widened(fault.bars)
        body = self._body(spoken, query, struck)
        key = (spoken.path, query.symbol, query.timeframe)
        if any(fault.fault == "repeat" for fault in struck):
            body = self._last.get(key, body)
        self._last[key] = body
        for fault in struck:
            if fault.fault in _INSTEAD:
                return _INSTEAD[fault.fault](fault, body)
        return _json(body)

    def _body(self, spoken: Format, query: _Query, struck: list[Fault]) -> bytes:
        opens, text = self._book.page(
            query.symbol, query.timeframe, query.first, query.last, query.limit
        )
        body = b"[" + text[:-1] + b"]"
        spoilt_bars = list(self._faults.of_rows(query.symbol, query.timeframe, opens))
        spoilt_page = [fault for fault in struck if fault.fault in {"short", "unsorted"}]
        if spoken is BINANCE and not spoilt_bars and not spoilt_page:
            return body
        rows: list[list[Any]] = msgspec.json.decode(body)
        for fault, mask in spoilt_bars:
            # The fault before may have dropped or doubled rows, so the bars are found by their
            # opens.
            hit = set(opens[mask].tolist())
            rows = spoil(fault, rows, np.array([row[0] in hit for row in rows], bool))
        if query.newest_first:
            rows.reverse()
        for fault in spoilt_page:
            rows = rows[: fault.rows] if fault.fault == "short" else rows[::-1]
        return msgspec.json.encode(spoken.answer(query.symbol, [spoken.row(row) for row in rows]))

    def _refuse(self, spoken: Format, fault: Fault) -> Response:
        response = _error(spoken, fault.status, fault.code, fault.message)
        if fault.retry_after is not None:
            moment = self._clock() + timedelta(seconds=fault.retry_after)
            text = (
                format_datetime(moment, usegmt=True) if fault.http_date else str(fault.retry_after)
            )
            response.headers["Retry-After"] = text
        return response


class PracticeVendor:
    """A vendor on a port of this machine, in a thread of this process, while the context lasts.

    ```python
    with PracticeVendor(Market(symbols={"BTCUSDT": Instrument()})) as vendor:
        httpx.get(f"{vendor.url}/api/v3/klines?symbol=BTCUSDT&interval=1m")
    ```

    Args:
        market: What it trades.
        clock: Its time.
        host: The address that it listens on.
        port: The port; 0 takes a free one.

    Attributes:
        url: Where it is.
        log: The latest requests; see `Vendor`.
        till: What was used of its quotas, and how much was refused.
    """

    def __init__(
        self,
        market: Market,
        clock: Callable[[], datetime] = present,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._vendor = Vendor(market, clock)
        # It listens before the thread runs, so that a client's first connection waits instead of
        # being refused.
        self._socket = socket.create_server((host, port))
        self._server = _server(self._vendor)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="practice-vendor", daemon=True
        )
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self.log = self._vendor.log
        self.till = self._vendor.till

    def set_faults(self, faults: list[Fault]) -> None:
        """Put these faults in the place of those before."""
        self._vendor.set_faults(faults)

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Break off what is being answered, and be gone."""
        self._server.should_exit = self._server.force_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def serve(
    market: Market,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve until the process is stopped.

    Args:
        market: What the vendor trades.
        host: The address that it listens on.
        port: The port; 0 takes a free one.
        announce: Is called with the URL once connections are accepted.
    """
    with socket.create_server((host, port)) as listening:
        announce(f"http://{host}:{listening.getsockname()[1]}")
        with contextlib.suppress(KeyboardInterrupt):
            _server(Vendor(market)).run([listening])


def _server(vendor: Vendor) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            vendor.app,
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            log_level="critical",
            date_header=not vendor.till.is_open,
        )
    )


class _Cut(Response):
    """A body that breaks off in the middle.

    The server closes the connection when an answer ends before its length.
    """

    # An ASGI application's arguments.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send(
            {
                "type": "http.response.body",
                "body": self.body[: len(self.body) // 2],
                "more_body": True,
            }
        )


_INSTEAD: dict[str, Callable[[Fault, bytes], Response]] = {
    "html": lambda _fault, _body: Response(
        "<html><body>Maintenance</body></html>", headers=_HEADERS, media_type="text/html"
    ),
    "truncated": lambda _fault, body: _json(body[: len(body) // 2]),
    "cut": lambda _fault, body: _Cut(body, media_type=_JSON, headers=_HEADERS),
    "redirect": lambda _fault, _body: Response(
        status_code=302, headers=_HEADERS | {"Location": "https://elsewhere.invalid/klines"}
    ),
    "huge": lambda fault, _body: StreamingResponse(
        _blocks(fault.size), media_type=_JSON, headers=_HEADERS
    ),
    "drip": lambda fault, body: StreamingResponse(
        _drops(body, fault.seconds), media_type=_JSON, headers=_HEADERS
    ),
}
"""The faults whose answer comes instead of the page."""


async def _blocks(size: int) -> AsyncIterator[bytes]:
    block = b" " * 2**20
    for begin in range(0, size, len(block)):
        yield block[: size - begin]


async def _drops(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    for place in range(len(body)):
        yield body[place : place + 1]
        await asyncio.sleep(seconds)


def _wrong(spoken: Format, code: int) -> tuple[int, int]:
    """Status and code for a request that is not understood.

    Binance alone has a code for each fault.
    """
    status, wrong_code = spoken.wrong
    return status, code if spoken is BINANCE else wrong_code


def _time(spoken: Format, what: str, sent: Mapping[str, str | None], default: int) -> int:
    text = sent.get(what)
    try:
        return default if text is None else spoken.read_time(text)
    except ValueError:
        raise _illegal(spoken, spoken.names[what]) from None


def _count(spoken: Format, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise _illegal(spoken, spoken.names["limit"])
    return int(text)


def _illegal(spoken: Format, name: str) -> _RefusedError:
    words = f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,15}}$'."
    return _RefusedError(*_wrong(spoken, -1100), words)


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type=_JSON, headers=_HEADERS)


def _error(spoken: Format, status: int, code: int, message: str) -> Response:
    return _json(json.dumps(spoken.error(code, message)).encode(), status)
