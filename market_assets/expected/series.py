"""The series of each symbol that a profile keeps, and its calendar."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import UniverseError
from market_assets.expected.floors import NO_FLOOR, Floor
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window, literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile, SourceSymbol
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.store import Transaction


@dataclass(frozen=True)
class Series:
    """One symbol's candles of one timeframe.

    Attributes:
        symbol: The symbol as the universe calls it.
        window: From the symbol's start or its genesis, whichever is later, to its end or the
            present.
        sources: The sources to ask, in order of preference.
        apart: Why other sources of the symbol are not asked; empty where all are.
        floor: The floor of its timeframe, which the window does not reach below.
        begin: Where it would begin without a floor; None where no floor cuts it.
    """

    symbol: str
    window: Window
    sources: tuple[SourceSymbol, ...]
    apart: str = ""
    floor: Floor = NO_FLOOR
    begin: datetime | None = None

    def since(self, genesis: datetime | None) -> Series:
        """The same series from its genesis on, where that is known and later."""
        if genesis is None:
            return self
        if self.begin is not None and genesis > self.begin:
            begin = min(genesis, self.window.end)
            return self._cut(begin, self.floor)
        if genesis <= self.window.start:
            return self
        return replace(self, window=Window(min(genesis, self.window.end), self.window.end))

    def above(self, floor: Floor) -> Series:
        """The same series from a floor on, in place of the one that it had."""
        if floor == self.floor:
            return self
        return self._cut(self.window.start if self.begin is None else self.begin, floor)

    def _cut(self, begin: datetime, floor: Floor) -> Series:
        end = self.window.end
        if floor.start is None or floor.start <= begin:
            return replace(self, window=Window(min(begin, end), end), floor=floor, begin=None)
        window = Window(min(floor.start, end), end)
        return replace(self, window=window, floor=floor, begin=begin)


def series_of(
    profile: Profile, now: datetime, symbols: Sequence[str] | None = None
) -> list[Series]:
    """The series of a profile, or of some of its symbols, up to the present.

    Raises:
        UniverseError: A symbol is not in the profile.
    """
    unknown = sorted(set(symbols or ()) - set(profile.symbols))
    if unknown:
        names = ", ".join(sorted(profile.symbols))
        raise UniverseError(
            f"profile {profile.name}",
            [f"{name}: no such symbol; it has {names}" for name in unknown],
        )
    chosen = [profile.symbols[name] for name in dict.fromkeys(symbols or profile.symbols)]
    return [
        Series(symbol.name, symbol.window(now), symbol.sources, symbol.apart) for symbol in chosen
    ]


def calendar_of(profile: Profile) -> SessionCalendar:
    """The profile's calendar with the corrections of the universe, loaded once per process."""
    return load_calendar(profile.calendar, profile.changes)


def prepare(transaction: Transaction, profile: Profile) -> None:
    """Create the candle tables of a profile that do not exist yet."""
    for timeframe in profile.timeframes.fetch:
        transaction.candles.create(profile.candles(timeframe), derived=False)
    for timeframe in profile.timeframes.derive:
        transaction.candles.create(profile.candles(timeframe), derived=True)


def base_of(profile: Profile, timeframe: Timeframe) -> Timeframe:
    """The fetched timeframe that a derived one is made of in the end; a fetched one itself."""
    while timeframe in profile.timeframes.derive:
        timeframe = profile.input_of(timeframe)
    return timeframe


def belongs(window: Window, *, derived: bool, floor: Floor = NO_FLOOR) -> pl.Expr:
    """Whether a bar (ts, opens_at, closes_at) belongs to a series.

    A fetched bar does by its `ts`, a derived one if it shares an instant with the window. A derived
    one that is kept no longer, or is made of what is kept no longer, does not.
    """
    if not derived:
        return window.holds()
    inside = (pl.col("closes_at") > literal(window.start)) & (
        pl.col("opens_at") < literal(window.end)
    )
    if floor.kept is not None:
        inside &= pl.col("ts") >= literal(floor.kept)
    if floor.made is not None:
        inside &= pl.col("opens_at") >= literal(floor.made)
    return inside
