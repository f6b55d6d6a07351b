"""What happens, while it happens: server-sent events for pages that stay open."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from market_assets.errors import MarketAssetsError, ServeError
from market_assets.market.instants import iso_second
from market_assets.reports.jobs import audit_of
from market_assets.serve.desk import AtDesk, written
from market_assets.serve.models import EVERYWHERE, problems
from market_assets.serve.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from market_assets.serve.desk import Desk

router = APIRouter(tags=["events"], responses=problems(*EVERYWHERE))

_LOOK = 1.0
"""Seconds between two looks at the store's file; a commit in between is told once."""

_BEAT = 15.0
"""Seconds without an event after which a comment is sent: silence is not to be taken for death."""

_MOST = 32
"""Listeners at a time."""

_JOBS = 20
"""Of the newest jobs so many are looked at; those of them that run are told."""


class Wanted(Parameters):
    """For how long."""

    seconds: int = Field(
        default=300, ge=1, le=3600, description="After so many seconds the answer ends by itself."
    )


@router.get(
    "/events",
    summary="What happens, while it happens",
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    response_class=StreamingResponse,
)
async def events(
    request: Request, desk: AtDesk, parameters: Annotated[Wanted, Query()]
) -> StreamingResponse:
    """An event `commit` for each second in which something was committed, with the jobs that run.

    Its data are a JSON object: `as_of`, and `jobs` as /v1/jobs has them. The first event is sent at
    once. An answer ends after `seconds`, at most `serve.max_time`; ask again then.
    """
    longest = desk.universe.serve.max_time.total_seconds()
    listeners = _listeners(request)
    if len(listeners) >= _MOST:
        raise ServeError(f"{_MOST} listeners are served at a time", key="seconds", busy=True)
    stream = _told(desk, listeners, min(parameters.seconds, longest))
    return _Events(stream, listeners)


class _Listeners:
    """Who listens to an application now, and what all of them are told: one look for them all."""

    def __init__(self) -> None:
        self._present: set[object] = set()
        self._look: asyncio.Task[dict[str, Any]] | None = None
        self._look_key: tuple[str, float] = ("", 0.0)

    def __len__(self) -> int:
        return len(self._present)

    def enter(self, listener: object) -> None:
        """Count one more."""
        self._present.add(listener)

    def leave(self, listener: object) -> None:
        """Count one less."""
        self._present.discard(listener)

    async def look(self, desk: Desk, stamp: str) -> dict[str, Any]:
        """What is told of a state of the store, looked at by whoever asks first."""
        before, begun = self._look_key
        now = time.monotonic()
        if self._look is None or stamp != before or now - begun > _LOOK:
            self._look, self._look_key = asyncio.create_task(_looked(desk)), (stamp, now)
        # Who hangs up takes it from nobody else.
        return await asyncio.shield(self._look)


def _listeners(request: Request) -> _Listeners:
    """Who listens to this application now."""
    state = request.app.state
    if not hasattr(state, "listeners"):
        state.listeners = _Listeners()
    listeners: _Listeners = state.listeners
    return listeners


class _Events(StreamingResponse):
    """The answer to a listener, who counts from the request on."""

    def __init__(self, stream: AsyncIterator[bytes], listeners: _Listeners) -> None:
        super().__init__(
            stream,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._listeners = listeners
        listeners.enter(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the end, or until the listener hangs up."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listeners.leave(self)


async def _told(desk: Desk, listeners: _Listeners, seconds: float) -> AsyncIterator[bytes]:
    """The events of one listener."""
    end = time.monotonic() + seconds
    seen = ""
    sent_at = 0.0
    # Of a home without a store, too, something is told at once.
    if desk.store.stamp() is None:
        sent_at = time.monotonic()
        yield _event("commit", await listeners.look(desk, seen))
    while (now := time.monotonic()) < end:
        stamp = desk.store.stamp()
        # While a commit is under way the file alone does not tell.
        if stamp is not None and stamp != seen:
            seen, sent_at = stamp, now
            yield _event("commit", await listeners.look(desk, stamp))
        elif now - sent_at >= _BEAT:
            sent_at = now
            yield b": alive\n\n"
        await asyncio.sleep(min(_LOOK, max(0.0, end - now)))


async def _looked(desk: Desk) -> dict[str, Any]:
    """The jobs that run; why they are not known where the store cannot be read."""
    try:
        audit = await desk.work(
            lambda: audit_of(desk.store, limit=_JOBS, since=None, now=desk.clock())
        )
    except MarketAssetsError as error:
        return {"as_of": iso_second(desk.clock()), "jobs": [], "problem": desk.redact(str(error))}
    running = [job for job in audit["jobs"] if job["status"] == "RUNNING"]
    return {"as_of": iso_second(desk.clock()), "jobs": running}


def _event(kind: str, document: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + written(document) + b"\n\n"
