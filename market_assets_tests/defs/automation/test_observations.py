"""What is reported to Dagster about a session that still runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from market_assets.practice.faults import Fault
from market_assets_tests.support.update_ticks import HOLE, LIVE, MIDDAY, green, tick, wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

    Vendor = Callable[..., PracticeVendor]


def test_once_an_hour_an_observation_says_how_the_running_session_is(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(HOLE), LIVE, now="2025-02-05T12:59:30+00:00")
    tick(ground)
    wait(ground, minutes=1)
    tick(ground)
    wait(ground, minutes=1)
    tick(ground)
    (event,) = ground.instance.fetch_observations(ground.key(), limit=9).records
    observation = event.asset_observation
    assert observation.partition == "2025-02-05"
    assert "24 of 26 bars are stored, 2 are missing" in observation.description
    rows = [record.data for record in observation.metadata["symbols"].records]
    assert rows[0] == {"symbol": "ETH", "stored": 11, "missing": 2, "last bar": "12:00Z"}
    assert observation.metadata["still_running"].text.startswith(
        "The partition runs until 2025-02-06 00:00Z. What is expected, stored and missing is as of "
    )
    assert observation.metadata["completeness"].value == 0.923076


def test_a_day_that_runs_is_said_to_run_where_a_person_fills_it_and_no_more_when_it_is_over(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), LIVE, now="2025-02-05T12:59:30+00:00")
    running = ground.materializations(ground.fill("2025-02-04", "2025-02-05"))
    assert "still_running" not in running["2025-02-04"].metadata
    words = running["2025-02-05"].metadata["still_running"].text
    assert words == (
        "The partition runs until 2025-02-06 00:00Z. What is expected, stored and missing is "
        "as of 2025-02-05 12:59Z; later bars are not counted."
    )

    ground.move_clock(datetime(2025, 2, 6, 1, tzinfo=UTC))
    over = ground.materializations(ground.fill("2025-02-05", "2025-02-05"))
    assert "still_running" not in over["2025-02-05"].metadata


def test_a_verdict_is_told_again_where_a_run_has_materialized_the_partition_since(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), LIVE, now="2025-02-05T12:00:30+00:00")
    for _ in range(2):
        tick(ground)
        wait(ground, minutes=60)
    assert ground.verdicts()["2025-02-05"] == ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED")
    # As from a run that had planned its verdict before the update told one.
    ground.instance.report_runless_asset_event(
        dg.AssetMaterialization(ground.key(), partition="2025-02-05")
    )
    check = dg.AssetCheckKey(ground.key(), "continuity")
    log = ground.instance.event_log_storage
    (info,) = log.get_asset_check_partition_info([check], partition_keys=["2025-02-05"])
    assert not info.is_current
    tick(ground)
    (info,) = log.get_asset_check_partition_info([check], partition_keys=["2025-02-05"])
    assert info.is_current


def test_a_verdict_that_passes_names_the_other_partitions_in_which_the_check_fails(
    ground: Ground, vendor: Vendor
) -> None:
    hole = {"fault": "hole", "start": "2025-02-04T01:00Z", "end": "2025-02-04T03:00Z"}
    ground.keep(vendor(hole), LIVE, now="2025-02-05T12:59:30+00:00")
    ground.fill("2025-02-04", "2025-02-04")
    run = ground.fill("2025-02-05", "2025-02-05")
    verdict = ground.evaluations(run)["2025-02-05", "continuity"]
    assert verdict.passed
    assert verdict.description.endswith("The check fails in 1 other partition: 2025-02-04.")


def test_a_hole_in_the_running_session_fails_its_check_until_it_is_filled(
    ground: Ground, vendor: Vendor
) -> None:
    practice = vendor(HOLE)
    ground.keep(practice, LIVE, now=MIDDAY)
    tick(ground)
    assert "2025-02-05" not in ground.verdicts()
    wait(ground, minutes=1)
    tick(ground)
    assert ground.verdicts()["2025-02-05"] == ("FAILED", "SUCCEEDED", "SUCCEEDED")
    assert "2025-02-05" not in green(ground)

    practice.set_faults([])
    wait(ground, hours=1)
    tick(ground)
    wait(ground, minutes=1)
    tick(ground)
    assert ground.verdicts()["2025-02-05"] == ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED")


def test_a_bar_that_comes_late_is_no_news(ground: Ground, vendor: Vendor) -> None:
    practice = vendor()
    ground.keep(practice, LIVE, now=MIDDAY)
    tick(ground)
    wait(ground, minutes=1)
    tick(ground)
    wait(ground, minutes=59)
    newest = {"fault": "hole", "symbols": ["ETH"], "start": "2025-02-05T12:00Z"}
    practice.set_faults([Fault.model_validate(newest)])
    tick(ground)
    practice.set_faults([])
    wait(ground, hours=1)
    tick(ground)
    wait(ground, minutes=1)
    tick(ground)
    told = ground.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(ground.key(), "continuity"), limit=9
    )
    assert [record.status.value for record in told] == ["SUCCEEDED"]
