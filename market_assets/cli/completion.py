"""What a shell offers where a name of the universe is typed, such as a profile or a symbol.

The shell asks at each press of a key, so this reads the names of the file and checks nothing: a
universe with a mistake in it is completed as well. It never fails, writes nothing and says nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING

import typer  # noqa: TC002 - typer reads the annotations of completers

from market_assets.config.places import COPY_VARIABLE, universe_path
from market_assets.imports import late_imports

with late_imports():
    from pathlib import Path

    from market_assets.config.yaml_file import read_yaml

if TYPE_CHECKING:
    Completer = Callable[[typer.Context, str], list[str]]

_HARMLESS = re.compile(r"[\w^][\w.:=^+@%-]*")
"""Words that mean nothing else to a shell: what is offered is put into a command as it is."""

_NAMING = ("profiles", "names", "name", "profile")
"""The parameters of commands that name profiles."""


def _quiet(complete: Completer) -> Completer:
    """Offer nothing where something is wrong: a shell would write an error into the line."""

    @wraps(complete)
    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return complete(ctx, incomplete)
        except Exception:  # noqa: BLE001 - whatever it is, the command itself says it
            return []

    return offer


@_quiet
def offer_profiles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The profiles, without those that the command names already."""
    return _begun(incomplete, _without(_profiles(), _words(ctx, "profiles")))


@_quiet
def offer_owners(ctx: typer.Context, incomplete: str) -> list[str]:
    """The profiles and the matrix across them, without those that the command names already."""
    document = _document()
    markets = _mapping(document.get("markets")).get("name", "markets")
    names = [*_mapping(document.get("profiles")), *([markets] if "markets" in document else [])]
    return _begun(incomplete, _without(map(str, names), _words(ctx, "names")))


@_quiet
def offer_symbols(ctx: typer.Context, incomplete: str) -> list[str]:
    """The symbols of the profiles that the command names, of all if it names none."""
    return _begun(incomplete, _symbols(ctx))


@_quiet
def offer_symbol_list(ctx: typer.Context, incomplete: str) -> list[str]:
    """The same for a list that is separated by commas: each with what stands before it."""
    return _listed(incomplete, _symbols(ctx))


@_quiet
def offer_timeframes(ctx: typer.Context, incomplete: str) -> list[str]:
    """The timeframes that the profiles keep which the command names, shortest first."""
    return _begun(incomplete, _timeframes(ctx))


@_quiet
def offer_timeframe_list(ctx: typer.Context, incomplete: str) -> list[str]:
    """The same for a list that is separated by commas."""
    return _listed(incomplete, _timeframes(ctx))


@_quiet
def offer_sources(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001 - typer's own
    """The sources of the universe."""
    return _begun(incomplete, map(str, _mapping(_document().get("sources"))))


def _symbols(ctx: typer.Context) -> list[str]:
    names = (
        str(symbol)
        for profile in _chosen(ctx)
        for symbol in _mapping(_mapping(profile).get("symbols"))
    )
    return list(dict.fromkeys(names))


def _timeframes(ctx: typer.Context) -> list[str]:
    kept: set[object] = set()
    for profile in _chosen(ctx):
        lists = _mapping(_mapping(profile).get("timeframes")) or {"fetch": ["1m"]}
        for key in ("fetch", "derive"):
            names = lists.get(key)
            kept |= set(names) if isinstance(names, list) else set()
    return sorted(map(str, kept), key=_length)


def _length(timeframe: str) -> tuple[int, int]:
    """What timeframes are sorted by; polars, which their own type needs, takes too long to load."""
    return "mhdw".index(timeframe[-1]), int(timeframe[:-1])


def _chosen(ctx: typer.Context) -> list[object]:
    """The profiles that the command names as they are written; all of them if it names none."""
    profiles = _profiles()
    words = [word for key in _NAMING for word in _words(ctx, key)]
    # Where the value of an option is still to come, the arguments have not found their parameters.
    named = [word for word in (*words, *ctx.args) if word in profiles]
    return [profiles[name] for name in named or profiles]


def _words(ctx: typer.Context, key: str) -> list[str]:
    """What stands in the line already for a parameter."""
    value = ctx.params.get(key)
    return [value] if isinstance(value, str) else list(value or ())


def _profiles() -> Mapping[str, object]:
    return _mapping(_document().get("profiles"))


def _document() -> Mapping[str, object]:
    """The universe file as it is written, whatever may be wrong with it."""
    copy = os.environ.get(COPY_VARIABLE)
    return _mapping(read_yaml(Path(copy) if copy else universe_path(), os.environ).data)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _without(names: Iterable[str], present: list[str]) -> list[str]:
    return [name for name in names if name not in present]


def _begun(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete) and _HARMLESS.fullmatch(name)]


def _listed(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, begun = incomplete.rpartition(",")
    offered = _begun(begun, _without(names, before.split(",")))
    return [f"{before}{comma}{name}" for name in offered]
