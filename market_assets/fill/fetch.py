"""Asks the sources for planned pages, many at once, in a thread of its own.

The thread that commits takes the answers in order.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

import numpy as np
import polars as pl

from market_assets.errors import MarketAssetsError, SourceError, error_words, trace_words
from market_assets.fill.answers import Answer, LateError, Page, UnaskedError, left_of
from market_assets.fill.genesis import (
    MOST_LOOKS,
    length_within,
    next_look,
    pages_of,
    top_lengths,
    with_what_was_before,
)
from market_assets.market.gaps import plan_requests, runs
from market_assets.market.timeframes import TS, Timeframe, Window, from_micros, literal
from market_assets.sources.contract import PartialAnswerError
from market_assets.sources.files.reach import Stretch, merged
from market_assets.sources.transport.horizon import PROBED_BARS, Horizon, served_since, words_of
from market_assets.verdicts.clean import Reason, clean

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from market_assets.config.kinds import PriceRules
    from market_assets.config.universe import SourceSymbol
    from market_assets.expected.series import Series
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.sources.contract import Source

log = logging.getLogger("market_assets.fill")
T = TypeVar("T")


_TRIPPED_AFTER = 3
"""After so many failures in a row, and not for one symbol alone, a source is not asked again.

That holds for the same fill: the source is down, and each try costs minutes. Neither is it asked
again for a symbol after so many failed or refused windows in a row.
"""

_LIES = 3
"""How many empty answers in a row, where there must be a bar, end a search."""

_TICK = timedelta(microseconds=1)

_AROUND = timedelta(days=7)
"""Further than any market stays closed."""

_MARGIN = 10
"""How many bars are left out where a vendor's oldest bar has moved on since it was learned."""

_FIRST = -1
"""The rank of a question that comes before any page."""


class _Gate:
    """Lets a number of requests to a source go at once; the page of the lowest rank is next.

    In the order of arrival one symbol would get all of its pages before another gets its first: a
    page comes here when its source has looked how far it reaches, symbol by symbol.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def turn(self, rank: int) -> AsyncIterator[None]:
        """Wait for a turn; the lowest rank of those that wait is next."""
        if self._free:
            self._free -= 1
        else:
            granted = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (rank, next(self._arrivals), granted))
            try:
                await granted
            except asyncio.CancelledError:
                if not granted.cancelled():
                    self._pass_on()
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            *_, granted = heappop(self._waiting)
            if not granted.done():
                granted.set_result(None)
                return
        self._free += 1


class _BeyondError(SourceError):
    """The window asked for is older than what the source serves."""


class _AnotherWindowError(MarketAssetsError):
    """While a page waited, it was learned that the source serves only a part of its window."""


@dataclass
class _Search:
    """A search for the first bar of a series at one source, and how many requests it has cost."""

    source: Source
    reference: SourceSymbol
    series: Series
    requests: int = 0

    def unsure(self, why: str) -> SourceError:
        """The error where nothing may be recorded."""
        return SourceError(
            f"source {self.source.name}: {self.reference.symbol} {self.series.window}: {why}; "
            "every bar since the start is asked for. "
            "Give the symbol its start in the universe to spare that"
        )


class Fetcher:
    """Runs pages against the sources until it is closed; use it as a context manager.

    Args:
        sources: The profile's sources by name.
        timeframe: The candles' timeframe.
        rules: What prices and volumes may be.
        jitter: The share of the timeframe within which a time is moved onto the grid.
        quiet_bars: The longest silence that a source which leaves quiet bars out explains by
            itself.
        calendar: Says which bars there can be, for what no plan has listed.
        now: The instant up to which bars have closed.
        kind: The kind of the profile, in lower case: which timeframes a source has for it.
        budget: Seconds after which nothing more is asked; what was had until then is kept. None for
            no limit.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        *,
        timeframe: Timeframe,
        rules: PriceRules,
        jitter: float,
        quiet_bars: int,
        calendar: SessionCalendar,
        now: datetime,
        kind: str = "",
        budget: float | None = None,
    ) -> None:
        self._sources = sources
        self._kind = kind
        self._timeframe = timeframe
        self._rules = rules
        self._jitter = jitter
        self._quiet_bars = quiet_bars
        self._calendar = calendar
        self._now = now
        self._budget = budget
        self._failures: dict[tuple[str, bool], list[tuple[str, SourceError]]] = defaultdict(list)
        self._strikes: dict[tuple[str, str, bool], list[SourceError]] = defaultdict(list)
        self._rebuffs: dict[tuple[str, str], int] = defaultdict(int)
        self._refusals: dict[tuple[str, str], SourceError] = {}
        self._barred: dict[str, SourceError] = {}
        self._horizons: dict[tuple[str, str], asyncio.Task[Horizon | None]] = {}
        self._oldest_served: dict[tuple[str, str], datetime] = {}
        self._relearned: dict[tuple[str, str], int] = defaultdict(int)
        self._reaches: dict[tuple[str, str], asyncio.Task[list[Stretch] | None]] = {}
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

    def submit(self, pages: Sequence[Page]) -> SimpleQueue[Answer | BaseException]:
        """Start asking for pages in their order.

        Each answer is put on the queue as soon as it is complete. A fault of this program costs the
        page that met it. An exception that must end the program is put on the queue, too.
        """
        answers: SimpleQueue[Answer | BaseException] = SimpleQueue()
        self._loop.call_soon_threadsafe(self._start, pages, answers)
        return answers

    def earliest(self, series: Sequence[Series]) -> dict[str, tuple[datetime, str]]:
        """The open of each symbol's oldest bar, with the source that has it.

        Only symbols for which a source can name it are given. A source without a probe of its own
        is searched no further back than the series begins: the start of the series then means that
        instant or any before it. A symbol is left out where a source should be asked again: that
        source's bar may be older than all others.
        """
        return self._call(self._earliest(series))

    def _call(self, coroutine: Coroutine[object, object, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        self._deadline = None if self._budget is None else self._loop.time() + self._budget
        self._gates = {source.name: _Gate(source.concurrency) for source in self._sources.values()}
        for source in self._sources.values():
            await self._exit.enter_async_context(source)

    async def _close(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._exit.aclose()

    def _start(self, pages: Sequence[Page], answers: SimpleQueue[Answer | BaseException]) -> None:
        async def run(page: Page, rank: int) -> None:
            try:
                answers.put(await self._ask(page, rank))
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - it is told, and the other pages go on
                answer = Answer(page)
                about = f"{page.symbol} {self._timeframe} {page.window}"
                answer.note(_stumble(about, "what the sources gave", error))
                answers.put(answer)
            # Handed to the thread that waits, which raises it.
            except BaseException as error:  # noqa: BLE001
                answers.put(error)

        for page in pages:
            task = self._loop.create_task(run(page, next(self._ranks)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, page: Page, rank: int) -> Answer:
        answer = Answer(page)
        remaining = page.wanted
        for number, reference in enumerate(page.sources):
            source = self._sources[reference.source]
            try:
                reach = await self._reach(source, reference)
            except SourceError as error:
                answer.note(error)
                continue
            windows = [page.window] if number == 0 else self._windows(remaining, source)
            for whole in windows:
                spans = [whole] if reach is None else merged(reach, whole)
                if not spans:
                    continue
                window = Window(spans[0].start, spans[-1].end)
                try:
                    frame, lost = await self._fetch_served(source, reference.symbol, window, rank)
                    horizon = await self._horizon_of((source.name, reference.symbol))
                    if horizon is not None:
                        answer.limits |= {str(horizon)} if window.start < horizon.start else set()
                        spans = [
                            part for span in spans if (part := _since(span, horizon)) is not None
                        ]
                        window = Window(spans[0].start, window.end)
                    answered = left_of(spans, lost)
                    with self._naming(source, reference.symbol, f"{window}"):
                        remaining = self._take(
                            answer,
                            reference,
                            window,
                            frame,
                            remaining,
                            spans=answered,
                            fallback=number > 0,
                        )
                    await self._testify(answer, reach, answered, remaining)
                except _BeyondError as error:
                    answer.limits.add(str(error))
                    continue
                except SourceError as error:
                    answer.note(error)
                    break
                answer.speak(spans, omits_quiet=not source.traits.emits_empty_bars, lost=lost)
            if number + 1 < len(page.sources):
                remaining = self._unexplained(answer, remaining)
            if remaining.is_empty():
                break
        return answer

    async def _testify(
        self,
        answer: Answer,
        reach: Sequence[Stretch] | None,
        spans: Sequence[Window],
        absent: pl.Series,
    ) -> None:
        """Record which source lacks bars: files by their hashes.

        A hash is computed only where it matters.
        """
        files = [stretch for stretch in reach or () if stretch.witness is not None]
        if not files:
            answer.fresh += spans
            return
        opens = absent.to_physical().to_numpy()
        for stretch in files:
            for span in spans:
                window = stretch.window.intersect(span)
                if window is None or stretch.witness is None:
                    continue
                first, after = np.searchsorted(opens, window.micros)
                if first < after:
                    digest = await asyncio.to_thread(stretch.witness)
                    answer.files.append((window, digest))
                    answer.around += [] if stretch.rows is None else [(stretch.rows, digest)]

    @contextmanager
    def _naming(self, source: Source, symbol: str, what: str) -> Iterator[None]:
        """Make an odd answer a failure of this one question, by name."""
        try:
            yield
        except MarketAssetsError:
            raise
        except TimeoutError:
            # That of the budget, or a source's own: the caller can tell.
            raise
        except Exception as error:
            about = f"source {source.name}: {symbol} {self._timeframe} {what}"
            raise _stumble(about, "the answer", error) from error

    def _windows(self, remaining: pl.Series, source: Source) -> list[Window]:
        return plan_requests(remaining, self._timeframe, source.traits.page_size)

    def _unexplained(self, answer: Answer, remaining: pl.Series) -> pl.Series:
        """The absent bars without those of short silences.

        A short silence is explained by a source that leaves quiet bars out and has spoken of it. As
        in the evidence that is drawn from it later, it has spoken of nothing where it has given
        nothing.
        """
        spoken = [
            Window(start, end) for *_, start, end, bars, omits in answer.coverage if omits and bars
        ]
        if not spoken or remaining.is_empty():
            return remaining
        silences = runs(answer.page.bars["ts"], remaining).filter(
            pl.col("bars") <= self._quiet_bars,
            pl.any_horizontal(window.holds("first") & window.holds("last") for window in spoken),
        )
        edges = answer.page.bars["ts"].gather([0, -1]).implode()
        answer.spared |= silences.select(
            pl.any_horizontal(pl.col("first", "last").is_in(edges)).any()
        ).item()
        opens = remaining.to_physical().to_numpy()
        firsts, lasts = (silences[edge].to_physical().to_numpy() for edge in ("first", "last"))
        # One before the first silence stands for no silence.
        at = np.searchsorted(firsts, opens, side="right")
        return remaining.filter(pl.Series(opens > np.concatenate(([opens[0] - 1], lasts))[at]))

    def _take(
        self,
        answer: Answer,
        reference: SourceSymbol,
        window: Window,
        frame: pl.DataFrame,
        remaining: pl.Series,
        *,
        fallback: bool,
        spans: Sequence[Window] | None = None,
    ) -> pl.Series:
        """Clean a frame, keep what may be stored, and return what is still absent.

        Raises:
            SourceError: There are bars in it, but none that was asked for.
        """
        page, source = answer.page, self._sources[reference.source]
        cleaned = clean(
            frame,
            symbol=page.symbol,
            own_name=reference.symbol,
            timeframe=self._timeframe,
            window=window,
            bars=page.bars,
            unfinished=page.unfinished,
            rules=self._rules,
            jitter=self._jitter,
            open_outside_range=source.traits.open_outside_range,
        )
        candles = cleaned.candles
        if fallback:
            # A less preferred source gives only what the others lack.
            candles = candles.filter(pl.col("ts").is_in(remaining.implode()))
        if not candles.is_empty():
            answer.candles.append((reference.source, candles))
        if not cleaned.dropped.is_empty():
            answer.dropped.append(cleaned.dropped.join(candles, on="ts", how="semi"))
        if not cleaned.rejects.is_empty():
            answer.rejects.append(cleaned.rejects)
            answer.refused_by.append(reference.source)
            if len(frame) == (cleaned.rejects["reason"] == Reason.OUTSIDE_WINDOW).sum():
                # An answer to another question, such as the previous page, proves no absence.
                raise SourceError(
                    f"source {reference.source}: {reference.symbol} {self._timeframe} {window}: "
                    f"not one of the {len(frame):,} bars in the answer "
                    "lies in the window asked for; "
                    "run it again, or ask another source for it"
                )
        # A source cannot have answered for bars that have not closed yet.
        closed = (
            window.end if page.unfinished.is_empty() else min(window.end, _instant(page.unfinished))
        )
        omits = not source.traits.emits_empty_bars
        for span in [window] if spans is None else spans:
            end = min(span.end, closed)
            if end > span.start:
                # Rows that are not needed show, too, that the source knows the symbol.
                given = len(
                    cleaned.candles if span == window else cleaned.candles.filter(span.holds())
                )
                answer.coverage.append(
                    (page.symbol, reference.source, span.start, end, given, omits)
                )
        # On a page's few rows numpy is faster than a polars query.
        absent, came = remaining.to_physical().to_numpy(), candles["ts"].to_physical().to_numpy()
        if np.array_equal(absent, came):
            return remaining.clear()
        return remaining.filter(pl.Series(~np.isin(absent, came, assume_unique=True)))

    async def _fetch(
        self,
        source: Source,
        symbol: str,
        window: Window,
        rank: int = _FIRST,
        *,
        timeframe: Timeframe | None = None,
        unless: Callable[[], bool] = bool,
    ) -> tuple[pl.DataFrame, Sequence[tuple[Window, str]]]:
        """Ask a source for a window.

        Returns:
            The frame, and the parts of the window that it is no answer for, each with the reason.
        """
        length = timeframe or self._timeframe

        async def request() -> tuple[pl.DataFrame, Sequence[tuple[Window, str]]]:
            if unless():
                raise _AnotherWindowError
            try:
                return await source.fetch(symbol, length, window.start, window.end), ()
            except PartialAnswerError as part:
                return part.frame, part.lost

        return await self._request(
            source, symbol, f"{window}", request, rank=rank, timeframe=length
        )

    async def _request(
        self,
        source: Source,
        symbol: str,
        what: str,
        request: Callable[[], Coroutine[object, object, T]],
        *,
        rank: int = _FIRST,
        timeframe: Timeframe | None = None,
        probe: bool = False,
    ) -> T:
        """Send a request in its turn, unless it is already clear that nothing would come of it.

        Args:
            source: The source to ask.
            symbol: The source's own name for the symbol.
            what: What is asked for, in words.
            request: Sends it.
            rank: Its place among those that wait for the source.
            timeframe: The length of the bars, where it is not that of the fill.
            probe: It asks for nothing but the symbol's first bar, so that a refusal is one of the
                symbol.
        """
        about = f"source {source.name}: {symbol} {timeframe or self._timeframe} {what}"
        key, failures = (source.name, symbol), self._failures[source.name, probe]
        strikes = self._strikes[source.name, symbol, probe]
        async with self._gates[source.name].turn(rank):
            self._see_whether_to_ask(source, symbol, about, probe=probe)
            try:
                async with asyncio.timeout_at(self._deadline) as budget:
                    with self._naming(source, symbol, what):
                        answer = await request()
            except TimeoutError as error:
                if budget.expired():
                    raise LateError(self._late(about)) from error
                late = SourceError(f"{about}: no answer in the time that the source allows itself")
                failures.append((symbol, late))
                strikes.append(late)
                raise late from error
            except SourceError as error:
                if error.of_machine:
                    self._barred[source.name] = error
                if not error.permanent:
                    failures.append((symbol, error))
                    strikes.append(error)
                    raise
                if probe:
                    self._refusals[key] = error
                raise
            failures.clear()
            strikes.clear()
            self._rebuffs[key] = 0
            return answer

    def _see_whether_to_ask(self, source: Source, symbol: str, about: str, *, probe: bool) -> None:
        """Check that something may come of a request.

        Raises:
            SourceError: It is clear that nothing would.
        """
        failures, strikes = (
            self._failures[source.name, probe],
            self._strikes[source.name, symbol, probe],
        )
        if (source.name, symbol) in self._refusals:
            raise self._refusals[source.name, symbol]
        if source.name in self._barred:
            raise _barred(source.name, self._barred[source.name])
        if len(failures) >= _TRIPPED_AFTER and len({name for name, _ in failures}) > 1:
            raise _tripped(f"source {source.name}", failures[-1][1])
        if len(strikes) >= _TRIPPED_AFTER:
            raise _tripped(f"source {source.name}: {symbol}", strikes[-1])
        if self._deadline is not None and self._loop.time() >= self._deadline:
            raise UnaskedError(self._late(about))

    async def _fetch_served(
        self, source: Source, symbol: str, window: Window, rank: int
    ) -> tuple[pl.DataFrame, Sequence[tuple[Window, str]]]:
        """Fetch a page, or the part of it that the vendor serves.

        Where the vendor refuses what is old, it is learned since when it serves.

        Raises:
            SourceError: There is no answer. A refusal of the window alone costs this page, several
                in a row the symbol.
        """
        key = (source.name, symbol)
        is_new = key not in self._horizons
        horizon = await self._horizon_of(key)
        served = window if horizon is None else _since(window, horizon)
        try:
            if served is None:
                raise _beyond(horizon)
            frame, lost = await self._fetch(
                source, symbol, served, rank, unless=lambda: is_new and key in self._horizons
            )
        except _AnotherWindowError:
            return await self._fetch_served(source, symbol, window, rank)
        except SourceError as error:
            if not error.permanent or isinstance(error, _BeyondError) or key in self._refusals:
                raise
            # While this fill goes on the horizon may have moved.
            if horizon is None or served is None or self._relearned[key] >= _TRIPPED_AFTER:
                learnt = await self._learn(source, symbol, window, error)
            else:
                self._relearned[key] += 1
                learnt = Horizon(
                    horizon.source,
                    symbol,
                    self._timeframe,
                    served.start + _MARGIN * self._timeframe.duration,
                    self._now,
                    horizon.words,
                )
                self._horizons[key] = self._loop.create_task(_given(learnt))
            if learnt is None:
                self._rebuffs[key] += 1
                if self._rebuffs[key] >= _TRIPPED_AFTER:
                    self._refusals[key] = error
                raise
            served = _since(window, learnt)
            if served is None:
                raise _beyond(learnt) from error
            frame, lost = await self._fetch(source, symbol, served, rank)
        oldest = self._oldest_served.get(key)
        self._oldest_served[key] = served.start if oldest is None else min(oldest, served.start)
        return frame, lost

    async def _horizon_of(self, key: tuple[str, str]) -> Horizon | None:
        """Since when a source serves a symbol, as far as it has been learned.

        A task that is learning it is waited for.
        """
        return await self._horizons[key] if key in self._horizons else None

    async def _learn(
        self, source: Source, symbol: str, window: Window, error: SourceError
    ) -> Horizon | None:
        """Learn since when a source serves a symbol after it refused a window.

        None where the refusal is no matter of age. It is learned once for all pages of the symbol.
        """
        key = (source.name, symbol)
        if key not in self._horizons:
            self._horizons[key] = self._loop.create_task(
                self._found_horizon(source, symbol, window, error)
            )
        return await self._horizons[key]

    async def _found_horizon(
        self, source: Source, symbol: str, window: Window, error: SourceError
    ) -> Horizon | None:
        bar = self._timeframe.duration
        most = min(PROBED_BARS, source.traits.page_size)

        async def is_served(start: datetime) -> bool:
            try:
                await self._fetch(
                    source,
                    symbol,
                    Window(start, min(start + most * bar, max(self._now, start + bar))),
                )
            except SourceError as refusal:
                if not refusal.permanent:
                    raise
                self._rebuffs[source.name, symbol] += start == last
                return False
            return True

        newest = self._calendar.bars(
            self._timeframe, Window(self._now - _AROUND - most * bar, self._now)
        )
        closed = newest.filter(pl.col("closes_at") <= literal(self._now))["ts"]
        if closed.is_empty() or (last := _instant(closed.tail(1))) <= window.start:
            return None
        older = self._oldest_served.get((source.name, symbol))
        if older is not None and older < window.start:
            return None
        try:
            start = await served_since(
                is_served, source, self._timeframe, refused=window.start, newest=last
            )
        except SourceError as failure:
            log.warning(
                "%s: how far back it serves %s was not learned: %s", source.name, symbol, failure
            )
            return None
        if start is None:
            return None
        horizon = Horizon(source.name, symbol, self._timeframe, start, self._now, words_of(error))
        log.info("%s", horizon)
        return horizon

    def horizons(self) -> list[Horizon]:
        """What was learned of since when sources serve."""
        tasks = [
            task
            for task in self._horizons.values()
            if task.done() and not task.cancelled() and not task.exception()
        ]
        return [horizon for task in tasks if (horizon := task.result()) is not None]

    def _late(self, about: str) -> str:
        return (
            f"{about}: the time budget of {self._budget:g} s is spent; what came before is kept, "
            "run it again for the rest"
        )

    async def _reach(self, source: Source, reference: SourceSymbol) -> list[Stretch] | None:
        key = (source.name, reference.symbol)
        if key in self._refusals:
            raise self._refusals[key]
        if key not in self._reaches:
            # One look for all pages of a symbol: an archive reads its files for it.
            look = asyncio.to_thread(self._spoken_for, source, reference.symbol)
            self._reaches[key] = self._loop.create_task(look)
        try:
            with self._naming(source, reference.symbol, "how far it reaches"):
                return await self._reaches[key]
        except SourceError as error:
            self._refusals[key] = error
            raise

    def _spoken_for(self, source: Source, symbol: str) -> list[Stretch] | None:
        """The stretches that a source can speak for, sorted; None for all times.

        A source that serves only its latest bars can speak for these.
        """
        by_files: Callable[[str, Timeframe], list[Stretch]] | None = getattr(
            source, "stretches", None
        )
        if by_files is not None:
            return by_files(symbol, self._timeframe)
        window = self._window_of(source, symbol)
        return None if window is None else [Stretch(window)]

    def _window_of(self, source: Source, symbol: str) -> Window | None:
        reach = source.answers_for(symbol, self._timeframe)
        newest = source.traits.latest_only
        if newest is None:
            return reach
        # In six times as long, weeks apart, any market has had so many bars.
        around = timedelta(days=7) + 6 * newest * self._timeframe.duration
        bars = self._calendar.bars(
            self._timeframe, Window(max(self._now - around, self._calendar.known.start), self._now)
        )
        # The bar that is still open is one of them.
        closed = bars.filter(pl.col("closes_at") <= literal(self._now))["ts"].tail(
            max(0, newest - 1)
        )
        if closed.is_empty():
            return Window(self._now, self._now)
        latest = Window(_instant(closed), self._now)
        return latest if reach is None else reach.intersect(latest) or Window(self._now, self._now)

    async def _earliest(self, series: Sequence[Series]) -> dict[str, tuple[datetime, str]]:
        async def probe(symbol_series: Series) -> tuple[datetime, str] | None:
            named: list[tuple[datetime, str]] = []
            reached: list[tuple[datetime, str]] = []
            for reference in symbol_series.sources:
                source = self._sources[reference.source]
                if source.traits.latest_only is not None:
                    continue
                try:
                    if source.traits.earliest_probe:
                        first = await self._first(source, reference)
                    elif (reach := await self._reach(source, reference)) is not None:
                        reached += [
                            (stretch.window.start, reference.source)
                            for stretch in reach[:1]
                            if not stretch.window.empty
                        ]
                        continue
                    else:
                        first = await self._search(source, reference, symbol_series)
                except SourceError as error:
                    # The fill meets the same error, and reports it for its partitions.
                    log.warning(
                        "%s could not name the first bar of %s: %s",
                        source.name,
                        reference.symbol,
                        error,
                    )
                    if not error.permanent:
                        return None
                else:
                    named += [] if first is None else [(first, reference.source)]
            if not named:
                return None
            # A reach, told in whole hours, names no first bar; but where it goes back behind one,
            # that is not the first.
            hour = min(named)[0].replace(minute=0, second=0, microsecond=0)
            return min([*named, *(candidate for candidate in reached if candidate[0] < hour)])

        results = await asyncio.gather(*(probe(symbol_series) for symbol_series in series))
        return {
            symbol_series.symbol: result
            for symbol_series, result in zip(series, results, strict=True)
            if result is not None
        }

    async def _search(
        self, source: Source, reference: SourceSymbol, series: Series
    ) -> datetime | None:
        """Search a source for the first bar of a series.

        Its longest bars show the whole history with few requests, also of a symbol that was away
        for years or is seldom traded; shorter ones then show when the first of them began.

        Returns:
            The open of the first bar; None where the source has none, the start of the series where
            it has had bars since.

        Raises:
            SourceError: The source fails, or it is not sure that the oldest bar found is the first.
        """
        timeframes = source.traits.timeframes_for(self._kind)
        search = _Search(source, reference, series)
        for length in top_lengths(self._timeframe, timeframes):
            whole = with_what_was_before(self._calendar, length, series.window)
            first = await self._oldest_in(search, length, whole)
            if first is not None:
                break
        else:
            return None
        while True:
            bar = self._bar_at(length, first)
            if bar.end <= series.window.start:
                return series.window.start
            if length is self._timeframe:
                break
            # The bar before may hold what the vendor counts to this one.
            around = Window(
                max(bar.start - length.duration, self._calendar.known.start),
                min(bar.end, self._now),
            )
            shorter = [timeframe for timeframe in timeframes if timeframe.micros < length.micros]
            length = length_within(
                self._timeframe, shorter, self._calendar, around, source.traits.page_size
            )
            first = await self._certain_in(search, length, around)
        grid = self._calendar.bars(
            self._timeframe, Window(series.window.start, max(first, series.window.start) + _TICK)
        )
        return series.window.start if grid.is_empty() or first <= _instant(grid["ts"]) else first

    async def _certain_in(self, search: _Search, length: Timeframe, span: Window) -> datetime:
        """The open of the oldest bar in a span that holds one according to longer bars."""
        touching = self._calendar.bars_touching(length, span)["ts"]
        if not touching.is_empty():
            window = Window(_instant(touching), _instant(touching.tail(1)) + length.duration)
            for _ in range(_LIES):
                first = await self._oldest_in(search, length, window)
                if first is not None:
                    return first
        raise search.unsure(
            f"its longer bars tell of trading in {span}, and its {length} bars do not"
        )

    async def _oldest_in(
        self, search: _Search, length: Timeframe, window: Window
    ) -> datetime | None:
        """The open of the oldest bar of a length in a window of any size.

        None where the source has none there.

        Raises:
            SourceError: The source fails, or there may be an older one.
        """
        pages = pages_of(self._calendar, length, window, search.source.traits.page_size)
        looks: dict[int, list[bool]] = defaultdict(list)
        firsts: dict[int, datetime] = {}
        while (look := next_look(len(pages), looks, MOST_LOOKS - search.requests)).page is not None:
            search.requests += 1
            first = await self._oldest(search, pages[look.page], length)
            looks[look.page].append(first is not None)
            if first is not None:
                firsts[look.page] = first
        if firsts and not look.is_sure:
            raise search.unsure(
                f"its first {length} bar was not found for sure with {search.requests} requests"
            )
        return min(firsts.values(), default=None)

    async def _oldest(self, search: _Search, window: Window, length: Timeframe) -> datetime | None:
        """The open of the first bar that a source has in a window of one page.

        Of the fill's own length, only a bar that could be stored counts. None where there is none.
        """
        source, reference = search.source, search.reference
        if length is not self._timeframe:
            frame = await self._fetch_or_count(search, window, length)
            with self._naming(source, reference.symbol, f"{window}"):
                rows = frame.filter(window.holds())
                if "symbol" in rows.columns:
                    rows = rows.filter(
                        pl.col("symbol").is_null() | (pl.col("symbol") == reference.symbol)
                    )
                return None if rows.is_empty() else _instant(rows["ts"].cast(TS).sort())
        bars = self._calendar.bars(self._timeframe, window)
        is_closed = pl.col("closes_at") <= literal(self._now)
        closed, unfinished = bars.filter(is_closed).select("ts"), bars.filter(~is_closed)["ts"]
        if closed.is_empty():
            return None
        page = Page(
            search.series.symbol,
            (reference,),
            window,
            wanted=closed["ts"],
            bars=closed,
            unfinished=unfinished,
        )
        answer = Answer(page)
        frame = await self._fetch_or_count(search, window, length)
        self._take(answer, reference, window, frame, closed["ts"], fallback=False)
        return _instant(answer.candles[0][1]["ts"]) if answer.candles else None

    async def _fetch_or_count(
        self, search: _Search, window: Window, length: Timeframe
    ) -> pl.DataFrame:
        """Fetch a page, and count a refusal.

        Several refusals in a row end the questions about a symbol.
        """
        source, symbol = search.source, search.reference.symbol
        try:
            frame, _ = await self._fetch(source, symbol, window, timeframe=length)
        except SourceError as error:
            self._rebuffs[source.name, symbol] += error.permanent
            raise
        return frame

    def _bar_at(self, length: Timeframe, ts: datetime) -> Window:
        """From when to when the bar is open to which a source gave a time."""
        at = Window(ts, ts + _TICK)
        bars = self._calendar.bars(length, at)
        bars = bars if not bars.is_empty() else self._calendar.bars_touching(length, at)
        return (
            Window(ts, ts + length.duration)
            if bars.is_empty()
            else Window.spanning(bars["opens_at"], bars["closes_at"])
        )

    async def _first(self, source: Source, reference: SourceSymbol) -> datetime | None:
        request = partial(source.earliest, reference.symbol, self._timeframe)
        return await self._request(source, reference.symbol, "first bar", request, probe=True)


def _since(window: Window, horizon: Horizon) -> Window | None:
    """The part of a window that a source serves."""
    return window.intersect(Window(min(horizon.start, window.end), window.end))


def _beyond(horizon: Horizon | None) -> SourceError:
    return _BeyondError(str(horizon))


async def _given(horizon: Horizon) -> Horizon:
    return horizon


def _barred(name: str, error: SourceError) -> SourceError:
    return SourceError(
        f"source {name}: refuses whoever asks from this machine, "
        f"and was not asked again in this fill: {error}",
        of_machine=True,
    )


def _tripped(whom: str, last: SourceError) -> SourceError:
    return SourceError(
        f"{whom}: failed {_TRIPPED_AFTER} times in a row and was not asked again in this fill; "
        f"run it again once this is mended: {last}"
    )


def _stumble(about: str, what: str, error: Exception) -> SourceError:
    """The error, logged with its trace, where an answer breaks the code that reads it."""
    log.warning("%s: %s cannot be used\n%s", about, what, trace_words(error))
    return SourceError(
        f"{about}: {what} cannot be used ({error_words(error)}); the trace is in the log"
    )


def _instant(opens: pl.Series) -> datetime:
    return from_micros(int(opens.to_physical()[0]))


def raise_fault(fault: BaseException) -> NoReturn:
    """Raise in this thread the exception of the fetching thread."""
    if isinstance(fault, MarketAssetsError):
        raise fault
    raise RuntimeError(
        "a fault of this program stopped the fetch; please report it with this traceback"
    ) from fault
