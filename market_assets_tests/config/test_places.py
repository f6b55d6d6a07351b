"""Where the universe file is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.config.kinds import Kind
from market_assets.config.load import load_universe
from market_assets.config.places import PACKAGED
from market_assets.home import home
from market_assets.sources.vendors.practice import PracticeSettings
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]


def test_the_packaged_universe_has_all_four_kinds() -> None:
    loaded = load_universe(PACKAGED, environ={})
    assert {profile.kind for profile in loaded.profiles.values()} == set(Kind)
    symbols = {name for profile in loaded.profiles.values() for name in profile.symbols}
    practice = PracticeSettings.model_validate(loaded.sources["practice"])
    assert set(practice.symbols) <= symbols
    assert {name for fault in practice.faults for name in fault.symbols} <= symbols
    assert loaded.path.name == "universe.yaml"


def test_the_environment_names_the_universe_and_the_home(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = load(universe()).path
    assert load_universe(environ={"MARKET_ASSETS_UNIVERSE": str(path)}).path == path
    monkeypatch.chdir(tmp_path)
    assert load_universe(environ={"MARKET_ASSETS_UNIVERSE": path.name}).path == path
    assert home({}) == tmp_path / "data"
    assert home({"MARKET_ASSETS_HOME": "elsewhere"}) == tmp_path / "elsewhere"
