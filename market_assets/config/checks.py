"""Where parts of the file contradict each other: every fault with its place.

What one key can hold is checked in `settings`, `entries` and `values`; here stands what takes more
than one part of the file. What the keys of one profile say together is checked in `profile_checks`
and `source_checks`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from market_assets.config.declared import Declared, check_cache, check_limits, check_sources
from market_assets.config.names import RESERVED_NAMES, check_repeats
from market_assets.config.profile_checks import check_profile
from market_assets.config.retention_checks import check_retention
from market_assets.config.yaml_file import Document, shown
from market_assets.hosts import is_loopback
from market_assets.notifier import load_apprise
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from market_assets.config.entries import Entries
    from market_assets.config.services import AlertSettings, ServeSettings


def check_all(entries: Entries, document: Document) -> Declared:
    """Check what the parts say together, and give what the sources declare."""
    if document.faulty(()):
        return Declared()
    for key, section, advice in (
        (
            "sources",
            entries.sources,
            "is missing; write where candles come from, such as `binance: {}`",
        ),
        (
            "profiles",
            entries.profiles,
            "is missing; write what to keep, as the packaged universe.yaml does",
        ),
    ):
        if not section and not document.faulty_within((key,)):
            document.add((key,), advice)
    declared = check_sources(entries, document)
    check_limits(entries.limits, document)
    _check_markets(entries, document)
    _check_export(entries, document)
    check_retention(entries, document)
    _check_channels(entries.alerts, document)
    _check_serve(entries.serve, document)
    kept = {
        entry.calendar or (entry.kind and entry.kind.calendar)
        for entry in entries.profiles.values()
    }
    for calendar in entries.calendar_changes:
        if calendar not in kept:
            document.add(
                ("calendar_changes", calendar),
                f"is the calendar of no profile; they have {listed(sorted(filter(None, kept)))}",
            )
    for name, entry in entries.profiles.items():
        check_profile(name, entry, entries, declared, document)
    return declared


def _check_markets(entries: Entries, document: Document) -> None:
    """The matrix across profiles has a name of its own, and its profiles keep its timeframes."""
    markets, place = entries.markets, ("markets",)
    if markets.name in entries.profiles or not re.fullmatch(r"[a-z][a-z0-9_]*", markets.name):
        document.add(
            (*place, "name"),
            f"{shown(markets.name)} is no free name: write lower-case letters, "
            "and no profile's name",
        )
    elif markets.name in RESERVED_NAMES:
        document.add(
            (*place, "name"),
            "is a name that DuckDB or this project keeps for itself; choose another",
        )
    check_repeats((*place, "profiles"), markets.profiles, document)
    check_repeats((*place, "timeframes"), markets.timeframes, document)
    for name in markets.profiles:
        if name not in entries.profiles:
            advice = (
                f"{shown(name)} is no profile{hint(name, entries.profiles)} "
                f"There are {listed(entries.profiles)}"
            )
            document.add((*place, "profiles"), advice)
    for timeframe in markets.timeframes:
        keepers = [
            name
            for name, profile in entries.profiles.items()
            if timeframe in profile.timeframes.kept
        ]
        lacking = [
            name for name in markets.profiles if name in entries.profiles and name not in keepers
        ]
        if lacking or not keepers:
            advice = (
                f"{timeframe} is not kept by {listed(lacking or entries.profiles)}; "
                "add it to its fetched or derived timeframes"
            )
            document.add((*place, "timeframes"), advice)


def _check_export(entries: Entries, document: Document) -> None:
    place = ("export", "timeframes")
    wanted = entries.export.timeframes if entries.export else ()
    check_repeats(place, wanted, document)
    for timeframe in wanted:
        if not any(timeframe in profile.timeframes.kept for profile in entries.profiles.values()):
            document.add(
                place,
                f"{timeframe} is kept by no profile; "
                "add it to the fetched or derived timeframes of one",
            )


def _check_channels(alerts: AlertSettings, document: Document) -> None:
    """Each channel is a URL that apprise can send to; none is shown: any part may be a secret."""
    if not alerts.channels:
        return
    apprise = load_apprise()
    advice = (
        "is no URL of a service that apprise knows, or lacks a part: "
        "write one as in https://appriseit.com/services, "
        "such as mailto://user:password@example.org or json://host/path"
    )
    for place, url in enumerate(alerts.channels):
        # As it comes from YAML: a number may stand where a URL should.
        service = (
            apprise.Apprise.instantiate(str(url), suppress_exceptions=True)
            if "://" in str(url)
            else None
        )
        if service is None:
            document.add(("alerts", "channels", place), advice)


_TOKEN_LENGTH = 16
"""Characters that a token has at least: shorter ones can be guessed."""


def _check_serve(serve: ServeSettings, document: Document) -> None:
    """Who can be reached by other machines asks for a token, and a token is none to be guessed."""
    place = ("serve",)
    if document.faulty_within(place):
        return
    if serve.token is None and not is_loopback(serve.host):
        document.add(
            (*place, "host"),
            f"{shown(serve.host)} can be reached by other machines: "
            "add `token: ${SERVE_TOKEN}`, or listen on 127.0.0.1",
        )
    if serve.token is not None and len(serve.token) < _TOKEN_LENGTH:
        document.add(
            (*place, "token"),
            f"has fewer than {_TOKEN_LENGTH} characters; make one with `openssl rand -hex 32`",
        )
    check_cache(serve.cache, document)
