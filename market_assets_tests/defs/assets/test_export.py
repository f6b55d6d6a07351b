"""The lake as assets.

They exist where the universe switches them on, and are up to date after what changes candles.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pytest
import yaml

from market_assets.config.load import load_universe
from market_assets.defs.assets.export import export_key
from market_assets.defs.automation.runs import Runner
from market_assets.defs.keys import AUTOMATIC_TAG

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

KEY = export_key("kept")
NOON = datetime(2025, 3, 1, 12, 1, tzinfo=UTC)


@pytest.fixture
def lake(ground: Ground, vendor: Callable[..., PracticeVendor]) -> Ground:
    """A week of hours and what is made of them, and a universe that wants them exported."""
    ground.keep(vendor(), "{timeframes: {fetch: [1h], derive: [4h], returns: [1h]}}")
    path = ground.home / "universe.yaml"
    path.write_text(
        yaml.safe_dump({**yaml.safe_load(path.read_text()), "export": {"folder": "files"}})
    )
    ground.universe = load_universe(path, environ={})
    ground._define()
    return ground


def export(ground: Ground) -> dict[str, Any]:
    """Run the asset, and give what the UI shows of it."""
    _, success = Runner(ground.definitions, ground.instance).execute_assets([KEY], config={})
    assert success
    event = ground.instance.get_latest_materialization_event(KEY)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


class Daemon:
    """Ticks the export sensor, and remembers its cursor."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.cursor: str | None = None

    def tick(self) -> dg.SensorResult:
        resources = {"store": self.ground.store_resource, "clock": self.ground.clock}
        with dg.build_sensor_context(
            instance=self.ground.instance, cursor=self.cursor, resources=resources
        ) as context:
            result = self.ground.sensor("export_kept")(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result


def test_without_the_key_there_is_no_asset(ground: Ground) -> None:
    ground.keep()
    assert not any(
        KEY in each.keys
        for each in ground.definitions.assets or ()
        if isinstance(each, dg.AssetsDefinition)
    )


def test_it_writes_what_is_stored_and_says_what_it_wrote(lake: Ground) -> None:
    lake.fill("2025-02-03", "2025-02-04")
    lake.run("4h", "2025-02-03", "2025-02-04")
    shown = export(lake)
    folder = lake.home / "files" / "kept"
    assert shown["folder"] == str(folder)
    assert (shown["files_written"], shown["files"], shown["dagster/row_count"]) == (
        2,
        2,
        2 * 2 * (24 + 6),
    )
    assert pl.scan_parquet(folder / "candles_1h").collect().height == 2 * 2 * 24
    rows = {record.data["table"]: record.data for record in shown["tables"].records}
    assert list(rows) == ["kept.candles_1h", "kept.candles_4h"], "returns were not made yet"
    assert rows["kept.candles_4h"]["bytes"] == sum(
        path.stat().st_size for path in (folder / "candles_4h").rglob("*.parquet")
    )
    again = export(lake)
    assert (again["files_written"], again["files"]) == (0, 2)


def test_it_depends_on_every_table_that_it_exports(lake: Ground) -> None:
    node = lake.definitions.resolve_asset_graph().get(KEY)
    assert {key.to_user_string() for key in node.parent_keys} == {
        "kept/candles_1h",
        "kept/candles_4h",
        "kept/returns_1h",
    }


def test_the_first_export_is_a_run_and_later_ones_write_what_has_changed_by_themselves(
    lake: Ground,
) -> None:
    lake.fill("2025-02-03", "2025-02-05")
    daemon = Daemon(lake)
    (request,) = daemon.tick().run_requests or ()
    assert request.tags[AUTOMATIC_TAG] == "true"
    export(lake)
    assert "nothing has changed" in str(daemon.tick().skip_reason)
    lake.fill("2025-02-05", refetch=True)
    assert "nothing has changed" in str(daemon.tick().skip_reason)
    lake.move_clock(lake.clock.now() + timedelta(hours=1))
    lake.fill("2025-02-06")
    result = daemon.tick()
    assert not result.run_requests
    assert "1 files written" in str(result.skip_reason)
    (event,) = result.asset_events
    assert event.metadata["files_written"].value == 1
    assert "nothing has changed" in str(daemon.tick().skip_reason)
