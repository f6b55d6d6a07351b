"""The story of one bar: whether it must exist, what is known of it, and what happens next.

It says also from which source something is known, and since when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.expected.floors import kept_for
from market_assets.expected.scope import scope_of
from market_assets.expected.states import states_of
from market_assets.market.calendars.bounds import CLOSURE
from market_assets.market.columns import OHLCV
from market_assets.market.durations import duration_words
from market_assets.market.instants import brief
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.plan.repair import due_at
from market_assets.reports.bar import Bar, bar_holding, window_at
from market_assets.reports.events import Event, Events, prices_of, times_of
from market_assets.reports.streams import stream_events
from market_assets.store.database import aware
from market_assets.verdicts.evidence import EXPLAINED, MISSING, State
from market_assets.verdicts.ledger import WHO_SCHEMA, askable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot


_NOTHING_COMES = "Nothing is expected there, so that nobody asks for it."
_SETTLED = (
    "It is not asked for any more. If a source gives it in a backfill --refetch, "
    "it is stored and counts as repaired."
)


class Beyond(StrEnum):
    """Why no bar must be there; a State says only what is known of a bar that must."""

    CLOSED = "market closed"
    BEFORE_START = "before start"
    AFTER_END = "after end"
    NOT_CLOSED = "not closed yet"
    BEFORE_GENESIS = "before genesis"
    REMOVED = "removed by retention"


@dataclass(frozen=True)
class Story:
    """What is known of one bar. Every instant is aware UTC.

    Attributes:
        profile: The profile's name.
        symbol: The symbol.
        timeframe: The bar's timeframe.
        asked: The instant that was asked for.
        bar: The bar that holds it; None where the market is closed.
        state: A State or a Beyond.
        verdict: What is so, and why.
        coming: What happens next.
        values: The stored candle and its source, if there is one.
        gap: Its row of the gap ledger, if there is one.
        events: What happened, oldest first.
    """

    profile: str
    symbol: str
    timeframe: Timeframe
    asked: datetime
    bar: Bar | None
    state: str
    verdict: str
    coming: str
    values: Mapping[str, object] | None = None
    gap: Mapping[str, object] | None = None
    events: tuple[Event, ...] = ()

    @property
    def missing(self) -> bool:
        """True when the bar must exist and is neither stored nor explained."""
        return self.state in MISSING


def story_of(view: Snapshot, scope: Scope, symbol: str, ts: datetime) -> Story:
    """Tell the story of the bar that holds an instant.

    Args:
        view: The store.
        scope: What must exist: candles of a fetched timeframe.
        symbol: The symbol.
        ts: Any instant of the bar, or what it is stored by.

    Raises:
        UniverseError: The profile has no such symbol.
        CalendarError: The instant lies outside the years that the calendar knows.
        ValueError: The profile does not fetch that timeframe.
    """
    if scope.timeframe not in scope.profile.timeframes.fetch:
        raise ValueError(f"profile {scope.profile.name} does not fetch {scope.timeframe}")
    return _Teller(view, scope, symbol).tell(ts.astimezone(UTC))


def stories_of(
    view: Snapshot,
    profile: Profile,
    symbol: str,
    ts: datetime,
    now: datetime,
    *,
    timeframes: Sequence[Timeframe] = (),
) -> list[Story]:
    """Tell the story of an instant's bar in each of some fetched timeframes.

    Args:
        view: The store.
        profile: Whose candles.
        symbol: The symbol.
        ts: See `story_of`.
        now: The present instant, aware.
        timeframes: Those that the profile does not fetch are left out; all that it does by default.
    """
    return [
        story_of(view, scope_of(profile, timeframe, now), symbol, ts)
        for timeframe in timeframes or profile.timeframes.fetch
        if timeframe in profile.timeframes.fetch
    ]


@dataclass(frozen=True)
class _Told:
    """The part of a story that its question does not give."""

    state: str
    verdict: str
    coming: str = _NOTHING_COMES
    values: Mapping[str, object] | None = None
    gap: Mapping[str, object] | None = None
    events: Sequence[Event] = ()


class _Teller:
    """Tells the stories of one symbol's bars."""

    def __init__(self, view: Snapshot, scope: Scope, symbol: str) -> None:
        self._view = view
        self._scope = scope.only([symbol])
        self._profile = scope.profile
        self._timeframe = scope.timeframe
        self._dataset = scope.dataset
        self._symbol = symbol
        self._now = scope.now
        self._events = Events(view, self._scope, symbol)
        self._calendar = scope.calendar
        (self._series,) = self._scope.series

    def tell(self, asked: datetime) -> Story:
        """The story of the bar that holds an instant (aware UTC)."""
        bar, finding = self._find(asked)
        return Story(
            self._profile.name,
            self._symbol,
            self._timeframe,
            asked,
            bar,
            str(finding.state),
            finding.verdict,
            finding.coming,
            values=finding.values,
            gap=finding.gap,
            # Within a second in the order of this module: a job before what it brought.
            events=tuple(sorted(finding.events, key=lambda event: event.at.replace(microsecond=0))),
        )

    def _find(self, asked: datetime) -> tuple[Bar | None, _Told]:
        outside, known_window = self._outside(asked), self._calendar.known
        if outside and not known_window.start <= asked < known_window.end:
            return None, outside
        bar = bar_holding(self._calendar, self._timeframe, asked)
        if bar is None:
            return None, outside or _Told(Beyond.CLOSED, self._closed(asked))
        if values := self._stored(bar):
            return bar, self._of_stored(bar, values)
        return bar, self._outside(bar.ts) or self._early(bar) or self._of_absent(bar)

    def _outside(self, ts: datetime) -> _Told | None:
        """Why nothing is kept of the symbol at that time, by the universe alone."""
        symbol, name = self._profile.symbols[self._symbol], self._symbol
        if ts < midnight(symbol.start):
            return _Told(
                Beyond.BEFORE_START,
                f"{name} is kept from {symbol.start} on: that is its start in the universe.",
            )
        if symbol.end is not None and ts >= midnight(symbol.end):
            return _Told(
                Beyond.AFTER_END,
                f"{name} is kept until {symbol.end}: that is its end in the universe.",
            )
        return self._removed(ts)

    def _removed(self, ts: datetime) -> _Told | None:
        """Why a bar below the floor is not there: retention has removed it, or keeps it out."""
        floor, kept = self._scope.floor.kept, kept_for(self._profile, self._dataset)
        if floor is None or kept is None or ts >= floor:
            return None
        key, age = kept
        holding = Partition.holding(ts.date(), self._scope.cadence)
        removed = self._view.pruned.of(self._dataset, holding.key, self._symbol)
        if removed.is_empty():
            return _Told(
                Beyond.REMOVED,
                f"{self._symbol} is kept from {floor.date()} on, by retention of {age} "
                f"({key}): what lies before is not asked for.",
            )
        row = removed.row(0, named=True)
        verdict = f"Removed by retention of {row['retention']} on {row['pruned_at'].date()}"
        if row["archived"]:
            verdict += f", archived to {', '.join(row['archived'])} of the lake"
        return _Told(
            Beyond.REMOVED,
            f"{verdict}.",
            f"Nothing is expected before {floor.date()}. "
            f"A longer `retention: {{{key}: ...}}` has it asked for again.",
        )

    def _early(self, bar: Bar) -> _Told | None:
        """Why nothing is expected of a bar yet, or was not yet at its time."""
        if bar.closes_at > self._now:
            return _Told(
                Beyond.NOT_CLOSED,
                f"This bar closes at {brief(bar.closes_at)}, and it is {brief(self._now)} now.",
                f"The first update from {duration_words(self._profile.update.settle)} after its "
                "close on asks for it.",
            )
        genesis = self._view.genesis.of(self._dataset).get(self._symbol)
        if genesis is None or bar.ts >= genesis:
            return None
        verdict = f"{self._symbol} has its first bar at {brief(genesis)}, as a source has named it."
        return _Told(
            Beyond.BEFORE_GENESIS,
            verdict,
            events=[*self._events.jobs(bar), *self._events.namings()],
        )

    def _closed(self, asked: datetime) -> str:
        """The sessions around an instant at which the market is closed, in words."""
        known_window = self._calendar.known
        spans = self._calendar.spans(
            Window(
                max(known_window.start, asked - 2 * CLOSURE),
                min(known_window.end, asked + 2 * CLOSURE),
            )
        )
        instant = asked.replace(tzinfo=None)
        before, after = (
            spans.filter(pl.col("close") <= instant).tail(1),
            spans.filter(pl.col("open") > instant).head(1),
        )
        around = [
            *(
                f"trading stopped at {brief(aware(at))} (session {day})"
                for day, _, at in before.iter_rows()
            ),
            *(
                f"it goes on at {brief(aware(at))} (session {day})"
                for day, at, _ in after.iter_rows()
            ),
        ]
        day = asked.astimezone(self._calendar.zone).date()
        why = "".join(f" Of {day}: {reason}." for reason in self._calendar.reasons_for(day))
        return (
            f"The market is closed then by the calendar {self._calendar.name}: "
            f"{', and '.join(around)}.{why}"
        )

    def _stored(self, bar: Bar) -> Mapping[str, object] | None:
        if not self._view.candles.has(self._dataset):
            return None
        rows = self._view.candles.of(self._dataset, [self._symbol], window_at(bar.ts))
        return rows.select(*OHLCV, "source").row(0, named=True) if len(rows) else None

    def _of_stored(self, bar: Bar, values: Mapping[str, object]) -> _Told:
        revisions = self._events.revisions(bar)
        verdict = f"Stored, from {values['source']}: {prices_of(values)}."
        if revisions:
            verdict += f" It was revised {times_of(len(revisions))}."
        if unexpected := self._outside(bar.ts) or self._early(bar):
            verdict += f" Nothing is expected there, though: {unexpected.verdict}"
        return _Told(
            State.STORED,
            verdict,
            "Only a backfill --refetch, or an update while it is among the newest bars, "
            "asks for it again.",
            values=values,
            events=[
                *self._events.jobs(bar),
                *self._events.coverage(bar),
                *self._events.repairs(bar),
                *revisions,
                *self._streams(bar),
                *self._events.comparisons(bar),
            ],
        )

    def _of_absent(self, bar: Bar) -> _Told:
        partition = Partition.holding(bar.ts.date(), self._scope.cadence)
        state, row = self._state(bar, partition), self._ledger_row(bar, partition)
        gap = row.row(0, named=True) if len(row) else None
        if gap is None:
            finding = self._unseen(state, bar, partition)
            if self._series.apart:
                finding = replace(finding, verdict=f"{finding.verdict} {self._series.apart}.")
        else:
            finding = _Told(
                state,
                self._why(state, gap),
                self._next(state, row),
                gap={name: _in_utc(gap[name]) for name in gap if name not in WHO_SCHEMA},
            )
        events = [
            *self._events.jobs(bar),
            *self._events.namings(),
            *self._events.coverage(bar),
            *self._events.refused(partition),
            *self._events.repairs(bar),
            *self._events.revisions(bar),
            *self._streams(bar),
        ]
        return replace(finding, events=[*events, *(self._events.of_gap(gap) if gap else [])])

    def _streams(self, bar: Bar) -> list[Event]:
        return stream_events(self._view, self._dataset, self._symbol, bar, self._now)

    def _state(self, bar: Bar, partition: Partition) -> str:
        """The state of an absent bar by the rules of every fill."""
        if not self._view.candles.has(self._dataset):
            halted = self._scope.grid(window_at(bar.ts))["halted"].any()
            return State.HALTED if halted else State.OPEN
        states = states_of(self._view, self._scope, partition.window)
        return str(states.filter(pl.col("ts") == bar.ts.replace(tzinfo=None))["state"][0])

    def _ledger_row(self, bar: Bar, partition: Partition) -> pl.DataFrame:
        gaps = self._view.gaps.of(
            self._dataset,
            symbols=[self._symbol],
            window=partition.window,
            who=True,
        )
        ts = bar.ts.replace(tzinfo=None)
        return gaps.filter(pl.col("first_ts") <= ts, pl.col("last_ts") >= ts).head(1)

    def _unseen(self, state: str, bar: Bar, partition: Partition) -> _Told:
        """The story of an absent bar that the ledger has no row of."""
        if state == State.HALTED:
            return _Told(
                state,
                "Explained: the whole market stood still then, "
                "so that the bar may exist but need not.",
                _SETTLED,
            )
        if state == State.NO_TRADE:
            limit = duration_words(self._profile.evidence.quiet_limit)
            verdict = (
                "Explained as no_trade: "
                "a source that leaves bars without a trade out has answered for this stretch, "
                f"and the silence is not longer than {limit}."
            )
            return _Told(state, verdict, _SETTLED)
        judged = self._view.partitions.counts(self._dataset, [partition.key])
        judged_at = judged.filter(pl.col("symbol") == self._symbol)["judged_at"].max()
        coming = f"The next repair or backfill of partition {partition.key} asks for it."
        if isinstance(judged_at, datetime) and aware(judged_at) >= bar.closes_at:
            # A bar that is absent when a partition is judged gets a row: this one was there.
            verdict = (
                "Missing: it has gone from the store since the partition was judged at "
                f"{brief(aware(judged_at))}."
            )
            return _Told(
                state,
                verdict,
                f"The next fill of partition {partition.key} sees it and asks for it.",
            )
        first = self._profile.update.first_backfill
        if judged_at is None and partition.window.end <= self._now - first:
            coming = (
                "Nothing happens by itself, "
                f"because partition {partition.key} is older than the first backfill "
                f"({duration_words(first)}): market-assets backfill asks for it."
            )
        removed = self._view.pruned.of(self._dataset, partition.key, self._symbol)
        if not removed.is_empty():
            row = removed.row(0, named=True)
            verdict = (
                f"Missing: retention of {row['retention']} removed this part on "
                f"{row['pruned_at'].date()}, and no source was asked for it since."
            )
            return _Told(state, verdict, coming)
        return _Told(state, "Missing: nobody has asked a source for it yet.", coming)

    def _why(self, state: str, gap: Mapping[str, Any]) -> str:
        """Why a bar in a row of the ledger is absent."""
        reason = gap["reason"]
        if state == State.OPEN:
            asked = times_of(gap["attempts"] + (gap["failures"] or 0))
            return f"Missing, asked for {asked}: {reason}."
        if state == State.ABANDONED:
            return f"Missing, and abandoned: {reason}."
        if state == State.CLOSED:
            return (
                f"Explained as closed: {reason}. "
                "If the market was closed, say so in calendar_changes of the universe; "
                "if it was not, a source that has these bars fills them."
            )
        what = (
            "nothing was traded"
            if state == State.NO_TRADE
            else "the market was open, but no source has this bar"
        )
        return f"Explained as {state}, {what}: {reason}."

    def _next(self, state: str, row: pl.DataFrame) -> str:
        """What happens to a bar in a row of the ledger."""
        budget, rules = self._profile.repair, self._profile.evidence
        if state == State.ABANDONED and not askable(row).is_empty():
            return (
                "No repair asks for it any more. A backfill by hand does, "
                "because those who were asked may answer otherwise the next time."
            )
        if state == State.ABANDONED:
            return (
                "It is not asked for any more; market-assets repair --abandoned asks once more, "
                "and so does a backfill --refetch."
            )
        if state in EXPLAINED:
            return _SETTLED
        due = row.select(due_at(rules, budget, self._now)).item()
        words = "It is due: the next repair or backfill asks for it."
        if due is not None and aware(due) > self._now:
            words = (
                f"No repair asks for it before {brief(aware(due))}; "
                "a backfill by hand asks at once."
            )
        return (
            f"{words} {rules.confirmations} answers that there is no such bar explain it "
            f"({row['confirmations'][0]} so far); "
            f"{budget.max_attempts} that leave it in doubt make it abandoned "
            f"({row['attempts'][0]} answers so far)."
        )


def _in_utc(value: object) -> object:
    return aware(value) if isinstance(value, datetime) else value
