"""The thread that asks the sources, many at once, while the thread that commits takes the answers.

What is asked, of whom, and what an answer comes to belong to the modules that it is made of.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from market_assets.errors import MarketAssetsError
from market_assets.fill.answers import Answer, Page
from market_assets.fill.fallback import Fallback
from market_assets.fill.first_bars import FirstBars
from market_assets.fill.horizons import Horizons
from market_assets.fill.reaches import Reaches
from market_assets.fill.requests import Requests
from market_assets.fill.standing import Standing
from market_assets.fill.stumble import stumble

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from market_assets.expected.series import Series
    from market_assets.fill.terms import Terms
    from market_assets.sources.contract import Source
    from market_assets.sources.transport.horizon import Horizon

    Tell = Callable[[Answer | BaseException], None]

T = TypeVar("T")


class Fetcher:
    """Runs pages against the sources until it is closed; use it as a context manager.

    Args:
        sources: The profile's sources by name.
        terms: What all pages have in common.
        budget: Seconds after which nothing more is asked; what was had until then is kept. None for
            no limit.
    """

    def __init__(
        self, sources: Mapping[str, Source], terms: Terms, *, budget: float | None = None
    ) -> None:
        self._sources = sources
        self._terms = terms
        standing = Standing()
        self._requests = Requests(standing, budget)
        self._horizons = Horizons(terms, self._requests, standing)
        reaches = Reaches(terms, standing)
        self._fallback = Fallback(sources, terms, self._horizons, reaches)
        self._first_bars = FirstBars(sources, terms, self._requests, standing, reaches)

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="market-assets-fetch", daemon=True
        )
        self._exit = AsyncExitStack()
        self._ranks = count()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._call(self._open())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._call(self._close())
        finally:
            self._stop()

    def submit(self, pages: Sequence[Page], tell: Tell) -> None:
        """Start asking for pages in their order.

        A fault of this program costs the page that met it.

        Args:
            pages: What is asked for.
            tell: Is given each answer as soon as it is complete, in the thread that asks. An
                exception that must end the program is told as well.
        """
        self._loop.call_soon_threadsafe(self._start, pages, tell)

    def earliest(self, series: Sequence[Series]) -> dict[str, tuple[datetime, str]]:
        """The open of each symbol's oldest bar, with the source that has it.

        Only symbols for which a source can name it are given. A source without a probe of its own
        is searched no further back than the series begins: the start of the series then means that
        instant or any before it. A symbol is left out where a source should be asked again: that
        source's bar may be older than all others.
        """
        return self._call(self._first_bars.of(series))

    def hurry(self) -> None:
        """Ask for nothing more, and wait for nothing: what was had until now is kept."""
        self._loop.call_soon_threadsafe(self._requests.hurry)

    def horizons(self) -> list[Horizon]:
        """What was learned of since when sources serve."""
        return self._horizons.learned()

    def _call(self, coroutine: Coroutine[object, object, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        self._requests.open(self._sources.values())
        for source in self._sources.values():
            await self._exit.enter_async_context(source)

    async def _close(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._exit.aclose()

    def _start(self, pages: Sequence[Page], tell: Tell) -> None:
        for page in pages:
            task = self._loop.create_task(self._run(page, next(self._ranks), tell))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, page: Page, rank: int, tell: Tell) -> None:
        try:
            tell(await self._fallback.ask(page, rank))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - it is told, and the other pages go on
            answer = Answer(page)
            about = f"{page.symbol} {self._terms.timeframe} {page.window}"
            answer.note(stumble(about, "what the sources gave", error))
            tell(answer)
        # Handed to the thread that waits, which raises it.
        except BaseException as error:  # noqa: BLE001
            tell(error)


def raise_fault(fault: BaseException) -> NoReturn:
    """Raise in this thread the exception of the fetching thread."""
    if isinstance(fault, MarketAssetsError):
        raise fault
    raise RuntimeError(
        "a fault of this program stopped the fetch; please report it with this traceback"
    ) from fault
