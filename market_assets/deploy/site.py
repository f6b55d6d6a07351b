"""Where, as whom and with which settings a universe is run: what the files of all kinds need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_assets.config.load import REPAIR_VARIABLE
from market_assets.config.meanings import default_of, descriptions, written
from market_assets.config.places import UNIVERSE_VARIABLE
from market_assets.config.settings import RepairSettings
from market_assets.home import HOME_VARIABLE
from market_assets.up.options import PAGES_PORT

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.config.universe import Universe


@dataclass(frozen=True)
class Variable:
    """A variable of the environment.

    Attributes:
        name: Its name.
        default: What holds where it is not set, as it is written; empty where nothing does.
        words: What it means.
        is_needed: Whether nothing starts without it.
    """

    name: str
    default: str
    words: str
    is_needed: bool = False


@dataclass(frozen=True)
class Site:
    """Where and as whom a universe is run.

    Attributes:
        home: The home folder, absolute.
        universe: The universe file, absolute.
        program: The program `market-assets`, absolute.
        user: The user of the machine whose processes they are.
        folders: Other folders that are written: those of the lake outside the home.
        streams: The profiles that are streamed by a service of their own.
        secrets: The variables that the universe file names.
        has_token: Whether the universe has a token for `market-assets serve`.
        serve_port: Where `market-assets serve` listens.
        pages_port: Where `market-assets up` listens.
    """

    home: Path
    universe: Path
    program: Path
    user: str
    folders: tuple[Path, ...]
    streams: tuple[str, ...]
    secrets: tuple[str, ...]
    has_token: bool
    serve_port: int
    pages_port: int = PAGES_PORT

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Every variable that a service looks at, first those that must be set."""
        return (*(_secret(name) for name in self.secrets), *_places(self), *_repairs())


def site_of(universe: Universe, home: Path, program: Path, *, user: str) -> Site:
    """What a universe needs where it is run.

    A profile whose stream Dagster keeps alive has no service of its own.

    Args:
        universe: The universe.
        home: The home folder, absolute.
        program: The program `market-assets`, absolute.
        user: The user of the machine whose processes they are.
    """
    lake = universe.export.folder_in(home) if universe.export else None
    return Site(
        home=home,
        universe=universe.path,
        program=program,
        user=user,
        folders=() if lake is None or lake.is_relative_to(home) else (lake,),
        streams=tuple(
            name
            for name, profile in universe.profiles.items()
            if not profile.stream.enabled and profile.end is None
        ),
        secrets=universe.variables,
        has_token=universe.serve.token is not None,
        serve_port=universe.serve.port,
    )


def _secret(name: str) -> Variable:
    return Variable(name, "", "The universe file takes a value from it.", is_needed=True)


def _places(site: Site) -> list[Variable]:
    return [
        Variable(HOME_VARIABLE, str(site.home), "The folder in which everything is kept."),
        Variable(UNIVERSE_VARIABLE, str(site.universe), "The universe file."),
    ]


def _repairs() -> list[Variable]:
    meanings = descriptions(RepairSettings)
    return [
        Variable(REPAIR_VARIABLE + key.upper(), written(default_of(field)), meanings[key])
        for key, field in RepairSettings.model_fields.items()
    ]
