"""Homes that a sensor repairs, or a schedule prunes, tick by tick."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.defs.automation.runs import instance_at
from market_assets_tests.support.pruned_homes import many_runs
from market_assets_tests.support.repair_daemon import Daemon
from market_assets_tests.support.toy import KEYS, fills, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from market_assets_tests.support.defs_ground import Ground


LATER = timedelta(days=60)
WHOLE = dg.AssetKey(["toy", "whole"])


@pytest.fixture
def daemon(ground: Ground) -> Daemon:
    return Daemon(ground)


@pytest.fixture
def kept(ground: Ground) -> Ground:
    """A home with two runs, whose clock is two months ahead of them."""
    ground.keep(now=(datetime.now(UTC) + LATER).isoformat())
    for _ in range(2):
        run(ground.instance, fills(*KEYS))
    with ground.store_resource.store(ground.clock).writing("making the store"):
        pass
    return ground


@pytest.fixture(scope="module")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a history, which each test copies."""
    home = tmp_path_factory.mktemp("filled") / "home"
    with instance_at(home) as instance:
        many_runs(instance)
    return home


@pytest.fixture
def full(tmp_path: Path, _filled: Path) -> Iterator[dg.DagsterInstance]:
    with instance_at(shutil.copytree(_filled, tmp_path / "home")) as instance:
        yield instance
