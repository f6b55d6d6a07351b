"""Simulated candles, which no market ever traded: a pure function of seed, symbol and time.

The log price of a symbol is noise in octaves: random values on lattices of 1, 8, 64, ... minutes,
joined by straight lines, each octave as high as a random walk gets in its time. So any window can
be had without what lies before it, and it is the same whatever window was asked for. Minutes are
the base; a longer bar is made of its minutes, as on a real exchange.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, PositiveFloat

from market_assets.imports import late_imports
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window, from_micros, to_micros

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

KindName = Literal["crypto", "equity", "futures", "forex"]

_MINUTE = Timeframe.M1.micros
_OCTAVES = tuple(8**power for power in range(7))  # 1 minute to half a year


class Instrument(BaseModel):
    """What a simulated symbol is like; what is not given follows from its kind.

    Attributes:
        kind: Where the values that are not given come from.
        calendar: The sessions in which it trades: any name that the package's calendars know.
        price: About where the price moves.
        tick: The smallest step of the price.
        lot: The smallest step of the volume.
        volume: About what trades in a minute.
        volatility: About how far the price moves in a minute, as a share of it.
        genesis: Before this nothing traded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: KindName | None = None
    calendar: str = "24/7"
    price: PositiveFloat = 100
    tick: PositiveFloat = 0.01
    lot: PositiveFloat = 0.001
    volume: PositiveFloat = 10
    volatility: PositiveFloat = 0.0005
    genesis: AwareDatetime = datetime.fromisoformat("2015-01-01T00:00Z")

    def completed(self, kind: KindName, symbol: str) -> Instrument:
        """Fill in what was not given: from the kind, with a price of the symbol's own."""
        preset = _PRESETS[self.kind or kind]
        spread = 2.0 ** float(noise(seeded(0, symbol), np.zeros(1, np.int64))[0])
        values = {"price": preset.price * spread} | self.model_dump(exclude_unset=True)
        return preset.model_copy(update=values)


_PRESETS: dict[KindName, Instrument] = {
    "crypto": Instrument(price=1000, lot=0.001, volume=20, volatility=0.0006),
    "equity": Instrument(calendar="XNYS", price=200, lot=1, volume=60_000, volatility=0.0004),
    "futures": Instrument(
        calendar="CME Globex Equity", price=5000, tick=0.25, lot=1, volume=800, volatility=0.0003
    ),
    "forex": Instrument(
        calendar="FOREX", price=1.1, tick=0.00001, lot=1, volume=80, volatility=0.0001
    ),
}


_EMPTY = pl.DataFrame(
    schema={
        "ts": pl.Int64,
        "closes_at": pl.Int64,
        **dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), pl.Float64),
        "trades": pl.Int64,
        **dict.fromkeys(("taker_volume", "taker_quote"), pl.Float64),
    }
)


class Simulation:
    """One symbol's candles.

    Args:
        seed: Another seed is another history.
        symbol: The symbol.
        instrument: What it is like, completed.
    """

    def __init__(self, seed: int, symbol: str, instrument: Instrument) -> None:
        self.instrument = instrument
        self._key = seeded(seed, symbol)
        self._calendar = load_calendar(instrument.calendar)

    def candles(self, timeframe: Timeframe, window: Window, until: datetime) -> pl.DataFrame:
        """Give the bars that open in the window and not after `until`.

        The bar that is open at `until` is as unfinished as it should be.

        Returns:
            ts and closes_at (milliseconds since 1970), open, high, low, close, volume, quote_volume
            (Float64), trades (Int64), taker_volume, taker_quote (Float64), sorted by ts.
        """
        inside = window.intersect(self._calendar.known)
        if inside is None:
            return _EMPTY
        now = to_micros(until)
        bars = _whole(self._calendar.bars(timeframe, inside))
        bars = bars.filter(
            (pl.col("opens_at") >= to_micros(self.instrument.genesis)) & (pl.col("opens_at") <= now)
        )
        if bars.is_empty():
            return _EMPTY
        opens = bars["opens_at"].to_numpy()
        if timeframe == Timeframe.M1:
            minutes, first = opens, np.arange(len(opens))
        else:
            span = Window(from_micros(int(opens[0])), from_micros(int(bars["closes_at"][-1])))
            minutes = _whole(self._calendar.bars(Timeframe.M1, span))["opens_at"].to_numpy()
            minutes = minutes[minutes <= now]
            first = np.searchsorted(minutes, opens)
        return self._rolled_up(bars, minutes, first, now)

    def _rolled_up(self, bars: pl.DataFrame, minutes: Ints, first: Ints, now: int) -> pl.DataFrame:
        """Make each bar of its minutes: those from its place in `first` to the next bar's.

        All sums are of whole numbers.
        """
        tick, lot = _Step.of(self.instrument.tick), _Step.of(self.instrument.lot)
        count = minutes // _MINUTE
        edges = self._ticks(int(count[0]), int(count[-1] - count[0]) + 2)
        open_, close = edges[count - count[0]], edges[count - count[0] + 1]
        wick = self.instrument.volatility * open_
        high = np.maximum(open_, close) + (wick * np.square(noise(self._key + 101, count))).astype(
            np.int64
        )
        low = np.minimum(open_, close) - (wick * np.square(noise(self._key + 102, count))).astype(
            np.int64
        )
        low = np.maximum(low, 1)
        mood = noise(self._key + 103, count) + noise(self._key + 104, count // 60)
        lots = 1 + (self.instrument.volume / self.instrument.lot * np.exp(mood - 1)).astype(
            np.int64
        )
        trades = 1 + (30 * np.exp(mood)).astype(np.int64)
        # Of a minute that has not ended, no more than its beginning is known.
        if minutes[-1] + _MINUTE > now:
            high[-1] = low[-1] = close[-1] = open_[-1]
            lots[-1] = lots[-1] * (now - minutes[-1]) // _MINUTE
        cents = np.rint(lot.decimal(lots) * tick.decimal(open_ + close) * 50).astype(np.int64)
        volume, turnover = np.add.reduceat(lots, first), np.add.reduceat(cents, first)
        bought = 0.5 + 0.4 * noise(self._key + 105, count[first])
        last = np.append(first[1:], len(minutes)) - 1
        return pl.DataFrame(
            {
                "ts": bars["ts"] // 1000,
                "closes_at": bars["closes_at"] // 1000,
                "open": tick.decimal(open_[first]),
                "high": tick.decimal(np.maximum.reduceat(high, first)),
                "low": tick.decimal(np.minimum.reduceat(low, first)),
                "close": tick.decimal(close[last]),
                "volume": lot.decimal(volume),
                "quote_volume": turnover / 100,
                "trades": np.add.reduceat(trades, first),
                "taker_volume": lot.decimal((volume * bought).astype(np.int64)),
                "taker_quote": (turnover * bought).astype(np.int64) / 100,
            }
        )

    def _ticks(self, minute: int, count: int) -> Ints:
        """Give the price in ticks at the beginning of `count` minutes.

        The first of them is `minute` minutes after 1970.
        """
        minutes = np.arange(minute, minute + count)
        level = np.zeros(count)
        for octave, period in enumerate(_OCTAVES):
            nodes = np.arange(minute // period, (minute + count) // period + 2)
            level += np.sqrt(period) * np.interp(
                minutes, nodes * period, noise(self._key + octave, nodes)
            )
        price = (
            self.instrument.price
            / self.instrument.tick
            * np.exp(self.instrument.volatility * level)
        )
        return np.maximum(np.rint(price), 1).astype(np.int64)


@dataclass(frozen=True)
class _Step:
    """A step of price or volume as a fraction of whole numbers.

    So a decimal is rounded once and prints short.
    """

    over: int
    under: int

    @classmethod
    def of(cls, step: float) -> _Step:
        return cls(*Decimal(str(step)).as_integer_ratio())

    def decimal(self, steps: Ints) -> Floats:
        return steps * self.over / self.under


def _whole(bars: pl.DataFrame) -> pl.DataFrame:
    """Drop bars in which the whole market stood still, and give their times as microseconds."""
    return bars.filter(~pl.col("halted")).select(
        pl.col("ts", "opens_at", "closes_at").to_physical()
    )


def seeded(seed: int, symbol: str) -> int:
    """Give a symbol's own key for `noise`."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{symbol}".encode()).digest()[:8])


def noise(key: int, index: Ints) -> Floats:
    """Give for each index a value from -1 to 1 that looks random.

    It is splitmix64, a hash of key and index.
    """
    z = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0
