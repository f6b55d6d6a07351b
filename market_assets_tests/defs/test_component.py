"""A universe as a component of a fresh `dg` project: listed, scaffolded, checked, loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import dagster as dg
import pytest
import yaml

from market_assets import UniverseComponent
from market_assets.config.load import load_universe
from market_assets.defs.component import UniverseScaffolder
from market_assets.defs.location import build_definitions
from market_assets.errors import MarketAssetsError, UniverseError
from market_assets.home import HOME_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

PROJECT = """
[project]
name = "my_markets"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "my_markets"
"""

DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as `create-dagster` makes it, without what is no business of `dg`."""
    folder = tmp_path / "my-markets"
    (folder / "my_markets" / "defs").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "my_markets" / "definitions.py").write_text(DEFINITIONS)
    for package in ("my_markets", "my_markets/defs"):
        (folder / package / "__init__.py").touch()
    return folder


TERMINAL = """
import contextlib, io, json, sys
from dagster_dg_cli.cli import cli

for words in json.loads(sys.argv[1]):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        cli(words, standalone_mode=False)
    print(json.dumps(out.getvalue()))
"""


def terminal(project: Path, *commands: list[str]) -> list[str]:
    """What `dg` prints in the project, by command; each must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != HOME_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL, json.dumps(commands)],
        cwd=project,
        env={**environment, "COLUMNS": "200", "DAGSTER_DG_CLI_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_universe_is_scaffolded_checked_and_listed_in_a_fresh_project(project: Path) -> None:
    registered = entry_points(group="dagster_dg_cli.registry_modules", name="market_assets")
    assert registered, "this package was installed before it had a component: pip install -e ."
    components, _ = terminal(
        project,
        ["list", "components"],
        ["scaffold", "defs", "market_assets.UniverseComponent", "my_market"],
    )
    assert "market_assets.UniverseComponent" in components

    folder = project / "my_markets" / "defs" / "my_market"
    assert yaml.safe_load((folder / "defs.yaml").read_text()) == {
        "type": "market_assets.UniverseComponent",
        "attributes": {"universe": "universe.yaml"},
    }
    assert list(load_universe(folder / "universe.yaml").profiles) == ["crypto"]

    # This checks the YAML too.
    check, listing = terminal(project, ["check", "defs"], ["list", "defs", "--json"])
    assert "All definitions loaded successfully" in check
    listed = json.loads(listing)
    assert {asset["asset_key"] for asset in listed["assets"]} == {
        "crypto/candles_1m",
        "crypto/candles_1h",
        "crypto/candles_1d",
        "crypto/completeness",
        "platform/troubles",
    }
    assert {sensor["name"] for sensor in listed["sensors"]} >= {"repair_crypto", "alerts"}


def made_by(folder: Path, **attributes: str) -> dg.Definitions:
    """What the component gives Dagster for a `defs.yaml` in a folder."""
    component = UniverseComponent.from_attributes_dict(attributes=attributes)
    return component.build_defs(cast("dg.ComponentLoadContext", SimpleNamespace(path=folder)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a component in a process without a home; its universe is there."""
    # So that what the component sets is taken back.
    monkeypatch.setenv(HOME_VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    request = dg.ScaffoldRequest(
        "market_assets.UniverseComponent", tmp_path, "yaml", project_root=None, params=None
    )
    UniverseScaffolder().scaffold(request)
    return tmp_path


def test_its_definitions_are_those_of_the_universe(folder: Path) -> None:
    expected = build_definitions(load_universe(folder / "universe.yaml"))
    component = made_by(folder, universe="universe.yaml")
    assert {spec.key for spec in component.resolve_all_asset_specs()} == {
        spec.key for spec in expected.resolve_all_asset_specs()
    }
    assert [each.name for each in component.sensors or ()] == [
        each.name for each in expected.sensors or ()
    ]
    assert [each.name for each in component.schedules or ()] == [
        each.name for each in expected.schedules or ()
    ]


def test_its_home_is_beside_it_and_a_process_has_one_home(folder: Path) -> None:
    definitions = made_by(folder, home="candles")
    store = (definitions.resources or {})["store"]
    assert store.home == folder / "candles"
    assert made_by(folder, home=str(folder / "candles")).resources is not None
    with pytest.raises(MarketAssetsError, match="A code location has one home"):
        made_by(folder, home="elsewhere")


def test_a_universe_with_mistakes_is_refused_with_its_lines(folder: Path) -> None:
    universe = folder / "universe.yaml"
    universe.write_text(universe.read_text().replace("CRYPTO", "CRYPTOS"))
    with pytest.raises(UniverseError, match=r"profiles\.crypto\.kind"):
        made_by(folder)
    with pytest.raises(UniverseError, match="there is no such file"):
        made_by(folder, universe="nowhere.yaml")


def test_a_universe_that_is_there_stays_as_it_is(folder: Path) -> None:
    (folder / "universe.yaml").write_text("mine")
    request = dg.ScaffoldRequest(
        "market_assets.UniverseComponent", folder, "yaml", project_root=None, params=None
    )
    UniverseScaffolder().scaffold(request)
    assert (folder / "universe.yaml").read_text() == "mine"
