"""A market's candles as Binance writes them.

They are rendered one stretch at a time, and kept while there is room.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import BaseModel, ByteSize, ConfigDict, Field, PositiveInt

from market_assets.imports import late_imports
from market_assets.market.timeframes import Timeframe, Window, from_micros, to_micros
from market_assets.practice.faults import Fault
from market_assets.practice.quotas import Quota
from market_assets.practice.simulate import Instrument, KindName, Simulation

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from numpy.typing import NDArray


class Market(BaseModel):
    """What a practice vendor trades.

    Attributes:
        seed: Another seed is another history, and other bars are struck by the faults.
        symbols: The symbols that there are, and what is to be special about them.
        kind: The kind of a symbol that is not named in `symbols`; with None it does not exist.
        data: A folder of `{symbol}__{timeframe}.parquet` or `.csv`; a symbol that is there is
            served from it alone.
        faults: What goes wrong.
        quotas: What it allows; a request beyond that is refused with 429.
        latest_only: So many bars up to the present are served, by the clock, and no older ones, as
            Kraken does it.
        cache: How many bytes of rendered pages are kept, so that what is asked for twice is
            rendered once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    symbols: dict[str, Instrument] = Field(default_factory=dict)
    kind: KindName | None = None
    data: Path | None = None
    faults: list[Fault] = Field(default_factory=list)
    quotas: list[Quota] = Field(default_factory=list)
    latest_only: PositiveInt | None = None
    cache: ByteSize = ByteSize(64 * 1024**2)


@dataclass(frozen=True)
class _Rendered:
    """Bars as they go over the wire.

    Row k is text[starts[k]:starts[k + 1]] and ends with a comma.
    """

    opens: NDArray[np.int64]
    starts: NDArray[np.int64]
    text: bytes

    def rows(self, first: int, last: int, limit: int) -> tuple[slice, bytes]:
        """Give the places and the text of at most `limit` rows that open in a stretch of time.

        Args:
            first: The first millisecond since 1970 of the stretch.
            last: The last one, included.
            limit: How many rows at most, oldest first.
        """
        begin = int(np.searchsorted(self.opens, first))
        end = min(int(np.searchsorted(self.opens, last, side="right")), begin + limit)
        return slice(begin, end), self.text[self.starts[begin] : self.starts[max(begin, end)]]


class Book:
    """All candles of a market, rendered one stretch at a time and kept while there is room."""

    def __init__(self, market: Market, clock: Callable[[], datetime]) -> None:
        self._market = market
        self._clock = clock
        self._files = _files(market.data)
        self._simulations: dict[str, Simulation] = {}
        self._kept: OrderedDict[tuple[object, ...], _Rendered] = OrderedDict()
        self._kept_bytes = 0

    def has(self, symbol: str) -> bool:
        """Whether there is such a symbol."""
        market = self._market
        return (
            symbol in market.symbols
            or market.kind is not None
            or any(name == symbol for name, _ in self._files)
        )

    def page(
        self, symbol: str, timeframe: Timeframe, first: int, last: int, limit: int
    ) -> tuple[NDArray[np.int64], bytes]:
        """Give the first `limit` bars that open in a stretch of time.

        Args:
            symbol: The symbol.
            timeframe: The length of the bars.
            first: The first millisecond since 1970 of the stretch.
            last: The last one, included.
            limit: How many bars at most.

        Returns:
            The opens in milliseconds, and the text: rows that each end with a comma.
        """
        opens: list[NDArray[np.int64]] = []
        texts: list[bytes] = []
        for stretch in self._stretches(symbol, timeframe, first, last):
            rows, text = stretch.rows(first, last, limit)
            opens.append(stretch.opens[rows])
            texts.append(text)
            limit -= len(opens[-1])
            if limit <= 0:
                break
        return np.concatenate([np.empty(0, np.int64), *opens]), b"".join(texts)

    def _stretches(
        self, symbol: str, timeframe: Timeframe, first: int, last: int
    ) -> Iterator[_Rendered]:
        if any(name == symbol for name, _ in self._files):
            if (symbol, timeframe) in self._files:
                yield self._file(symbol, timeframe)
            return
        simulation = self._simulation(symbol)
        now = to_micros(self._clock())
        # Long bars are made of many minutes, short ones are asked for by the thousand.
        span = min(
            max(2048 * timeframe.duration, timedelta(days=16)), timedelta(days=112)
        ) // timedelta(microseconds=1)
        begin = max(first * 1000, to_micros(simulation.instrument.genesis) - Timeframe.W1.micros)
        # A session's day is dated up to a day after it opens.
        end = min(last * 1000, now + Timeframe.W1.micros)
        for number in range(begin // span, end // span + 1):
            key = (symbol, timeframe, number)
            stretch = self._kept.get(key)
            if stretch is not None:
                self._kept.move_to_end(key)
                yield stretch
                continue
            window = Window.of_micros(number * span, (number + 1) * span)
            stretch = _render(simulation.candles(timeframe, window, from_micros(now)))
            if to_micros(window.end) + timeframe.micros <= now:
                self._keep(key, stretch)
            yield stretch

    def _simulation(self, symbol: str) -> Simulation:
        if symbol not in self._simulations:
            self._simulations[symbol] = simulation_of(self._market, symbol)
        return self._simulations[symbol]

    def _file(self, symbol: str, timeframe: Timeframe) -> _Rendered:
        key = (symbol, timeframe)
        if key not in self._kept:
            self._keep(key, _render(_read(self._files[key], timeframe)))
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: tuple[object, ...], rendered: _Rendered) -> None:
        self._kept[key] = rendered
        self._kept_bytes += len(rendered.text)
        while self._kept_bytes > self._market.cache and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped.text)


def simulation_of(market: Market, symbol: str) -> Simulation:
    """Give the candles of a market's symbol, as its REST side and its streams have them."""
    instrument = market.symbols.get(symbol, Instrument())
    return Simulation(market.seed, symbol, instrument.completed(market.kind or "crypto", symbol))


def _render(candles: pl.DataFrame) -> _Rendered:
    """Write each bar as Binance does.

    A row has the open time, four prices and the volume as text, the close time, and five fields
    that few read.
    """
    rows = candles.select(
        pl.format(
            '[{},"{}","{}","{}","{}","{}",{},{},{},{},{},"0"],',
            *("ts", "open", "high", "low", "close", "volume"),
            pl.col("closes_at") - 1,
            _quoted("quote_volume"),
            pl.col("trades").cast(pl.String).fill_null("null"),
            *(_quoted(name) for name in ("taker_volume", "taker_quote")),
        )
    ).to_series()
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(rows.str.len_bytes().to_numpy(), out=starts[1:])
    return _Rendered(candles["ts"].to_numpy(), starts, (rows.str.join("").item() or "").encode())


def _quoted(name: str) -> pl.Expr:
    """A column of numbers as text in JSON."""
    return pl.format('"{}"', name).fill_null("null")


def _files(folder: Path | None) -> dict[tuple[str, str], Path]:
    """Find the files of a data folder by symbol and timeframe."""
    if folder is None:
        return {}
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in {".parquet", ".csv"} and "__" in path.stem
    )
    return {
        (symbol, timeframe): path
        for path in paths
        for symbol, _, timeframe in [path.stem.rpartition("__")]
    }


def _read(path: Path, timeframe: Timeframe) -> pl.DataFrame:
    """Read ts, open, high, low, close, volume and extra columns into those of a simulation.

    A column that the file does not have is null.
    """
    frame = (
        pl.read_parquet(path)
        if path.suffix == ".parquet"
        else pl.read_csv(path, try_parse_dates=True)
    )
    opens = pl.col("ts").dt.timestamp("ms")

    def given(name: str, dtype: pl.DataType) -> pl.Expr:
        return (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)

    return frame.sort("ts").select(
        opens,
        (opens + timeframe.micros // 1000).alias("closes_at"),
        *(
            pl.col(name).cast(pl.String).fill_null("null")
            for name in ("open", "high", "low", "close", "volume")
        ),
        given("quote_volume", pl.Float64()),
        given("trades", pl.Int64()),
        given("taker_buy_volume", pl.Float64()).alias("taker_volume"),
        pl.lit(None, pl.Float64).alias("taker_quote"),
    )
