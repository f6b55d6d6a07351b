"""One look at everything that can be wrong.

A look reads the store, keeps the ledger of alerts, and sends what is to be reported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.alerts import message
from market_assets.alerts.causes import Folded, fold, locate
from market_assets.alerts.channels import Channel, channels_of, send
from market_assets.alerts.ledger import (
    Alert,
    claim,
    failing_channels,
    judge_channels,
    reconcile,
    told,
)
from market_assets.alerts.outside import Outside
from market_assets.alerts.troubles import (
    Key,
    Kind,
    Level,
    Trouble,
    backlog,
    calendar_doubts,
    disagreements,
    enrichment,
    failed_days,
    first_of_each,
    gap_troubles,
    missing_symbols,
    silent_actions,
    sources_down,
    stale,
    vanished,
)
from market_assets.enrich.actions.actions import unheard
from market_assets.enrich.made import made_of_profile
from market_assets.errors import StoreBusyError
from market_assets.expected.lost import lost_partitions
from market_assets.expected.series import calendar_of, living_series, partitions_of, series_of
from market_assets.market.datasets import Dataset, Family
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import TS, Timeframe, Window, literal
from market_assets.reports.doubts import doubts_of
from market_assets.reports.gaps import whole_gaps
from market_assets.verdicts.evidence import EXPLAINED, MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from market_assets.alerts.message import Message
    from market_assets.config.universe import Profile, Universe
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.store import Snapshot, Store

_LOOK_BACK = timedelta(days=31)
"""How far back the newest session is looked for: further than any exchange was ever closed."""

_HOUR, _DAY, _FEW_DAYS = timedelta(hours=1), timedelta(days=1), timedelta(days=3)

_NOTICEABLE = timedelta(hours=1)
"""How much of candles a symbol must lack, all of it, to count as missing and not as new."""

_SILENCE = timedelta(days=2)
"""After so long without an answer, a symbol's corporate actions are out of date.

They are asked for every day.
"""

ALERT_SCHEMA = pl.Schema(
    {
        "alert_id": pl.String(),
        "profile": pl.String(),
        "kind": pl.String(),
        "subject": pl.String(),
        "level": pl.String(),
        "summary": pl.String(),
        "count": pl.Int64(),
        "details": pl.List(pl.String()),
        "symbols": pl.List(pl.String()),
        "opened_at": TS,
        "told_at": TS,
        "told_level": pl.String(),
        "over_at": TS,
        "over_told_at": TS,
        "tries": pl.Int32(),
        "tried_at": TS,
        "error": pl.String(),
    }
)
"""The columns of `ops.alerts`."""


@dataclass(frozen=True)
class Told:
    """What one look came to.

    Attributes:
        present: The alerts that go on.
        begun: Those that were told to have begun or become worse.
        over: Those that were told to be over.
        failures: What went wrong with each channel that failed.
    """

    present: tuple[Alert, ...]
    begun: tuple[Alert, ...] = ()
    over: tuple[Alert, ...] = ()
    failures: Mapping[str, str] | None = None

    def __str__(self) -> str:
        errors = sum(alert.level is Level.ERROR for alert in self.present)
        words = [
            f"{len(self.present)} present ({errors} errors)" if self.present else "nothing is wrong"
        ]
        words += [f"told {len(self.begun)} new"] if self.begun else []
        words += [f"told {len(self.over)} over"] if self.over else []
        words += [f"{name}: {error}" for name, error in (self.failures or {}).items()]
        return "; ".join(words)


@dataclass(frozen=True)
class _Errand:
    """What is to be done after a look.

    Attributes:
        alerts: The rows as they should be before anything is sent: what is sent is claimed.
        begun: The alerts whose beginning or worsening is told.
        over: Those whose end is told.
        letters: What goes through which channel.
    """

    alerts: Sequence[Alert]
    begun: tuple[Alert, ...]
    over: tuple[Alert, ...]
    letters: Mapping[Channel, Sequence[Message]]


class Watch:
    """Looks again and again; the ledger in the store is all that it has to remember.

    Args:
        store: Where the facts and the ledger are; its patience is how long a look may wait for it.
        universe: What is kept, who is told, and what is too little.
        clock: Gives the present instant.
    """

    def __init__(self, store: Store, universe: Universe, clock: Callable[[], datetime]) -> None:
        self.outside = Outside(store.path.parent, universe, clock)
        self._store = store
        self._universe = universe
        self._clock = clock
        self._channels = channels_of(universe)
        self._delivered: tuple[_Errand, Mapping[str, str]] | None = None
        self._lost: dict[tuple[str, Timeframe], dict[str, str]] = {}
        self._counted_at: datetime | None = None
        self._backlogs: list[Trouble] = []
        self._backlogs_at: datetime | None = None

    def hindrance(self) -> StoreBusyError | None:
        """The program that keeps writers from the store's file, as an error; None without one.

        The file can be read all the same.
        """
        program = self._store.hindrance()
        if program is None:
            return None
        return StoreBusyError(
            f"writers wait: another program has {self._store.path} open ({program})"
        )

    def look(
        self,
        additions: Sequence[Trouble] = (),
        *,
        held: Callable[[Key], bool] = lambda _: False,
        materialized: Mapping[Dataset, Collection[str]] | None = None,
    ) -> Told:
        """Find what is wrong, keep the ledger, tell what is to be told.

        Args:
            additions: Troubles that the store knows nothing of.
            held: Of which troubles nothing could be learnt this time: they are neither new nor
                over.
            materialized: The partitions that somebody remembers as filled or made, by dataset.

        Raises:
            StoreError: The store cannot be read or written, or stayed busy. What was sent meanwhile
                is written down by the next look.
        """
        now = self._clock()
        self._write_down(now)
        with self._store.reading("looking for troubles") as view:
            rows = alerts_in(view.alerts.of())
            gaps = view.gaps.with_status(MISSING)
            troubles = [*store_troubles(view, self._universe, now, gaps), *additions]
            lost = self._lost_candles(view, now, materialized or {})
            troubles += [*lost, *self._never_filled(view, now)]
            whole = not lost and not (
                self.outside.is_changed and self._unmade(view, materialized or {})
            )
            troubles += self.outside.compare(view.mark(), whole=whole)
        folded = fold(locate(troubles, absences_by_day(gaps)))
        if self._plan(rows, folded, now, held).alerts == rows:
            return Told(_present(rows))
        with self._store.writing("keeping the alerts") as transaction:
            # Another watcher may have told it meanwhile: what counts is what the ledger says in
            # this transaction.
            rows = alerts_in(transaction.alerts.of())
            errand = self._plan(rows, folded, now, held)
            transaction.alerts.put(frame_of(alert for alert in errand.alerts if alert not in rows))
        if not errand.letters:
            return Told(_present(errand.alerts))
        errors = send(errand.letters, self._universe)
        outcomes = {
            name: next((error for error in faults if error), "") for name, faults in errors.items()
        }
        self._delivered = errand, outcomes
        return Told(
            _present(self._write_down(now)),
            tuple(alert for alert in errand.begun if _arrived(alert, outcomes)),
            tuple(alert for alert in errand.over if _arrived(alert, outcomes)),
            {name: error for name, error in outcomes.items() if error},
        )

    @property
    def lost(self) -> Mapping[str, int]:
        """How many partitions of each profile had lost candles at the last look."""
        counts = {profile: 0 for profile, _ in self._lost}
        for (profile, _), partitions in self._lost.items():
            counts[profile] += len(partitions)
        return {profile: count for profile, count in counts.items() if count}

    def _lost_candles(
        self, view: Snapshot, now: datetime, materialized: Mapping[Dataset, Collection[str]]
    ) -> list[Trouble]:
        """The partitions that have lost candles.

        The newest partitions are counted at each look, all partitions once per day.
        """
        whole = self._counted_at is None or not timedelta(0) <= now - self._counted_at < _DAY
        troubles = []
        for profile in self._universe.profiles.values():
            for timeframe in profile.timeframes.fetch:
                key, cadence = (profile.name, timeframe), profile.partitions.of(timeframe)
                newest = min(now, profile.window(now).end)
                since = None if whole else _since(self._lost.get(key, ()), cadence, newest)
                remembered = materialized.get(profile.candles(timeframe), ())
                self._lost[key] = lost_partitions(
                    view, profile, timeframe, filled=remembered, now=now, since=since
                )
                troubles += vanished(profile.name, timeframe, self._lost[key], cadence)
        self._counted_at = now if whole else self._counted_at
        return troubles

    def _unmade(self, view: Snapshot, materialized: Mapping[Dataset, Collection[str]]) -> bool:
        """Whether something is still to be made again of candles that are stored."""
        for profile in self._universe.profiles.values():
            unknown = {
                made: set(materialized.get(made.dataset, ())) - view.partitions.keys(made.dataset)
                for made in made_of_profile(profile)
            }
            if not any(unknown.values()):
                continue
            filled = {
                day
                for timeframe in profile.timeframes.fetch
                for day in _filled(view, profile, timeframe)
            }
            if any(
                _days(key, made.cadence) & filled for made, keys in unknown.items() for key in keys
            ):
                return True
        return False

    def _never_filled(self, view: Snapshot, now: datetime) -> list[Trouble]:
        """Which backlogs stand still; looked for once an hour, as they grow by the day."""
        before = self._backlogs_at
        if before is not None and timedelta(0) <= now - before < _HOUR:
            return self._backlogs
        begun = view.jobs.first()
        lists = {
            (profile.name, timeframe): never_filled(view, profile, timeframe, now - _DAY)
            for profile in self._universe.profiles.values()
            for timeframe in profile.timeframes.fetch
            if profile.name in begun
        }
        counts = {f"{name}/{timeframe}": len(keys) for (name, timeframe), keys in lists.items()}
        standing = self.outside.standing(counts)
        self._backlogs_at = now
        self._backlogs = [
            trouble
            for (name, timeframe), keys in lists.items()
            if f"{name}/{timeframe}" in standing
            for trouble in backlog(name, timeframe, keys)
        ]
        return self._backlogs

    def _plan(
        self, rows: list[Alert], folded: Folded, now: datetime, held: Callable[[Key], bool]
    ) -> _Errand:
        names = {channel.name for channel in self._channels}
        reckoning = reconcile(
            rows,
            [trouble for trouble in folded.causes if not held(trouble.key)],
            now,
            held=held,
            kept=lambda alert: _kept(alert, self._universe, names),
            under=folded.under.keys(),
        )
        failing = failing_channels(reckoning.alerts)
        healthy = [channel for channel in self._channels if channel.name not in failing]
        again = [
            channel
            for channel in self._channels
            if channel.name in failing and failing[channel.name].due(now)
        ]
        begun, over = (reckoning.begun, reckoning.over) if healthy or again else ((), ())
        redact = self._universe.redact
        news = [message.begun(begun, redact)] if begun else []
        news += [message.over(over, redact)] if over else []
        letters: dict[Channel, Sequence[Message]] = {channel: news for channel in healthy if news}
        for channel in again:
            row = failing[channel.name]
            present = [
                alert
                for alert in _present(reckoning.alerts)
                if (alert in begun or not alert.untold) and alert != row
            ]
            letters[channel] = [message.digest(row.opened_at, present, over, redact)]
        ids = {
            alert.alert_id
            for alert in (*begun, *over, *(failing[channel.name] for channel in again))
        }
        claimed = {
            alert.alert_id: alert
            for alert in claim((alert for alert in reckoning.alerts if alert.alert_id in ids), now)
        }
        return _Errand(
            [claimed.get(alert.alert_id, alert) for alert in reckoning.alerts], begun, over, letters
        )

    def _write_down(self, now: datetime) -> list[Alert]:
        """Note what came of the last errand, if that was not noted yet; gives the rows after it."""
        if self._delivered is None:
            return []
        errand, outcomes = self._delivered
        sent = {
            alert.alert_id: alert
            for alert in (*errand.begun, *errand.over)
            if _arrived(alert, outcomes)
        }
        lost = {alert.alert_id for alert in (*errand.begun, *errand.over)} - set(sent)
        why = "; ".join(f"{name}: {error}" for name, error in outcomes.items() if error)
        with self._store.writing("noting what was told") as transaction:
            rows = alerts_in(transaction.alerts.of())
            after = [
                told(alert, sent[alert.alert_id], now) if alert.alert_id in sent else alert
                for alert in rows
            ]
            after = [
                replace(alert, error=why) if alert.alert_id in lost else alert for alert in after
            ]
            changed = {alert.alert_id: alert for alert in judge_channels(after, outcomes, now)}
            after = [changed.pop(alert.alert_id, alert) for alert in after]
            after += changed.values()
            transaction.alerts.put(frame_of(alert for alert in after if alert not in rows))
        self._delivered = None
        return after


def store_troubles(
    view: Snapshot, universe: Universe, now: datetime, gaps: pl.DataFrame | None = None
) -> list[Trouble]:
    """The troubles that the store knows of, of all that the universe still keeps.

    Args:
        view: The store.
        universe: What is kept.
        now: The present instant.
        gaps: The rows of the ledger of absences that are missing, where they were read already.
    """
    troubles = []
    gaps = view.gaps.with_status(MISSING) if gaps is None else gaps
    bare = view.completeness.symbols_without_bars()
    fills = view.jobs.last_fills(now - (universe.alerts.failed_days + 10) * timedelta(days=1))
    derivations = view.jobs.last_derivations()
    begun = view.jobs.first()
    apart = (
        view.agreement.disagreements()
        if any(profile.compares for profile in universe.profiles.values())
        else None
    )
    for profile in universe.profiles.values():
        doubted = doubts_of(view, profile)
        for timeframe in profile.timeframes.fetch:
            condition = _of(profile, timeframe)
            troubles += calendar_doubts(profile.name, timeframe, doubted.get(timeframe, ()))
            rows = gaps.filter(condition)
            if not rows.is_empty():
                whole = whole_gaps(rows, profile, timeframe, alike=("symbol", "status"))
                troubles += gap_troubles(profile.name, timeframe, whole, universe.alerts, now)
            expected = dict(bare.filter(condition).select("symbol", "expected").iter_rows())
            empty = [
                symbol
                for symbol, bars in expected.items()
                if bars * timeframe.duration >= _NOTICEABLE
            ]
            reasons = {row["symbol"]: row["reason"] for row in first_of_each(rows)}
            words = {symbol: reasons.get(symbol, "") for symbol in empty}
            troubles += missing_symbols(profile.name, timeframe, words)
            if apart is not None and profile.compares:
                troubles += disagreements(
                    profile.name,
                    timeframe,
                    apart.filter(condition).join(
                        _pairs(profile), on=["symbol", "other"], how="semi"
                    ),
                )
            days = dict(
                fills.filter(_named(profile, timeframe)).select("day", "status").iter_rows()
            )
            troubles += failed_days(
                profile.name, timeframe, days, universe.alerts, now.astimezone(UTC).date()
            )
            # Until this time is over, a new profile lacks its newest session like any other.
            if (first := begun.get(profile.name)) and now - first >= universe.alerts.stale_after:
                troubles += _stale(view, profile, timeframe, universe.alerts.stale_after, now)
        if profile.has_actions and (first := begun.get(profile.name)) and now - first >= _SILENCE:
            troubles += silent_actions(
                profile.name, unheard(view.actions.answers(profile.name), profile, now - _SILENCE)
            )
        of_profile = pl.col("profile") == profile.name
        asked = {choice.source for symbol in profile.symbols.values() for choice in symbol.choices}
        opened = gaps.filter(of_profile, pl.col("symbol").is_in(list(profile.symbols)))
        troubles += sources_down(profile.name, opened, asked, len(profile.symbols), now)
        newest = derivations.filter(of_profile, pl.col("asset").is_in(_made(profile)))
        for _, asset, status, when, failures, faults in newest.iter_rows():
            cadence = profile.partitions.of(Dataset.named(profile.name, asset).timeframe)
            why = json.loads(failures) or json.loads(faults)
            troubles += enrichment(profile.name, asset, status, when, why, cadence=cadence)
    return troubles


def never_filled(
    view: Snapshot, profile: Profile, timeframe: Timeframe, until: datetime
) -> list[str]:
    """The keys of the partitions that must have a bar and were never judged, oldest first.

    Only those that have ended by some instant.
    """
    series = living_series(
        profile,
        until,
        genesis=view.genesis.of(profile.candles(timeframe)),
        dead=view.gaps.dead_symbols(profile.candles(timeframe)),
    )
    if not series:
        return []
    judged = view.partitions.keys(profile.candles(timeframe))
    due = partitions_of(profile, timeframe, series, profile.window(until))
    return [
        partition.key
        for partition in due
        if partition.window.end <= until and partition.key not in judged
    ]


def _filled(view: Snapshot, profile: Profile, timeframe: Timeframe) -> set[date]:
    """The days whose partition of a fetched timeframe holds a bar."""
    standing = view.partitions.standing(Dataset.labelled(profile.name, str(timeframe))).filter(
        pl.col("stored") > 0
    )
    cadence = profile.partitions.of(timeframe)
    return {day for key in standing["partition"] for day in _days(key, cadence)}


def _days(key: str, cadence: Cadence) -> set[date]:
    """The days of a partition."""
    window = Partition.of_key(key, cadence).window
    count = (window.end - window.start).days
    return {window.start.date() + timedelta(days=place) for place in range(count)}


def _since(lost: Iterable[str], cadence: Cadence, until: datetime) -> datetime:
    """From when on candles are counted: the newest partitions, and all since the oldest loss."""
    newest = until - (_FEW_DAYS if cadence is Cadence.DAY else _LOOK_BACK)
    starts = [Partition.of_key(key, cadence).window.start for key in lost]
    return min([Partition.holding(newest.date(), cadence).window.start, *starts])


def absences_by_day(gaps: pl.DataFrame) -> dict[tuple[str, date], set[str]]:
    """By profile and day, the symbols that lack a bar of it.

    Args:
        gaps: profile, symbol, first_ts, last_ts; a row may reach over a month, where partitions are
            that long.
    """
    days = gaps.select(
        "profile",
        "symbol",
        pl.date_ranges(pl.col("first_ts").dt.date(), pl.col("last_ts").dt.date()).alias("day"),
    ).explode("day")
    absences: dict[tuple[str, date], set[str]] = {}
    for profile, symbol, day in days.unique().iter_rows():
        absences.setdefault((profile, day), set()).add(symbol)
    return absences


def _pairs(profile: Profile) -> pl.DataFrame:
    """The symbols of a profile with each of their sources: symbol, other."""
    pairs = [
        (symbol.name, choice.source)
        for symbol in profile.symbols.values()
        for choice in symbol.choices
    ]
    return pl.DataFrame(pairs, schema={"symbol": pl.String, "other": pl.String}, orient="row")


def alerts_in(frame: pl.DataFrame) -> list[Alert]:
    """The rows of `ops.alerts` as they are reckoned with."""
    return [_alert(row) for row in frame.iter_rows(named=True)]


def _stale(
    view: Snapshot, profile: Profile, timeframe: Timeframe, grace: timedelta, now: datetime
) -> list[Trouble]:
    """Who has no bar of the newest session that has been over for some time."""
    latest = now - grace
    if profile.window(now).end < now:
        return []
    session = _newest_session(calendar_of(profile), Window(latest - _LOOK_BACK, latest))
    if session is None:
        return []
    day, hours = session
    bars = calendar_of(profile).bars_touching(timeframe, hours)
    bars = bars.filter(pl.col("closes_at") <= literal(latest), ~pl.col("halted")).select("ts")
    if bars.is_empty():
        return []
    span = Window.spanning(bars["ts"], bars["ts"] + timedelta(microseconds=1))
    genesis = view.genesis.of(profile.candles(timeframe))
    due = {
        series.symbol: series.since(genesis.get(series.symbol)).window
        for series in series_of(profile, now)
    }
    wanted = {symbol: bars.filter(window.holds()) for symbol, window in due.items()}
    wanted = {symbol: rows for symbol, rows in wanted.items() if not rows.is_empty()}
    have = (
        view.candles.count(profile.candles(timeframe), list(wanted), span)
        if view.candles.has(profile.candles(timeframe))
        else {}
    )
    without = [symbol for symbol in wanted if symbol not in have]
    if not without:
        return []
    # The ledger's rows begin where their partition does, at the earliest.
    around = Window(span.start - _LOOK_BACK, span.end)
    explanations = view.gaps.of(profile.name, timeframe, symbols=without, window=around).filter(
        pl.col("status").is_in(EXPLAINED), pl.col("last_ts") >= literal(span.start)
    )
    return stale(
        profile.name,
        timeframe,
        day,
        [symbol for symbol in without if not _explained(symbol, wanted[symbol], explanations)],
    )


def _newest_session(calendar: SessionCalendar, window: Window) -> tuple[date, Window] | None:
    """The last session of a calendar that closed inside a window; None where none did.

    Returns:
        The session's date, and its hours from its first open to its last close.
    """
    spans = calendar.spans(window)
    sessions = spans.group_by("session").agg(pl.min("open"), pl.max("close"))
    sessions = sessions.filter(pl.col("close") <= literal(window.end)).sort("session").tail(1)
    for day, opened, closed in sessions.select("session", "open", "close").iter_rows():
        return day, Window(opened.replace(tzinfo=UTC), closed.replace(tzinfo=UTC))
    return None


def _explained(symbol: str, bars: pl.DataFrame, explanations: pl.DataFrame) -> bool:
    """True when every one of some bars lies in a row of the ledger."""
    rows = explanations.filter(pl.col("symbol") == symbol).select("first_ts", "last_ts").iter_rows()
    open_ = pl.lit(value=True)
    for first, last in rows:
        open_ &= ~pl.col("ts").is_between(first, last)
    return bars.filter(open_).is_empty()


def _made(profile: Profile) -> list[str]:
    """The names of the datasets that are made of candles."""
    return [made.dataset.name for made in made_of_profile(profile)]


def _named(profile: Profile, timeframe: Timeframe) -> pl.Expr:
    return (pl.col("profile") == profile.name) & (pl.col("timeframe") == str(timeframe))


def _of(profile: Profile, timeframe: Timeframe) -> pl.Expr:
    return _named(profile, timeframe) & pl.col("symbol").is_in(list(profile.symbols))


def _kept(alert: Alert, universe: Universe, channels: set[str]) -> bool:
    """Whether an alert is about something that the universe still has."""
    if alert.kind is Kind.CHANNEL:
        return alert.subject in channels
    if not alert.profile:
        return True
    profile = universe.profiles.get(alert.profile)
    if profile is None:
        return False
    assets = {dataset.name for dataset in profile.datasets}
    families = tuple(f"{family}_" for family in Family)
    named = {word for word in alert.subject.split() if word.startswith(families)}
    return named <= assets and (
        not alert.symbols or not profile.symbols.keys().isdisjoint(alert.symbols)
    )


def _arrived(alert: Alert, outcomes: Mapping[str, str]) -> bool:
    """Whether somebody was told; that a channel failed is told by the others."""
    heard = {name for name, error in outcomes.items() if not error}
    return bool(heard - {alert.subject} if alert.kind is Kind.CHANNEL else heard)


def _present(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    return tuple(alert for alert in alerts if alert.over_at is None)


def _alert(row: Mapping[str, Any]) -> Alert:
    values = {name: _aware(value) for name, value in row.items()}
    told_level = row["told_level"]
    return Alert(
        **{
            **values,
            "kind": Kind(row["kind"]),
            "level": Level(row["level"]),
            "told_level": None if told_level is None else Level(told_level),
            "details": tuple(row["details"]),
            "symbols": tuple(row["symbols"]),
        }
    )


def frame_of(alerts: Iterable[Alert]) -> pl.DataFrame:
    """Alerts as rows of `ops.alerts`."""
    rows = [[_plain(getattr(alert, field.name)) for field in fields(Alert)] for alert in alerts]
    return pl.DataFrame(
        rows, schema={field.name: ALERT_SCHEMA[field.name] for field in fields(Alert)}, orient="row"
    )


def _aware(value: Any) -> Any:  # noqa: ANN401 - any column's
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _plain(value: Any) -> Any:  # noqa: ANN401 - any column's
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return list(value) if isinstance(value, tuple) else value
