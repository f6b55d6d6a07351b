"""Universe files that are loaded, and what is wrong with those that cannot be."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import UniverseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a universe and loads it."""

    def write_and_load(text: str, **environ: str) -> Universe:
        path = tmp_path / "universe.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return load_universe(path, environ=environ)

    return write_and_load


@pytest.fixture
def problems(load: Load) -> Problems:
    """Writes a universe that cannot be loaded; what is wrong with it."""

    def write_and_fail(text: str, **environ: str) -> list[str]:
        with pytest.raises(UniverseError) as caught:
            load(text, **environ)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        return caught.value.problems

    return write_and_fail
