"""The HTTP client that all sources share.

It has one connection pool, a rate limit, retries, deadlines and a bounded body. A request can end
in three ways only: with the parsed answer, with a SourceError, or cancelled. Neither headers nor
the query ever reach a message, and secrets that a vendor echoes are blotted out.
"""

from __future__ import annotations

import logging
from operator import itemgetter
from time import monotonic, time
from types import MappingProxyType
from typing import TYPE_CHECKING, Self, TypeVar

from market_assets.errors import SourceError, printable
from market_assets.hosts import LOOPBACK
from market_assets.imports import late_imports
from market_assets.sources.counting import ANY_STRETCH, Counting
from market_assets.sources.transport.blots import Blots
from market_assets.sources.transport.body import ERROR_BODY, EXCERPT, Unpacker, excerpt
from market_assets.sources.transport.failure import FailureError, failure_of
from market_assets.sources.transport.level import START, Level
from market_assets.sources.transport.refusals import Kind, Page, is_of_a_place, page_in, passes
from market_assets.sources.transport.settings import (
    CAREFUL,
    LONGEST_HOLD,
    HeaderSecret,
    HttpSettings,
    RateText,
    StreamingSettings,
    WebAddress,
    limit_name,
)

with late_imports():
    import asyncio

    import httpx
    from httpx_retries import Retry

    from market_assets.sources.transport.gate import Gate
    from market_assets.sources.transport.limit import Allowance, FileLimit, Limit, Permit
    from market_assets.sources.transport.shared_limit import SharedLimit
    from market_assets.sources.transport.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from market_assets.sources.contract import Usage

__all__ = [
    "CAREFUL",
    "HeaderSecret",
    "HttpClient",
    "HttpSettings",
    "RateText",
    "StreamingSettings",
    "WebAddress",
]

T = TypeVar("T")
log = logging.getLogger(__name__)

# httpx writes every URL with its query at INFO, httpcore all headers of an answer at DEBUG, where a
# key may stand; who wants it can still set the loggers' levels.
for library in map(logging.getLogger, ("httpx", "httpcore")):
    if library.level == logging.NOTSET:
        library.setLevel(logging.WARNING)

_FORBIDDEN = 403
# Binance's answer to who goes on after a 429; with a Retry-After it is one more kind of "wait".
_BANNED = 418


def _limit(name: str, settings: HttpSettings, base: Path, counting: Counting) -> Limit:
    allowance = Allowance(settings.rate, counting, settings.reserve, settings.total_timeout)
    if settings.limiter is not None:
        return SharedLimit(name, allowance, settings.limiter, limit_name(settings) or name)
    path = settings.limiter_path
    return FileLimit(name, allowance, None if path is None else base / path)


class HttpClient:
    """GET requests to one vendor, as many at once as the settings allow.

    Enter it inside the running event loop; after leaving it may be entered again, by another loop
    too.

    httpx-retries gives the policy here (exponential backoff with jitter, the reading of
    Retry-After) but not its transport: that one returns before the body is read, so that a
    connection cut in the body would not be retried, it cuts a long Retry-After down to its own cap,
    which is disobedience, and it lets one request wait where all of them have to.

    Args:
        name: The source's, for errors.
        settings: Where and how it asks.
        usage: Counts what it costs.
        base: The folder that a relative `limiter_path` starts from.
        holds: Seconds to leave the vendor alone for, by the status of a refusal that does not say
            how long itself; such a refusal passes, and is tried again. For 429 the settings' `hold`
            comes before it, where it is set.
        counting: How the vendor counts what it allows.
        ceiling: The most requests in flight at once, where the settings name no number.

    Attributes:
        limit: What the vendor allows.
    """

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        usage: Usage,
        *,
        base: Path,
        holds: Mapping[int, float] = MappingProxyType({}),
        counting: Counting = ANY_STRETCH,
        ceiling: int = START,
    ) -> None:
        self.name = name
        self.usage = usage
        self._settings = settings
        self._holds = {**holds, **({429: settings.hold} if settings.hold else {})}
        self._blots = Blots(settings.secrets())
        self.limit = _limit(name, settings, base, counting)
        # Why the vendor is left alone, as far as it was said here, and until when.
        self._asked = ("", 0.0)
        self._client: httpx.AsyncClient | None = None
        self._level = Level(settings.concurrency or ceiling)
        self._gate = Gate(lambda: self._level.size)

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now."""
        return self._level.size

    async def __aenter__(self) -> Self:
        settings = self._settings
        self.limit.open()
        url = httpx.URL(settings.base_url)
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"user-agent": "market-assets", "accept-encoding": "gzip, deflate"}
            | {name: secret.get_secret_value() for name, secret in settings.headers.items()},
            timeout=httpx.Timeout(settings.timeout, pool=None),
            transport=Wire(
                url,
                connections=self._level.ceiling,
                # A proxy cannot reach this machine's loopback.
                trust_env=url.host not in LOOPBACK,
            ),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.aclose()
        self.limit.close()
        self._client = None

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int],
        *,
        about: str,
        parse: Callable[[bytes], T],
        weight: int = 1,
    ) -> T:
        """Ask until `parse` accepts an answer, or until it is clear that there will be none.

        Args:
            path: Appended to the base URL.
            params: The query; never shown.
            about: What is asked for, in words for the error: symbol, timeframe and window.
            parse: Turns a body into the answer. Its SourceErrors count as a failed attempt, retried
                unless permanent; one with a `retry_after` is obeyed like a Retry-After.
            weight: What the vendor charges for the request, in the units of `rate`.

        Raises:
            SourceError: There is no answer: permanent where asking again cannot help.
        """
        async with self._gate.turn():
            return await self._get(path, params, f"source {self.name}: {about}", parse, weight)

    async def _get(
        self,
        path: str,
        params: Mapping[str, str | int],
        about: str,
        parse: Callable[[bytes], T],
        weight: int,
    ) -> T:
        settings = self._settings
        deadline = monotonic() + settings.max_elapsed
        retry = Retry(
            total=settings.retries,
            backoff_factor=settings.backoff / 2,  # the library doubles it before the first wait
            max_backoff_wait=settings.backoff_cap,
            backoff_jitter=0.5,
        )
        while True:
            deadline, permit = await self._turn(deadline, weight, about)
            try:
                return await self._attempt(
                    path, params, min(deadline - monotonic(), settings.total_timeout), parse
                )
            except FailureError as failure:
                if not failure.is_last:
                    self._level.refuse(self._gate.busy)
                if failure.is_last:
                    raise SourceError(
                        f"{about}: {failure.reason}",
                        permanent=failure.permanent,
                        of_machine=failure.of_machine,
                    ) from failure
                if failure.retry_after is not None:
                    # The server speaks to all who share its limit: every request waits, this one
                    # included, at its next `_turn`.
                    self._asked = max(
                        self._asked,
                        (failure.reason, monotonic() + failure.retry_after),
                        key=itemgetter(1),
                    )
                    # In a thread: a locked file, or a server that says nothing, takes its seconds.
                    await asyncio.to_thread(self.limit.hold, failure.retry_after)
                if retry.is_exhausted():
                    attempts = retry.attempts_made + 1
                    raise SourceError(
                        f"{about}: no answer after {attempts} attempts: {failure.reason}"
                    ) from failure
                retry = retry.increment()
                wait = retry.backoff_strategy() if failure.retry_after is None else 0.0
                if monotonic() + wait >= deadline:
                    limit = f"{settings.max_elapsed:g} s"
                    raise SourceError(
                        f"{about}: no answer within {limit}: {failure.reason}"
                    ) from failure
            finally:
                self.limit.done(permit)
            await self._sleep(wait)
            self.usage.retries += 1

    async def _attempt(
        self,
        path: str,
        params: Mapping[str, str | int],
        seconds: float,
        parse: Callable[[bytes], T],
    ) -> T:
        if self._client is None:
            raise RuntimeError(f"source {self.name} is not open: use `async with`")
        self.usage.requests += 1
        asked_at, began = time(), monotonic()
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream("GET", path, params=dict(params)) as response,
            ):
                self.limit.hear(response.headers, asked_at)
                if response.status_code != httpx.codes.OK:
                    raise await self._refusal(response)
                body = await self._read(response)
            self._level.answer(monotonic() - began, self._gate.busy)
            self.usage.bytes += len(body)
            return self._parsed(body, parse)
        # What these say can hold the key that the vendor repeats, and a traceback would show all
        # causes: they go no further.
        except SourceError as error:
            raise failure_of(error, self.blot(str(error))) from None
        except TimeoutError:
            raise FailureError(f"the answer was not complete after {seconds:.3g} s") from None
        except httpx.TimeoutException as error:
            raise FailureError(
                f"silent for {self._settings.timeout:g} s ({type(error).__name__})"
            ) from None
        except (
            httpx.NetworkError,
            httpx.RemoteProtocolError,
            httpx.DecodingError,
            httpx.ProxyError,
        ) as error:
            raise FailureError(
                f"broken connection: {self.blot(str(error) or type(error).__name__)}"
            ) from None
        except httpx.HTTPError as error:
            # What is left is a fault on our side, and its text can hold the request.
            raise FailureError(
                f"the request could not be sent ({type(error).__name__})", permanent=True
            ) from None

    def _parsed(self, body: bytes, parse: Callable[[bytes], T]) -> T:
        """Read an answer; one that makes the reader stumble costs this answer, and no others."""
        try:
            return parse(body)
        except SourceError:
            raise
        except Exception as error:
            words = self.blot(excerpt(str(error).encode("utf-8", "replace")))
            log.debug("source %s: an answer could not be read", self.name, exc_info=True)
            raise SourceError(
                f"the answer cannot be read ({type(error).__name__}: {words})"
            ) from None

    async def _refusal(self, response: httpx.Response) -> FailureError:
        status = response.status_code
        if response.is_redirect:
            target = self.blot(response.headers.get("location", "nowhere").partition("?")[0])[
                :EXCERPT
            ]
            return FailureError(
                f"HTTP {status}, redirected to {target}: redirects are not followed, "
                "correct base_url",
                permanent=True,
            )
        waits = self._retry_after(response)
        if waits is None:
            waits = self._holds.get(status)
        try:
            body = await self._read(response, keep=ERROR_BODY)
        except FailureError:
            body = b""  # packed in a way that is not read: the status says enough
        page = page_in(body, response.headers, status)
        message = self.blot(excerpt(body)) if page is None else self.blot(_told(page))
        reason = f"HTTP {status}: {message}" if message else f"HTTP {status}"
        of_place = is_of_a_place(status, message) if page is None else page.kind is Kind.COUNTRY
        if of_place:
            # Waiting does not help, nor is it the symbol's fault: whatever is asked for from here
            # is refused.
            return FailureError(reason, is_last=True, of_machine=True)
        if passes(status) or status in self._holds or (status == _BANNED and waits is not None):
            return FailureError(reason, retry_after=waits)
        if status == _FORBIDDEN and page is not None and page.is_for_the_machine:
            return FailureError(reason, is_last=True, of_machine=True)
        if status == _FORBIDDEN and not self._blots:
            # Who shows no key is refused for where he is, or for how much he has asked.
            return FailureError(reason, is_last=True)
        return FailureError(reason, permanent=True)

    async def _read(self, response: httpx.Response, *, keep: int | None = None) -> bytes:
        """Take the body while it comes; stop at `keep` bytes, or refuse what exceeds max_body.

        httpx would unpack as many encodings as an answer names, each chunk to whatever size it has.
        """
        limit = self._settings.max_body
        declared = response.headers.get("content-length", "")
        if keep is None and declared.isdecimal() and int(declared[:20]) > limit:
            raise FailureError(
                f"a body of {declared[:20]} bytes is more than max_body ({limit})", permanent=True
            )
        unpacked = Unpacker(
            response.headers.get("content-encoding", ""), limit if keep is None else keep
        )
        body = bytearray()
        arrived = 0
        async for chunk in response.aiter_raw():
            arrived += len(chunk)
            body += unpacked(chunk)
            if keep is not None and max(arrived, len(body)) >= keep:
                return bytes(body[:keep])
            if max(arrived, len(body)) > limit:
                raise FailureError(
                    f"the body is more than max_body ({limit} bytes)", permanent=True
                )
        if keep is None and not unpacked.whole:
            raise FailureError("broken connection: the compressed body was cut off")
        return bytes(body)

    def _retry_after(self, response: httpx.Response) -> float | None:
        text = response.headers.get("retry-after", "")
        try:
            seconds = Retry().parse_retry_after(text) if text else None
        except Exception:  # noqa: BLE001 - an impossible date is none
            return None
        return None if seconds is None else min(seconds, LONGEST_HOLD)

    async def _turn(self, deadline: float, weight: int, about: str) -> tuple[float, Permit]:
        """Wait until a request may be sent.

        A permit is taken last, so that none is kept while a hold lasts: all of them would be used
        at once at its end.

        Returns:
            The deadline, later by the time in the queue of the rate limit; and the permit.
        """
        while True:
            await self._hold(deadline, about)
            permit = await self.limit.permit(weight)
            self.usage.waits += permit.waits
            deadline += permit.waits
            if not self.limit.held():
                return deadline, permit
            self.limit.done(permit)

    async def _hold(self, deadline: float, about: str) -> None:
        while (wait := self.limit.held()) > 0:
            if monotonic() + wait > deadline:
                reason, until = self._asked
                why = (
                    f"asked for by the vendor: {reason}"
                    if monotonic() < until
                    else "seen by another process"
                )
                raise SourceError(
                    f"{about}: the server is to be left alone for another {wait:.0f} s ({why}), "
                    f"longer than max_elapsed ({self._settings.max_elapsed:g} s) allows; "
                    "fill again after that"
                )
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        self.usage.waits += seconds
        await asyncio.sleep(seconds)

    def blot(self, text: str) -> str:
        """Make what a vendor said fit to be shown: without the secrets that it may repeat."""
        return self._blots.over(text)


def _told(page: Page) -> str:
    """What a page is, and what can be done about it, on one line."""
    words = printable(str(page))
    return f"{words}; {page.advice}" if page.advice else words
