"""What differs between two universes, in words. Pure: it takes and gives plain values."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from market_assets.config.universe import Profile, Universe

_NAMES = 8
"""How many names a sentence lists."""

_OWN_SCHEMAS = {"ops", "main"}


class ProfileSummary(TypedDict):
    """What is compared of a profile: settings and symbols by name, each as text without secrets."""

    timeframes: dict[str, list[str]]
    symbols: dict[str, str]
    settings: dict[str, str]


class Summary(TypedDict):
    """What is compared of a universe; plain enough for JSON.

    Attributes:
        profiles: By name.
        sources: A fingerprint of each one's settings, by name.
        parts: The other parts of the file as text without secrets, by their key.
        schemas: The schemas of the store that the universe names.
    """

    profiles: dict[str, ProfileSummary]
    sources: dict[str, str]
    parts: dict[str, str]
    schemas: list[str]


def summary_of(universe: Universe) -> Summary:
    """What is compared of a universe."""
    markets = [universe.markets.name] if universe.markets.timeframes else []
    return Summary(
        profiles={name: _profile_summary(profile) for name, profile in universe.profiles.items()},
        # A secret shows itself as the name of its variable.
        sources={name: _fingerprint(settings) for name, settings in universe.sources.items()},
        parts={
            "alerts": repr(universe.alerts) + _fingerprint(universe.alerts.channels),
            "export": repr(universe.export),
            "limits": _fingerprint(universe.limits),
            "markets": repr(universe.markets),
        },
        schemas=[*universe.profiles, *markets],
    )


def _profile_summary(profile: Profile) -> ProfileSummary:
    frames = profile.timeframes.model_dump(mode="json")
    rest = profile.model_dump(mode="json", exclude={"name", "symbols", "timeframes"})
    return ProfileSummary(
        timeframes={key: list(values) for key, values in frames.items()},
        symbols={name: repr(symbol) for name, symbol in profile.symbols.items()},
        settings={key: str(value) for key, value in rest.items()},
    )


def _fingerprint(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def changes(before: Summary, after: Summary) -> list[str]:
    """What has changed, a sentence without a full stop per thing; empty where nothing has."""
    profiles = before["profiles"], after["profiles"]
    words = []
    for name in _new(*profiles):
        profile = after["profiles"][name]
        words.append(
            f"profile {name} is new: {_listed(profile['symbols'])}; "
            f"{_listed(profile['timeframes']['fetch'])}"
        )
    words += [
        f"profile {name} is no longer kept; what is stored of it stays in the schema {name}"
        for name in _gone(*profiles)
    ]
    for name in sorted(profiles[0].keys() & profiles[1].keys()):
        words += [
            f"{name}: {change}" for change in _profile_changes(profiles[0][name], profiles[1][name])
        ]
    words += _set_changes("source", before["sources"], after["sources"])
    words += [f"{key} has changed" for key in _changed(before["parts"], after["parts"])]
    return words


def _profile_changes(before: ProfileSummary, after: ProfileSummary) -> list[str]:
    words = []
    symbols = before["symbols"], after["symbols"]
    if added := _new(*symbols):
        words.append(f"{_counted(added, 'symbol')} added: {_listed(added)}")
    if gone := _gone(*symbols):
        words.append(
            f"{_counted(gone, 'symbol')} removed: {_listed(gone)} (what is stored of them stays)"
        )
    if changed := _changed(*symbols):
        words.append(f"{_counted(changed, 'symbol')} changed: {_listed(changed)}")
    for key in after["timeframes"]:
        frames = before["timeframes"].get(key, []), after["timeframes"][key]
        words += [
            f"timeframes.{key}: {frame} added" for frame in frames[1] if frame not in frames[0]
        ]
        words += [
            f"timeframes.{key}: {frame} removed" for frame in frames[0] if frame not in frames[1]
        ]
    for key in _changed(before["settings"], after["settings"]):
        values = before["settings"][key], after["settings"][key]
        short = all(len(value) <= 20 for value in values)
        words.append(f"{key} is {values[1]}, was {values[0]}" if short else f"{key} has changed")
    return words


def _set_changes(noun: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    words = [f"{noun} {name} is new" for name in _new(before, after)]
    words += [f"{noun} {name} is removed" for name in _gone(before, after)]
    return words + [f"{noun} {name} has changed" for name in _changed(before, after)]


def orphans(stored: Collection[str], summary: Summary) -> list[str]:
    """The schemas of the store that nothing in the universe names, and what can be done, in words.

    Args:
        stored: The schemas that hold tables.
        summary: Of the universe.
    """
    return [
        f"schema {name} is in the store, and no profile is called so: "
        f"call a profile {name} to go on with it, "
        f"or remove it: market-assets forget {name} --yes"
        for name in sorted(set(stored) - set(summary["schemas"]) - _OWN_SCHEMAS)
    ]


def _new(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in after if name not in before]


def _gone(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in before if name not in after]


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [name for name in after if name in before and before[name] != after[name]]


def _counted(names: Sequence[str], noun: str) -> str:
    return noun if len(names) == 1 else f"{len(names)} {noun}s"


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(list(names)[:_NAMES]) + more
