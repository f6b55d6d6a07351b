"""What every test may ask for."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from market_assets.config.load import load_universe
from market_assets.store import Store, engine

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

# Four workers compile each test, and dozens of processes the package, unless one of them writes
# down what came of it.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:
    # The other workers have the other cores. A fill costs a fifth less so.
    engine.SETTINGS["threads"] = 1

# The width of the terminal that started the tests is not theirs; pytest-xdist sets one.
os.environ.pop("COLUMNS", None)

SHARED = Path(__file__).resolve().parents[2] / "shared"


HERE = Path(__file__).parent

LONG = (
    "live/test_session.py",
    "fill/test_memory.py",
    "defs/automation/test_streams.py",
    "sources/vendors/test_conformance.py",
    "fill/test_ledger.py",
    "defs/automation/test_repair.py",
    "test_expiry.py",
    "defs/assets/test_candles.py",
    "defs/automation/test_updates.py",
    "fill/test_fill.py",
)
"""The files that take longest, the longest first."""


def pytest_collection(session: pytest.Session) -> None:
    """Import a worker's share of the test files before all others.

    What pytest makes of their assertions takes longer than all other imports. Each worker writes
    down what it has made, and finds the rest when it collects.
    """
    if not WORKER:
        return
    folders = [Path(argument) for argument in session.config.args]
    paths = sorted(path for folder in folders for path in folder.rglob("test_*.py"))
    count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for path in paths[int(WORKER.removeprefix("gw")) :: count]:
        place = path.resolve().relative_to(HERE.parent).with_suffix("")
        # A file that cannot be imported is reported when it is collected.
        with suppress(Exception):
            importlib.import_module(".".join(place.parts))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the journeys: some wait for real processes, and the others run while they wait.

    What takes long comes next, so that no worker is left alone with it in the end.
    """
    places = {str(HERE / place): number for number, place in enumerate(LONG)}

    def turn(item: pytest.Item) -> int:
        if item.path.parent.name == "journeys":
            return -1
        return places.get(str(item.path), len(LONG))

    items.sort(key=turn)


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


_ENGINES = 20
"""How many instances of DuckDB a worker keeps."""


@pytest.fixture(autouse=True)
def _engines() -> Iterator[None]:
    """Give back what DuckDB keeps for the stores of earlier tests: megabytes and a thread each."""
    yield
    if len(engine._engines) > _ENGINES:
        for instance in engine._engines.values():
            instance.close()
        engine._engines.clear()


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
