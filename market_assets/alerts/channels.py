"""Sends messages through apprise, each channel separately.

The failure of one channel is reported and does not hinder the others. What a message says is in
`message`.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from market_assets.alerts.message import trial
from market_assets.alerts.troubles import Level
from market_assets.notifier import load_apprise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.alerts.message import Message
    from market_assets.config.universe import Universe

DEADLINE = 15.0
"""Seconds that the messages of one look may take through one channel."""

_under_way: dict[str, threading.Thread] = {}
"""By channel's URL, what is still sending: a server that drips bytes may hold it for hours."""

_SHORTEST_SECRET = 5


@dataclass(frozen=True)
class Channel:
    """Where messages go.

    Attributes:
        name: Its URL's scheme and its place among those of that scheme, such as "mailto #1": all
            that is ever shown of it.
        url: What apprise takes.
    """

    name: str
    url: str = field(repr=False)


def channels_of(universe: Universe) -> list[Channel]:
    """The channels that the universe's alerts name."""
    places: Counter[str] = Counter()
    channels = []
    for url in universe.alerts.channels:
        scheme = url.partition("://")[0].lower()
        scheme = scheme if re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) else "channel"
        places[scheme] += 1
        channels.append(Channel(f"{scheme} #{places[scheme]}", str(url)))
    return channels


def send(wanted: Mapping[Channel, Sequence[Message]], universe: Universe) -> dict[str, list[str]]:
    """Send messages through their channels, all channels at once, each channel's in their order.

    Never raises for what a channel does, and is back after DEADLINE seconds at most, whatever a
    server does. What is still sending then counts as failed and goes on by itself, in a thread that
    keeps no process from ending. Until it ends nothing more is sent through that channel, so that
    there is at most one such thread per channel.

    Args:
        wanted: What to send through each.
        universe: Whose secrets appear in no error.

    Returns:
        By channel's name, for each of its messages what went wrong; empty where nothing did.
    """
    ends = time.monotonic() + DEADLINE
    results: dict[Channel, list[str]] = {channel: [] for channel in wanted}
    threads = {
        channel: _start(channel, messages, universe, results[channel])
        for channel, messages in wanted.items()
    }
    for thread in filter(None, threads.values()):
        thread.join(max(0.0, ends - time.monotonic()))
    late = f"no answer within {DEADLINE:g} s"
    failures = {}
    for channel, messages in wanted.items():
        busy = "an earlier message is still on its way" if threads[channel] is None else late
        errors = list(results[channel])
        failures[channel.name] = errors + [busy] * (len(messages) - len(errors))
    return failures


def try_channels(universe: Universe) -> dict[str, str]:
    """Send a test message through each channel.

    Returns:
        The error by channel name; empty where the message arrived.
    """
    sent = send({channel: [trial()] for channel in channels_of(universe)}, universe)
    return {name: error for name, (error,) in sent.items()}


def _start(
    channel: Channel, messages: Sequence[Message], universe: Universe, errors: list[str]
) -> threading.Thread | None:
    """Begin to send in a thread of its own; None while an earlier one has not ended."""
    before = _under_way.get(channel.url)
    if before is not None and before.is_alive():
        return None
    thread = threading.Thread(
        target=_send_all, args=(channel, messages, universe, errors), name=channel.name, daemon=True
    )
    _under_way[channel.url] = thread
    thread.start()
    return thread


def _send_all(
    channel: Channel, messages: Sequence[Message], universe: Universe, errors: list[str]
) -> None:
    for message in messages:
        # Who could not take the first one is not waited for again.
        failed = errors and errors[-1]
        errors.append(failed or _hide(_send(channel, message), channel, universe))


def _send(channel: Channel, message: Message) -> str:
    """Send one message; what went wrong in words, empty if nothing did."""
    apprise = load_apprise()
    kind = {
        Level.ERROR: apprise.NotifyType.FAILURE,
        Level.WARNING: apprise.NotifyType.WARNING,
        None: apprise.NotifyType.SUCCESS,
    }
    try:
        asset = apprise.AppriseAsset(
            app_id="market_assets", app_desc="market_assets alerts", secure_logging=True
        )
        service = apprise.Apprise(asset=asset)
        if not service.add(channel.url):
            return "apprise does not understand its URL"
        for plugin in service:
            # A service with a limit refuses what is longer; the first lines are the worst ones.
            if "overflow=" not in channel.url:
                plugin.overflow_mode = apprise.OverflowMode.TRUNCATE
        result = service.notify(
            title=message.title,
            body=message.body,
            notify_type=kind[message.level],
            body_format=apprise.NotifyFormat.TEXT,
            timeout=DEADLINE,
        )
        if result:
            return ""
        errors = [
            *(entry.message for reply in result for entry in reply.logs()),
            *(entry.message for entry in result.call_logs()),
        ]
        return errors[0] if errors else f"no answer within {DEADLINE:.0f} s"
    # A service's plugin may raise anything, and a message is not worth a run.
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"


def _hide(error: str, channel: Channel, universe: Universe) -> str:
    """An error without the URL's parts: a token or a password may be any of them."""
    error = universe.redact(" ".join(error.split()))
    rest = channel.url.partition("://")[2]
    parts = {part for text in (rest, unquote(rest)) for part in re.split(r"[/?&=:@,;]", text)}
    hidden = [channel.url, rest, *sorted(parts, key=len, reverse=True)]
    for part in hidden:
        if len(part) >= _SHORTEST_SECRET:
            error = error.replace(part, "...")
    return error[:300]
