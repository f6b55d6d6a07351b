"""How the streams of a profile are now, and how one was at the time of a bar.

A row of `ops.streams` is what a session has noted of itself. Here it is judged: a session that was
killed notes nothing any more, and one that has ended long ago is of no interest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.datasets import Dataset
from market_assets.market.instants import clock_minute, to_minute, to_second
from market_assets.market.timeframes import Window, literal
from market_assets.reports.events import Event
from market_assets.store.database import aware
from market_assets.store.tables.streams import LAST_SIGN, StreamState
from market_assets.words import lag_words, listed, many

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.reports.bar import Bar
    from market_assets.store import Snapshot

LATELY = timedelta(days=1)
"""A stream that is over for longer is of no interest, unless the profile is to be streamed."""

_ARRIVAL = timedelta(seconds=10)
"""How long after its end a bar may come by a stream."""

_OVER = (StreamState.ENDED, StreamState.FAILED, StreamState.KILLED)
_NAMED = 5

_ORDER = (
    *(StreamState.KILLED, StreamState.FAILED, StreamState.LOST, StreamState.CONNECTING),
    *(StreamState.SILENT, StreamState.REFUSED, StreamState.LIVE, StreamState.REST),
    StreamState.ENDED,
)
"""What is wrong comes first."""


@dataclass(frozen=True)
class StreamStanding:
    """How the stream of candles of one profile is. Instants are aware UTC.

    Attributes:
        dataset: The candles.
        symbols: The symbols in each state that there is, sorted.
        since: Since when there is one of them, by state; of one that was killed, its last sign.
        words: Why, by state, of one of its symbols; without those that have no reason.
        lag_p50: Seconds from the end of a bar until it was stored, of half of the bars; None where
            it is not known, or the stream is over.
        lag_p99: Likewise, of 99 in a hundred.
    """

    dataset: Dataset
    symbols: Mapping[StreamState, tuple[str, ...]]
    since: Mapping[StreamState, datetime]
    words: Mapping[StreamState, str]
    lag_p50: float | None
    lag_p99: float | None

    @property
    def is_well(self) -> bool:
        """Whether nothing is to be looked at: it is live, left to REST on purpose, or over."""
        return self.symbols.keys() <= {StreamState.LIVE, StreamState.REST, StreamState.ENDED}


def judged_streams(rows: pl.DataFrame, profiles: Iterable[Profile], now: datetime) -> pl.DataFrame:
    """The rows of `ops.streams` that are of interest, each with its state as it is.

    Args:
        rows: A frame of STREAM_SCHEMA.
        profiles: Whose; a symbol that the profile has no more is left out.
        now: The present instant.

    Returns:
        The same columns. A killed one begins with its last sign.
    """
    is_dead = pl.col("noted_at") < literal(now - LAST_SIGN)
    is_killed = is_dead & ~pl.col("state").is_in([StreamState.ENDED, StreamState.FAILED])
    judged = rows.with_columns(
        state=pl.when(is_killed).then(pl.lit(StreamState.KILLED.value)).otherwise(pl.col("state")),
        since=pl.when(is_killed).then(pl.col("noted_at")).otherwise(pl.col("since")),
    )
    is_over = pl.col("state").is_in(_OVER) & (pl.col("since") < literal(now - LATELY))
    kept = pl.lit(value=False)
    for profile in profiles:
        is_wanted = (pl.col("state") != StreamState.ENDED) & pl.lit(value=profile.stream.enabled)
        kept |= (
            (pl.col("profile") == profile.name)
            & pl.col("symbol").is_in(list(profile.symbols))
            & (~is_over | is_wanted)
        )
    return judged.filter(kept)


def stream_standings(
    view: Snapshot, profiles: Sequence[Profile], now: datetime
) -> list[StreamStanding]:
    """How the streams of some profiles are; empty where none was used lately.

    Args:
        view: The store.
        profiles: Whose.
        now: The present instant.
    """
    rows = judged_streams(view.streams.all(), profiles, now)
    return [
        _standing(Dataset.labelled(str(profile), str(timeframe)), group)
        for (profile, timeframe), group in rows.group_by(
            "profile", "timeframe", maintain_order=True
        )
    ]


def _standing(dataset: Dataset, rows: pl.DataFrame) -> StreamStanding:
    by_state = {
        StreamState(str(state)): group.sort("symbol") for (state,), group in rows.group_by("state")
    }
    ordered = {state: by_state[state] for state in _ORDER if state in by_state}
    first = {state: group.sort("since").row(0, named=True) for state, group in ordered.items()}
    lags = rows.filter(~pl.col("state").is_in(_OVER)).sort("noted_at").tail(1)
    return StreamStanding(
        dataset,
        {state: tuple(group["symbol"]) for state, group in ordered.items()},
        {state: aware(row["since"]) for state, row in first.items()},
        {state: row["words"] for state, row in first.items() if row["words"]},
        lags["lag_p50"].max(),  # type: ignore[arg-type]  # a float or None
        lags["lag_p99"].max(),  # type: ignore[arg-type]
    )


def standing_words(standing: StreamStanding, now: datetime) -> str:
    """How a stream is, in a line or two: live since 13:02Z (7 symbols), lag p50 0.4 s, p99 0.9 s.

    Args:
        standing: How it is.
        now: The present instant: what is of another day is told with its date.
    """
    parts = [_part(standing, state, now) for state in standing.symbols]
    lag = lag_words(standing.lag_p50, standing.lag_p99)
    return "; ".join([*parts, lag] if lag else parts)


def _part(standing: StreamStanding, state: StreamState, now: datetime) -> str:
    symbols, since = standing.symbols[state], _moment(standing.since[state], now)
    count = f"({many(len(symbols), 'symbol')})"
    match state:
        case StreamState.KILLED:
            return f"killed: last sign {since}"
        case StreamState.FAILED:
            return f"ended by itself {since}: {standing.words.get(state, '')}"
        case StreamState.ENDED:
            return f"ended {since}"
        case StreamState.REFUSED:
            return f"refused: {listed(symbols, _NAMED)}"
        case StreamState.REST:
            return f"left to REST: {listed(symbols, _NAMED)}"
        case _:
            return f"{state} since {since} {count}"


def _moment(instant: datetime, now: datetime) -> str:
    """An instant of today by its time alone."""
    return clock_minute(instant) if instant.date() == now.date() else to_minute(instant)


def stream_columns(rows: pl.DataFrame, matrix: pl.DataFrame) -> pl.DataFrame:
    """Rows of a completeness matrix with how the stream of each series is.

    Args:
        rows: What `judged_streams` gives.
        matrix: Rows of profile, symbol and timeframe.

    Returns:
        The matrix with stream, stream_source, stream_since, stream_why and stream_lag_p99, null
        where a series is not streamed. Without any stream it is the matrix as it was.
    """
    if rows.is_empty():
        return matrix
    streams = rows.select(
        *("profile", "symbol", "timeframe"),
        stream="state",
        stream_source="source",
        stream_since="since",
        stream_why="words",
        stream_lag_p99="lag_p99",
    )
    return matrix.join(
        streams, on=["profile", "symbol", "timeframe"], how="left", maintain_order="left"
    )


def stream_events(
    view: Snapshot, dataset: Dataset, symbol: str, bar: Bar, now: datetime
) -> list[Event]:
    """How the stream of a series was when a bar should have come, as far as it was noted.

    Args:
        view: The store.
        dataset: The candles.
        symbol: Whose.
        bar: The bar.
        now: The present instant.
    """
    span = Window(bar.opens_at, bar.closes_at + _ARRIVAL)
    rows = [
        (row["source"], row["state"], row["words"], row["since"], row["ended_at"])
        for row in view.streams.states(dataset, symbol, span).iter_rows(named=True)
    ]
    present = view.streams.all().filter(
        pl.col("profile") == dataset.owner,
        pl.col("timeframe") == dataset.label,
        pl.col("symbol") == symbol,
    )
    for row in present.iter_rows(named=True):
        is_over = row["state"] in _OVER
        is_dead = not is_over and aware(row["noted_at"]) < now - LAST_SIGN
        ended_at = row["noted_at"] if is_dead else None
        rows.append((row["source"], row["state"], row["words"], row["since"], ended_at))
        if is_dead:
            rows.append((row["source"], StreamState.KILLED, "", row["noted_at"], None))
    return [
        Event(aware(since), _event_words(source, StreamState(state), words, since, ended_at))
        for source, state, words, since, ended_at in rows
        if aware(since) < span.end
        and (ended_at is None or aware(ended_at) > span.start)
        and (state != StreamState.ENDED or span.start - aware(since) < LATELY)
    ]


def _event_words(
    source: str, state: StreamState, words: str, since: datetime, ended_at: datetime | None
) -> str:
    span = f"since {to_second(since)}"
    if ended_at is not None:
        span = f"from {to_second(since)} to {to_second(ended_at)}"
    phrase = {
        StreamState.REFUSED: f"{source} refused to stream it",
        StreamState.REST: "it was left to REST",
        StreamState.FAILED: f"the stream of {source} had ended by itself,",
        StreamState.ENDED: "no stream",
        StreamState.KILLED: "no stream",
    }.get(state, f"the stream of {source} was {state}")
    reason = "its process was gone without a word" if state is StreamState.KILLED else words
    return f"{phrase} {span}: {reason}" if reason else f"{phrase} {span}"
