"""What has been reported of each trouble, and what is still to be. Pure: rows in, rows out.

An alert is one episode of one trouble. It is told when it begins, once more if a warning becomes an
error, and when it is over if it was ever told. Before something is sent it is claimed, so that two
watchers do not tell it twice; what could not be sent is tried again after a wait that doubles. A
channel that failed has an alert of its own (Kind.CHANNEL), whose tries say when it is tried again.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from market_assets.alerts.troubles import Kind, Level, Statement, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from market_assets.alerts.troubles import Key

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Alert(Statement):
    """A row of `ops.alerts`: a trouble as it was seen last, and what was reported.

    Every instant is aware UTC.

    Attributes:
        alert_id: Names this episode.
        opened_at: When it was first seen.
        told_at: When it was told last; None while it was not.
        told_level: The worst level that was told.
        over_at: When it was first seen no more.
        over_told_at: When it was told that it is over, or decided that nobody has to hear it.
        tries: How often it was tried to tell the next thing about it; of a channel: how often in a
            row it failed.
        tried_at: When it was last tried.
        error: Why that failed.
    """

    alert_id: str
    opened_at: datetime
    told_at: datetime | None = None
    told_level: Level | None = None
    over_at: datetime | None = None
    over_told_at: datetime | None = None
    tries: int = 0
    tried_at: datetime | None = None
    error: str | None = None

    @property
    def untold(self) -> bool:
        """True where its present level is to be told."""
        return (
            self.over_at is None
            and self.told_level is not Level.ERROR
            and self.told_level is not self.level
        )

    @property
    def over_untold(self) -> bool:
        """True where its end is to be told."""
        return self.over_at is not None and self.told_at is not None and self.over_told_at is None

    def due(self, now: datetime) -> bool:
        """Whether its next try may be made; a clock that was set back makes it due at once."""
        if self.tried_at is None:
            return True
        wait = min(FIRST_WAIT * 2 ** min(max(self.tries - 1, 0), 10), LONGEST_WAIT)
        return not self.tried_at <= now < self.tried_at + wait


@dataclass(frozen=True)
class Reckoning:
    """What a look at the troubles makes of the ledger.

    Attributes:
        alerts: All rows as they should be now, those that changed and those that did not.
        begun: Those whose beginning or worsening is to be told now.
        over: Those whose end is to be told now.
    """

    alerts: tuple[Alert, ...]
    begun: tuple[Alert, ...]
    over: tuple[Alert, ...]


def reconcile(
    alerts: Sequence[Alert],
    troubles: Iterable[Trouble],
    now: datetime,
    *,
    held: Callable[[Key], bool] = lambda _: False,
    kept: Callable[[Alert], bool] = lambda _: True,
    under: Collection[Key] = (),
) -> Reckoning:
    """Compare what is told with what is so.

    Args:
        alerts: The rows whose episode goes on, or whose end is still to be told.
        troubles: What is wrong now; none of Kind.CHANNEL.
        now: The present instant.
        held: Of which troubles nothing could be learnt this time: their alerts stay as they are,
            unless they are present.
        kept: Whether an alert is about anything that the universe still has; if not it ends unsaid.
        under: Troubles that go on but are named under their cause by now: their alerts end unsaid.
    """
    present = {trouble.key: trouble for trouble in troubles}
    rows = []
    for alert in alerts:
        if alert.over_at is not None:
            rows.append(alert)
        elif trouble := present.pop(alert.key, None):
            rows.append(_seen(alert, trouble))
        elif not kept(alert) or alert.key in under:
            rows.append(replace(alert, over_at=now, over_told_at=now))
        elif alert.kind is Kind.CHANNEL or held(alert.key):
            rows.append(alert)
        else:
            rows.append(over(alert, now))
    rows += [_seen(begin(trouble, now), trouble) for trouble in present.values()]
    return Reckoning(
        tuple(rows),
        tuple(row for row in rows if row.untold and row.due(now)),
        tuple(row for row in rows if row.over_untold and row.due(now)),
    )


def begin(trouble: Trouble, now: datetime) -> Alert:
    """The first row of a new episode."""
    return Alert(alert_id=uuid.uuid4().hex, opened_at=now, **_stated(trouble))


def over(alert: Alert, now: datetime) -> Alert:
    """The row once its trouble is over; its end may be told at once."""
    return replace(alert, over_at=now, tries=0, tried_at=None, error=None)


def _seen(alert: Alert, trouble: Trouble) -> Alert:
    seen = replace(alert, **_stated(trouble))
    # Nobody has tried to report the error yet, however often the warning was tried.
    worse = alert.level is Level.WARNING and trouble.level is Level.ERROR
    return replace(seen, tries=0, tried_at=None) if worse else seen


def _stated(trouble: Trouble) -> dict[str, Any]:
    """What a trouble says of itself, as an alert has it."""
    return {field.name: getattr(trouble, field.name) for field in fields(Statement)}


def claim(alerts: Iterable[Alert], now: datetime) -> list[Alert]:
    """The rows as they are while something about them is being sent."""
    return [replace(alert, tries=alert.tries + 1, tried_at=now) for alert in alerts]


def told(alert: Alert, sent: Alert, now: datetime) -> Alert:
    """The row after something about it was delivered.

    Args:
        alert: The row as it is by now.
        sent: The row as it was told.
        now: The present instant.
    """
    if sent.over_at is not None:
        return replace(alert, over_told_at=now, tries=0, tried_at=None, error=None)
    worst = Level.ERROR if Level.ERROR in {alert.told_level, sent.level} else Level.WARNING
    alert = replace(alert, told_at=now, told_level=worst)
    # A channel's tries count its own failures, not the attempts to report them.
    return (
        alert if alert.kind is Kind.CHANNEL else replace(alert, tries=0, tried_at=None, error=None)
    )


def judge_channels(
    alerts: Iterable[Alert], outcomes: Mapping[str, str], now: datetime
) -> list[Alert]:
    """The rows of channels that were tried: those that changed, and new ones.

    Args:
        alerts: All rows.
        outcomes: What went wrong with each channel that was tried; empty where nothing did.
        now: The present instant.
    """
    failing = {
        alert.subject: alert
        for alert in alerts
        if alert.kind is Kind.CHANNEL and alert.over_at is None
    }
    rows = []
    for name, error in outcomes.items():
        row = failing.get(name)
        if not error:
            rows += [over(row, now)] if row else []
            continue
        summary = f"{name} took no message"
        trouble = Trouble("", Kind.CHANNEL, name, Level.ERROR, summary, 1, (error,))
        # The row was claimed before it was tried again; the first failure counts as the first try.
        row = _seen(row, trouble) if row else replace(begin(trouble, now), tries=1, tried_at=now)
        rows.append(replace(row, error=error))
    return rows


def failing_channels(alerts: Collection[Alert]) -> dict[str, Alert]:
    """The channels that failed last, by name."""
    return {
        alert.subject: alert
        for alert in alerts
        if alert.kind is Kind.CHANNEL and alert.over_at is None
    }
