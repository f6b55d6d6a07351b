"""A calendar that has changed: the partitions that it touches are judged again.

The calendar changes with a correction of this package, a release of a library, or
`calendar_changes` of the universe. The store has the stretches of trading that a profile was judged
by; where they are others now, the partitions that were judged there are judged by the new ones. No
source is asked.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.scope import scope_of
from market_assets.expected.series import calendar_of
from market_assets.fill.faults import note_off_calendar
from market_assets.fill.judge import Judge
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.store.answers import without
from market_assets.verdicts.clean import Reason
from market_assets.verdicts.ledger import LEDGER_SCHEMA
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets.work.publish import count_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.store import Snapshot, Store, Transaction

log = logging.getLogger("market_assets.fill")

_AT_ONCE = 31
"""How many partitions are judged in one transaction."""

_AHEAD = timedelta(days=8)
"""How far ahead of the present sessions are recorded: what lies further was never judged."""

_DAY = timedelta(days=1)


def follow_calendar(store: Store, profile: Profile, now: datetime) -> list[date]:
    """Judge again what a change of a profile's calendar touches.

    Args:
        store: Where all is kept.
        profile: Whose calendar.
        now: The present instant.

    Returns:
        The sessions that have changed, and that a judged partition holds; empty where nothing has
        changed.
    """
    calendar = calendar_of(profile)
    sessions, digest = _sessions(calendar, profile.start, now.date())
    with store.reading(f"looking whether the calendar of {profile.name} has changed") as view:
        if view.sessions.digest(profile.name) == digest:
            return []
        changed = _changed(view, profile, calendar, sessions)
        touched = _touched(view, profile, changed)

    if not changed.is_empty():
        with store.writing(f"preparing the new calendar of {profile.name}") as transaction:
            transaction.off_calendar.forget(profile.name, sorted(set(changed["session"])))
            for timeframe in profile.timeframes.fetch:
                transaction.coverage.forget(
                    profile.candles(timeframe), _unheard(changed, timeframe)
                )
    for timeframe, partitions in touched.items():
        for batch in _neighbours(partitions):
            with store.writing(
                f"judging {profile.name} {timeframe} by its new calendar"
            ) as transaction:
                _judge(transaction, scope_of(profile, timeframe, now), batch)
    days = sorted(set(changed["session"]))
    touched_days = days if touched else []
    with store.writing(f"noting the calendar of {profile.name}") as transaction:
        _forget_vanished(transaction, profile, touched)
        transaction.sessions.put(profile.name, digest, sessions)
    if touched_days:
        log.info(
            "the calendar %s of %s has changed on %s: what was judged there is judged again",
            *(calendar.name, profile.name, _named(touched_days)),
        )
    return touched_days


def _named(days: Sequence[date]) -> str:
    return ", ".join(map(str, days[:5])) + (
        f" and {len(days) - 5:,} more sessions" if len(days) > 5 else ""
    )


@lru_cache(maxsize=64)
def _sessions(calendar: SessionCalendar, start: date, today: date) -> tuple[pl.DataFrame, str]:
    """The stretches of trading since a profile's start, and a digest of them."""
    window = Window.of_days(start - _DAY, max(start, today) + _AHEAD)
    inside = window.intersect(calendar.known)
    spans = calendar.spans(inside) if inside else calendar.spans(Window(window.start, window.start))
    text = spans.write_csv() + str(calendar.halts)
    return spans, sha256(text.encode()).hexdigest()[:16]


def _changed(
    view: Snapshot, profile: Profile, calendar: SessionCalendar, sessions: pl.DataFrame
) -> pl.DataFrame:
    """The stretches of trading that are new, and those that are gone.

    Returns:
        session, open, close, added (Boolean).
    """
    before = view.sessions.of(profile.name)
    if before.is_empty():
        # A store of an earlier release was judged by the calendars of the libraries.
        before = calendar.uncorrected
    columns = ["session", "open", "close"]
    before = before.select(columns).cast({"open": TS, "close": TS})
    if sessions.is_empty():
        return sessions.with_columns(added=pl.lit(value=True))
    # What lies beyond either was not judged, or is not kept.
    last = sessions["session"].max()
    first = sessions["session"].min()
    before = before.filter(pl.col("session").is_between(first, last))
    newest = before["session"].max() if view.sessions.digest(profile.name) else last
    now = sessions.filter(pl.col("session") <= newest) if newest is not None else sessions.clear()
    return pl.concat(
        [
            now.join(before, on=columns, how="anti").with_columns(added=pl.lit(value=True)),
            before.join(now, on=columns, how="anti").with_columns(added=pl.lit(value=False)),
        ]
    ).sort("open")


def _unheard(changed: pl.DataFrame, timeframe: Timeframe) -> list[Window]:
    """The stretches that were outside the sessions until now.

    What a source gave there was refused, whatever it answered.
    """
    if not timeframe.intraday:
        new = set(changed.filter("added")["session"]) - set(
            changed.filter(~pl.col("added"))["session"]
        )
        return [Window.of_days(day, day + _DAY) for day in sorted(new)]
    added = changed.filter("added").select(start_ts="open", end_ts="close")
    removed = changed.filter(~pl.col("added")).select("open", "close")
    left = without(added, list(removed.iter_rows()))
    return [Window.spanning(row["start_ts"], row["end_ts"]) for row in left.iter_slices(1)]


def _touched(
    view: Snapshot, profile: Profile, changed: pl.DataFrame
) -> dict[Timeframe, list[Partition]]:
    """The judged partitions of each fetched timeframe that share a day with a changed session.

    They are sorted, oldest first.
    """
    days = (
        set(changed["session"])
        | set(changed["open"].dt.date())
        | set((changed["close"].dt.offset_by("-1us")).dt.date())
    )
    touched = {}
    for timeframe in profile.timeframes.fetch:
        cadence = profile.partitions.of(timeframe)
        opening = (
            {day - timedelta(days=day.weekday()) for day in days}
            if timeframe is Timeframe.W1
            else days
        )
        judged = view.partitions.keys(profile.candles(timeframe))
        partitions = {Partition.holding(day, cadence) for day in opening}
        if judged_partitions := sorted(
            partition for partition in partitions if partition.key in judged
        ):
            touched[timeframe] = judged_partitions
    return touched


def _neighbours(partitions: Sequence[Partition]) -> Iterator[list[Partition]]:
    """Partitions that follow each other without a gap in time, some at once."""
    batch: list[Partition] = []
    for partition in partitions:
        if batch and (len(batch) >= _AT_ONCE or batch[-1].window.end != partition.window.start):
            yield batch
            batch = []
        batch.append(partition)
    if batch:
        yield batch


def _judge(transaction: Transaction, scope: Scope, batch: list[Partition]) -> None:
    """Judge some neighbouring partitions by the calendar as it is now."""
    window = hull(batch)
    grid = scope.grid(window)["ts"]
    outside = _outside(transaction, scope, window, grid)
    transaction.candles.forget(scope.dataset, window, grid)
    judge = Judge(scope, genesis=transaction.genesis.of(scope.dataset))
    keys = [partition.key for partition in batch]
    counts_before = transaction.partitions.counts(scope.dataset, keys)
    note_off_calendar(transaction, scope, outside, batch)
    outcomes = judge.commit(transaction, batch, [])
    counted = {
        (outcome.partition.key, counts.symbol) for outcome in outcomes for counts in outcome.counts
    }
    lost = [
        row for row in counts_before.select("partition", "symbol").iter_rows() if row not in counted
    ]
    _put_nothing(transaction, scope.dataset, lost)
    for partition in batch:
        if grid.filter(grid.is_between(*_edges(partition.window), closed="left")).is_empty():
            transaction.gaps.put(
                scope.dataset, scope.symbols, partition.window, LEDGER_SCHEMA.to_frame()
            )


def _outside(view: Snapshot, scope: Scope, window: Window, grid: pl.Series) -> pl.DataFrame:
    """The stored candles that the calendar refuses now, in the form of refused rows.

    They are evidence against the calendar.
    """
    candles = view.candles.of(scope.dataset, scope.symbols, window)
    values = (pl.format(f"{name[0]}={{}}", name) for name in ("high", "low", "volume"))
    return candles.filter(~pl.col("ts").is_in(grid.implode())).select(
        "symbol",
        "ts",
        reason=pl.lit(Reason.CLOSED_MARKET.value),
        values=pl.concat_str(*values, separator=" ", ignore_nulls=True),
    )


def _edges(window: Window) -> tuple[datetime, datetime]:
    return window.start.replace(tzinfo=None), window.end.replace(tzinfo=None)


def _put_nothing(
    transaction: Transaction, dataset: Dataset, lost: Sequence[tuple[str, str]]
) -> None:
    """Record that nothing is expected any more of symbols in judged partitions."""
    counts: dict[str, list[SymbolCounts]] = {}
    for key, symbol in lost:
        counts.setdefault(key, []).append(SymbolCounts(symbol, 0, 0, 0, 0))
    transaction.partitions.put(dataset, count_frame(counts, {}), changed=list(counts))


def _forget_vanished(
    transaction: Transaction, profile: Profile, touched: dict[Timeframe, list[Partition]]
) -> None:
    """Remove what was made of candles on days that have no session any more.

    No work makes these partitions again.
    """
    calendar = calendar_of(profile)
    days = {
        partition
        for partitions in touched.values()
        for partition in partitions
        if _is_day(partition)
    }
    gone = [
        day for day in sorted(days) if calendar.bars_touching(Timeframe.M1, day.window).is_empty()
    ]
    made = [
        Dataset.labelled(profile.name, label)
        for label in transaction.partitions.labels(profile.name)
        if label not in profile.timeframes.fetch
    ]
    for day in gone:
        for dataset in made:
            judged = transaction.partitions.counts(dataset, [day.key])
            if judged.is_empty():
                continue
            transaction.candles.forget(dataset, day.window, pl.Series(dtype=TS))
            rows = list(judged.select("partition", "symbol").iter_rows())
            _put_nothing(transaction, dataset, rows)


def _is_day(partition: Partition) -> bool:
    return partition.window.end - partition.window.start == _DAY
