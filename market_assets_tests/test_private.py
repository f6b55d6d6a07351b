"""What a home holds is its owner's alone.

What is meant for others is as open as the user lets it be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from market_assets.defs.automation.runs import instance_at
from market_assets.export import Lake
from market_assets.export.layout import Period, Table
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe
from market_assets.private import mask_of_the_user, private_files
from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)


@pytest.fixture(autouse=True)
def _usual_mask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MARKET_ASSETS_UMASK", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", "")
    before = os.umask(0o022)
    yield
    os.umask(before)


def mask() -> int:
    now = os.umask(0o022)
    os.umask(now)
    return now


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}


def open_to_others(folder: Path) -> list[str]:
    """The files that somebody else may read or write."""
    return [
        str(path) for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077
    ]


@pytest.mark.parametrize("exists", [False, True])
def test_every_file_of_a_home_is_its_owners_alone(
    tmp_path: Path,
    exists: bool,  # noqa: FBT001 - a parameter
) -> None:
    home = tmp_path / "home"
    if exists:
        home.mkdir(0o755)
    store = Store(home, clock=lambda: datetime(2025, 3, 1, tzinfo=UTC))
    with store.writing("making") as transaction:
        transaction.candles.create(Dataset.candles("coins", Timeframe.M1), derived=False)
        assert open_to_others(home) == []
    with instance_at(home) as instance:
        instance.get_runs_count()
    assert open_to_others(home) == []
    assert {"market.duckdb", "dagster.yaml", "runs.db", "index.db", "schedules.db"} <= set(
        modes(home)
    )
    assert modes(home)["home"] == (0o755 if exists else 0o700)
    assert mask() == 0o022


def test_a_lake_is_for_others_where_it_lies_outside_of_the_home(tmp_path: Path) -> None:
    store = Store(tmp_path / "home", clock=lambda: datetime(2025, 3, 1, tzinfo=UTC))
    with store.writing("making") as transaction:
        transaction.candles.create(Dataset.candles("coins", Timeframe.M1), derived=False)
    table = Table("coins", "candles_1m", Period.DAY, Cadence.DAY, Timeframe.M1)
    for lake, file_mode, folder_mode in (
        (tmp_path / "lake", 0o644, 0o755),
        (tmp_path / "home" / "lake", 0o600, 0o700),
    ):
        with private_files():
            assert (
                Lake(store, lake, clock=lambda: datetime(2025, 3, 1, tzinfo=UTC)).export(table)
                is not None
            )
        found = modes(lake)
        assert found["candles_1m.manifest.json"] == file_mode
        assert (found["lake"], found["coins"]) == (folder_mode, folder_mode)


def test_a_program_of_ours_and_its_children_keep_to_themselves_and_know_the_users_mask() -> None:
    code = """
        import os, subprocess, sys
        from market_assets.private import keep_private, mask_of_the_user
        os.umask(0o027)
        keep_private()
        print(f"{mask_of_the_user():03o} {os.umask(0):03o}")
        os.umask(0o077)
        again = "from market_assets.private import mask_of_the_user as m; print(f'{m():03o}')"
        subprocess.run([sys.executable, "-c", again], check=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert sorted(said.split()) == ["027", "027", "077"]


def test_the_mask_is_the_users_again_after_the_last_block() -> None:
    with private_files(), private_files():
        assert mask() == 0o077
        assert mask_of_the_user() == 0o022
    assert mask() == 0o022
