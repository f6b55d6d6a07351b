"""The home that this folder reads, and a server over it that all files share."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from market_assets_tests.conftest import Clock
from market_assets_tests.support.serve_ground import ServeGround

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with candles: to copy it takes less time than to fill one."""
    folder = tmp_path_factory.mktemp("template")
    ServeGround(folder, Clock()).fill()
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, _template: Path) -> ServeGround:
    """A home with candles that no test of a file changes."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(_template, folder, dirs_exist_ok=True)
    return ServeGround(folder, Clock())


@pytest.fixture(scope="module")
def client(filled: ServeGround) -> Iterator[httpx.Client]:
    """A client of a server without a token over it."""
    with filled.served() as client:
        yield client


@pytest.fixture
def ground(tmp_path: Path, clock: Clock, _template: Path) -> ServeGround:
    """A home of a test's own."""
    shutil.copytree(_template, tmp_path, dirs_exist_ok=True)
    return ServeGround(tmp_path, clock)
