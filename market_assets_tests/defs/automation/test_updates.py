"""The update schedule.

A tick fills the running session bar by bar, and a run reports the session when it is over.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
import duckdb
import pytest

from market_assets.defs.assets.completeness import completeness_key
from market_assets.defs.internals.adapter import range_tags
from market_assets.defs.keys import AUTOMATIC_TAG, TRIGGER_TAG
from market_assets_tests.support.update_ticks import HOLE, LIVE, MIDDAY, green, tick, wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

    Vendor = Callable[..., PracticeVendor]


def report(ground: Ground, requests: list[dg.RunRequest] | str) -> list[dg.DagsterRun]:
    """Execute the reports that a tick has asked for."""
    assert isinstance(requests, list), requests
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    return [
        job.execute_in_process(
            instance=ground.instance,
            asset_selection=list(request.asset_selection or ()),
            run_config=request.run_config,
            tags=dict(request.tags),
            raise_on_error=False,
        ).dagster_run
        for request in requests
    ]


def bounds(request: dg.RunRequest) -> tuple[str, str]:
    return request.tags["dagster/asset_partition_range_start"], request.tags[
        "dagster/asset_partition_range_end"
    ]


def asked(vendor: PracticeVendor) -> list[tuple[str, datetime]]:
    """Symbol and first open of each request for candles since the log was cleared."""
    return [
        (entry["symbol"], datetime.fromtimestamp(int(entry["startTime"]) / 1000, UTC))
        for entry in vendor.log
        if entry["endTime"] is not None
    ]


def last(ground: Ground) -> str:
    return str(ground.table("SELECT max(ts)::VARCHAR FROM kept.candles_1h").item())


def test_the_running_day_is_filled_bar_by_bar_without_a_run_and_only_when_one_has_closed(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    ground.keep(source, LIVE, now=MIDDAY)
    # The days before are over, and reported at once.
    (request,) = tick(ground)
    assert bounds(request) == ("2025-02-03", "2025-02-04")
    assert (request.tags[TRIGGER_TAG], request.tags["dagster/priority"]) == ("update", "10")
    assert request.tags[AUTOMATIC_TAG] == "true"
    assert last(ground) == "2025-02-05 11:00:00"
    (run,) = report(ground, [request])
    assert run.is_success
    assert green(ground) == {"2025-02-03", "2025-02-04"}
    assert tick(ground) == "1h: nothing has closed since 2025-02-05 12:00Z"
    wait(ground, minutes=9)
    assert tick(ground) == "1h: nothing has closed since 2025-02-05 12:00Z"
    # A while after its close the newest bar is asked for once more: it is the one that is revised
    # most often.
    wait(ground, minutes=1)
    assert tick(ground) == "1h of 2025-02-05: 0 new bars"
    wait(ground, minutes=49)
    assert tick(ground) == "1h: nothing has closed since 2025-02-05 12:00Z"
    wait(ground, minutes=1)
    source.log.clear()
    assert tick(ground) == "1h of 2025-02-05: 2 new bars"
    # The new bar, and the five before it once more.
    assert asked(source) == [
        (symbol, datetime(2025, 2, 5, 8, tzinfo=UTC)) for symbol in ("BTC", "ETH")
    ]
    assert last(ground) == "2025-02-05 12:00:00"
    assert ground.instance.get_runs_count() == 1


def test_what_is_made_of_the_newest_candles_is_made_in_the_same_tick(
    ground: Ground, vendor: Vendor
) -> None:
    frames = "{fetch: [1h], derive: [4h, 1d, 1w], features: [4h], returns: [1d]}"
    ground.keep(
        vendor(),
        f"{{end: null, repair: {{legacy_cutoff: null}}, timeframes: {frames}}}",
        now=MIDDAY,
    )
    (hours,) = tick(ground)
    assert {key.path[-1] for key in hours.asset_selection or ()} == {
        "candles_1h",
        "candles_4h",
        "features_4h",
        "completeness",
    }
    report(ground, [hours])
    made = "SELECT count(*) FROM kept."
    assert ground.table(f"{made}candles_4h").item() == 2 * (6 + 6 + 3)
    assert (
        ground.table(f"{made}candles_1d").item()
        == ground.table(f"{made}returns_1d").item()
        == 2 * 2
    )
    # An hour later no bar of four hours has closed, and nothing is made; at its close all that
    # hangs on it is.
    wait(ground, hours=1)
    assert "candles_4h" not in str(tick(ground))
    wait(ground, hours=3)
    words = str(tick(ground)).split("; ")
    assert words[1:] == ["candles_4h: 2 bars made", "features_4h: 2 bars made"]


def test_a_bar_that_heals_in_the_days_of_the_updates_heals_what_is_made_of_it(
    ground: Ground, vendor: Vendor
) -> None:
    late = {
        "fault": "hole",
        "symbols": ["ETH"],
        "start": "2025-02-04T03:00Z",
        "end": "2025-02-04T05:00Z",
    }
    source = vendor(late)
    ground.keep(source, "{end: null, timeframes: {fetch: [1h], derive: [4h]}}", now=MIDDAY)
    tick(ground)
    lacking = "SELECT count(*) FROM kept.candles_4h WHERE bars < bars_expected"
    assert ground.table(lacking).item() == 2
    source.set_faults([])
    assert ground.fill("2025-02-04").is_success
    tick(ground)
    assert ground.table(lacking).item() == 0


def test_a_bar_that_closes_while_an_update_settles_is_the_next_ones_business(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), LIVE, now="2025-02-05T12:00:05+00:00")
    tick(ground)
    assert last(ground) == "2025-02-05 10:00:00"
    wait(ground, seconds=10)
    tick(ground)
    assert last(ground) == "2025-02-05 11:00:00"


def test_other_programs_get_what_an_update_has_committed(ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor(), LIVE, now=MIDDAY)
    tick(ground)
    store = ground.store_resource.store(ground.clock)
    assert not store.link.exists(), "nobody has asked for a copy"
    copy = store.copy("a reader")
    wait(ground, hours=1)
    tick(ground)
    with duckdb.connect(store.link, read_only=True) as reader:
        newest = reader.execute("SELECT max(ts)::VARCHAR FROM kept.candles_1h").fetchall()
    assert store.link.resolve() != copy.path
    assert newest == [("2025-02-05 12:00:00",)]


def test_a_late_revision_of_the_newest_bars_is_taken_and_the_old_values_are_kept(
    ground: Ground, vendor: Vendor
) -> None:
    fault = {
        "fault": "revision",
        "symbols": ["BTC"],
        "start": "2025-02-05T11:00Z",
        "end": "2025-02-05T12:00Z",
    }
    ground.keep(vendor(fault), LIVE, now=MIDDAY)
    tick(ground)
    early = ground.table(
        "SELECT close FROM kept.candles_1h WHERE symbol = 'BTC' AND ts = '2025-02-05 11:00'"
    ).item()
    wait(ground, hours=1)
    tick(ground)
    late = ground.table(
        "SELECT close FROM kept.candles_1h WHERE symbol = 'BTC' AND ts = '2025-02-05 11:00'"
    ).item()
    assert early != late
    assert ground.table("SELECT symbol, ts::VARCHAR, close FROM ops.revisions").rows() == [
        ("BTC", "2025-02-05 11:00:00", early)
    ]


def test_over_midnight_the_old_day_is_filled_to_its_end_and_then_reported(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), LIVE, now="2025-02-05T23:30:00+00:00")
    report(ground, tick(ground))
    wait(ground, minutes=31)
    assert tick(ground) == "1h of 2025-02-05: 2 new bars"
    assert (
        ground.table("SELECT count(*) FROM kept.candles_1h WHERE ts::DATE = '2025-02-05'").item()
        == 48
    )
    assert "2025-02-05" not in green(ground), (
        "its last bars are asked for once more before it is reported"
    )
    wait(ground, minutes=10)
    requests = tick(ground)
    assert [bounds(request) for request in requests] == [("2025-02-05", "2025-02-05")]
    report(ground, requests)
    assert ground.colours()["2025-02-05"] == "MATERIALIZED"
    assert set(ground.verdicts()["2025-02-05"]) == {"SUCCEEDED"}
    assert isinstance(tick(ground), str), "it is reported once"


def test_a_report_whose_run_dies_is_asked_for_again_when_the_day_has_changed(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), LIVE, now="2025-02-06T00:20:00+00:00")
    first, again = tick(ground), tick(ground)
    assert first == again, "the same key: Dagster launches it once"


def test_the_last_bars_of_a_day_are_asked_for_again_in_the_next_one(
    ground: Ground, vendor: Vendor
) -> None:
    late = {
        "fault": "revision",
        "symbols": ["BTC"],
        "start": "2025-02-05T22:00Z",
        "end": "2025-02-06T00:00Z",
    }
    ground.keep(vendor(late), LIVE, now="2025-02-06T00:00:30+00:00")
    tick(ground)
    wait(ground, hours=1)
    tick(ground)
    assert ground.table("SELECT symbol, ts::VARCHAR FROM ops.revisions ORDER BY ts").rows() == [
        ("BTC", "2025-02-05 22:00:00"),
        ("BTC", "2025-02-05 23:00:00"),
    ]


def test_a_day_whose_end_an_update_missed_is_finished_by_the_next(
    ground: Ground, vendor: Vendor
) -> None:
    """Started before midnight and committed after it: what it judged ends where it began."""
    ground.keep(
        vendor(),
        "{end: null, update: {recheck: 0}, repair: {legacy_cutoff: null}}",
        now="2025-02-05T23:59:55+00:00",
    )
    tick(ground)
    ground.move_clock(datetime(2025, 2, 6, 0, 0, 20, tzinfo=UTC))
    tick(ground)
    assert (
        ground.table("SELECT count(*) FROM kept.candles_1h WHERE ts::DATE = '2025-02-05'").item()
        == 48
    )


def test_a_clock_that_was_a_day_ahead_does_not_stop_the_updates(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), LIVE, now=MIDDAY)
    tick(ground)
    wait(ground, days=1)
    tick(ground)
    with ground.store_resource.get_connection() as connection:
        connection.execute("DELETE FROM kept.candles_1h WHERE ts >= '2025-02-05 12:00'")
    ground.move_clock(datetime(2025, 2, 5, 14, 0, 30, tzinfo=UTC))
    tick(ground)
    assert last(ground) == "2025-02-05 13:00:00"


def test_a_dead_hole_in_the_running_day_is_not_asked_for_at_every_tick(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor(HOLE)
    ground.keep(
        source,
        "{end: null, repair: {legacy_cutoff: null}, update: {recheck: 0}, evidence: {apart: 3h}}",
        now=MIDDAY,
    )
    tick(ground)
    for _ in range(2):
        source.log.clear()
        wait(ground, hours=1)
        tick(ground)
        assert len(asked(source)) == 2
        assert all(first.hour > 10 for _, first in asked(source))


def test_a_closed_market_is_left_alone_and_its_session_is_reported_after_the_close(
    ground: Ground,
) -> None:
    equity = (
        "{kind: EQUITY, end: null, timeframes: {fetch: [1h, 1d]}, repair: {legacy_cutoff: null}}"
    )
    ground.keep(
        None, equity, now="2025-02-07T20:30:30+00:00"
    )  # a Friday, half an hour before the close
    hours, days = tick(ground)
    assert (bounds(hours), bounds(days)) == (
        ("2025-02-05", "2025-02-06"),
        ("2025-02-01", "2025-02-01"),
    )
    report(ground, [hours, days])
    ground.move_clock(datetime(2025, 2, 7, 21, 0, 5, tzinfo=UTC))  # the last bars may settle
    assert (
        tick(ground)
        == "1h of 2025-02-07: 0 new bars; 1d: nothing has closed since 2025-02-06 21:00Z"
    )
    ground.move_clock(datetime(2025, 2, 9, 12, tzinfo=UTC))
    requests = tick(ground)
    assert [bounds(request) for request in requests] == [("2025-02-07",) * 2, ("2025-02-01",) * 2]
    report(ground, requests)
    assert isinstance(tick(ground), str)


def test_a_run_under_way_is_not_doubled(ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor(), LIVE, now=MIDDAY)
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    ground.instance.create_run_for_job(
        job.get_subset(asset_selection={ground.key()}),
        status=dg.DagsterRunStatus.STARTED,
        tags=range_tags("2025-02-03", "2025-02-05"),
        asset_selection=frozenset({ground.key()}),
    )
    assert tick(ground) == "1h: a run for 2025-02-03, 2025-02-04, 2025-02-05 is under way"


def test_the_completeness_asset_is_made_when_its_numbers_change(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), LIVE, now="2025-02-05T12:01:30+00:00")

    def made() -> int:
        page = ground.instance.fetch_materializations(completeness_key("kept"), limit=99)
        return len(page.records)

    # At 12:01 to 12:06, and then at the minutes at which the numbers are looked at.
    for _ in range(5):
        tick(ground)
        wait(ground, minutes=1)
    wait(ground, minutes=4)
    for _ in range(2):
        tick(ground)
        wait(ground, minutes=5)
    assert made() == 1
    for _ in range(12):
        tick(ground)
        wait(ground, minutes=5)
    assert made() == 2


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
    [
        ("1m", "*/1 * * * *"),
        ("15m", "*/15 * * * *"),
        ("1h", "0 */1 * * *"),
        ("4h", "0 */4 * * *"),
        ("1d", "0 0 * * *"),
    ],
)
def test_the_cadence_is_a_setting(every: str, cron: str, *, ground: Ground, vendor: Vendor) -> None:
    ground.keep(vendor(), f"{{end: null, update: {{every: {every}}}}}")
    assert ground.schedule().cron_schedule == cron


def test_timeframes_of_different_partitions_may_be_fetched_side_by_side(
    ground: Ground, vendor: Vendor
) -> None:
    ground.keep(vendor(), "{end: null, timeframes: {fetch: [1h, 1d]}}")
    ground.definitions.resolve_all_job_defs()
