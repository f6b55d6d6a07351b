from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from market_assets_tests.conftest import Clock
from market_assets_tests.support.export_ground import Ground

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A store that was filled once: to copy it is cheaper."""
    made = Ground(tmp_path_factory.mktemp("filled"), Clock(datetime(2025, 2, 4, 12, tzinfo=UTC)))
    made.fill()
    return made


@pytest.fixture
def ground(tmp_path: Path, _filled: Ground, clock: Clock) -> Ground:
    """A filled store of this test's own, a day later, and a lake that is still empty."""
    clock.now = datetime(2025, 2, 5, 12, tzinfo=UTC)
    return _filled.copy_to(tmp_path, clock)


@pytest.fixture(scope="session")
def lake(_filled: Ground) -> Ground:
    """A lake with everything in it, that nobody changes."""
    _filled.export_all()
    return _filled
