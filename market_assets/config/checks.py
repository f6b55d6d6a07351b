"""Where parts of the file contradict each other: every fault with its place.

What one key can hold is checked in `settings`, `entries` and `values`; here stands what takes more
than one part of the file.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from market_assets.config.declared import Declared, check_limits, check_name, check_sources
from market_assets.config.settings import AlertSettings, Basis, Kind, Timeframes
from market_assets.config.yaml_file import Document, Place, shown
from market_assets.errors import CalendarError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe
from market_assets.notifier import load_apprise
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from market_assets.config.entries import Entries, ProfileEntry, SymbolEntry
    from market_assets.sources.contract import Traits


_SQL_WORDS = """
all analyse analyze and any array as asc asymmetric both case cast check collate column
constraint create default deferrable desc describe distinct do else end except false fetch for
foreign from group having in initially intersect into lambda lateral leading limit not null
offset on only or order pivot pivot_longer pivot_wider placing primary qualify references
returning select show some summarize symmetric table then to trailing true union unique unpivot
using variadic when where window with
"""


_SCHEMAS = {
    "information_schema",
    "main",
    "market",
    "memory",
    "ops",
    "pg_catalog",
    "platform",
    "system",
    "temp",
}


RESERVED_NAMES = _SCHEMAS | set(_SQL_WORDS.split())
"""Names that no profile can have.

These are the schemas and catalogs of the store, the group of the assets that are about the platform
itself, and words that SQL would have to quote.
"""


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
    _check_channels(entries.alerts, document)
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
        _check_profile(name, entry, entries, declared, document)
    return declared


def _check_profile(
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
    _check_repeats((*place, "sources"), entry.sources, document)
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
        _check_repeats((*at, "sources"), symbol.sources, document)
    _check_asked(place, entry, entries, declared, document)
    _check_kind(place, entry, declared.traits, document)
    _check_actions(place, entry, declared, document)
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
    _check_repeats((*place, "profiles"), markets.profiles, document)
    _check_repeats((*place, "timeframes"), markets.timeframes, document)
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
    _check_repeats(place, wanted, document)
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
    _check_repeats(fetch, timeframes.fetch, document)
    _check_repeats(derive, timeframes.derive, document)
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
        _check_repeats((*place, key), wanted, document)
        for timeframe in wanted if not unclear else ():
            if timeframe not in days:
                document.add(
                    (*place, key),
                    f"{timeframe} is neither fetched nor derived; add it to one of the two lists",
                )


def _check_repeats(place: Place, values: Iterable[object], document: Document) -> None:
    for value, times in Counter(values).items():
        if times > 1:
            text = ": ".join(part for part in value if part) if isinstance(value, tuple) else value
            document.add(place, f"{text} is written {times} times")


def _check_asked(
    place: Place,
    profile: ProfileEntry,
    entries: Entries,
    declared: Declared,
    document: Document,
) -> None:
    """Every symbol has a source, and for each fetched timeframe one that serves it."""
    parted = {
        name: declared.parted(profile, symbol)
        for name, symbol in profile.symbols.items()
        if not document.faulty_within((*place, "symbols", name, "sources"))
    }
    if document.faulty_within((*place, "sources")) or not entries.sources:
        return
    asked = {name: [source for source, _ in choices] for name, (choices, _, _) in parted.items()}
    if orphans := [name for name, sources in asked.items() if not sources]:
        advice = (
            f"is missing, and {listed(orphans)} has none of its own; write which to ask, "
            f"such as [{next(iter(entries.sources))}]"
        )
        document.add((*place, "sources"), advice)
    kind = (profile.kind or "").lower()
    served = {source: traits.timeframes_for(kind) for source, traits in declared.traits.items()}
    every = frozenset(Timeframe)
    for timeframe in profile.timeframes.fetch:
        unserved = [
            name
            for name, sources in asked.items()
            if sources and not any(timeframe in served.get(source, every) for source in sources)
        ]
        if unserved:
            offers = {
                offer for name in unserved for source in asked[name] for offer in served[source]
            }
            offered = listed(timeframe for timeframe in Timeframe if timeframe in offers)
            apart = dict.fromkeys(why for name in unserved if (why := parted[name][2]))
            advice = "; ".join(
                [
                    (
                        f"{timeframe} is served by no source of {listed(unserved)}; "
                        f"they have {offered}"
                    ),
                    *apart,
                ]
            )
            document.add((*place, "timeframes", "fetch"), advice)


def _check_kind(
    place: Place, profile: ProfileEntry, traits: Mapping[str, Traits], document: Document
) -> None:
    """No source is asked for a kind of market that it does not have."""
    lists = {(*place, "sources"): profile.sources}
    lists |= {
        (*place, "symbols", name, "sources"): symbol.sources
        for name, symbol in profile.symbols.items()
    }
    for at, choices in lists.items():
        for source in dict.fromkeys(source for source, _ in choices):
            declared = traits.get(source)
            if declared and profile.kind and profile.kind.lower() not in declared.kinds:
                kinds = listed(kind for kind in Kind if kind.lower() in declared.kinds)
                document.add(
                    at,
                    f"{source} serves {kinds}, and this profile is {profile.kind}; "
                    "choose another source",
                )


def _check_basis(place: Place, profile: ProfileEntry, document: Document) -> None:
    """Without corporate actions a profile itself asks for no prices that are adjusted by them."""
    for key, settings in (("features", profile.features), ("returns", profile.returns)):
        if settings.basis not in {None, Basis.RAW}:
            document.add(
                (*place, key, "basis"),
                f"{settings.basis} needs corporate actions: "
                "name a source of them under `actions`, or write raw",
            )


def _check_actions(
    place: Place, profile: ProfileEntry, declared: Declared, document: Document
) -> None:
    """Where corporate actions are kept, every symbol has a source of them.

    Its candles must be raw, so that the actions can be applied to them.
    """
    lists = {(*place, "actions"): profile.actions}
    lists |= {
        (*place, "symbols", name, "actions"): symbol.actions
        for name, symbol in profile.symbols.items()
    }
    if not any(lists.values()):
        _check_basis(place, profile, document)
    if not any(lists.values()) or document.faulty_within((*place, "actions")):
        return
    if profile.kind is not Kind.EQUITY:
        document.add(
            (*place, "actions"),
            f"corporate actions are kept of EQUITY, and this profile is {profile.kind}; "
            "leave them out",
        )
        return
    for at, choices in lists.items():
        _check_repeats(at, choices, document)
        for source, _ in choices:
            if source in declared.venues and source not in declared.telling:
                able = (
                    f"of this file, {listed(sorted(declared.telling))} can"
                    if declared.telling
                    else "polygon, yahoo and action_files can"
                )
                document.add(at, f"{source} cannot be asked for corporate actions; {able}")
    if Timeframe.D1 not in profile.timeframes.kept:
        document.add(
            (*place, "timeframes"),
            "1d is missing: a dividend is measured by the close of the day before; "
            "fetch or derive it",
        )
    if orphans := [
        name for name, symbol in profile.symbols.items() if not (symbol.actions or profile.actions)
    ]:
        document.add(
            (*place, "actions"),
            f"is missing, and {listed(orphans)} has none of its own; write which to ask, "
            "such as [polygon]",
        )
    asked = {
        source
        for symbol in profile.symbols.values()
        for source, _ in symbol.sources or profile.sources
    }
    for source in sorted(
        asked & {name for name, traits in declared.traits.items() if traits.split_adjusted}
    ):
        advice = (
            f"the candles of {source} are divided by every split already; "
            "take them from another source, or leave actions out"
        )
        document.add((*place, "actions"), advice)
