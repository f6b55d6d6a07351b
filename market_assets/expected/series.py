"""The series of each symbol that a profile keeps, and the bars that they must have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.errors import UniverseError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.partitions import partitions_in
from market_assets.market.timeframes import TS, Timeframe, Window, from_micros, literal, to_micros

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile, SourceSymbol
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.market.partitions import Partition
    from market_assets.store import Store, Transaction


_A_RUN = timedelta(minutes=1)


@dataclass(frozen=True)
class Series:
    """One symbol's candles of one timeframe.

    Attributes:
        symbol: The symbol as the universe calls it.
        window: From the symbol's start or its genesis, whichever is later, to its end or the
            present.
        sources: The sources to ask, in order of preference.
        apart: Why other sources of the symbol are not asked; empty where all are.
    """

    symbol: str
    window: Window
    sources: tuple[SourceSymbol, ...]
    apart: str = ""

    def since(self, genesis: datetime | None) -> Series:
        """The same series from its genesis on, where that is known and later."""
        if genesis is None or genesis <= self.window.start:
            return self
        return replace(self, window=Window(min(genesis, self.window.end), self.window.end))


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


def living_series(
    profile: Profile, now: datetime, *, genesis: Mapping[str, datetime], dead: Collection[str]
) -> list[Series]:
    """The series of a profile from their genesis on, without symbols that no source has.

    Args:
        profile: The profile.
        now: The present instant.
        genesis: `Genesis.of` of the fetched timeframe.
        dead: `Gaps.dead_symbols` of it.
    """
    return [
        series.since(genesis.get(series.symbol))
        for series in series_of(profile, now)
        if series.symbol not in dead
    ]


def partitions_of(
    profile: Profile, timeframe: Timeframe, series: Sequence[Series], window: Window
) -> list[Partition]:
    """The partitions that overlap a window, as far as the series reach; oldest first."""
    whole = Window(
        min(symbol_series.window.start for symbol_series in series),
        max(symbol_series.window.end for symbol_series in series),
    )
    inside = window.intersect(whole)
    if inside is None:
        return []
    return partitions_in(calendar_of(profile), timeframe, profile.partitions.of(timeframe), inside)


def unfinished_partitions(
    profile: Profile,
    timeframe: Timeframe,
    partitions: Sequence[Partition],
    *,
    series: Sequence[Series],
    judged: pl.DataFrame,
    until: datetime,
) -> set[str]:
    """The keys of the partitions that were not judged to their end, or not for every series.

    Such a partition was judged before its last bar closed, or for fewer series than are in it.

    Args:
        profile: The profile.
        timeframe: A fetched timeframe of it.
        partitions: Those that were filled.
        series: The series of the profile, from their genesis on.
        judged: partition, judged_at, symbols: until when each was judged, and for how many of the
            series.
        until: Bars that closed later need not have been judged yet.
    """
    judgements = {key: (at.replace(tzinfo=UTC), symbols) for key, at, symbols in judged.iter_rows()}
    bounds = np.array(
        [symbol_series.window.micros for symbol_series in series], dtype=np.int64
    ).reshape(-1, 2)
    after = to_micros(until)
    keys = set()
    for partition in partitions:
        at, symbols = judgements.get(partition.key, (until, 0))
        first, end = partition.window.micros
        # A series that begins or ends inside may have no bar here.
        if symbols < int(((bounds[:, 0] <= first) & (bounds[:, 1] >= min(end, after))).sum()):
            keys.add(partition.key)
        # Bars close after they open: a partition judged after its end lacks at most one bar.
        elif at < partition.window.end + timeframe.duration and at < until:
            bars = calendar_of(profile).bars(timeframe, partition.window)
            late = bars.filter(
                pl.col("closes_at") > literal(at), pl.col("closes_at") <= literal(until)
            )
            if not late.is_empty():
                keys.add(partition.key)
    return keys


def calendar_of(profile: Profile) -> SessionCalendar:
    """The profile's calendar with the corrections of the universe, loaded once per process."""
    return load_calendar(profile.calendar, profile.changes)


def bars_of(
    calendar: SessionCalendar,
    timeframe: Timeframe,
    window: Window,
    series: Iterable[Series],
    now: datetime,
) -> pl.DataFrame:
    """Every closed bar of the calendar in a window that belongs to a series.

    Returns:
        symbol, ts, halted; sorted by the first two.
    """
    closed = (
        calendar.bars(timeframe, window)
        .filter(pl.col("closes_at") <= literal(now))
        .select("ts", "halted")
    )
    frames = [
        closed.filter(symbol_series.window.holds()).select(
            pl.lit(symbol_series.symbol).alias("symbol"), "ts", "halted"
        )
        for symbol_series in sorted(series, key=lambda symbol_series: symbol_series.symbol)
    ]
    return (
        pl.concat(frames)
        if frames
        else pl.DataFrame(schema={"symbol": pl.String, "ts": TS, "halted": pl.Boolean})
    )


def touched(
    timeframe: Timeframe, calendar: SessionCalendar, window: Window, now: datetime
) -> pl.DataFrame:
    """The closed bars that share an instant with a window: ts, opens_at, closes_at."""
    bars = calendar.bars_touching(timeframe, window)
    return bars.filter(pl.col("closes_at") <= literal(now))


def count_series(
    profile: Profile,
    genesis: Mapping[Timeframe, Mapping[str, datetime]],
    now: datetime,
    *,
    judged: Mapping[Timeframe, datetime] | None = None,
) -> pl.DataFrame:
    """How many bars each series of a profile must have by now.

    Args:
        profile: The profile.
        genesis: By fetched timeframe and symbol, where it is known.
        now: The present instant.
        judged: By timeframe, until when its newest partition has been judged. Where it is given, a
            bar that has closed since, so lately that the next update is still to bring it, is not
            called for.

    Returns:
        The frame that `SeriesWriter.put` takes.
    """
    calendar = calendar_of(profile)
    rows = []
    for timeframe in (*profile.timeframes.fetch, *profile.timeframes.derive):
        derived = timeframe in profile.timeframes.derive
        base = base_of(profile, timeframe)
        series = [
            symbol_series.since(genesis.get(base, {}).get(symbol_series.symbol))
            for symbol_series in series_of(profile, now)
        ]
        until = (
            now
            if judged is None
            else min(now, max(judged.get(timeframe, now), now - lag_of(profile)))
        )
        counts = dict.fromkeys((symbol_series.symbol for symbol_series in series), 0)
        start = min(symbol_series.window.start for symbol_series in series)
        for year in _years(Window(start, max(now, start))):
            if derived:
                bars = touched(timeframe, calendar, year, until)
                # A bar that two years touch is counted in the one in which it opens, and one that
                # was open at the start in the first.
                opens = pl.max_horizontal("opens_at", literal(start))
                bars = bars.filter(opens >= literal(year.start), opens < literal(year.end))
            else:
                bars = calendar.bars(timeframe, year).filter(pl.col("closes_at") <= literal(until))
            for symbol_series in series:
                counts[symbol_series.symbol] += bars.filter(
                    belongs(symbol_series.window, derived=derived)
                ).height
        # A derived bar that a series begins or ends in may have a `ts` outside of it.
        reach = timeframe.duration if derived else timedelta()
        rows += [
            (
                profile.name,
                symbol_series.symbol,
                str(timeframe),
                derived,
                counts[symbol_series.symbol],
                until.replace(tzinfo=None),
                (symbol_series.window.start - reach).replace(tzinfo=None),
                (symbol_series.window.end + reach).replace(tzinfo=None),
            )
            for symbol_series in series
        ]
    return pl.DataFrame(
        rows,
        schema={
            "profile": pl.String,
            "symbol": pl.String,
            "timeframe": pl.String,
            "derived": pl.Boolean,
            "expected": pl.Int64,
            "counted_until": TS,
            "start_ts": TS,
            "end_ts": TS,
        },
        orient="row",
    )


def lag_of(profile: Profile) -> timedelta:
    """How long after its close a bar may take to be stored.

    In that time the bar settles, the next update begins, and a run ends.
    """
    return profile.update.settle + profile.update.every + _A_RUN


def count_profile(store: Store, profile: Profile, now: datetime) -> None:
    """Write to `ops.series` how many bars each series of a profile must have by now."""
    with store.reading(f"counting {profile.name}") as view:
        genesis = {
            timeframe: view.genesis.of(profile.candles(timeframe))
            for timeframe in profile.timeframes.fetch
        }
        judged_times = {
            timeframe: view.partitions.newest_judged_at(profile.candles(timeframe))
            for timeframe in (*profile.timeframes.fetch, *profile.timeframes.derive)
        }
    judged = {timeframe: at for timeframe, at in judged_times.items() if at is not None}
    counted = count_series(profile, genesis, now, judged=judged)
    with store.writing(f"counting {profile.name}") as transaction:
        prepare(transaction, profile)
        transaction.series.put(counted)


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


def belongs(window: Window, *, derived: bool) -> pl.Expr:
    """Whether a bar (ts, opens_at, closes_at) belongs to a series.

    A fetched bar does by its `ts`, a derived one if it shares an instant with the window.
    """
    if not derived:
        return window.holds()
    return (pl.col("closes_at") > literal(window.start)) & (
        pl.col("opens_at") < literal(window.end)
    )


def _years(window: Window) -> list[Window]:
    """The window in pieces of about a year, so that counting ten years takes the memory of one."""
    start, end = window.micros
    step = 366 * 86_400_000_000
    return [
        Window(from_micros(at), from_micros(min(at + step, end))) for at in range(start, end, step)
    ]
