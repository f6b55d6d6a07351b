"""One look at everything that can be wrong: it keeps the ledger and sends what is to be reported.

What the store says is in `facts` and `census`; what was reported, in `ledger`; the words, in
`message`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from market_assets.alerts import message
from market_assets.alerts.causes import Folded, fold, locate
from market_assets.alerts.census import Census
from market_assets.alerts.channels import Channel, channels_of, send
from market_assets.alerts.facts import (
    absences_by_day,
    is_unmade,
    store_troubles,
    streams_of_interest,
    unsettled_streams,
)
from market_assets.alerts.grace import Grace, healing_profiles
from market_assets.alerts.ledger import (
    Alert,
    claim,
    failing_channels,
    judge_channels,
    reconcile,
    told,
)
from market_assets.alerts.outside import Outside
from market_assets.alerts.rows import alerts_in, frame_of
from market_assets.alerts.troubles import (
    Key,
    Kind,
    Level,
    Trouble,
)
from market_assets.errors import StoreBusyError
from market_assets.market.datasets import Dataset, Family
from market_assets.verdicts.evidence import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    import polars as pl

    from market_assets.alerts.message import Message
    from market_assets.config.universe import Universe
    from market_assets.store import Store


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
        self.census = Census(universe, self.outside)
        self._store = store
        self._universe = universe
        self._clock = clock
        self._channels = channels_of(universe)
        self._grace = Grace()
        self._delivered: tuple[_Errand, Mapping[str, str]] | None = None

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
            streams = streams_of_interest(view, self._universe, now)
            troubles = [*store_troubles(view, self._universe, now, gaps, streams), *additions]
            lost = self.census.lost_candles(view, now, materialized or {})
            troubles += [*lost, *self.census.backlogs(view, now)]
            whole = not lost and not (
                self.outside.is_changed and is_unmade(view, self._universe, materialized or {}, now)
            )
            troubles += self.outside.compare(view.mark(), whole=whole)

        known_keys = {alert.key for alert in _present(rows)}
        quiet = self._quiet({trouble.key for trouble in troubles}, known_keys, streams, now)

        def is_held(key: Key) -> bool:
            return key in quiet or held(key)

        folded = fold(locate(troubles, absences_by_day(gaps)))
        if self._plan(rows, folded, now, is_held).alerts == rows:
            return Told(_present(rows))
        with self._store.writing("keeping the alerts") as transaction:
            # Another watcher may have told it meanwhile: what counts is what the ledger says in
            # this transaction.
            rows = alerts_in(transaction.alerts.of())
            errand = self._plan(rows, folded, now, is_held)
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

    def _quiet(
        self, keys: set[Key], known_keys: set[Key], streams: pl.DataFrame, now: datetime
    ) -> set[Key]:
        """Those of some troubles of which nothing is said because of streams."""
        healing = healing_profiles(streams, now)
        waiting = self._grace.waiting(keys, healing, now, known_keys=known_keys)
        return waiting | unsettled_streams(streams, self._universe, now)

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
