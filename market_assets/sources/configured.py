"""The sources of a universe: built from its settings, each with the limit that all processes of a home folder share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.sources.base import Source, build_source, source_types
from market_assets.sources.http import HttpSettings, limit_name
from market_assets.universe import home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.universe import Profile, Universe


def source_of(universe: Universe, name: str, *, kind: str) -> Source:
    """Build a source of a universe.

    A source that speaks HTTP shares its vendor's limit with all processes of this home folder, by a file below it: one for each
    address and key, whatever the sources are called. `limiter_path` in its settings names another file.

    Args:
        universe: Whose settings are used.
        name: The source's, one of the universe.
        kind: The kind of the profile it is built for, in lower case ("crypto").

    Raises:
        SourceError: Its type is not installed any more.
    """
    settings = _sharing(name, universe.sources[name])
    return build_source(name, settings, base=universe.path.parent, kind=kind)


def sources_of(universe: Universe, profile: Profile) -> dict[str, Source]:
    """Build the sources that a profile's symbols name: see `source_of`."""
    names = {choice.source for symbol in profile.symbols.values() for choice in symbol.sources}
    return {name: source_of(universe, name, kind=profile.kind.value.lower()) for name in sorted(names)}


def _sharing(name: str, settings: Mapping[str, object]) -> Mapping[str, object]:
    """The settings with the file that the limit is kept in."""
    source_type = source_types().get(str(settings.get("type") or name))
    if source_type is None or not issubclass(source_type.Settings, HttpSettings):
        return settings
    checked = source_type.Settings.model_validate(settings)
    if checked.limiter_path is not None:
        return settings
    # Without an address the vendor is the practice source's own.
    return {**settings, "limiter_path": home() / "limits" / f"{limit_name(checked) or name}.sqlite"}
