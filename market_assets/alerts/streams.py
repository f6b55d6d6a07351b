"""Troubles of streams: no candles come, symbols are refused, bars are left to REST. Pure.

REST goes on beside a stream, so that none of them says that a bar is missing: where one is, that is
a trouble of its own, in `absence`. A stream that somebody has ended is none.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.alerts.phrases import of_symbols
from market_assets.alerts.troubles import LINES, WIDTH, Kind, Level, Place, Trouble, symbols_in
from market_assets.market.instants import to_minute
from market_assets.market.timeframes import literal
from market_assets.store.tables.streams import StreamState
from market_assets.words import many

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from market_assets.alerts.troubles import Key
    from market_assets.market.datasets import Dataset

PASSING = timedelta(minutes=5)
"""A stream that brings nothing for less is only being connected anew."""

_BUSY = timedelta(minutes=30)
"""Bars that were left to REST longer ago are there by now."""


def stream_troubles(
    dataset: Dataset,
    streams: pl.DataFrame,
    newest: Mapping[str, datetime],
    silent_bars: int,
    now: datetime,
) -> list[Trouble]:
    """What is wrong with the stream of candles of a profile.

    Args:
        dataset: The candles.
        streams: Its rows as `reports.streams.judged_streams` gives them.
        newest: The open of the newest stored candle of each silent symbol.
        silent_bars: After so many bars without a candle a symbol is silent.
        now: The present instant.
    """
    lasting = streams.filter(pl.col("since") <= literal(now - PASSING))
    silent = _really_silent(lasting, newest, silent_bars * dataset.timeframe.duration)
    absent = [
        *_killed(_in(lasting, StreamState.KILLED)),
        *_by_source(_in(streams, StreamState.FAILED), "has ended by itself at"),
        *_by_source(
            _in(lasting, StreamState.LOST, StreamState.CONNECTING), "has no connection since"
        ),
        *_silent(silent, silent_bars),
    ]
    concerned = pl.concat(
        [
            _in(lasting, StreamState.KILLED, StreamState.LOST, StreamState.CONNECTING),
            _in(streams, StreamState.FAILED),
            silent,
        ]
    )
    return [
        *_absent(dataset, absent, concerned, now),
        *_refused(dataset, _in(lasting, StreamState.REFUSED), now),
        *_dropped(dataset, streams, now),
    ]


def unsettled_keys(
    dataset: Dataset, streams: pl.DataFrame, now: datetime, *, is_wanted: bool
) -> set[Key]:
    """The troubles of a stream of which nothing can be said yet: it is only beginning anew.

    A stream that Dagster keeps up ends every few hours: what was wrong before is not over by that.

    Args:
        dataset: The candles.
        streams: As `stream_troubles` takes them.
        now: The present instant.
        is_wanted: Whether it is begun again once it has ended.
    """
    young = streams.filter(pl.col("since") > literal(now - PASSING))
    beginning = (StreamState.CONNECTING, *((StreamState.ENDED,) if is_wanted else ()))
    unsettled = {
        Kind.STREAM: _in(young, *beginning),
        Kind.STREAM_REFUSED: _in(young, *beginning, StreamState.REFUSED),
    }
    return {
        (dataset.owner, kind.value, dataset.name)
        for kind, rows in unsettled.items()
        if not rows.is_empty()
    }


def _in(streams: pl.DataFrame, *states: StreamState) -> pl.DataFrame:
    return streams.filter(pl.col("state").is_in(states)).sort("since", "symbol")


def _really_silent(
    streams: pl.DataFrame, newest: Mapping[str, datetime], longest: timedelta
) -> pl.DataFrame:
    """The silent symbols that REST has newer candles of: the others are not traded."""
    silent = _in(streams, StreamState.SILENT)
    stored = pl.DataFrame(
        {
            "symbol": list(newest),
            "stored_at": [instant.replace(tzinfo=None) for instant in newest.values()],
        },
        schema={"symbol": pl.String(), "stored_at": streams.schema["since"]},
    )
    last = pl.coalesce("last_bar_at", "connected_at", "since")
    return (
        silent.join(stored, on="symbol", how="inner", maintain_order="left")
        .filter(pl.col("stored_at") - last >= longest)
        .drop("stored_at")
    )


def _absent(
    dataset: Dataset, sentences: list[str], streams: pl.DataFrame, now: datetime
) -> list[Trouble]:
    """One trouble for all that keeps candles from coming."""
    if not sentences:
        return []
    return [
        Trouble(
            dataset.owner,
            Kind.STREAM,
            dataset.name,
            Level.WARNING,
            f"{'; '.join(sentences)}; REST fills it"[:WIDTH],
            len(streams),
            _lines(streams),
            symbols_in(streams),
            _places(streams, now),
        )
    ]


def _killed(streams: pl.DataFrame) -> list[str]:
    if streams.is_empty():
        return []
    sign = to_minute(streams["since"].to_list()[-1])
    return [f"the stream was killed, its last sign was at {sign}, and nobody has started it again"]


def _by_source(streams: pl.DataFrame, words: str) -> list[str]:
    """A sentence for each source, with the time at which it was so for the first symbol."""
    oldest = streams.unique("source", keep="first", maintain_order=True)
    return [
        f"the stream of {source} {words} {to_minute(since)}"
        for source, since in oldest.select("source", "since").iter_rows()
    ]


def _silent(streams: pl.DataFrame, silent_bars: int) -> list[str]:
    if streams.is_empty():
        return []
    names = of_symbols(symbols_in(streams))
    since, bars = to_minute(streams["since"][0]), many(silent_bars, "bar")
    return [f"the stream is silent since {since}: no candle of {names} for {bars}"]


def _refused(dataset: Dataset, streams: pl.DataFrame, now: datetime) -> list[Trouble]:
    """The symbols that their source does not stream."""
    if streams.is_empty():
        return []
    names = symbols_in(streams)
    sources = ", ".join(streams["source"].unique().sort())
    return [
        Trouble(
            dataset.owner,
            Kind.STREAM_REFUSED,
            dataset.name,
            Level.WARNING,
            f"{sources} refuses to stream {of_symbols(names)}; REST fills it",
            len(names),
            _lines(streams),
            names,
            _places(streams, now),
        )
    ]


def _dropped(dataset: Dataset, streams: pl.DataFrame, now: datetime) -> list[Trouble]:
    """Bars that were left to REST because the store was busy."""
    lately = streams.filter(
        pl.col("dropped") > 0,
        pl.col("dropped_at") > literal(now - _BUSY),
        pl.col("state") != StreamState.ENDED,
    )
    if lately.is_empty():
        return []
    bars = int(lately["dropped"].to_list()[0])
    return [
        Trouble(
            dataset.owner,
            Kind.STREAM_BUSY,
            dataset.name,
            Level.WARNING,
            "the store was busy for so long that streamed bars were left to REST",
            bars,
        )
    ]


def _lines(streams: pl.DataFrame) -> tuple[str, ...]:
    return tuple(
        f"{row['symbol']} {row['state']} since {to_minute(row['since'])}"
        f"{': ' if row['words'] else ''}{row['words']}"[:WIDTH]
        for row in streams.head(LINES).iter_rows(named=True)
    )


def _places(streams: pl.DataFrame, now: datetime) -> frozenset[Place]:
    today = now.date()
    return frozenset(
        Place(symbol, since.date(), today)
        for symbol, since in streams.select("symbol", "since").iter_rows()
    )
