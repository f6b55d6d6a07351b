"""The update schedule: the newest sessions are filled after they close, the running one bar by bar, and nothing for nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.defs.keys import TRIGGER_TAG
from market_assets.practice.book import Market

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.defs.ground import Ground

    Vendor = Callable[..., PracticeVendor]

LIVE = "{end: null, repair: {legacy_cutoff: null}}"
MIDDAY = "2025-02-05T12:00:30+00:00"


def tick(ground: Ground) -> list[dg.RunRequest] | str:
    """The requests of a tick, or why there are none."""
    with dg.build_schedule_context(
        instance=ground.instance,
        scheduled_execution_time=ground.clock.now(),
        resources={"store": ground.store_resource, "clock": ground.clock},
    ) as context:
        data = ground.schedule().evaluate_tick(context)
    return list(data.run_requests or ()) or str(data.skip_message)


def update(ground: Ground) -> dg.DagsterRun:
    (request,) = tick(ground)
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=ground.instance,
        asset_selection=list(request.asset_selection or ()),
        run_config=request.run_config,
        tags=dict(request.tags),
        raise_on_error=False,
    ).dagster_run


def bounds(request: dg.RunRequest) -> tuple[str, str]:
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


def wait(ground: Ground, **time: float) -> None:
    ground.move_clock(ground.clock.now() + timedelta(**time))


def asked(vendor: PracticeVendor) -> list[tuple[str, datetime]]:
    """Symbol and first open of each request for candles since the log was cleared."""
    return [
        (entry["symbol"], datetime.fromtimestamp(int(entry["startTime"]) / 1000, UTC))
        for entry in vendor.log
        if entry["endTime"] is not None
    ]


def test_the_running_day_is_filled_bar_by_bar_and_only_when_one_has_closed(ground: Ground, vendor: Vendor) -> None:
    source = vendor()
    ground.keep(source, LIVE, now=MIDDAY)
    (request,) = tick(ground)
    assert bounds(request) == ("2025-02-03", "2025-02-05")
    assert (request.tags[TRIGGER_TAG], request.tags["dagster/priority"]) == ("update", "10")
    assert update(ground).is_success
    assert tick(ground) == "1h: nothing has closed since 2025-02-05 12:00Z"
    wait(ground, minutes=9)
    assert tick(ground) == "1h: nothing has closed since 2025-02-05 12:00Z"
    # A while after its close the newest bar is asked for once more: it is the one that is revised most often.
    wait(ground, minutes=1)
    assert update(ground).is_success
    wait(ground, minutes=49)
    assert tick(ground) == "1h: nothing has closed since 2025-02-05 12:00Z"
    wait(ground, minutes=1)
    source.log.clear()
    (request,) = tick(ground)
    assert (bounds(request), request.run_key) == (("2025-02-05", "2025-02-05"), "kept/candles_1h/2025-02-05T13:00")
    assert update(ground).is_success
    # The new bar, and the five before it once more.
    assert asked(source) == [(symbol, datetime(2025, 2, 5, 8, tzinfo=UTC)) for symbol in ("BTC", "ETH")]
    assert ground.table("SELECT max(ts)::VARCHAR FROM kept.candles_1h").item() == "2025-02-05 12:00:00"


def test_a_bar_that_closes_while_an_update_settles_is_the_next_ones_business(ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor(), LIVE, now="2025-02-05T12:00:05+00:00")
    update(ground)
    assert ground.table("SELECT max(ts)::VARCHAR FROM kept.candles_1h").item() == "2025-02-05 10:00:00"
    wait(ground, seconds=10)
    update(ground)
    assert ground.table("SELECT max(ts)::VARCHAR FROM kept.candles_1h").item() == "2025-02-05 11:00:00"
    wait(ground, seconds=10)
    assert tick(ground) == "1h: nothing has closed since 2025-02-05 12:00Z"


def test_a_late_revision_of_the_newest_bars_is_taken_and_the_old_values_are_kept(
    ground: Ground, vendor: Vendor
) -> None:
    fault = {"fault": "revision", "symbols": ["BTC"], "start": "2025-02-05T11:00Z", "end": "2025-02-05T12:00Z"}
    ground.keep(vendor(fault), LIVE, now=MIDDAY)
    update(ground)
    early = ground.table("SELECT close FROM kept.candles_1h WHERE symbol = 'BTC' AND ts = '2025-02-05 11:00'").item()
    wait(ground, hours=1)
    update(ground)
    late = ground.table("SELECT close FROM kept.candles_1h WHERE symbol = 'BTC' AND ts = '2025-02-05 11:00'").item()
    assert early != late
    assert ground.table("SELECT symbol, ts::VARCHAR, close FROM ops.revisions").rows() == [
        ("BTC", "2025-02-05 11:00:00", early)
    ]


def test_over_midnight_the_old_day_is_filled_to_its_end(ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor(), LIVE, now="2025-02-05T23:30:00+00:00")
    update(ground)
    wait(ground, hours=2)
    (request,) = tick(ground)
    assert bounds(request) == ("2025-02-05", "2025-02-06")
    update(ground)
    assert ground.table("SELECT count(*) FROM kept.candles_1h WHERE ts::DATE = '2025-02-05'").item() == 48
    assert ground.colours()["2025-02-06"] == "MATERIALIZED"


def test_the_last_bars_of_a_day_are_asked_for_again_in_the_next_one(ground: Ground, vendor: Vendor) -> None:
    late = {"fault": "revision", "symbols": ["BTC"], "start": "2025-02-05T22:00Z", "end": "2025-02-06T00:00Z"}
    ground.keep(vendor(late), LIVE, now="2025-02-06T00:00:30+00:00")
    update(ground)
    wait(ground, hours=1)
    assert bounds(tick(ground)[0]) == ("2025-02-05", "2025-02-06")
    update(ground)
    assert ground.table("SELECT symbol, ts::VARCHAR FROM ops.revisions ORDER BY ts").rows() == [
        ("BTC", "2025-02-05 22:00:00"),
        ("BTC", "2025-02-05 23:00:00"),
    ]


def test_a_day_whose_end_an_update_missed_is_finished_by_the_next(ground: Ground, vendor: Vendor) -> None:
    """Started before midnight and committed after it: what it judged ends where it began."""
    ground.keep(
        vendor(), "{end: null, update: {recheck: 0}, repair: {legacy_cutoff: null}}", now="2025-02-05T23:59:55+00:00"
    )
    update(ground)
    ground.move_clock(datetime(2025, 2, 6, 0, 0, 20, tzinfo=UTC))
    assert bounds(tick(ground)[0]) == ("2025-02-05", "2025-02-05")
    update(ground)
    assert ground.table("SELECT count(*) FROM kept.candles_1h WHERE ts::DATE = '2025-02-05'").item() == 48


def test_a_dead_hole_in_the_running_day_is_not_asked_for_at_every_tick(ground: Ground, vendor: Vendor) -> None:
    hole = {"fault": "hole", "symbols": ["ETH"], "start": "2025-02-05T01:00Z", "end": "2025-02-05T03:00Z"}
    source = vendor(hole)
    ground.keep(
        source, "{end: null, repair: {legacy_cutoff: null}, update: {recheck: 0}, evidence: {apart: 3h}}", now=MIDDAY
    )
    update(ground)
    for _ in range(2):
        source.log.clear()
        wait(ground, hours=1)
        update(ground)
        assert len(asked(source)) == 2
        assert all(first.hour > 10 for _, first in asked(source))


def test_a_closed_market_starts_no_run_and_its_session_is_filled_after_the_close(
    ground: Ground, vendor: Vendor
) -> None:
    equity = "{kind: EQUITY, end: null, timeframes: {fetch: [1h, 1d]}, repair: {legacy_cutoff: null}}"
    source = vendor()
    source.set_faults(Market().faults)
    ground.keep(source, equity, now="2025-02-07T20:30:30+00:00")  # a Friday, half an hour before the close
    hours, days = tick(ground)
    assert bounds(hours) == ("2025-02-05", "2025-02-07")
    assert bounds(days) == ("2025-02-01", "2025-02-01")
    assert hours.run_key == "kept/candles_1h/2025-02-07T20:30"
    assert days.run_key == "kept/candles_1d/2025-02-06T21:00"
    ground.move_clock(datetime(2025, 2, 7, 21, 0, 5, tzinfo=UTC))  # the last bars may settle
    assert [request.run_key for request in tick(ground)] == [hours.run_key, days.run_key]
    ground.move_clock(datetime(2025, 2, 9, 12, tzinfo=UTC))
    assert [request.run_key for request in tick(ground)] == [
        "kept/candles_1h/2025-02-07T21:00",
        "kept/candles_1d/2025-02-07T21:00",
    ]


def test_a_run_under_way_is_not_doubled(ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor(), LIVE, now=MIDDAY)
    (request,) = tick(ground)
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    keys = set(request.asset_selection or ())
    ground.instance.create_run_for_job(
        job.get_subset(asset_selection=keys),
        status=dg.DagsterRunStatus.STARTED,
        tags=dict(request.tags),
        asset_selection=frozenset(keys),
    )
    assert tick(ground) == "1h: a run for 2025-02-03, 2025-02-04, 2025-02-05 is under way"


def test_a_profile_that_has_ended_has_no_schedule_and_one_that_has_not_begun_starts_nothing(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor())
    # Only what prunes the home goes on.
    assert [schedule.name for schedule in ground.definitions.schedules or ()] == ["retention"]
    ground.keep(vendor(), "{start: 2025-06-01, end: null}")
    assert tick(ground) == "1h: no bar has closed yet"


@pytest.mark.parametrize(
    ("every", "cron"),
    [("1m", "*/1 * * * *"), ("15m", "*/15 * * * *"), ("1h", "0 */1 * * *"), ("4h", "0 */4 * * *"), ("1d", "0 0 * * *")],
)
def test_the_cadence_is_a_setting(every: str, cron: str, *, ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor(), f"{{end: null, update: {{every: {every}}}}}")
    assert ground.schedule().cron_schedule == cron
