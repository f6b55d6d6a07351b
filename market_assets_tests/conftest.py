"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from market_assets.config.load import load_universe
from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from market_assets.config.universe import Profile

# How long an example takes is measured in benchmarks/, and a loaded machine fails no test.
settings.register_profile("suite", deadline=None, max_examples=60)
settings.load_profile("suite")

pytest_plugins = ("market_assets_tests.support.fills", "market_assets_tests.support.markets")

_ROOM = 6 * 1024**3
"""Bytes that the homes of a whole run need at most."""


def _keep_homes_in_memory() -> None:
    """Make temporary folders in memory where there is room: half of the time is a disk's otherwise.

    DuckDB and SQLite wait for the disk at each commit, and a test has dozens of these.
    """
    memory = Path("/dev/shm")  # noqa: S108 - Linux keeps it in memory
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


_keep_homes_in_memory()

# The width of the terminal that started the tests is not theirs; pytest-xdist sets one.
os.environ.pop("COLUMNS", None)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the journeys: some wait for real processes, and the others run while they wait."""
    items.sort(key=lambda item: item.path.parent.name != "journeys")


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes limits, cookies or archives below the folder that it is started in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARKET_ASSETS_HOME", str(tmp_path_factory.mktemp("everybodys_home")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real candles and real vendor answers beside the repository.

    A test that needs the folder is skipped without it.
    """
    if not SHARED.is_dir():
        pytest.skip(f"needs the folder of real records at {SHARED.name}/ beside the repository")
    return SHARED


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: datetime = datetime(2025, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("empty")
    with Store(home, clock=Clock()).writing("making an empty store"):
        return home


@pytest.fixture
def store(tmp_path: Path, clock: Clock, _empty_home: Path) -> Store:
    """An empty store on disk.

    It is a copy, because to make one takes longer than most of these tests. A home that another
    fixture has filled stays as it is.
    """
    home = tmp_path / "home"
    if not home.exists():
        shutil.copytree(_empty_home, home)
    return Store(home, clock=clock, patience=timedelta(seconds=30))


@pytest.fixture
def profile(tmp_path: Path) -> Callable[[str], Profile]:
    """Makes a profile out of the keys that it has in a universe file; its source is never asked."""

    def load(keys: str) -> Profile:
        path = tmp_path / "universe.yaml"
        body = textwrap.indent(textwrap.dedent(keys).strip(), "    ")
        path.write_text(
            f"sources: {{practice: {{}}}}\nprofiles:\n  kept:\n    sources: [practice]\n{body}\n"
        )
        return load_universe(path, environ={}).profiles["kept"]

    return load
