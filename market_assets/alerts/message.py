"""The text of alert messages: what, where, since when, how many, and what to do next.

A text is bounded in length and contains no secrets. How it is sent is in `channels`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.alerts.troubles import CONSEQUENCES, Kind, Level
from market_assets.market.instants import to_minute
from market_assets.words import many

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from market_assets.alerts.ledger import Alert

MOST = 20
"""Of how many alerts a message tells; it always says how many more there are."""

_DETAILED = 5
"""With more alerts than this, a message gives no more than a sentence for each."""

NEXT = {
    Kind.GAP: "the repair sensor asks for them again; market-assets gaps {profile} lists them, "
    "gaps --explain tells the story of one bar",
    Kind.ABANDONED: "market-assets repair {profile} --abandoned asks for them once more",
    Kind.MISSING_SYMBOL: "mend the symbol's name or sources in the universe, or take it out",
    Kind.FAILED_CHECK: "the check's page in the UI says of each partition what is missing; "
    "the repair sensor tries again by itself",
    Kind.FAILED_PARTITIONS: "market-assets jobs says why; the repair sensor tries again by itself, "
    "and so does market-assets backfill {profile}",
    Kind.FAILED_DAYS: "market-assets jobs says why: a source that is down or refuses, "
    "or a symbol that is gone",
    Kind.ENRICHMENT: "the run's page in the UI says why; "
    "market-assets backfill {profile} derives again",
    Kind.STALE: "look whether the daemon runs and the source answers: "
    "market-assets up, market-assets jobs",
    Kind.DEAD: "the UI shows it under Automation, and daemons under Deployment; "
    "start market-assets up again",
    Kind.DISAGREEMENT: "market-assets gaps {profile} and the check agreement "
    "say of each partition which source says what",
    Kind.STORE: "close the program that holds it, and let it read market_assets.connect() or "
    "published/market.duckdb instead; or put a good copy in its place; "
    "with the platform stopped, move the broken file away and start again: all is filled anew",
    Kind.STORE_CHANGED: "the repair sensors fill again what the sources still have; "
    "put a newer copy in its place if there is one, or accept this one: "
    "market-assets alerts --accept-store",
    Kind.VANISHED: "the repair sensor asks for them again within two minutes, whatever their age",
    Kind.BACKLOG: "market-assets backfill {profile} "
    "fills what is older than update: first_backfill; "
    "market-assets jobs says why the rest is not filled",
    Kind.SOURCE_DOWN: "look whether the vendor is up and the key is accepted: market-assets probe; "
    "another source under sources: of the profile takes over by itself",
    Kind.RESTART: "it was started again by itself; "
    "log/up.log in the home folder says what it said before",
    Kind.UNIVERSE: "mend the lines that are named: the file is taken over within a minute; "
    "market-assets validate checks it",
    Kind.CALENDAR: "market-assets status lists the days; look at the exchange's notices, "
    "and write what is right into calendar_changes of the universe; checks: {{calendar: "
    "false}} switches this doubt off",
    Kind.STREAM: "updates over REST go on; market-assets status {profile} shows how the stream is, "
    "and market-assets stream {profile} starts one",
    Kind.STREAM_REFUSED: "mend the symbol's name in its sources, "
    "or name a source first that streams it; updates over REST go on",
    Kind.STREAM_BUSY: "look for a program that holds the store for long; "
    "REST is asked for these bars, and stream: buffer says how many may wait",
    Kind.RETENTION: "what could not be archived or removed is kept; mend the cause, and run "
    "market-assets prune, or leave it to the next day",
    Kind.CHANNEL: "mend its URL under alerts: channels: in the universe, or the service behind it; "
    "market-assets alerts --test tries it",
}
"""What to do about each kind of trouble."""


@dataclass(frozen=True)
class Message:
    """What is sent through a channel.

    Attributes:
        title: One line.
        body: Plain text.
        level: How bad the worst of it is; None for good news.
    """

    title: str
    body: str
    level: Level | None


def begun(alerts: Sequence[Alert], redact: Callable[[str], str]) -> Message:
    """Tell of troubles that have begun or become worse."""
    level = _worst(alerts)
    if len(alerts) == 1:
        title = f"{level}: {name(alerts[0])}: {alerts[0].summary}"
    else:
        title = f"{level}: {len(alerts)} new troubles"
    return _message(title, alerts, level, redact)


def over(alerts: Sequence[Alert], redact: Callable[[str], str]) -> Message:
    """Tell of troubles that are over."""
    title = f"over: {name(alerts[0])}" if len(alerts) == 1 else f"over: {len(alerts)} troubles"
    return _message(title, alerts, None, redact)


def digest(
    since: datetime, present: Sequence[Alert], ended: Sequence[Alert], redact: Callable[[str], str]
) -> Message:
    """Tell a channel that had failed what is so now, in the place of all that it missed."""
    level = _worst(present) if present else None
    title = f"{level or 'over'}: {many(len(present), 'trouble')}, told again"
    message = _message(title, [*present, *ended], level, redact)
    lost = f"This channel took no message since {to_minute(since)}. "
    now = "What is wrong now:" if present else "Nothing is wrong now."
    return Message(message.title, f"{lost}{now}\n\n{message.body}", level)


def trial() -> Message:
    """Tell that a channel works."""
    return Message(
        f"market_assets on {socket.gethostname()}: a test",
        "This channel works. No candle is in trouble.",
        None,
    )


def next_step(alert: Alert) -> str:
    """What to do about a trouble, without a full stop."""
    return NEXT[alert.kind].format(profile=alert.profile)


def name(alert: Alert) -> str:
    """What a trouble is about, in words."""
    return " ".join(part for part in (alert.profile, alert.subject) if part)


def _message(
    title: str, alerts: Sequence[Alert], level: Level | None, redact: Callable[[str], str]
) -> Message:
    ordered = sorted(
        alerts,
        key=lambda alert: (alert.over_at is not None, alert.level is not Level.ERROR, *alert.key),
    )
    detailed = len(ordered) <= _DETAILED
    parts = [_paragraph(alert, detailed=detailed) for alert in ordered[:MOST]]
    if more := len(ordered) - MOST:
        parts += [f"and {more:,} more: market-assets alerts lists them."] if more > 0 else []
    host = f"market_assets on {socket.gethostname()}"
    body = ("\n\n" if detailed else "\n").join(parts)
    return Message(
        redact(f"{host}: {title}"), redact(f"{body}\n\n{host}. Times are UTC.".lstrip()), level
    )


def _paragraph(alert: Alert, *, detailed: bool) -> str:
    begins = f"{name(alert)}: {alert.summary} (since {to_minute(alert.opened_at)}"
    if alert.over_at is not None:
        return f"OVER {begins}, over at {to_minute(alert.over_at)})"
    lines = [f"{alert.level} {begins})"]
    if detailed:
        lines += [f"  {line}" for line in alert.details]
        # A trouble whose lines are symbols or days counts other things than its lines.
        lined = sum(not line.startswith(CONSEQUENCES) for line in alert.details)
        if (more := alert.count - lined) > 0 and lined > 1:
            lines.append(f"  and {more:,} more")
        lines.append(f"  Next: {next_step(alert)}.")
    return "\n".join(lines)


def _worst(alerts: Sequence[Alert]) -> Level:
    return Level.ERROR if any(alert.level is Level.ERROR for alert in alerts) else Level.WARNING
