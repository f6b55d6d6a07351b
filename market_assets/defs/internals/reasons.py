"""Shows on the page of a partition that was never filled why it is red.

Dagster's page of a partition shows the metadata of its newest materialization, and what was
observed since. Where there is no materialization it says "No metadata entries", and keeps the
observation with the reason behind a button. So a script goes along with Dagster's pages, which asks
for the reason and puts it in that place. It does nothing on other pages, and none of it is needed
for anything else. docs/decisions/0024-reasons-on-the-page.md says what else was tried.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.responses import JSONResponse

from market_assets.defs.internals.failures import reason_of
from market_assets.market.instants import to_second

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/market_assets/reason"
"""Where the script asks: `?key=crypto&key=candles_1m&partition=2025-11-05`."""

_SCRIPT = Path(__file__).with_name("reasons.js")

_NONCE = re.compile(r"'nonce-([0-9a-zA-Z+/=_-]+)'")


class Reasons:
    """Dagster's web server with the script in its pages, and the answers that the script asks for.

    Args:
        app: Dagster's web server.
        instance: What its pages are about.
    """

    def __init__(self, app: ASGIApp, instance: dg.DagsterInstance) -> None:
        self._app = app
        self._instance = instance
        self._script = _SCRIPT.read_text(encoding="utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
        elif scope["path"] == PATH:
            query = QueryParams(scope["query_string"])
            answer = await run_in_threadpool(self._answer, query)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, _Page(send, self._script))

    def _answer(self, query: QueryParams) -> JSONResponse:
        key, partition = query.getlist("key"), query.get("partition")
        if not key or not partition:
            return JSONResponse({"error": "key and partition are needed"}, status_code=400)
        reason = reason_of(self._instance, dg.AssetKey(key), partition)
        if reason is None:
            return JSONResponse(None)
        at = to_second(reason.at)
        return JSONResponse({"words": reason.words, "at": at, "run": reason.run_id})


class _Page:
    """Sends an answer on; one that is a page of Dagster's goes with the script at its end."""

    def __init__(self, send: Send, script: str) -> None:
        self._send = send
        self._script = script
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body", False):
                return
            await self._send_page(self._start)
            return
        await self._send(message)

    async def _send_page(self, start: Message) -> None:
        headers = MutableHeaders(scope=start)
        # What the page's own policy lets run.
        nonce = _NONCE.search(headers.get("content-security-policy", ""))
        if nonce is not None:
            script = f'<script nonce="{nonce[1]}">\n{self._script}</script></body>'
            self._body = self._body.replace(b"</body>", script.encode(), 1)
            headers["content-length"] = str(len(self._body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": self._body})
