"""The sources of a universe, built from its settings.

Each has the limit that all processes of a home folder share, or all machines that use the
universe's `limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import SecretStr

from market_assets.errors import SourceError
from market_assets.home import home
from market_assets.secrets import secrets_in
from market_assets.sources.actions import ActionSource, gives_actions
from market_assets.sources.contract import Source, build_source, source_types
from market_assets.sources.transport.http import HttpSettings
from market_assets.sources.transport.settings import limit_name

if TYPE_CHECKING:
    from market_assets.config.universe import Profile, Universe

_SHORTEST_SECRET = 5
"""The fewest letters of a secret that is hidden.

A shorter one, such as a port, is a part of many numbers too.
"""


def source_of(universe: Universe, name: str, *, kind: str) -> Source:
    """Build a source of a universe.

    A source that speaks HTTP shares its vendor's limit: with all who use the universe's `limits`,
    which is a server, and without that with all processes of this home folder, by a file below it.
    There is one limit per address and key, whatever the sources are called. `limiter` or
    `limiter_path` in its settings names another server or file.

    Args:
        universe: Whose settings are used.
        name: The source's, one of the universe.
        kind: The kind of the profile it is built for, in lower case ("crypto").

    Raises:
        SourceError: Its type is not installed any more.
    """
    settings = with_limit(name, universe)
    return build_source(name, settings, base=universe.path.parent, kind=kind)


def sources_of(universe: Universe, profile: Profile) -> dict[str, Source]:
    """Build the sources that give a profile's candles, or that these are compared with.

    Each is built as in `source_of`. Returns them by name.
    """
    symbols = profile.symbols.values()
    names = {
        choice.source
        for symbol in symbols
        for choice in (symbol.choices if profile.compares else symbol.sources)
    }
    return {
        name: source_of(universe, name, kind=profile.kind.value.lower()) for name in sorted(names)
    }


def action_sources_of(universe: Universe, profile: Profile) -> dict[str, ActionSource]:
    """Build the sources of the corporate actions of a profile's symbols.

    Each is built as in `source_of`. Returns them by name.

    Raises:
        SourceError: A source cannot be asked for corporate actions, or is not installed any more.
    """
    sources = {}
    for name in sorted(
        {choice.source for symbol in profile.symbols.values() for choice in symbol.actions}
    ):
        source = source_of(universe, name, kind=profile.kind.value.lower())
        if not gives_actions(source):
            raise SourceError(
                f"source {name}: it cannot be asked for corporate actions", permanent=True
            )
        sources[name] = source
    return sources


def with_limit(name: str, universe: Universe) -> Mapping[str, object]:
    """The settings of a source, with where its limit is kept and with what is to be hidden.

    The limit is kept on a server or in a file. The settings of a source without HTTP stay as they
    are.
    """
    settings = universe.sources[name]
    source_type = source_types().get(str(settings.get("type") or name))
    if source_type is None or not issubclass(source_type.Settings, HttpSettings):
        return settings
    return _limited(name, settings, source_type.Settings.model_validate(settings), universe)


def _limited(
    name: str, settings: Mapping[str, object], checked: HttpSettings, universe: Universe
) -> Mapping[str, object]:
    """The same for a source and for another one that it asks itself.

    The settings of that one stand within its own.
    """
    checked = checked.model_copy(update={"hidden": (*checked.hidden, *_hidden(settings, universe))})
    settings = {**settings, "hidden": checked.hidden}
    for key, part in checked:
        if isinstance(part, HttpSettings):
            given = settings.get(key)
            settings = {
                **settings,
                key: _limited(name, given if isinstance(given, Mapping) else {}, part, universe),
            }
    if checked.limiter is not None or checked.limiter_path is not None:
        return settings
    vendor = limit_name(checked)
    # Without an address the vendor is the practice source's own, in this process: no other machine
    # asks it.
    if universe.limits is not None and vendor:
        return {**settings, "limiter": universe.limits}
    return {**settings, "limiter_path": home() / "limits" / f"{vendor or name}.sqlite"}


def _hidden(settings: Mapping[str, object], universe: Universe) -> list[SecretStr]:
    """The values that stand for a `${NAME}` in the settings.

    A source's own fields may show such a value, or have it as part of a longer secret.
    """
    # Who shares a limit must not depend on where it is kept.
    texts = [
        secret
        for key, value in settings.items()
        if key != "limiter"
        for secret in secrets_in(value)
    ]
    return [
        SecretStr(value)
        for value in universe.secrets
        if len(value) >= _SHORTEST_SECRET and any(value in text for text in texts)
    ]
