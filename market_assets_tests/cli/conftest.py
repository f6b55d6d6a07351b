"""Terminals over homes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.shell import CHOOSY_MARKET, FAULTS, HOLE, MARKET, Done, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A terminal of one test's own, and a vendor without faults."""
    with PracticeVendor(Market.model_validate(MARKET)) as vendor:
        yield Shell(tmp_path, vendor)


@pytest.fixture(scope="module")
def choosy_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A terminal with a vendor that refuses ETH and has nothing of NEW."""
    with PracticeVendor(Market.model_validate(CHOOSY_MARKET)) as vendor:
        yield Shell(tmp_path_factory.mktemp("choosy"), vendor)


@pytest.fixture(scope="session")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, Done]]:
    """A terminal after a backfill that met some faults, and what that backfill said.

    No test changes it.
    """
    with PracticeVendor(Market.model_validate({**MARKET, "faults": FAULTS})) as vendor:
        shell = Shell(tmp_path_factory.mktemp("holed"), vendor)
        yield shell, shell.run("backfill")


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, dict]]:
    """A terminal after a backfill of three of seven days, and what that backfill said.

    A hole lies after these days.
    """
    with PracticeVendor(Market.model_validate({**MARKET, "faults": [HOLE]})) as vendor:
        shell = Shell(tmp_path_factory.mktemp("filled"), vendor)
        done = shell.run(
            "backfill", "crypto", "--from", "2025-02-04", "--to", "2025-02-07", "--json"
        )
        assert done.code == 0
        yield shell, done.json
