"""Where the keys of one profile contradict each other: its dates, timeframes, symbols, calendar.

What its sources can give it is checked in `source_checks`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from market_assets.config.kinds import Kind
from market_assets.config.names import RESERVED_NAMES, check_name, check_repeats
from market_assets.config.source_checks import (
    check_actions,
    check_asked,
    check_kind,
    check_stream,
)
from market_assets.config.yaml_file import Document, Place, shown
from market_assets.errors import CalendarError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe
from market_assets.words import listed

if TYPE_CHECKING:
    from market_assets.config.declared import Declared
    from market_assets.config.entries import Entries, ProfileEntry, SymbolEntry
    from market_assets.config.settings import Timeframes


def check_profile(
    name: str,
    entry: ProfileEntry,
    entries: Entries,
    declared: Declared,
    document: Document,
) -> None:
    """Check what a profile's keys say together.

    Each key by itself is valid: those that are not have been left out.
    """
    place: Place = ("profiles", name)
    _check_profile_name(name, entries, document)
    for key, value, advice in (
        ("kind", entry.kind, f"is missing; it is one of {listed(Kind)}"),
        ("start", entry.start, "is missing; write the first day to keep, such as 2024-01-01"),
        ("symbols", entry.symbols, "is missing; write at least one, such as `BTCUSDT: {}`"),
    ):
        if not value and not document.faulty_within((*place, key)):
            document.add((*place, key), advice)
    if entry.start and entry.end and entry.end <= entry.start:
        document.add(
            (*place, "end"), f"{entry.end} is not after the start, {entry.start}: no day is left"
        )
    _check_timeframes((*place, "timeframes"), entry.timeframes, document)
    check_repeats((*place, "sources"), entry.sources, document)
    for source, own_name in entry.sources:
        if own_name:
            advice = (
                f"a source's own name, here {shown(own_name)}, belongs to a symbol; "
                f"write {source} alone"
            )
            document.add((*place, "sources"), advice)
    for symbol_name, symbol in entry.symbols.items():
        at = (*place, "symbols", symbol_name)
        check_name(symbol_name, at, document)
        _check_symbol_dates(at, symbol, entry, document)
        check_repeats((*at, "sources"), symbol.sources, document)
    check_asked(place, entry, entries, declared, document)
    check_kind(place, entry, declared.traits, document)
    check_actions(place, entry, declared, document)
    check_stream(place, entry, declared, document)
    _check_calendar(place, entry, entries, document)


def _check_calendar(
    place: Place, profile: ProfileEntry, entries: Entries, document: Document
) -> None:
    """The changes of a profile's calendar can be made to it."""
    changes = entries.changes_of(profile)
    calendar = profile.calendar or (profile.kind.calendar if profile.kind else None)
    if not changes or calendar is None or document.faulty_within((*place, "calendar")):
        return
    profile_place, shared = (*place, "calendar_changes"), ("calendar_changes", calendar)
    for at, entries_of in (
        (profile_place, profile.calendar_changes),
        (shared, entries.calendar_changes.get(calendar, ())),
    ):
        for index, entry in enumerate(entries_of):
            if not document.faulty((*at, index)) and any(
                entry.repeats(before) for before in entries_of[:index]
            ):
                document.add(
                    (*at, index),
                    f"says what an entry before says of {entry.date} too; "
                    "keep the one that is right",
                )
    try:
        load_calendar(calendar, tuple(entry.change for entry in changes))
    except CalendarError as error:
        at = (
            (*place, "calendar_changes")
            if profile.calendar_changes
            else ("calendar_changes", calendar)
        )
        document.add(at, str(error))


def _check_profile_name(name: str, entries: Entries, document: Document) -> None:
    place = ("profiles", name)
    lower = name.lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        valid = re.sub(r"\W", "_", lower, flags=re.ASCII)
        if lower != name and lower in entries.profiles:
            document.add(
                place, f"differs from {lower} only in upper and lower case; choose another name"
            )
        else:
            example = f", such as {valid}" if re.fullmatch(r"[a-z]\w*", valid) else ""
            document.add(
                place,
                "is no usable name: "
                f"write a lower-case letter, then letters, digits and underscores{example}",
            )
    elif name in RESERVED_NAMES:
        document.add(
            place, "is a name that DuckDB or this project keeps for itself; choose another"
        )


def _check_symbol_dates(
    place: Place, symbol: SymbolEntry, profile: ProfileEntry, document: Document
) -> None:
    """A symbol may begin later and end earlier than its profile.

    The other way round is refused and not cut off in silence: it asks for days that no partition of
    the profile holds.
    """
    start, end = (*place, "start"), (*place, "end")
    if symbol.start and profile.start and symbol.start < profile.start:
        advice = (
            f"{symbol.start} is before the profile's start, {profile.start}; move that one, "
            "or leave this one out"
        )
        document.add(start, advice)
    if symbol.start and profile.end and symbol.start >= profile.end:
        document.add(
            start, f"{symbol.start} is not before the profile's end, {profile.end}: no day is left"
        )
    if symbol.end and profile.end and symbol.end > profile.end:
        advice = (
            f"{symbol.end} is after the profile's end, {profile.end}; move that one, "
            "or leave this one out"
        )
        document.add(end, advice)
    if symbol.end and symbol.start and symbol.end <= symbol.start:
        document.add(end, f"{symbol.end} is not after the start, {symbol.start}: no day is left")
    elif symbol.end and profile.start and symbol.end <= profile.start:
        document.add(
            end, f"{symbol.end} is not after the profile's start, {profile.start}: no day is left"
        )


def _check_timeframes(place: Place, timeframes: Timeframes, document: Document) -> None:
    """What the lists of timeframes say together.

    Each timeframe divides every longer one, so that a derived one only has to be longer than what
    it is made of.
    """
    fetch, derive = (*place, "fetch"), (*place, "derive")
    check_repeats(fetch, timeframes.fetch, document)
    check_repeats(derive, timeframes.derive, document)
    unclear = document.faulty_within(derive)
    both = [
        timeframe for timeframe in dict.fromkeys(timeframes.fetch) if timeframe in timeframes.derive
    ]
    for timeframe in both:
        document.add(derive, f"{timeframe} is fetched as well; keep it in one of the two lists")
    if document.faulty_within(fetch):
        return
    if not timeframes.fetch:
        document.add(fetch, "is empty; name what the sources are asked for, such as [1m]")
        return
    base = timeframes.fetch[0]
    for timeframe in timeframes.derive:
        if timeframe not in both and timeframe.duration < base.duration:
            document.add(
                derive,
                f"{timeframe} cannot be made of {base}, the shortest fetched one; "
                "fetch a shorter one",
            )
    days = {*timeframes.fetch, *timeframes.derive}
    if Timeframe.W1 in timeframes.derive and Timeframe.D1 not in days and not unclear:
        document.add(derive, "1w is made of 1d, which is neither fetched nor derived; add 1d")
    for key in ("features", "returns"):
        wanted = getattr(timeframes, key)
        check_repeats((*place, key), wanted, document)
        for timeframe in wanted if not unclear else ():
            if timeframe not in days:
                document.add(
                    (*place, key),
                    f"{timeframe} is neither fetched nor derived; add it to one of the two lists",
                )
