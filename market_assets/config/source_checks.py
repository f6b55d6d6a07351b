"""Where a profile asks its sources for what they do not have: candles, kinds, corporate actions.

What the types of the sources declare stands in `declared`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.config.kinds import Kind
from market_assets.config.names import check_repeats
from market_assets.config.research import Basis
from market_assets.market.timeframes import Timeframe
from market_assets.words import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.config.declared import Declared
    from market_assets.config.entries import Entries, ProfileEntry
    from market_assets.config.yaml_file import Document, Place
    from market_assets.sources.contract import Traits


def check_asked(
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


def check_stream(
    place: Place, profile: ProfileEntry, declared: Declared, document: Document
) -> None:
    """A profile that is streamed has a source with a stream, at an address that belongs to it."""
    if not profile.stream.enabled or document.faulty_within((*place, "sources")):
        return
    at = (*place, "stream", "enabled")
    asked = dict.fromkeys(
        source
        for symbol in profile.symbols.values()
        for source, _ in declared.parted(profile, symbol)[0]
    )
    streaming = [source for source in asked if source in declared.streams]
    if asked and not streaming:
        able = listed(sorted(declared.streams)) if declared.streams else "none of this file"
        document.add(
            at,
            f"{listed(asked)} have no stream; of this file {able} could be named in `sources`, "
            "or leave stream out",
        )
    for source in streaming:
        if fault := declared.streams[source]:
            document.add(
                ("sources", source, "base_url"), f"profile {place[-1]} is streamed: {fault}"
            )


def check_kind(
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


def check_actions(
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
        check_repeats(at, choices, document)
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
    _check_raw_candles(place, profile, declared, document)


def _check_basis(place: Place, profile: ProfileEntry, document: Document) -> None:
    """Without corporate actions a profile itself asks for no prices that are adjusted by them."""
    for key, settings in (("features", profile.features), ("returns", profile.returns)):
        if settings.basis not in {None, Basis.RAW}:
            document.add(
                (*place, key, "basis"),
                f"{settings.basis} needs corporate actions: "
                "name a source of them under `actions`, or write raw",
            )


def _check_raw_candles(
    place: Place, profile: ProfileEntry, declared: Declared, document: Document
) -> None:
    """Actions are applied to candles, so that none of these is divided by splits already."""
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
