"""The repair sensor: what is in trouble becomes runs, once and in time.

What is left alone has a reason.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.defs.automation.repair import ATTEMPT_TAG
from market_assets.defs.keys import AUTOMATIC_TAG, TRIGGER_TAG
from market_assets.defs.resources import Clock
from market_assets.market.timeframes import from_micros
from market_assets.store import Store
from market_assets_tests.support.repair_daemon import NEW, QUICK, Daemon, asked, ranges, reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

    Vendor = Callable[..., PracticeVendor]


def test_the_first_tick_of_a_new_home_fills_it_and_the_next_finds_all_well(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor()
    ground.keep(source, QUICK)
    (run,) = daemon.heal()
    assert run.is_success
    assert (run.tags[TRIGGER_TAG], run.tags[ATTEMPT_TAG]) == ("repair", "1")
    assert set(ground.colours().values()) == {"MATERIALIZED"}
    source.log.clear()
    assert reason(daemon.tick()) == "1h: all 7 partitions are well"
    assert asked(source) == {}


def test_after_a_week_off_what_is_missing_is_filled_without_a_hand(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor()
    ground.keep(
        source, "{end: 2025-03-01, repair: {legacy_cutoff: null}}", now="2025-02-05T12:00:00+00:00"
    )
    daemon.heal()
    assert len(ground.table("FROM kept.candles_1h")) == 2 * (
        2 * 24 + 11
    )  # the bar that closed this moment may settle
    source.log.clear()
    daemon.wait(days=7)
    (request,) = (result := daemon.tick()).run_requests or ()
    # The day in whose middle it went off looked well at the time.
    assert ranges(result) == [("2025-02-05", "2025-02-12")]
    assert request.tags["dagster/priority"] == "8"
    assert request.tags[AUTOMATIC_TAG] == "true"
    daemon.launch(result)
    assert asked(source) == {"BTC": 1, "ETH": 1}
    assert len(ground.table("FROM kept.candles_1h")) == 2 * (9 * 24 + 11)
    assert reason(daemon.tick()) == "1h: all 10 partitions are well"


def test_a_symbol_that_is_added_later_is_filled_from_its_start_on(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor()
    ground.keep(source, QUICK)
    daemon.heal()
    source.log.clear()
    ground.keep(
        source,
        "{symbols: {BTC: {}, ETH: {}, SOL: {start: 2025-02-05}}, repair: {legacy_cutoff: null}}",
    )
    daemon.wait(minutes=2)
    result = daemon.tick()
    assert ranges(result) == [("2025-02-05", "2025-02-09")]
    daemon.launch(result)
    assert asked(source) == {"SOL": 1}
    assert reason(daemon.tick()) == "1h: all 7 partitions are well"


def test_a_dead_symbol_of_a_living_profile_starts_no_run_of_its_own(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    none = {
        "fault": "error",
        "symbols": ["NONE"],
        "status": 400,
        "code": -1121,
        "message": "Invalid symbol.",
    }
    keys = (
        "{end: 2025-04-01, symbols: {BTC: {}, NONE: {}}, repair: {max_attempts: 2, backoff: [1s, "
        "1s], legacy_cutoff: null}}"
    )
    ground.keep(vendor(none), keys, now="2025-02-05T12:00:30+00:00")
    for _ in range(3):
        daemon.heal()
        daemon.wait(minutes=1)
    assert "abandoned" in reason(daemon.tick())
    for _ in range(3):
        # What an update brings of the other symbol; the new bars of this one were never asked for.
        daemon.wait(hours=1)
        ground.fill("2025-02-05", only_due=True)
        assert "3 left alone, abandoned" in reason(daemon.tick())


def test_a_hole_is_confirmed_as_an_outage_in_its_time_and_never_asked_for_again(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor(NEW)
    ground.keep(source, QUICK)
    daemon.heal()
    source.log.clear()
    assert (
        "1 left alone, waiting before the next try, the first until 2025-03-01 12:59:50Z: "
        "2025-02-06" in reason(daemon.tick())
    )
    daemon.wait(hours=1)
    result = daemon.tick()
    assert ranges(result) == [("2025-02-06", "2025-02-06")]
    daemon.launch(result)
    assert asked(source) == {"ETH": 1}
    assert ground.table("SELECT status, bars FROM ops.gaps").rows() == [("outage", 2)]
    assert ground.verdicts()["2025-02-06"] == ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED")
    source.log.clear()
    for _ in range(5):
        daemon.wait(days=1)
        assert reason(daemon.tick()) == "1h: all 7 partitions are well"
    assert asked(source) == {}


def test_a_hole_that_the_vendor_fills_later_is_repaired_and_remembered(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor(NEW)
    ground.keep(source, QUICK)
    daemon.heal()
    source.set_faults([])
    daemon.wait(hours=2)
    daemon.heal()
    assert ground.table("FROM ops.gaps").is_empty()
    columns = "symbol, first_ts::VARCHAR, last_ts::VARCHAR, bars, was, attempts"
    assert ground.table(f"SELECT {columns} FROM ops.repairs").rows() == [
        ("ETH", "2025-02-06 03:00:00", "2025-02-06 04:00:00", 2, "open", 1)
    ]
    assert set(ground.verdicts().values()) == {("SUCCEEDED", "SUCCEEDED", "SUCCEEDED")}


def test_a_symbol_that_the_vendor_does_not_have_is_asked_for_a_few_times_and_then_abandoned(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    missing = {
        "fault": "error",
        "symbols": ["NONE"],
        "status": 400,
        "code": -1121,
        "message": "Invalid symbol.",
    }
    source = vendor(missing)
    ground.keep(
        source, "{symbols: {BTC: {}, NONE: {}}, repair: {max_attempts: 3, legacy_cutoff: null}}"
    )
    for _ in range(12):
        daemon.heal()
        daemon.wait(hours=2)
    assert set(ground.table("SELECT status FROM ops.gaps")["status"]) == {"abandoned"}
    assert "attempts: asked 3 times" in ground.table("SELECT reason FROM ops.gaps")["reason"][0]
    assert set(ground.colours().values()) == {"MATERIALIZED"}
    assert {continuity for continuity, *_ in ground.verdicts().values()} == {"FAILED"}
    source.log.clear()
    assert "7 left alone, abandoned" in reason(daemon.tick())
    assert list(source.log) == []


def test_failed_partitions_are_repaired_as_ranges_newest_first_once_the_vendor_is_back(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor({"fault": "error", "symbols": ["ETH"], "status": 503})
    ground.keep(source, "{start: 2025-02-01, end: 2025-03-01, repair: {legacy_cutoff: null}}")
    (failed,) = daemon.heal()
    assert failed.is_failure
    source.set_faults([])
    daemon.wait(minutes=2)
    (run,) = daemon.heal()
    assert run.is_success
    assert set(ground.colours().values()) == {"MATERIALIZED"}
    assert reason(daemon.tick()) == "1h: all 28 partitions are well"


def test_a_run_under_way_holds_its_partitions_back(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    ground.keep(vendor(), QUICK)
    result = daemon.tick()
    (request,) = result.run_requests or ()
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    ground.instance.create_run_for_job(
        job.get_subset(asset_selection=set(request.asset_selection or ())),
        status=dg.DagsterRunStatus.STARTING,
        tags=dict(request.tags),
        asset_selection=frozenset(request.asset_selection or ()),
    )
    assert "7 left alone, a run is under way" in reason(daemon.tick())
    # A new version is deployed in the middle of it: the definitions are loaded again, and the
    # cursor has not moved.
    ground.move_clock(ground.clock.now() + timedelta(minutes=5))
    daemon.cursor = result.cursor
    assert "7 left alone, a run is under way" in reason(daemon.tick())


def test_a_backlog_holds_detection_back(ground: Ground, vendor: Vendor, daemon: Daemon) -> None:
    ground.keep(vendor(), "{repair: {backlog: 1}}")
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    tags = {TRIGGER_TAG: "repair", "market_assets/profile": "kept"}
    ground.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING, tags=tags)
    assert reason(daemon.tick()) == (
        "1 repair runs wait or are under way; no more gaps are looked for before they end"
    )


def test_a_store_that_stays_busy_is_a_reason_and_no_error(
    ground: Ground, vendor: Vendor, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.keep(vendor(), QUICK)
    monkeypatch.setattr("market_assets.defs.automation.repair.PATIENCE", timedelta(0))
    with Store(ground.home, clock=Clock().now).writing("filling all day"):
        pass
    with Store(ground.home, clock=Clock().now).writing("filling all day"):
        assert "nothing was looked at: looking for gaps in kept 1h: gave up after" in reason(
            daemon.tick()
        )
    assert daemon.tick().run_requests


def test_a_symbol_that_left_the_universe_is_asked_for_no_more_and_its_gaps_trouble_nobody(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor(NEW)
    ground.keep(source, QUICK)
    daemon.heal()
    ground.keep(source, "{symbols: {BTC: {}}, repair: {legacy_cutoff: null}}")
    daemon.wait(days=1)
    source.log.clear()
    daemon.heal()
    daemon.wait(days=1)
    assert reason(daemon.tick()) == "1h: all 7 partitions are well"
    assert asked(source) == {}
    assert (
        ground.table("SELECT count(*) FROM kept.candles_1h WHERE symbol = 'ETH'").item()
        == 7 * 24 - 2
    )


@pytest.mark.parametrize("seconds", [0, 9])
def test_a_bar_that_has_just_closed_may_settle(
    seconds: int, *, ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    now = datetime.fromisoformat("2025-02-05T12:00:00+00:00") + timedelta(seconds=seconds)
    ground.keep(vendor(), "{end: 2025-03-01, repair: {legacy_cutoff: null}}", now=now.isoformat())
    daemon.heal()
    newest = ground.table("SELECT epoch_us(max(ts)) FROM kept.candles_1h").item()
    assert from_micros(newest).hour == 10
