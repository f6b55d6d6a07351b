"""The one place by which routes read: universe, store, clock, kept answers, and bounded work."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.responses import Response

from market_assets.errors import ServeError
from market_assets.market.instants import iso_second
from market_assets.reports.plain import plain
from market_assets.serve.cache import Cache, Entry, SharedCache, etag_of, request_key
from market_assets.serve.editions import Editions
from market_assets.serve.flow import Flow, Flows, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from market_assets.config.universe import Universe
    from market_assets.serve.editions import Edition
    from market_assets.serve.platform import Platform
    from market_assets.store import Snapshot

T = TypeVar("T")

_WHOLE = 1_000_000
"""Bytes up to which an answer is made whole, with a validator of its own, and kept."""

_THREADS = 4
"""Requests that read at the same time; more would only take turns on the disk and the cores."""

_QUICK_THREADS = 2
"""Requests for little that read beside them, so that they wait for no long one."""

AS_OF = "Market-Assets-As-Of"
"""The header that says by when what an answer shows was committed."""


@dataclass(frozen=True)
class Made:
    """What a route has made of the store.

    Attributes:
        pieces: The body, piece by piece.
        media_type: Its content type.
        headers: More headers, known before the body.
        links: Gives more headers, once the body is whole.
    """

    pieces: Iterator[bytes]
    media_type: str = "application/json"
    headers: Mapping[str, str] | None = None
    links: Callable[[], Mapping[str, str]] | None = None


class Desk:
    """What every route has: nothing else opens the store or asks the time.

    Args:
        universe: What is kept.
        home: The home folder.
        clock: Gives the present instant (aware).
        platform: Dagster, for readiness and for work; None where nobody asks it.
        shared: Answers of several servers, where there are any.
    """

    def __init__(
        self,
        universe: Universe,
        home: Path,
        *,
        clock: Callable[[], datetime],
        platform: Platform | None = None,
        shared: SharedCache | None = None,
    ) -> None:
        settings = universe.serve
        self.universe = universe
        self.home = home
        self.clock = clock
        self.platform = platform
        self.store = Editions(
            home, clock=clock, memory=int(settings.query_memory), longest=settings.max_time
        )
        self.cache = Cache(int(settings.memory), stamp=self.store.stamp, clock=clock)
        self._shared = shared
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="serve")
        self._quick_threads = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="serve-quick")
        self._making: dict[str, asyncio.Future[Entry | None]] = {}
        self._flows = Flows(self._threads, settings.max_time)

    def close(self) -> None:
        """Let go of the store and of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._quick_threads.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    def redact(self, text: str) -> str:
        """A text as everybody may read it: without the secrets of the universe, and without paths.

        For answers and for logs.
        """
        return self.universe.redact(text).replace(str(self.home), "MARKET_ASSETS_HOME")

    async def work(self, task: Callable[[], T], *, is_quick: bool = False) -> T:
        """Do something in a thread, for as long as an answer may take.

        Args:
            task: What is done.
            is_quick: It takes some milliseconds, and waits for nothing that takes longer.

        Raises:
            ServeError: It took longer.
        """
        longest = self.universe.serve.max_time.total_seconds()
        try:
            async with asyncio.timeout(longest + 1):
                threads = self._quick_threads if is_quick else self._threads
                return await asyncio.get_running_loop().run_in_executor(threads, task)
        except TimeoutError:
            raise ServeError(
                f"this took longer than the {longest:g} s of serve.max_time; ask for less",
                key="limit",
            ) from None

    async def answer(
        self,
        request: Request,
        purpose: str,
        make: Callable[[Snapshot], Made],
        *,
        until: datetime | timedelta | None = None,
        is_quick: bool = False,
    ) -> Response:
        """Answer a request out of the store: kept answers first, short ones whole, others streamed.

        Of requests that ask the same at the same time one makes the answer. What cannot be given
        to the others, since it streams or could not be made, they make side by side.

        Args:
            request: Who asks.
            purpose: What for, in words.
            make: Makes the answer of the store; called in a thread.
            until: The answer may change at this instant, or so long after it is made, without a
                commit; None where it does not.
            is_quick: See `work`.
        """
        key = request_key(request.scope)
        validators = request.headers.get("if-none-match", "")
        if (making := self._making.get(key)) is not None:
            await asyncio.wait([making])
            # It may be older than the last commit before this request: its stamp tells.
            if (entry := self.cache.get(key)) is not None:
                return reply(entry, validators)
            if (making := self._making.get(key)) is not None:
                await asyncio.wait([making])
                # It was begun after this request: this one could make none that is newer.
                if (entry := making.result()) is not None:
                    return reply(entry, validators)

        task = partial(self._made, key, purpose, make, until)
        answer = await self._promised(key, task, is_quick=is_quick)
        return reply(answer, validators) if isinstance(answer, Entry) else answer

    async def _promised(
        self, key: str, task: Callable[[], Entry | Response], *, is_quick: bool
    ) -> Entry | Response:
        """Make an answer, and give it to requests for the same that come meanwhile."""
        if key in self._making:
            return await self.work(task, is_quick=is_quick)
        entry = None
        promise = self._making[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await self.work(task, is_quick=is_quick)
            entry = answer if isinstance(answer, Entry) else None
        finally:
            del self._making[key]
            promise.set_result(entry)
        return answer

    async def short(
        self,
        request: Request,
        purpose: str,
        make: Callable[[Snapshot], object],
        *,
        lasts: timedelta = timedelta(seconds=2),
    ) -> Response:
        """Answer with a short document, which is right for some seconds at most.

        Args:
            request: Who asks.
            purpose: What for, in words.
            make: Makes the document of the store; instants of it are written as ISO text.
            lasts: How long the answer is given again, if nothing is committed meanwhile.
        """
        return await self.answer(
            request,
            purpose,
            lambda view: Made(iter([written(make(view))])),
            until=lasts,
        )

    def _made(
        self,
        key: str,
        purpose: str,
        make: Callable[[Snapshot], Made],
        until: datetime | timedelta | None,
    ) -> Entry | Response:
        """An answer that is kept, or one that is too long for that and streams."""
        with ExitStack() as stack:
            edition, view = stack.enter_context(self.store.edition(purpose))
            if (entry := self._of_others(key, edition)) is not None:
                self.cache.put(key, entry)
                return entry
            if isinstance(until, timedelta):
                until = self.clock() + until
            made = make(view)
            # What a generator holds is let go of before the copy is.
            stack.callback(getattr(made.pieces, "close", lambda: None))
            pieces, length = [], 0
            for piece in made.pieces:
                pieces.append(piece)
                length += len(piece)
                if length > _WHOLE:
                    headers = {**(made.headers or {}), **_as_of(edition)}
                    source = Source(pieces, made.pieces, stack.pop_all())
                    return Flow(self._flows, source, made.media_type, headers)
            body = b"".join(pieces)
            links = made.links() if made.links else {}
            entry = Entry(
                edition.stamp,
                etag_of(body),
                {
                    **(made.headers or {}),
                    **links,
                    **_as_of(edition),
                    "Content-Type": made.media_type,
                },
                body,
                until,
            )
        self.cache.put(key, entry)
        if self._shared:
            self._shared.put(key, entry, edition.store_id)
        return entry

    def _of_others(self, key: str, edition: Edition) -> Entry | None:
        """The answer that another server has made of the same state of the store."""
        if self._shared is None:
            return None
        entry = self._shared.get(key, edition.stamp, edition.store_id)
        is_over = entry is not None and entry.until is not None and self.clock() >= entry.until
        return None if is_over else entry


def _as_of(edition: Edition) -> dict[str, str]:
    return {AS_OF: iso_second(edition.as_of)}


def reply(entry: Entry, validators: str) -> Response:
    """A kept answer, or that it has not changed, as a response.

    Args:
        entry: The answer.
        validators: The header `If-None-Match`.
    """
    # Whoever keeps a copy asks again each time: only the store knows whether it is still right.
    headers = {**entry.headers, "ETag": entry.etag, "Cache-Control": "private, no-cache"}
    if matches(entry.etag, validators):
        del headers["Content-Type"]
        return Response(status_code=304, headers=headers)
    return Response(entry.body, headers=headers)


def matches(etag: str, validators: str) -> bool:
    """Whether `If-None-Match` names an answer."""
    names = {name.strip().removeprefix("W/") for name in validators.split(",")}
    return "*" in names or etag in names


def written(document: object) -> bytes:
    """A document as JSON: instants as ISO text with Z, and null for what is no number."""
    return json.dumps(plain(document), allow_nan=False).encode()


def desk_of(request: Request) -> Desk:
    """The desk of the application that answers a request."""
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]
"""What a route takes to read."""
