"""Partitions that retention has removed: green as before, and asked for by nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.defs.automation.retention import Keeper
from market_assets.errors import ClockError, ExportError
from market_assets.keeping import read_note
from market_assets.market.clock import CLOCK_VARIABLE
from market_assets.market.timeframes import Timeframe
from market_assets_tests.defs.automation.test_repair import Daemon, asked, reason
from market_assets_tests.defs.automation.test_retention import schedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

    Vendor = Callable[..., PracticeVendor]

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

FRAMES = "timeframes: {fetch: [1h], derive: [1d], features: [1h]}"
KEPT = f"{{{FRAMES}, retention: {{candles_1h: 22d}}}}"
GONE = ["2025-02-03", "2025-02-04", "2025-02-05", "2025-02-06"]
LEFT = ["2025-02-07", "2025-02-08", "2025-02-09"]


def filled(ground: Ground, source: PracticeVendor) -> Daemon:
    """A home that was filled without a retention, and keeps three of its days since."""
    ground.keep(source, f"{{{FRAMES}}}")
    ground.fill()
    ground.run("1d")
    ground.keep(source, KEPT)
    source.log.clear()
    return Daemon(ground)


def keeper(ground: Ground) -> Keeper:
    store = ground.store_resource.store(ground.clock)
    return Keeper(ground.home, store, ground.instance, ground.universe, ground.clock.now)


def stored(ground: Ground, table: str = "candles_1h") -> list[str]:
    with ground.store_resource.store(ground.clock).reading("looking") as view:
        rows = view.database.frame(
            f"SELECT DISTINCT strftime(ts, '%Y-%m-%d') AS day FROM kept.{table} ORDER BY day"
        )
    return rows["day"].to_list()


def genesis(ground: Ground) -> dict[str, datetime]:
    with ground.store_resource.store(ground.clock).reading("looking") as view:
        return view.genesis.of(ground.profile.candles(Timeframe.H1))


def test_pruned_partitions_stay_green_and_are_repaired_by_nobody(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    daemon = filled(ground, source)
    green = dict.fromkeys([*GONE, *LEFT], "MATERIALIZED")
    assert ground.colours() == green

    announced = keeper(ground).prune(dry_run=True)
    assert keeper(ground).prune() == announced
    assert stored(ground) == LEFT
    assert keeper(ground).prune() == []

    assert ground.colours() == green
    assert reason(daemon.tick()) == "1h: all 3 partitions are well"
    daemon.wait(days=0.4)
    assert reason(daemon.tick()) == "1h: all 3 partitions are well"
    assert not asked(source)


def noted(ground: Ground, partition: str) -> dg.AssetObservation | None:
    """The newest observation of a partition."""
    key = dg.AssetKey(["kept", "candles_1h"])
    chosen = dg.AssetRecordsFilter(key, asset_partitions=[partition])
    records = ground.instance.fetch_observations(chosen, limit=1).records
    return records[0].asset_observation if records else None


def test_the_page_of_a_pruned_partition_says_so(ground: Ground, vendor: Vendor) -> None:
    filled(ground, vendor())

    keeper(ground).prune()

    for partition in GONE:
        observation = noted(ground, partition)
        assert observation.description == (
            "48 rows were removed by retention (candles_1h: 22d)."
        ), partition
        assert observation.metadata["rows_removed"].value == 48
    assert not any(noted(ground, partition) for partition in LEFT)
    # The page keeps it, however often is pruned afterwards.
    ground.move_clock(ground.clock.now() + timedelta(days=3))
    keeper(ground).prune()
    assert noted(ground, GONE[0]).metadata["retention"].value == "candles_1h: 22d"


def test_the_page_names_the_files_of_the_archive(ground: Ground, vendor: Vendor) -> None:
    source = vendor()
    filled(ground, source)
    ground.keep(
        source, f"{{{FRAMES}, retention: {{candles_1h: 22d, archive_to_lake: true}}}}", export={}
    )
    keeper(ground).prune()

    words = noted(ground, GONE[0]).description
    assert "They are archived in kept/candles_1h/" in words


def test_an_archive_that_fails_is_noted_for_the_alerts_until_a_prune_is_done(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    filled(ground, source)
    kept = f"{{{FRAMES}, retention: {{candles_1h: 22d, archive_to_lake: true}}}}"
    ground.keep(source, kept, export={})
    lake = ground.home / "lake"
    lake.write_text("in the way")
    with pytest.raises(ExportError, match="cannot be written"):
        keeper(ground).prune()
    assert stored(ground) == [*GONE, *LEFT]
    assert "Nothing was removed" in read_note(ground.home).words

    lake.unlink()
    keeper(ground).prune()
    assert stored(ground) == LEFT
    assert read_note(ground.home).failed_at is None


def test_a_run_over_pruned_partitions_asks_for_nothing_and_leaves_them_green(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    filled(ground, source)
    keeper(ground).prune()
    run = ground.fill(*GONE)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert ground.run("1d").status is dg.DagsterRunStatus.SUCCESS
    assert ground.colours() == dict.fromkeys([*GONE, *LEFT], "MATERIALIZED")
    assert not asked(source)
    assert stored(ground) == LEFT
    # The month is kept whole as long as a day of it is.
    assert stored(ground, "candles_1d") == [*GONE, *LEFT]


def test_a_hole_at_the_floor_is_asked_for_and_nothing_before_it(
    ground: Ground, vendor: Vendor
) -> None:
    hole = {
        "fault": "hole",
        "symbols": ["ETH"],
        "start": "2025-02-07T00:00Z",
        "end": "2025-02-07T02:00Z",
    }
    source = vendor(hole)
    daemon = filled(ground, source)
    known = genesis(ground)
    keeper(ground).prune()
    daemon.wait(hours=2)
    daemon.heal()
    starts = [int(entry["startTime"]) for entry in source.log if entry["startTime"] is not None]
    assert starts
    assert min(starts) == datetime(2025, 2, 7, tzinfo=UTC).timestamp() * 1000
    assert genesis(ground) == known


def test_when_retention_is_removed_again_the_time_between_is_filled_again(
    ground: Ground, vendor: Vendor
) -> None:
    source = vendor()
    daemon = filled(ground, source)
    keeper(ground).prune()
    ground.keep(source, f"{{{FRAMES}, retention: {{candles_1h: 24d}}}}")
    (run,) = daemon.heal()
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert stored(ground) == [*GONE[2:], *LEFT]
    ground.keep(source, f"{{{FRAMES}}}")
    daemon.heal()
    assert stored(ground) == [*GONE, *LEFT]
    daemon.wait(hours=2)
    assert reason(daemon.tick()) == "1h: all 7 partitions are well"


def test_the_daily_tick_removes_them_and_says_so(ground: Ground, vendor: Vendor) -> None:
    filled(ground, vendor())
    with dg.build_schedule_context(
        instance=ground.instance,
        scheduled_execution_time=ground.clock.now(),
        resources={"store": ground.store_resource, "clock": ground.clock},
    ) as context:
        result = schedule(ground).evaluate_tick(context)
    assert "192 rows of kept.candles_1h" in result.skip_message
    assert stored(ground) == LEFT


def test_a_clock_a_year_ahead_removes_nothing_and_is_told(ground: Ground, vendor: Vendor) -> None:
    filled(ground, vendor())
    keeper(ground).prune()
    right = ground.clock.now()
    ground.move_clock(right + timedelta(days=365))
    # Whoever writes now stamps it with the wrong clock.
    ground.run("1d")

    with pytest.raises(ClockError, match="days older: the newest candle is of 2025-02-09 23:00Z"):
        keeper(ground).prune(dry_run=True)
    with pytest.raises(ClockError, match="Nothing was removed"):
        keeper(ground).prune()
    assert stored(ground) == LEFT

    ground.move_clock(right + timedelta(days=1))
    keeper(ground).prune()
    assert stored(ground) == LEFT[1:]


def test_a_clock_that_nothing_speaks_for_is_believed_if_somebody_says_so(
    ground: Ground, vendor: Vendor
) -> None:
    filled(ground, vendor())
    keeper(ground).prune()
    ground.move_clock(ground.clock.now() + timedelta(days=365))

    keeper(ground).prune(trust_clock=True)

    assert stored(ground) == []
    assert keeper(ground).prune() == []


def test_a_clock_that_runs_fast_may_be_further_ahead(
    ground: Ground, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(ground, vendor())
    keeper(ground).prune()
    ground.move_clock(ground.clock.now() + timedelta(days=20))
    with pytest.raises(ClockError):
        keeper(ground).prune()

    monkeypatch.setenv(CLOCK_VARIABLE, "2025-03-21T12:00:00Z@2026-11-30T03:00:00Z*8760")
    keeper(ground).prune()
    assert stored(ground) == []
