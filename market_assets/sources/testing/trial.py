"""One source, asked once or more, of one vendor on the loopback; and what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from market_assets.errors import SourceError
from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.timeframes import from_micros
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.testing.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source, Usage
    from market_assets.sources.testing.candles import Candle
    from market_assets.sources.testing.exchange import Exchange

T = TypeVar("T")

_MORE_COLUMNS = frozenset({*EXTRA_NAMES, "symbol", "refused", "said"})
_SHOWN = 3


class NonconformityError(AssertionError):
    """A source does not do what the platform relies on; the message says what, and how it shows."""


def verify(fact: object, words: str) -> None:
    """Fail a check where a fact is false.

    Raises:
        NonconformityError: It is, with these words.
    """
    if not fact:
        raise NonconformityError(words)


@dataclass(frozen=True)
class Answer:
    """What a source made of one window.

    Attributes:
        result: The frame, or the error that it raised.
        usage: What the source has cost so far.
        requests: How many requests about candles the vendor has seen so far.
    """

    result: pl.DataFrame | SourceError
    usage: Usage
    requests: int

    def frame(self) -> pl.DataFrame:
        """The frame, which has the columns that it must have.

        Raises:
            NonconformityError: There is none, or another one.
        """
        if isinstance(self.result, SourceError):
            raise NonconformityError(f"no rows came, but an error: {self.result}") from self.result
        columns = self.result.schema
        base = pl.Schema({name: columns.get(name, pl.Null()) for name in CANDLE_SCHEMA})
        verify(base == CANDLE_SCHEMA, f"a frame has the columns {CANDLE_SCHEMA}; these are {base}")
        unknown = columns.keys() - CANDLE_SCHEMA.keys() - _MORE_COLUMNS
        verify(not unknown, f"the frame has columns that nobody knows: {', '.join(unknown)}")
        return self.result

    def error(self) -> SourceError:
        """The error, one line that names the source.

        Raises:
            NonconformityError: There is none.
        """
        if isinstance(self.result, pl.DataFrame):
            rows = len(self.result)
            taken = "as if there were nothing" if not rows else f"{rows} rows"
            raise NonconformityError(
                f"an answer that is none was taken for one ({taken}): raise a SourceError"
            )
        words = str(self.result)
        verify("mine" in words, f"the error does not name the source, `mine`: {words}")
        verify("\n" not in words and len(words) < 1000, f"the error is not one short line: {words}")
        return self.result

    def opens(self) -> list[datetime]:
        """The opens of the rows in UTC, in their order; rows without one are left out."""
        return [from_micros(micros) for micros in self.frame()["ts"].drop_nulls().to_physical()]

    def verify_rows(self, candles: Sequence[Candle], extras: Sequence[str] = ()) -> None:
        """Hold the rows against the true candles, in any order.

        Args:
            candles: Those that must be there; no others may.
            extras: The extra columns that must be there; no others may.

        Raises:
            NonconformityError: A row is missing, doubled, too many or altered.
        """
        frame, opens = self.frame(), self.opens()
        true, counts = {candle.ts: candle for candle in candles}, Counter(opens)
        missing = [candle.ts for candle in candles if candle.ts not in counts]
        verify(not missing, f"rows are missing: {_listed(missing)}")
        strange = [open_ for open_ in opens if open_ not in true]
        verify(not strange, f"rows came that nobody asked for: {_listed(strange)}")
        verify(len(opens) == len(frame), "a row has no open")
        doubled = [open_ for open_, count in counts.items() if count > 1]
        verify(not doubled, f"rows came twice: {_listed(doubled)}")
        if not candles:
            return
        given = [name for name in EXTRA_NAMES if name in frame.columns]
        wanted = [name for name in EXTRA_NAMES if name in extras]
        verify(given == wanted, f"the extra columns are {given}, and the vendor gives {wanted}")
        names = [*CANDLE_SCHEMA.names()[1:], *wanted]
        values = frame.select(pl.col(names).cast(pl.Float64)).rows()
        for open_, row in zip(opens, values, strict=True):
            truth = true[open_].numbers(names)
            if row == truth:
                continue
            altered = [
                f"{name} is {number!r} and should be {value!r}"
                for name, number, value in zip(names, row, truth, strict=True)
                if number != value
            ]
            raise NonconformityError(f"the row of {open_:%Y-%m-%d %H:%M}: {'; '.join(altered)}")


def _listed(opens: Sequence[datetime]) -> str:
    shown = ", ".join(f"{open_:%Y-%m-%d %H:%M:%S}" for open_ in opens[:_SHOWN])
    more = len(opens) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


@dataclass
class Trial:
    """A source before a vendor.

    Attributes:
        exchange: The vendor.
        timeframe: The length of the candles that it has.
        settings: The source's, beside those of the double.
    """

    exchange: Exchange
    timeframe: Timeframe
    settings: Mapping[str, object] = field(default_factory=dict)

    def run(self, *works: Callable[[Source], Awaitable[T]]) -> list[T]:
        """Do some work with the source, each in an event loop of its own, one after another.

        Raises:
            NonconformityError: The source raised what is no SourceError, or the double failed.
        """
        double = self.exchange.double
        with (
            double.surroundings(),
            TemporaryDirectory() as folder,
            LoopbackServer(self.exchange) as server,
        ):
            source = double.build(server.url, Path(folder), **self.settings)

            async def within(work: Callable[[Source], Awaitable[T]]) -> T:
                async with source:
                    return await work(source)

            try:
                return [asyncio.run(within(work)) for work in works]
            except SourceError:
                raise
            except Exception as error:
                raise NonconformityError(
                    f"{type(error).__name__} came out of the source, and no SourceError: {error}"
                ) from error
            finally:
                if server.faults:
                    raise NonconformityError(
                        f"the vendor's double has failed: {server.faults[0]!r}"
                    ) from server.faults[0]

    def fetch(
        self, start: datetime, end: datetime, *, symbol: str | None = None, times: int = 1
    ) -> Answer:
        """Ask for a window, as often as said; gives the last answer."""
        return self.run(*[self.asking(start, end, symbol=symbol)] * times)[-1]

    def asking(
        self, start: datetime, end: datetime, *, symbol: str | None = None
    ) -> Callable[[Source], Awaitable[Answer]]:
        """The work that asks for a window."""

        async def ask(source: Source) -> Answer:
            result: pl.DataFrame | SourceError
            try:
                result = await source.fetch(
                    symbol or self.exchange.double.symbol, self.timeframe, start, end
                )
            except SourceError as error:
                result = error
            return Answer(result, replace(source.usage), len(self.exchange.requests))

        return ask

    def earliest(self, symbol: str | None = None) -> tuple[datetime | None, int]:
        """Ask for the first bar; gives it, and how many requests that took."""

        async def ask(source: Source) -> datetime | None:
            return await source.earliest(symbol or self.exchange.double.symbol, self.timeframe)

        (first,) = self.run(ask)
        return first, len(self.exchange.requests)


@contextmanager
def unopened(trial: Trial) -> Iterator[Source]:
    """A source that is not entered, and asks nobody."""
    double = trial.exchange.double
    with double.surroundings(), TemporaryDirectory() as folder:
        yield double.build("http://127.0.0.1:9", Path(folder), **trial.settings)


NO_ROWS = CANDLE_SCHEMA.to_frame()
"""The frame that says that there is nothing."""
