"""Troubles of absent candles: gaps, sources, symbols, sessions and partitions. Pure.

Absent is what is expected and not stored. What was stored and judged to be wrong is in `judgement`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.alerts.phrases import and_more, of_symbols
from market_assets.alerts.troubles import (
    ALWAYS,
    LINES,
    WIDTH,
    Kind,
    Level,
    Place,
    Trouble,
    partition_places,
    symbols_in,
)
from market_assets.market.instants import to_minute
from market_assets.market.timeframes import literal
from market_assets.words import many

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from market_assets.config.services import AlertSettings
    from market_assets.market.datasets import Dataset
    from market_assets.market.partitions import Cadence

_LATELY = timedelta(hours=2)
"""A source that failed longer ago was not asked since, or has answered."""

_LASTING = timedelta(minutes=10)
"""A source that fails for less is only slow: the next update asks again."""


def gap_troubles(
    dataset: Dataset, gaps: pl.DataFrame, settings: AlertSettings, now: datetime
) -> list[Trouble]:
    """Open gaps that are long, or open for long, and gaps that were given up.

    Args:
        dataset: The candles.
        gaps: symbol, first_ts, last_ts (opens), bars, status, reason, first_seen; whole ones, not
            cut at partitions.
        settings: From when on a gap is worth a word.
        now: The present instant.
    """
    return [
        *_heavy_gaps(dataset, gaps, settings, now),
        *_abandoned_gaps(dataset, gaps),
    ]


def _heavy_gaps(
    dataset: Dataset, gaps: pl.DataFrame, settings: AlertSettings, now: datetime
) -> list[Trouble]:
    """Open gaps that are long, or open for long."""
    opened = gaps.filter(pl.col("status") == "open").with_columns(
        weight=pl.max_horizontal(
            pl.col("last_ts") - pl.col("first_ts") + dataset.timeframe.duration,
            literal(now) - pl.col("first_seen"),
        )
    )
    heavy = opened.filter(pl.col("weight") >= min(settings.gap_warning, settings.gap_error))
    if heavy.is_empty():
        return []
    errors = heavy.filter(pl.col("weight") >= settings.gap_error).height
    bars, symbols = int(heavy["bars"].sum()), symbols_in(heavy)
    summary = f"{many(heavy.height, 'gap')} in {of_symbols(symbols)}, {bars:,} bars missing"
    return [
        Trouble(
            dataset.owner,
            Kind.GAP,
            dataset.name,
            Level.ERROR if errors else Level.WARNING,
            summary,
            heavy.height,
            _gap_lines(heavy.sort("weight", "symbol", descending=[True, False])),
            symbols,
            _gap_places(heavy),
        )
    ]


def _abandoned_gaps(dataset: Dataset, gaps: pl.DataFrame) -> list[Trouble]:
    """Gaps that were given up."""
    given_up = gaps.filter(pl.col("status") == "abandoned")
    if given_up.is_empty():
        return []
    bars, symbols = int(given_up["bars"].sum()), symbols_in(given_up)
    summary = (
        f"{many(given_up.height, 'gap')} in {of_symbols(symbols)} given up, "
        f"{bars:,} bars missing for good"
    )
    newest = given_up.sort("last_ts", "symbol", descending=[True, False])
    return [
        Trouble(
            dataset.owner,
            Kind.ABANDONED,
            dataset.name,
            Level.WARNING,
            summary,
            given_up.height,
            _gap_lines(newest),
            symbols,
            _gap_places(given_up),
        )
    ]


def sources_down(
    profile: str, gaps: pl.DataFrame, sources: Collection[str], symbols: int, now: datetime
) -> list[Trouble]:
    """Sources that have failed for most symbols of a profile when these were asked for last.

    Args:
        profile: The profile's name.
        gaps: Its open gaps: symbol, first_ts, last_ts, reason, failures, confirmed_at, asked_at,
            first_seen.
        sources: Their names.
        symbols: How many symbols the profile has.
        now: The present instant.
    """
    lately = gaps.filter(
        pl.col("asked_at") >= literal(now - _LATELY),
        pl.col("failures") > 0,
        pl.col("asked_at").ne_missing(pl.col("confirmed_at")),
    )
    troubles = []
    for source in sorted(sources) if not lately.is_empty() else ():
        # As every error of a source begins; an answer without a bar begins otherwise.
        failed = lately.filter(pl.col("reason").str.contains(f"source {source}: ", literal=True))
        names = symbols_in(failed)
        lasting = failed.filter(pl.col("first_seen") <= literal(now - _LASTING))
        if lasting.is_empty() or len(names) < max(2, symbols / 2):
            continue
        # Not the newest words: each names another page.
        lines = tuple(f"{row['symbol']}: {row['reason']}"[:WIDTH] for row in first_of_each(failed))
        troubles.append(
            Trouble(
                profile,
                Kind.SOURCE_DOWN,
                source,
                Level.ERROR,
                f"{source} fails for {of_symbols(names)}",
                len(names),
                lines[:LINES],
                names,
                _gap_places(failed),
            )
        )
    return troubles


def first_of_each(gaps: pl.DataFrame) -> Iterable[dict[str, Any]]:
    """The oldest gap of each symbol: its words stay as they are while the newest change."""
    return (
        gaps.sort("symbol", "first_ts")
        .unique("symbol", keep="first", maintain_order=True)
        .iter_rows(named=True)
    )


def vanished(dataset: Dataset, partitions: Mapping[str, str], cadence: Cadence) -> list[Trouble]:
    """Partitions that were filled, and have lost candles since.

    Args:
        dataset: Fetched candles.
        partitions: What is so, by partition.
        cadence: How long a partition is.
    """
    if not partitions:
        return []
    summary = (
        f"candles of {many(len(partitions), 'partition')} were stored and are not there any more"
    )
    newest = sorted(partitions, reverse=True)[:LINES]
    lines = tuple(f"{key}: {partitions[key]}"[:WIDTH] for key in newest)
    places = partition_places(partitions, cadence)
    return [
        Trouble(
            dataset.owner,
            Kind.VANISHED,
            dataset.name,
            Level.ERROR,
            summary,
            len(partitions),
            lines,
            (),
            places,
        )
    ]


def backlog(dataset: Dataset, partitions: Sequence[str]) -> list[Trouble]:
    """Partitions that were never filled, and do not become fewer: oldest first."""
    if not partitions:
        return []
    summary = (
        f"{many(len(partitions), 'partition')} were never filled, and they do not become fewer"
    )
    lines = (f"from {partitions[0]} to {partitions[-1]}",)
    return [
        Trouble(
            dataset.owner,
            Kind.BACKLOG,
            dataset.name,
            Level.WARNING,
            summary,
            len(partitions),
            lines,
        )
    ]


def missing_symbols(dataset: Dataset, empty: Mapping[str, str]) -> list[Trouble]:
    """Symbols without a single stored bar, though sources have answered.

    Args:
        dataset: Fetched candles.
        empty: These symbols, each with the reason of its oldest gap: what a source said. How many
            bars they lack is not said: it would be other words each minute.
    """
    return [
        Trouble(
            dataset.owner,
            Kind.MISSING_SYMBOL,
            f"{symbol} {dataset.name}",
            Level.ERROR,
            f"not one bar of {symbol} is stored, and its sources have none or refuse it",
            1,
            (reason[:WIDTH],) if reason else (),
            symbols=(symbol,),
            places=frozenset({Place(symbol, *ALWAYS)}),
        )
        for symbol, reason in sorted(empty.items())
    ]


def silent_actions(profile: str, symbols: Sequence[str]) -> list[Trouble]:
    """The symbols whose corporate actions no source has reported for days."""
    if not symbols:
        return []
    ordered = tuple(sorted(symbols))
    summary = f"no source has told of the corporate actions of {of_symbols(ordered)} for days"
    lines = (f"unheard of: {', '.join(ordered[:20])}{and_more(len(ordered) - 20)}",)
    return [
        Trouble(
            profile,
            Kind.STALE,
            "corporate_actions",
            Level.WARNING,
            summary,
            len(ordered),
            lines,
            ordered,
        )
    ]


def stale(dataset: Dataset, session: date, symbols: Sequence[str]) -> list[Trouble]:
    """The symbols without a bar of the newest session, though some are expected and not explained.

    Args:
        dataset: Fetched candles.
        session: The session's day.
        symbols: Those without a bar.
    """
    if not symbols:
        return []
    ordered = tuple(sorted(symbols))
    summary = (
        f"{of_symbols(ordered)} {'has' if len(ordered) == 1 else 'have'} no bar "
        f"of the session {session}, which is over"
    )
    lines = (f"without a bar: {', '.join(ordered[:20])}{and_more(len(ordered) - 20)}",)
    return [
        Trouble(
            dataset.owner,
            Kind.STALE,
            dataset.name,
            Level.ERROR,
            summary,
            len(ordered),
            lines,
            ordered,
            frozenset(Place(symbol, session, session) for symbol in ordered),
        ),
    ]


def _gap_places(gaps: pl.DataFrame) -> frozenset[Place]:
    days = gaps.select("symbol", pl.col("first_ts").dt.date(), pl.col("last_ts").dt.date())
    return frozenset(Place(*row) for row in days.unique().iter_rows())


def _gap_lines(gaps: pl.DataFrame) -> tuple[str, ...]:
    return tuple(
        f"{row['symbol']} {_span(row['first_ts'], row['last_ts'])}, {many(row['bars'], 'bar')}: "
        f"{row['reason']}"[:WIDTH]
        for row in gaps.head(LINES).iter_rows(named=True)
    )


def _span(first: Any, last: Any) -> str:  # noqa: ANN401 - what a frame's row holds
    return to_minute(first) if first == last else f"{to_minute(first)} to {to_minute(last)}"
