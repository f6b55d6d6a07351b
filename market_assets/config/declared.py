"""What the types of the sources declare: traits, venues, corporate actions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import (
    ValidationError,
)

from market_assets.config.names import check_name
from market_assets.config.yaml_file import Document, add_faults, shown
from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.sources.actions import gives_actions
from market_assets.sources.contract import KINDS, source_types, traits_of, venue_of
from market_assets.sources.streaming import has_stream
from market_assets.sources.transport.settings import StreamingSettings
from market_assets.words import hint, listed

with late_imports():
    from market_assets.sources.transport.limits_url import check_limits_url


# Few universes have a server that keeps the limits.

if TYPE_CHECKING:
    from market_assets.config.entries import Entries, ProfileEntry, SymbolEntry
    from market_assets.sources.contract import Traits

Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Declared:
    """What the types of the sources say of them, by source.

    Attributes:
        telling: The sources that can be asked for corporate actions.
        traits: Of the sources whose type declares them.
        streams: The sources that have a stream of candles, each with what keeps it from being used,
            which is mostly nothing.
        venues: By kind of profile, whose prices a source gives; None where nobody knows.
    """

    telling: set[str] = field(default_factory=set)
    traits: dict[str, Traits] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)
    venues: dict[str, dict[str, str | None]] = field(default_factory=dict)

    def venues_of(self, profile: ProfileEntry, symbol: SymbolEntry) -> dict[str, str]:
        """The venues of a symbol's sources, in the sources' order, where they are known."""
        kind = (profile.kind or "").lower()
        venues = {
            source: self.venues.get(source, {}).get(kind)
            for source, _ in symbol.sources or profile.sources
        }
        return {source: venue for source, venue in venues.items() if venue is not None}

    def parted(self, profile: ProfileEntry, symbol: SymbolEntry) -> tuple[Choices, Choices, str]:
        """The sources of a symbol, parted by whether they give its candles.

        Returns:
            The sources that give its candles; those that are another venue; and why these give
            none, as the end of a sentence, empty where there are none.
        """
        choices = tuple(
            (source, own_name) for source, own_name in symbol.sources or profile.sources
        )
        if profile.mix_venues if symbol.mix_venues is None else symbol.mix_venues:
            return choices, (), ""
        venues = self.venues_of(profile, symbol)
        first = next(iter(venues.values()), None)
        other_venues = tuple(choice for choice in choices if venues.get(choice[0], first) != first)
        if not other_venues:
            return choices, (), ""
        names = [
            source if venues[source] == source else f"{source} ({venues[source]})"
            for source, _ in other_venues
        ]
        are, is_, it = (
            ("are other venues", "are", "them")
            if other_venues[1:]
            else ("is another venue", "is", "it")
        )
        apart = (
            f"{listed(names)} {are} than {first} and {is_} not asked: "
            f"mix_venues: true would let {it} fill"
        )
        return (
            tuple(choice for choice in choices if choice not in other_venues),
            other_venues,
            apart,
        )


def check_sources(entries: Entries, document: Document) -> Declared:
    """Check each source's settings against its type, and say what the types declare."""
    types = source_types()
    installed = list(types)
    declared = Declared()
    for name, settings in entries.sources.items():
        place = ("sources", name)
        check_name(name, place, document)
        wanted = str(settings.get("type") or name)
        if wanted not in installed:
            at = (*place, "type") if "type" in settings else place
            document.add(
                at,
                f"{shown(wanted)} is no type of source{hint(wanted, installed)} "
                f"Installed are {listed(installed)}",
            )
            continue
        try:
            source_type = types[wanted]
        # Another package's code runs here: its bug is this file's problem.
        except Exception as error:  # noqa: BLE001
            document.add(place, f"the source type {wanted} cannot be loaded: {error!r}")
            continue
        try:
            checked = source_type.Settings.model_validate(settings)
            declared.venues[name] = {kind: venue_of(source_type, checked, kind) for kind in KINDS}
            if (traits := traits_of(source_type, checked)) is not None:
                declared.traits[name] = traits
            if has_stream(source_type):
                declared.streams[name] = (
                    checked.stream_fault() if isinstance(checked, StreamingSettings) else ""
                )
        except ValidationError as error:
            add_faults(document, place, error.errors(include_url=False), source_type.Settings)
        except SourceError as error:
            document.add(place, str(error))
        except Exception as error:  # noqa: BLE001  # as above
            document.add(place, f"the source type {wanted} cannot say what it has: {error!r}")
        if gives_actions(source_type):
            declared.telling.add(name)
    return declared


def check_limits(url: str | None, document: Document) -> None:
    """Check the address of the server that keeps the limits, where there is one."""
    if url is not None and not document.faulty(("limits",)):
        # Few have one.

        try:
            check_limits_url(url)
        except ValueError as error:
            document.add(("limits",), str(error))


def check_cache(url: str | None, document: Document) -> None:
    """Check the address of the server that keeps answers of the HTTP API, where there is one."""
    if url is None:
        return
    if not url.startswith(("redis://", "rediss://")):
        document.add(
            ("serve", "cache"),
            "is no address of a Redis server: write redis://user:password@host:6379/0",
        )
        return
    try:
        check_limits_url(url)
    except ValueError as error:
        document.add(("serve", "cache"), str(error))
