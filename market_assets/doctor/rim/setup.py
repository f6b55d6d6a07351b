"""The universe, read as if all its keys were set: a key that is not is a finding of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from market_assets.config.load import AsIfSet, load_universe
from market_assets.config.places import COPY_VARIABLE, universe_path
from market_assets.config.yaml_file import read_yaml
from market_assets.doctor.facts import Setup
from market_assets.errors import MarketAssetsError, UniverseError
from market_assets.market.clock import CLOCK_VARIABLE
from market_assets.secrets import secrets_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.config.universe import Universe

_REFERENCE = re.compile(r"\$\{(\w+)\}")


def look_at_setup(environ: Mapping[str, str]) -> tuple[Setup, Universe | None]:
    """Read the universe; gives None in place of one that cannot be used."""
    universe, problems = _universe(environ)
    try:
        path = universe_path(environ=environ, must_exist=False)
    except MarketAssetsError as error:
        return Setup("the universe", (str(error),), 0, 0, {}), None
    profiles = universe.profiles.values() if universe else ()
    setup = Setup(
        path=str(path),
        problems=problems,
        profiles=len(profiles),
        symbols=sum(len(profile.symbols) for profile in profiles),
        keys=_keys(Path(environ.get(COPY_VARIABLE) or path), environ),
        clock=environ.get(CLOCK_VARIABLE, ""),
    )
    return setup, universe


def _universe(environ: Mapping[str, str]) -> tuple[Universe | None, tuple[str, ...]]:
    problems: tuple[str, ...] = ()
    # An address may stand in a variable: then only its own value is one.
    for variables in (AsIfSet(environ), environ):
        try:
            return load_universe(environ=variables), ()
        except UniverseError as error:
            problems = tuple(error.problems)
        except MarketAssetsError as error:
            problems = (str(error),)
    return None, problems


def _keys(path: Path, environ: Mapping[str, str]) -> dict[str, bool]:
    """The variables that a file names, each with whether it is set."""
    document = read_yaml(path, AsIfSet(environ))
    names = {
        name for text in secrets_in(document.data) for name in _REFERENCE.findall(text.written)
    }
    return {name: bool(environ.get(name)) for name in sorted(names)}
