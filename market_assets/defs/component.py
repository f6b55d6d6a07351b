"""A universe as a component of a `dg` project, so that `dg` lists, scaffolds and checks it.

A `defs.yaml` names the universe file; what it gives Dagster is what `market_assets.definitions`
gives. Registered by the entry point `dagster_dg_cli.registry_modules` of this package.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component

from market_assets.config.load import load_universe
from market_assets.defs.location import build_definitions
from market_assets.errors import MarketAssetsError
from market_assets.home import HOME_VARIABLE, home

_UNIVERSE = "universe.yaml"

_SMALL = """\
# What is kept, and from where. Every candle of the source `practice` is SIMULATED, by a server that
# it starts on this machine: no network, no key. docs/universe.md has all keys, docs/sources.md all
# sources.

sources:
  practice:
    symbols:
      BTCUSDT: {price: 110000}

profiles:
  crypto:                       # its assets are crypto/candles_1m and so on
    kind: CRYPTO                # presets the calendar (24/7) and the price rules
    start: 2025-11-01           # the first day to keep
    timeframes: {fetch: [1m], derive: [1h, 1d]}
    sources: [practice]
    symbols:
      BTCUSDT: {}
"""


class UniverseScaffolder(dg.Scaffolder):
    """Writes a `defs.yaml` and a small universe of simulated candles beside it."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write both files; a universe that is there already stays as it is."""
        if request.scaffold_format == "yaml":
            scaffold_component(request, {"universe": _UNIVERSE})
        else:
            scaffold_component(request)
        universe = request.target_path / _UNIVERSE
        if not universe.exists():
            universe.write_text(_SMALL, encoding="utf-8")


@dg.scaffold_with(UniverseScaffolder)
class UniverseComponent(dg.Component, dg.Model, dg.Resolvable):
    """The candles of a universe file: assets, checks, sensors and schedules of each profile.

    Attributes:
        universe: The universe file. A relative path begins in the folder of `defs.yaml`.
        home: The folder for all that is written. A relative path begins in the folder of
            `defs.yaml`. Without it `MARKET_ASSETS_HOME` names the folder, and without that it is
            `data` in the working folder.
    """

    universe: str = _UNIVERSE
    home: str | None = None

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` says of it."""
        return dg.ComponentTypeSpec(
            description="The candles of a market_assets universe file.",
            tags=["duckdb", "candles", "market data"],
            owners=["team:market-data"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the universe.

        Raises:
            UniverseError: The file cannot be read, or holds mistakes; it lists them all.
            MarketAssetsError: This process has another home folder already.
        """
        if self.home is not None:
            _live_in(context.path / Path(self.home).expanduser())
        path = context.path / Path(self.universe).expanduser()
        return build_definitions(load_universe(path))


def _live_in(folder: Path) -> None:
    """Make a folder the home of this process.

    Raises:
        MarketAssetsError: It has another one already: a code location has one home.
    """
    folder = folder.absolute()
    if os.environ.get(HOME_VARIABLE) and home() != folder:
        raise MarketAssetsError(
            f"home: {folder} is asked for, and {home()} is the home of this process: "
            f"{HOME_VARIABLE} or another component names it. A code location has one home; "
            "leave one of the two out."
        )
    os.environ[HOME_VARIABLE] = str(folder)
