"""What cannot be answered, as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from market_assets.errors import (
    CalendarError,
    MarketAssetsError,
    PlatformError,
    StoreBusyError,
    StoreError,
    UniverseError,
    printable,
    trace_words,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fastapi import FastAPI, Request

log = logging.getLogger("market_assets.serve")

MEDIA_TYPE = "application/problem+json"
_LONGEST = 1000
"""Characters of a detail: what somebody sends comes back no longer than this."""

_NEXT = {
    "profile": "GET /v1/symbols lists the profiles.",
    "symbols": "GET /v1/symbols lists the symbols of each profile.",
    "symbol": "GET /v1/symbols lists the symbols of each profile.",
    "timeframe": "GET /v1/symbols lists the timeframes of each profile.",
    "from": "Write 2025-01-31 or 2025-01-31T14:30:00Z.",
    "to": "Write 2025-01-31 or 2025-01-31T14:30:00Z.",
    "as_of": "Write 2025-01-31 or 2025-01-31T14:30:00Z.",
    "ts": "Write 2025-01-31T14:30:00Z.",
    "since": "Write 2025-01-31 or 2025-01-31T14:30:00Z.",
    "cursor": "Take the cursor from `next` of an answer, or leave it out to begin at the start.",
    "columns": "Name columns of the table, separated by commas; leave it out for all of them.",
    "adjusted": "Leave `adjusted` out for prices as the source gave them.",
    "limit": "Ask for fewer rows with `limit` and go on with `cursor`, or for a shorter window.",
    "format": "Name one of json, csv, parquet, arrow.",
}
_RETRY = "Ask again in a moment."

_FAULTS = {
    "to": (409, "The parameters contradict each other"),
    "format": (406, "There is no such form"),
}
"""By the parameter at fault: what is wrong with a question that has a right form."""


@dataclass(frozen=True)
class Problem:
    """Why a request is not answered.

    Attributes:
        status: The status of HTTP.
        title: What kind of problem it is.
        detail: What was wrong with this request.
        key: The parameter at fault; empty where it is none.
        advice: What to do next.
        headers: More headers of the answer.
    """

    status: int
    title: str
    detail: str
    key: str = ""
    advice: str = ""
    headers: Mapping[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """The problem as JSON has it."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": printable(self.detail)[:_LONGEST],
            "key": self.key or None,
            "next": self.advice or _NEXT.get(self.key) or None,
        }

    def response(self) -> Response:
        """The problem as an answer."""
        # With escapes, so that nothing that somebody sent can fail to be written.
        body = json.dumps(self.document()).encode()
        headers = {"Cache-Control": "no-store", **(self.headers or {})}
        return Response(body, self.status, headers, MEDIA_TYPE)


def problem_of(error: MarketAssetsError) -> Problem:
    """What an error of this package is over HTTP."""
    if isinstance(error, StoreError | PlatformError) or getattr(error, "busy", False):
        return _unavailable(error)
    words, key = str(error), getattr(error, "key", "")
    if isinstance(error, CalendarError):
        return Problem(404, "The calendar does not know these years", words)
    if isinstance(error, UniverseError) or getattr(error, "absent", False):
        return Problem(404, "Nothing of this is kept", words, key)
    status, title = _FAULTS.get(key, (422, "This cannot be asked for"))
    return Problem(status, title, words, key)


def _unavailable(error: MarketAssetsError) -> Problem:
    """What may be had a moment later, or when somebody has mended it."""
    words = str(error)
    if isinstance(error, StoreError) and not isinstance(error, StoreBusyError):
        return Problem(503, "The store cannot be read", words, "", "See GET /v1/ready.")
    title = (
        "Dagster cannot be asked"
        if isinstance(error, PlatformError)
        else "The store is busy"
        if isinstance(error, StoreError)
        else "Too much at a time"
    )
    return Problem(503, title, words, "", _RETRY, {"Retry-After": "1"})


def register(app: FastAPI, redact: Callable[[str], str]) -> None:
    """Have an application answer with problems, whatever goes wrong in it.

    Args:
        app: The application.
        redact: Hides the secrets of the universe in a text.
    """

    def hidden(problem: Problem) -> Response:
        safe = Problem(
            problem.status,
            problem.title,
            redact(problem.detail),
            problem.key,
            problem.advice,
            problem.headers,
        )
        return safe.response()

    async def of_package(request: Request, error: Exception) -> Response:  # noqa: ARG001
        assert isinstance(error, MarketAssetsError)  # noqa: S101 - registered for it
        return hidden(problem_of(error))

    async def of_parameters(request: Request, error: Exception) -> Response:  # noqa: ARG001
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
        return hidden(_of_validation(error))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
        advice = {404: "GET /v1/openapi.json lists the routes.", 405: "See GET /v1/openapi.json."}
        detail = f"{request.method} {request.url.path}: {error.detail}"
        return hidden(
            Problem(
                error.status_code,
                str(error.detail),
                detail,
                advice=advice.get(error.status_code, ""),
                headers=error.headers,
            )
        )

    async def of_fault(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return FAULT.response()

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        MarketAssetsError: of_package,
        RequestValidationError: of_parameters,
        HTTPException: of_http,
        Exception: of_fault,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


FAULT = Problem(
    500,
    "A fault of this program",
    "The request could not be answered; the server's log says why.",
    advice="Report it with the log of the server.",
)


def note_fault(error: Exception, path: str, redact: Callable[[str], str]) -> None:
    """Write the trace of a fault of this program to the log, without secrets."""
    log.error("%s could not be answered: %s", printable(path)[:200], redact(trace_words(error)))


def _of_validation(error: RequestValidationError) -> Problem:
    """The first thing that is wrong with the parameters, by its name."""
    first = error.errors()[0]
    place = [str(part) for part in first.get("loc", ()) if part not in {"query", "body", "path"}]
    key = place[0] if place else ""
    words = str(first.get("msg", "")).removeprefix("Value error, ")
    written = first.get("input")
    shown = f": {str(written)[:100]!r}" if isinstance(written, str | int | float) else ""
    return Problem(422, "A parameter is wrong", f"{key or 'the request'}{shown}: {words}", key)
