"""From a file to a `Universe`, or to one `UniverseError` that lists everything wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import (
    ValidationError,
)

from market_assets.config.checks import check_all
from market_assets.config.entries import Entries, ProfileEntry, SymbolEntry, read_entries
from market_assets.config.places import COPY_VARIABLE, PACKAGED, universe_path
from market_assets.config.settings import RepairSettings
from market_assets.config.universe import Profile, SourceSymbol, Symbol, Universe
from market_assets.config.values import Model
from market_assets.config.yaml_file import read_yaml
from market_assets.errors import UniverseError
from market_assets.market.clock import present
from market_assets.practice.ground import moved
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from market_assets.config.declared import Declared


REPAIR_VARIABLE = "MARKET_ASSETS_REPAIR_"

_OUR_VARIABLES = "MARKET_ASSETS_"


class AsIfSet(dict[str, str]):
    """An environment in which every variable is set that a source's settings may name."""

    # Dict's own takes any default.
    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """Give the value of a variable; of one that is not set, some text."""
        return super().get(name) or (default if name.startswith(_OUR_VARIABLES) else "not set")


def load_universe(path: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Universe:
    """Read and check a universe file.

    Args:
        path: The file; without it the one that `MARKET_ASSETS_UNIVERSE` names, without that the
            practice universe: as the home keeps it, or as of today where the home does not keep it
            yet. Without `path`, the copy is read in its place if `MARKET_ASSETS_UNIVERSE_COPY`
            names one.
        environ: Where these variables and the secrets of the file are taken from.

    Raises:
        UniverseError: The file cannot be read, or holds mistakes; it lists them all.
    """
    copy = environ.get(COPY_VARIABLE) if path is None else None
    given = path is not None
    path = universe_path(path, environ, must_exist=copy is None)
    prepare = str if copy or given or path != PACKAGED else _as_of_today
    document = read_yaml(Path(copy) if copy else path, environ, prepare)
    entries = read_entries(document)
    declared = check_all(entries, document)
    local_repair, misset = _repair_here(environ)
    if problems := [*document.problems(), *misset]:
        raise UniverseError(path, problems)
    profiles = [
        _resolve_profile(name, entry, entries, declared, local_repair)
        for name, entry in entries.profiles.items()
    ]
    return Universe(
        path=path,
        sources=entries.sources,
        profiles={profile.name: profile for profile in profiles if profile},
        alerts=entries.alerts,
        markets=entries.markets,
        export=entries.export,
        retention=entries.retention,
        limits=entries.limits,
        serve=entries.serve,
        secrets=document.secrets,
        variables=tuple(sorted(document.variables)),
    )


def _as_of_today(text: str) -> str:
    return moved(text, present().date())


def _resolve_profile(
    name: str,
    entry: ProfileEntry,
    entries: Entries,
    declared: Declared,
    local_repair: RepairSettings,
) -> Profile | None:
    """The profile with everything inherited and preset, and what is set for this machine.

    None without the keys that nothing can be made of: kind and start.
    """
    if entry.kind is None or entry.start is None:
        return None
    symbols = {}
    for symbol_name, symbol in entry.symbols.items():
        asked, other_venues, apart = declared.parted(entry, symbol)
        symbols[symbol_name] = Symbol(
            name=symbol_name,
            start=symbol.start or entry.start,
            end=symbol.end or entry.end,
            sources=tuple(
                SourceSymbol(source=source, symbol=own_name or symbol_name)
                for source, own_name in asked
            ),
            compared=tuple(
                SourceSymbol(source=source, symbol=own_name or symbol_name)
                for source, own_name in other_venues
            ),
            apart=apart,
            venues=declared.venues_of(entry, symbol),
            actions=_actions_of(symbol_name, symbol, entry),
        )
    return Profile(
        name=name,
        kind=entry.kind,
        calendar=entry.calendar or entry.kind.calendar,
        start=entry.start,
        end=entry.end,
        timeframes=entry.timeframes,
        symbols=symbols,
        prices=_overlay(entry.kind.prices, entry.prices),
        checks=entry.checks,
        repair=_overlay(_overlay(entries.repair, entry.repair), local_repair),
        evidence=_overlay(entries.evidence, entry.evidence),
        update=_overlay(entries.update, entry.update),
        stream=entry.stream,
        agreement=_overlay(entries.agreement, entry.agreement),
        partitions=entry.partitions,
        features=_overlay(entries.features, entry.features),
        returns=_overlay(entries.returns, entry.returns),
        retention=entries.retention.with_those_of(entry.retention),
        calendar_changes=entries.changes_of(entry),
    )


def _actions_of(name: str, symbol: SymbolEntry, profile: ProfileEntry) -> tuple[SourceSymbol, ...]:
    """The sources to ask for a symbol's corporate actions.

    A source knows the symbol by the name under which it gives candles.
    """
    names = {source: own_name or name for source, own_name in symbol.sources or profile.sources}
    return tuple(
        SourceSymbol(source=source, symbol=own_name or names.get(source, name))
        for source, own_name in symbol.actions or profile.actions
    )


Part = TypeVar("Part", bound=Model)


def _overlay(below: Part, above: Part) -> Part:
    """One part of the universe with the keys that were written in another."""
    return below.model_copy(update={key: getattr(above, key) for key in above.model_fields_set})


def _repair_here(environ: Mapping[str, str]) -> tuple[RepairSettings, list[str]]:
    """The repair settings that the environment sets, and what is wrong with them.

    They are written as in the file.
    """
    names = {REPAIR_VARIABLE + key.upper(): key for key in RepairSettings.model_fields}
    given = {key: environ[name] for name, key in names.items() if environ.get(name)}
    strange = sorted(
        name for name in environ if name.startswith(REPAIR_VARIABLE) and name not in names
    )
    problems = [
        f"{name}: is no setting{hint(name, names)} There are {listed(names)}" for name in strange
    ]
    try:
        return RepairSettings.model_validate(
            {key: yaml.safe_load(text) for key, text in given.items()}
        ), problems
    except yaml.YAMLError as error:
        return RepairSettings(), [*problems, f"{REPAIR_VARIABLE}...: cannot be read: {error}"]
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        named = [
            f"{REPAIR_VARIABLE}{str(fault['loc'][0]).upper()}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in wrong
        ]
        return RepairSettings(), [*problems, *named]
