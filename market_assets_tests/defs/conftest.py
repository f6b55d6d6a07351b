"""A Dagster home of its own for each test, and vendors that it can start."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from market_assets.defs.automation.runs import instance_at
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.defs_ground import Ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import dagster as dg


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Whoever opens a home points the whole process to it: undone after each test."""
    before = os.environ.get("DAGSTER_HOME")
    yield
    if before is None:
        os.environ.pop("DAGSTER_HOME", None)
    else:
        os.environ["DAGSTER_HOME"] = before


@pytest.fixture(scope="session")
def _new_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was just made: to copy it is twenty times faster than to make another one."""
    home = tmp_path_factory.mktemp("new") / "home"
    with instance_at(home):
        return home


@pytest.fixture
def instance(tmp_path: Path, _new_home: Path) -> Iterator[dg.DagsterInstance]:
    """An instance as the terminal has it: the project's dagster.yaml in an empty home."""
    with instance_at(shutil.copytree(_new_home, tmp_path / "home")) as instance:
        yield instance


@pytest.fixture
def vendor() -> Iterator[Callable[..., PracticeVendor]]:
    """Start a vendor of crypto symbols for one test, with some faults."""
    running: list[PracticeVendor] = []

    def start(*faults: Mapping[str, object]) -> PracticeVendor:
        market = Market.model_validate({"kind": "crypto", "faults": faults})
        running.append(PracticeVendor(market).start())
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def ground(tmp_path: Path, instance: dg.DagsterInstance) -> Ground:
    """A home without a universe; the test says what is kept."""
    return Ground(tmp_path / "home", instance)
