"""What the sources have in common that ask through a vendor's own client library.

The library sends and reads; how often, how long, what is retried and what an error may say is
decided here, as for every other source.
"""

from __future__ import annotations

import asyncio
import re
from abc import abstractmethod
from importlib import import_module
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

from pydantic import model_validator

from market_assets.errors import SourceError
from market_assets.market.clock import present
from market_assets.sources.transport.body import excerpt
from market_assets.sources.transport.failure import FailureError, failure_of
from market_assets.sources.transport.http import HttpClient, HttpSettings
from market_assets.sources.transport.rest import PagedSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from market_assets.sources.contract import Usage

T = TypeVar("T")


class LibrarySettings(HttpSettings):
    """The keys of a source that asks through a library, which need not be installed.

    Attributes:
        library: The package that is imported.
        extra: What it is called among the extras of this package.
    """

    library: ClassVar[str]
    extra: ClassVar[str]

    @model_validator(mode="after")
    def _library_is_installed(self) -> Self:
        # A look for it, not an import, which may take seconds.
        if find_spec(self.library) is None:
            raise ValueError(
                f"asks through the package {self.library}: "
                f"pip install 'market-assets[{self.extra}]'"
            )
        if self.headers:
            raise ValueError(
                f"has headers, which the package {self.library} would not send: leave them out"
            )
        return self


S = TypeVar("S", bound=LibrarySettings)


class LibraryClient(HttpClient):
    """Requests that a library sends, within the settings of an HTTP source.

    The settings say how many go at once, how often, and for how long.

    Args:
        name: The source's, for errors.
        settings: Where and how it asks.
        usage: Counts what it costs; a request that the library makes of its own accord is not seen.
        base: The folder that a relative `limiter_path` starts from.
        send: Calls the library with what `PagedSource.request` gave, and gives the body of the
            answer; it is cancelled at the end of its time.
        explain: Turns what the library raises into what it means, None where it is not one of its
            errors.
    """

    def __init__(
        self,
        name: str,
        settings: LibrarySettings,
        usage: Usage,
        *,
        base: Path,
        send: Callable[[str, Mapping[str, str | int]], Awaitable[bytes]],
        explain: Callable[[Exception], SourceError | None],
    ) -> None:
        super().__init__(name, settings, usage, base=base)
        self._library = settings.library
        self._send = send
        self._explain = explain

    async def __aenter__(self) -> Self:
        # A second or two that are not the vendor's: no request's time runs yet.
        await asyncio.to_thread(import_module, self._library)
        self.limit.open()
        return self

    async def _attempt(
        self,
        path: str,
        params: Mapping[str, str | int],
        seconds: float,
        parse: Callable[[bytes], T],
    ) -> T:
        self.usage.requests += 1
        began = monotonic()
        try:
            async with asyncio.timeout(seconds) as budget:
                body = await self._send(path, params)
            self._level.answer(monotonic() - began, self._gate.busy)
            self.usage.bytes += len(body)
            return parse(self._bounded(body))
        # As in an HttpClient, what it says goes no further: a traceback would show all causes.
        except Exception as error:  # noqa: BLE001 - whatever a library raises
            if budget.expired():
                raise FailureError(f"the answer was not complete after {seconds:.3g} s") from None
            meant = error if isinstance(error, SourceError) else self._explain(error)
            if meant is None:
                # The library's own bug, or an answer that it cannot read.
                meant = SourceError(
                    f"the library {type(error).__module__} failed: {type(error).__name__}"
                )
            raise failure_of(meant, self.blot(str(meant))) from None

    def _bounded(self, body: bytes) -> bytes:
        most = self._settings.max_body
        if len(body) > most:
            raise SourceError(
                f"a body of {len(body)} bytes is more than max_body ({most})", permanent=True
            )
        return body


class LibrarySource(PagedSource, Generic[S]):
    """A source whose requests are sent by a vendor's own client library.

    Args:
        name: The source's name in the universe.
        settings: Its settings; secrets in them are shown nowhere.
        base: The universe file's folder.
        kind: The kind of the profile, in lower case.
        clock: Gives the present instant.
    """

    def __init__(
        self,
        name: str,
        settings: S,
        *,
        base: Path,
        kind: str,
        clock: Callable[[], datetime] = present,
    ) -> None:
        super().__init__(name, settings, base=base, kind=kind)
        self._http = LibraryClient(
            name, settings, self.usage, base=base, send=self.send, explain=self.explain
        )
        self._settings = settings
        self._clock = clock

    @abstractmethod
    async def send(self, path: str, params: Mapping[str, str | int]) -> bytes:
        """Call the library with what `request` gave; gives the body of the answer."""

    @abstractmethod
    def explain(self, error: Exception) -> SourceError | None:
        """Turn what the library raises into what it means, None where it is not its error."""


def seconds_in(retry_after: object) -> float | None:
    """The seconds that a header Retry-After names; None where it names none, or a date."""
    text = str(retry_after or "").strip()
    return float(text) if re.fullmatch(r"\d{1,7}(\.\d+)?", text) else None


def words(error: object) -> str:
    """What a library's error says, on one line of 200 characters.

    It comes without the addresses in it: keys and signatures may stand there.
    """
    text = re.sub(r"\b[a-z][a-z0-9+.-]*://\S+", "(address)", str(error))
    return excerpt(text.encode()) or type(error).__name__
