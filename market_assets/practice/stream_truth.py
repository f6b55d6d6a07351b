"""The practice vendor's bars and trades: as they are in the end, and as they stand before."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from market_assets.market.timeframes import Timeframe, Window
from market_assets.practice.book import simulation_of
from market_assets.practice.stream_formats import Print, StreamRow

if TYPE_CHECKING:
    from market_assets.practice.book import Market
    from market_assets.practice.simulate import Simulation

_BLOCK = 240
"""Bars that are simulated at once."""

_BLOCKS = 3
_CENT = Decimal("0.00000001")
_AT = (7_000, 21_000, 36_000, 52_000)
"""Milliseconds of a minute at which its trades are made."""


class Truth:
    """What a market's bars are in the end, and how they stand before.

    Args:
        market: What is traded. Symbols of a data folder alone are not streamed.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._simulations: dict[str, Simulation] = {}
        self._blocks: dict[tuple[str, Timeframe], dict[int, dict[int, StreamRow]]] = {}

    def has(self, symbol: str) -> bool:
        """Whether there is such a symbol."""
        return symbol in self._market.symbols or self._market.kind is not None

    def final(self, symbol: str, timeframe: Timeframe, ts: int) -> StreamRow | None:
        """The bar that opens at a millisecond, as it is in the end; None where there is none."""
        span = _BLOCK * timeframe.micros // 1000
        blocks = self._blocks.setdefault((symbol, timeframe), {})
        if ts // span not in blocks:
            blocks[ts // span] = self._simulated(symbol, timeframe, ts // span * span, span)
            if len(blocks) > _BLOCKS:
                del blocks[min(blocks)]
        return blocks[ts // span].get(ts)

    def standing(self, symbol: str, timeframe: Timeframe, ts: int, now: int) -> StreamRow | None:
        """The bar that opens at a millisecond, as it stands at another."""
        row = self.final(symbol, timeframe, ts)
        if row is None or now >= row.ends_at:
            return row
        share = max(now - ts, 0) / (row.ends_at - ts)
        return row._replace(
            high=row.open,
            low=row.open,
            close=row.open,
            volume=round(row.volume * share, 8),
            quote_volume=round(row.quote_volume * share, 2),
            trades=int(row.trades * share),
            taker_volume=round(row.taker_volume * share, 8),
        )

    def trades(self, symbol: str, minute: int) -> list[Print]:
        """The trades of the minute that opens at a millisecond; they add up to its bar."""
        row = self.final(symbol, Timeframe.M1, minute)
        if row is None:
            return []
        whole = Decimal(str(row.volume))
        part = (whole / len(_AT)).quantize(_CENT)
        sizes = [part, part, part, whole - 3 * part]
        prices = (row.open, row.high, row.low, row.close)
        number = minute // 60_000 * len(_AT)
        return [
            Print(number + place, minute + at, price, f"{size:f}")
            for place, (at, price, size) in enumerate(zip(_AT, prices, sizes, strict=True))
        ]

    def last_trade(self, symbol: str, now: int) -> Print:
        """The last trade until a millisecond."""
        minute = now - now % 60_000
        trades = self.trades(symbol, minute - 60_000) + self.trades(symbol, minute)
        return [trade for trade in trades if trade.at <= now][-1]

    def _simulated(
        self, symbol: str, timeframe: Timeframe, start: int, span: int
    ) -> dict[int, StreamRow]:
        if symbol not in self._simulations:
            self._simulations[symbol] = simulation_of(self._market, symbol)
        window = Window.of_micros(start * 1000, (start + span) * 1000)
        finished = window.end + timedelta(days=40)
        candles = self._simulations[symbol].candles(timeframe, window, finished)
        names = (
            *("ts", "closes_at", "open", "high", "low", "close", "volume"),
            *("quote_volume", "trades", "taker_volume"),
        )
        return {row[0]: StreamRow(*row) for row in candles.select(names).iter_rows()}
