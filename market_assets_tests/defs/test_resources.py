"""What the assets work with can be replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.config.load import load_universe
from market_assets.definitions import build_definitions
from market_assets.defs.resources import Clock, Sources, StoreResource

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground


def test_resources_can_be_replaced(ground: Ground, vendor: Callable[..., PracticeVendor]) -> None:
    # The universe names a vendor that is not there; the one that is there comes by the override,
    # with its clock and store.
    ground.keep(vendor())
    living = ground.universe
    path = ground.home / "dead.yaml"
    path.write_text(living.path.read_text().replace("http://127.0.0.1:", "http://127.0.0.2:1/"))
    other = ground.home / "elsewhere" / "market.duckdb"
    ground.definitions = build_definitions(
        load_universe(path, environ={}),
        overrides={
            "sources": Sources(living),
            "clock": Clock(fixed="2025-02-05T00:00:00+00:00"),
            "store": StoreResource(database=str(other)),
        },
    )
    assert ground.fill("2025-02-03", "2025-02-05").is_success
    assert other.exists()
    assert not (ground.home / "market.duckdb").exists()
    # By the other clock the third day has not begun.
    assert list(ground.colours().values())[:3] == ["MATERIALIZED", "MATERIALIZED", "MISSING"]
