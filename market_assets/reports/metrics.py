"""What a monitor is told of the platform: figures with names and labels, taken from the ledgers.

They are right after a crash as well, because nothing is counted in a process.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl

from market_assets.market.timeframes import Window
from market_assets.reports.streams import judged_streams
from market_assets.store.database import aware

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.store import Snapshot

_LATELY = timedelta(days=10)
"""A newest bar that is older than this is not looked for: its series says that it lacks bars."""

_SERIES = ("profile", "timeframe")


class Sample(NamedTuple):
    """One figure of a metric: the values of its labels, and the figure."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Metric:
    """Figures of one name.

    Attributes:
        name: In Prometheus' form, with its unit at the end: `market_assets_store_bytes`. That of a
            counter ends with `_total`.
        kind: A counter never shrinks while the store is the same.
        words: What it is.
        labels: The names of the labels.
        samples: The figures.
    """

    name: str
    kind: Literal["gauge", "counter"]
    words: str
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]


def metrics_of(
    view: Snapshot, universe: Universe, now: datetime, *, size: int, by_symbol: bool = False
) -> list[Metric]:
    """All metrics, as the ledgers have them now.

    Args:
        view: The store.
        universe: Which profiles there are; what others have left is not told.
        now: The present instant.
        size: How long the store's file is, in bytes.
        by_symbol: Whether those of series have a label for the symbol; a universe of many symbols
            makes many series of that.
    """
    profiles = list(universe.profiles.values())
    return [
        *_of_bars(view, profiles, by_symbol=by_symbol),
        *_of_newest_bars(view, profiles, now, by_symbol=by_symbol),
        *_of_partitions(view, profiles),
        *_of_sources(view),
        *_of_streams(view, profiles, now),
        *_of_jobs(view, profiles),
        _of_alerts(view),
        *_of_store(view, size),
    ]


# Candles ------------------------------------------------------------------------------------------


def _of_bars(view: Snapshot, profiles: Sequence[Profile], *, by_symbol: bool) -> Iterator[Metric]:
    labels = (*_SERIES, "symbol") if by_symbol else _SERIES
    kept = pl.col("profile").is_in([profile.name for profile in profiles])
    figures = ("expected", "stored", "explained", "missing")
    bars = view.totals.bars().filter(kept).group_by(labels).agg(pl.col(figures).sum()).sort(labels)
    absences = view.totals.absences().filter(kept)
    by_reason = (
        absences.group_by(*labels, "status")
        .agg(pl.col("bars", "gaps").sum())
        .sort(*labels, "status")
    )
    is_missing = pl.col("status").is_in(["open", "abandoned"])
    unknown = _unknown(bars, by_reason.filter(is_missing), labels)

    yield _gauge(
        "bars_expected", "Bars that must exist by now.", labels, _samples(bars, labels, "expected")
    )
    yield _gauge("bars_stored", "Bars that are stored.", labels, _samples(bars, labels, "stored"))
    yield _gauge(
        "bars_explained",
        "Absent bars with evidence for their absence, by reason.",
        (*labels, "reason"),
        _samples(by_reason.filter(~is_missing), (*labels, "status"), "bars"),
    )
    yield _gauge(
        "bars_missing",
        "Bars that must exist and do not: open is asked for again, abandoned is not, "
        "unasked was never asked for.",
        (*labels, "reason"),
        [
            *_samples(by_reason.filter(is_missing), (*labels, "status"), "bars"),
            *_samples(unknown, (*labels, "status"), "bars"),
        ],
    )
    yield _gauge(
        "open_gaps",
        "Stretches of absent bars that are asked for again.",
        labels,
        _samples(by_reason.filter(pl.col("status") == "open"), labels, "gaps"),
    )
    complete = bars.with_columns(
        completeness=pl.when(pl.col("expected") > 0)
        .then(1 - pl.col("missing") / pl.col("expected"))
        .otherwise(1.0)
    )
    yield _gauge(
        "completeness_ratio",
        "Share of the expected bars that are stored or explained.",
        labels,
        _samples(complete, labels, "completeness"),
    )


def _unknown(bars: pl.DataFrame, absences: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """The missing bars of which no ledger knows anything yet, under the status `unasked`."""
    in_ledger = absences.group_by(labels).agg(in_ledger=pl.col("bars").sum())
    rest = bars.join(in_ledger, on=list(labels), how="left").with_columns(
        bars=pl.col("missing") - pl.col("in_ledger").fill_null(0), status=pl.lit("unasked")
    )
    return rest.filter(pl.col("bars") > 0)


def _of_newest_bars(
    view: Snapshot, profiles: Sequence[Profile], now: datetime, *, by_symbol: bool
) -> Iterator[Metric]:
    """When the newest bars closed: of each symbol, or of the symbol that is furthest behind."""
    samples: list[Sample] = []
    for profile in profiles:
        kept = {
            name
            for name, symbol in profile.symbols.items()
            if symbol.end is None or symbol.end >= now.date()
        }
        for timeframe in profile.timeframes.fetch:
            dataset = profile.candles(timeframe)
            if not view.candles.has(dataset):
                continue
            opens = view.totals.last_opens(dataset, Window(now - _LATELY, now))
            closes = {
                symbol: (aware(ts) + timeframe.duration).timestamp()
                for symbol, ts in opens.iter_rows()
                if symbol in kept
            }
            label = (profile.name, str(timeframe))
            if by_symbol:
                samples += [Sample((*label, symbol), close) for symbol, close in closes.items()]
            elif closes:
                samples.append(Sample(label, min(closes.values())))
    words = "End of the newest bar" if by_symbol else "End of the newest bar of the latest symbol"
    yield _gauge(
        "last_bar_timestamp_seconds",
        f"{words}, in seconds since 1970.",
        (*_SERIES, "symbol") if by_symbol else _SERIES,
        samples,
    )


def _of_partitions(view: Snapshot, profiles: Sequence[Profile]) -> Iterator[Metric]:
    kept = pl.col("profile").is_in([profile.name for profile in profiles])
    labels = (*_SERIES, "state")
    yield _gauge(
        "partitions",
        "Partitions that were judged: whole, or lacking a bar.",
        labels,
        _samples(view.totals.partitions().filter(kept), labels, "partitions"),
    )


# Sources and streams ------------------------------------------------------------------------------


def _of_sources(view: Snapshot) -> Iterator[Metric]:
    spent, labels = view.totals.spent(), ("profile", "source")
    for column, name, words in (
        ("requests", "source_requests_total", "Requests that were sent, retries among them."),
        ("retries", "source_retries_total", "Requests that had to be sent again."),
        ("waits", "source_wait_seconds_total", "Seconds of waiting for a limit or before a retry."),
        ("bytes", "source_received_bytes_total", "Bytes of the answers."),
    ):
        yield Metric(
            f"market_assets_{name}", "counter", words, labels, _samples(spent, labels, column)
        )
    yield _gauge(
        "source_refused_rows",
        "Rows of the latest answers that cannot be stored.",
        labels,
        _samples(view.totals.refused(), labels, "rows"),
    )


def _of_streams(view: Snapshot, profiles: Sequence[Profile], now: datetime) -> Iterator[Metric]:
    rows = judged_streams(view.streams.all(), profiles, now)
    states = rows.group_by(*_SERIES, "state").agg(symbols=pl.len()).sort(*_SERIES, "state")
    sessions = rows.group_by(_SERIES).agg(
        pl.col("lag_p50", "lag_p99", "reconnects", "dropped").max()
    )
    yield _gauge(
        "stream_symbols",
        "Symbols that are streamed, by the state of their stream.",
        (*_SERIES, "state"),
        _samples(states, (*_SERIES, "state"), "symbols"),
    )
    yield _gauge(
        "stream_lag_seconds",
        "Seconds from the end of a bar until it was stored, in the session.",
        (*_SERIES, "quantile"),
        [
            Sample((*sample.labels, quantile), sample.value)
            for column, quantile in (("lag_p50", "0.5"), ("lag_p99", "0.99"))
            for sample in _samples(sessions.drop_nulls(column), _SERIES, column)
        ],
    )
    yield _gauge(
        "stream_reconnects",
        "Connections that were made again in the session.",
        _SERIES,
        _samples(sessions, _SERIES, "reconnects"),
    )
    yield _gauge(
        "stream_left_to_rest_bars",
        "Bars of the session that were left to REST because the store was busy.",
        _SERIES,
        _samples(sessions.drop_nulls("dropped"), _SERIES, "dropped"),
    )


# Work ---------------------------------------------------------------------------------------------


def _of_jobs(view: Snapshot, profiles: Sequence[Profile]) -> Iterator[Metric]:
    kept = pl.col("profile").is_in([profile.name for profile in profiles])
    jobs = view.totals.last_jobs().filter(kept)
    ended = jobs.drop_nulls("ended_at").with_columns(
        ended=pl.col("ended_at").dt.epoch("ms") / 1000,
        has_failed=(pl.col("status") != "SUCCEEDED").cast(pl.Int8),
    )
    labels = ("profile", "kind", "timeframe")
    yield _gauge("jobs_running", "Jobs that run.", labels, _samples(jobs, labels, "running"))
    yield _gauge(
        "job_seconds", "How long the last job took.", labels, _samples(ended, labels, "seconds")
    )
    yield _gauge(
        "job_failed",
        "1 where the last job has failed or left something out, else 0.",
        labels,
        _samples(ended, labels, "has_failed"),
    )
    yield _gauge(
        "job_ended_timestamp_seconds",
        "End of the last job, in seconds since 1970.",
        labels,
        _samples(ended, labels, "ended"),
    )


def _of_alerts(view: Snapshot) -> Metric:
    going_on = view.alerts.of().filter(pl.col("over_at").is_null())
    counts = Counter(going_on.select("profile", "kind", "level").iter_rows())
    return _gauge(
        "alerts",
        "Troubles that go on, by kind and level.",
        ("profile", "kind", "level"),
        [Sample(labels, count) for labels, count in sorted(counts.items())],
    )


def _of_store(view: Snapshot, size: int) -> Iterator[Metric]:
    waits, seconds = view.totals.waits()
    yield _gauge("store_bytes", "Length of the store's file.", (), [Sample((), size)])
    for name, words, value in (
        ("store_lock_waits_total", "Waits of more than 0.1 s for the store.", waits),
        ("store_lock_wait_seconds_total", "Seconds of these waits.", seconds),
    ):
        yield Metric(f"market_assets_{name}", "counter", words, (), (Sample((), float(value)),))


def _gauge(name: str, words: str, labels: Sequence[str], samples: Sequence[Sample]) -> Metric:
    return Metric(f"market_assets_{name}", "gauge", words, tuple(labels), tuple(samples))


def _samples(rows: pl.DataFrame, labels: Sequence[str], column: str) -> tuple[Sample, ...]:
    return tuple(
        Sample(values, float(value))
        for *values_of_row, value in rows.select(*labels, column).iter_rows()
        for values in [tuple(map(str, values_of_row))]
    )
