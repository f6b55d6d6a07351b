"""Who may ask, for how much and how many at a time; what is kept already is answered here.

With a token, every route but `/health` wants it. Without one only this machine can ask, by a name
of this machine: a page of another site, which a browser on this machine shows, has another one.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from market_assets.hosts import LOOPBACK, name_of
from market_assets.serve.cache import request_key
from market_assets.serve.desk import reply
from market_assets.serve.problems import FAULT, Problem, note_fault
from market_assets.serve.routes.page import is_of_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from market_assets.serve.desk import Desk

OPEN_PATHS = frozenset({"/health", "/v1/health"})
"""What everybody may ask: whether the process is there."""

_LONGEST_BODY = 65_536
_LONGEST_QUERY = 32_768
_SENT = "http.response.start"


class Gate:
    """The application behind its rules.

    Args:
        app: What answers.
        desk: Its settings, its clock and its kept answers.
    """

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        settings = desk.universe.serve
        self._app = app
        self._desk = desk
        self._token = None if settings.token is None else _digest(settings.token)
        self._names = LOOPBACK | {settings.host.lower(), *(name.lower() for name in settings.hosts)}
        self._most = settings.max_requests
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return

        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        problem = self._refusal(scope, headers)
        if problem is not None:
            await problem.response()(scope, receive, send)
            return
        if scope["method"] == "GET":
            entry = self._desk.cache.get(request_key(scope))
            if entry is not None:
                answer = reply(entry, headers.get("if-none-match", ""))
                await answer(scope, receive, send)
                return
        self._count += 1
        try:
            await self._answered(scope, receive, send)
        finally:
            self._count -= 1

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == _SENT
            await send(message)

        try:
            await self._app(scope, _bounded(receive), noting)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on
            note_fault(error, scope["path"], self._desk.redact)
            # Where a part was sent already, the connection is closed without the end of the body.
            if not has_begun:
                await FAULT.response()(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Problem | None:
        """Why a request is not answered; None where it is."""
        if scope["path"] in OPEN_PATHS:
            return None
        # The page holds no data. Under another name it is refused like everything else.
        is_open = self._token is not None and is_of_page(scope["path"])
        stranger = None if is_open else self._stranger(headers)
        return stranger or self._excess(scope, headers)

    def _stranger(self, headers: Mapping[str, str]) -> Problem | None:
        """Why somebody may not ask."""
        if self._token is not None:
            return None if self._is_allowed(headers.get("authorization", "")) else _NO_TOKEN
        name = name_of(headers.get("host", ""))
        if name in self._names:
            return None
        return Problem(
            403,
            "This server has another name",
            f"Host {name[:100]!r} is none of its names.",
            "Host",
            "Ask for it as localhost, or add the name to `serve: {hosts: [...]}`.",
        )

    def _excess(self, scope: Scope, headers: Mapping[str, str]) -> Problem | None:
        """Why a request is too much."""
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > _LONGEST_BODY:
            return _TOO_LONG
        if len(scope["query_string"]) > _LONGEST_QUERY:
            return Problem(
                414, "The question is too long", f"It has more than {_LONGEST_QUERY} characters."
            )
        if self._count < self._most:
            return None
        return Problem(
            503,
            "Too much at a time",
            f"{self._count} requests are being answered.",
            "",
            "Ask again in a moment.",
            {"Retry-After": "1"},
        )

    def _is_allowed(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        # Of digests, so that not even the length is told by the time that it takes.
        same = hmac.compare_digest(_digest(token.strip()), self._token or b"")
        return same and scheme.lower() == "bearer"


_NO_TOKEN = Problem(
    401,
    "A token is needed",
    "The request has no token, or another one than this server's.",
    "Authorization",
    "Send `Authorization: Bearer TOKEN` with the token of `serve.token`.",
    {"WWW-Authenticate": "Bearer"},
)

_TOO_LONG = Problem(
    413,
    "The request is too long",
    f"Its body has more than {_LONGEST_BODY} bytes.",
    "",
    "Name fewer symbols.",
)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _bounded(receive: Receive) -> Receive:
    """Receives a body of bounded length, whatever its header has said."""
    length = 0

    async def bounded() -> Message:
        nonlocal length
        message = await receive()
        length += len(message.get("body", b""))
        if length > _LONGEST_BODY:
            raise HTTPException(413, "the body is too long")
        return message

    return bounded
