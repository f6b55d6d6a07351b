"""The true candles that a vendor's double has, and that its source has to give. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.timeframes import from_micros, to_micros
from market_assets.sources.contract import CANDLE_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.market.timeframes import Timeframe

NUMBERS = (*CANDLE_SCHEMA.names()[1:], *EXTRA_NAMES)
"""Every number of a candle: prices, volume, and the extra columns."""


@dataclass(frozen=True, slots=True)
class Candle:
    """A candle as the market traded it.

    Attributes:
        ts: What the source has to give as its `ts`: the bar's open in UTC, of a day its session's
            date at 00:00, of a week its Monday at 00:00.
        open: First price; prices have up to five decimals.
        high: Highest price.
        low: Lowest price.
        close: Last price.
        volume: What was traded, with three decimals, or whole; see `VendorDouble.whole_volumes`.
        quote_volume: What was paid.
        trades: How many trades there were.
        taker_buy_volume: The part of the volume that takers bought.
        vwap: The mean price.
    """

    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_buy_volume: float
    vwap: float

    @property
    def seconds(self) -> int:
        """Its open in seconds since 1970."""
        return to_micros(self.ts) // 1_000_000

    @property
    def millis(self) -> int:
        """Its open in milliseconds since 1970."""
        return to_micros(self.ts) // 1_000

    @property
    def iso(self) -> str:
        """Its open as text, like 2024-01-31T23:59:00Z."""
        return f"{self.ts:%Y-%m-%dT%H:%M:%SZ}"

    def numbers(self, names: Sequence[str]) -> tuple[float, ...]:
        """The numbers of some columns, as a frame has them."""
        return tuple(float(getattr(self, name)) for name in names)


def candles_from(
    first: datetime, timeframe: Timeframe, count: int, *, whole_volumes: bool = False
) -> list[Candle]:
    """Candles in a row, oldest first; the same at the same open, whatever was asked for.

    No two of their numbers are alike, so that a swapped column shows.

    Args:
        first: The open of the first, aware.
        timeframe: Their length.
        count: How many.
        whole_volumes: Whether volumes are whole numbers.
    """
    start, step = to_micros(first), timeframe.micros
    return [_candle(start + place * step, whole=whole_volumes) for place in range(count)]


def _candle(micros: int, *, whole: bool) -> Candle:
    place = micros // 60_000_000
    low = round(100 + place * 7919 % 1_000_003 / 777, 5)
    volume = 16 + place % 1009 + (0 if whole else place % 7 / 8 + 0.001)
    vwap = round(low + 1.94337, 5)
    return Candle(
        ts=from_micros(micros),
        open=round(low + 1.5, 5),
        high=round(low + 3.25113, 5),
        low=low,
        close=round(low + 2.7, 5),
        volume=round(volume, 3),
        quote_volume=round(volume * vwap, 5),
        trades=3 + place % 211,
        taker_buy_volume=round(volume / 4, 5),
        vwap=vwap,
    )
