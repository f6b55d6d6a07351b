from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets_tests.support.enrich_ground import D1, at, days
from market_assets_tests.support.share import Share

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


ALL = days("2020-06-01", "2020-11-01")
FRIDAY, MONDAY = at("2020-08-28"), at("2020-08-31")


@pytest.fixture
def share(tmp_path: Path, store: Store, clock: Clock) -> Share:
    made = Share(tmp_path, store, clock)
    made.universe()
    made.fill(D1)
    return made
