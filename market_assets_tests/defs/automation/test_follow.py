"""What depends on candles that have changed is made again, and once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from market_assets.defs.automation.runs import RangeRun, Runner
from market_assets.defs.internals.adapter import range_tags
from market_assets.enrich.derive import Derive
from market_assets.expected.scope import scope_of
from market_assets.market.timeframes import Timeframe, Window
from market_assets.store import Store
from market_assets_tests.support.defs_ground import Follower

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground


@pytest.fixture
def derived(ground: Ground) -> Ground:
    """Two months of hours, and what is made of them; nothing is filled yet."""
    ground.keep(
        keys="{end: 2025-04-10, timeframes: {fetch: [1h], derive: [4h, 1d, 1w]}}",
        now="2025-05-01T00:00:00+00:00",
    )
    return ground


def derive(ground: Ground, partitions: tuple[str, ...], *timeframes: Timeframe) -> None:
    ranged = RangeRun("kept", timeframes, partitions)
    assert Runner(ground.definitions, ground.instance).execute(ranged, done=lambda: None)[1]


def heal(ground: Ground, day: str) -> None:
    """Lose a bar of a day and fill it again."""
    with ground.store_resource.get_connection() as connection:
        connection.execute(f"DELETE FROM kept.candles_1h WHERE ts = '{day} 14:00'")
    assert ground.fill(day).is_success


def test_a_filled_partition_requests_exactly_what_is_made_of_it_and_once(derived: Ground) -> None:
    follower = Follower(derived)
    assert follower.asked() == {}
    # All days around these two are missing, and stay so.
    derived.fill("2025-02-05")
    derived.fill("2025-03-10")
    days, months = [("2025-02-05",) * 2, ("2025-03-10",) * 2], [("2025-02-01", "2025-03-01")]
    assert follower.asked() == {"candles_4h": days, "candles_1d": months}
    assert follower.asked() == {}, "they were launched a moment ago"
    derive(derived, ("2025-02-05",), Timeframe.H4)
    derive(derived, ("2025-03-10",), Timeframe.H4)
    derive(derived, ("2025-02-01", "2025-03-01"), Timeframe.D1)
    assert follower.asked() == {"candles_1w": months}
    derive(derived, ("2025-02-01", "2025-03-01"), Timeframe.W1)
    assert follower.asked() == {}
    heal(derived, "2025-03-10")
    assert follower.asked() == {"candles_4h": days[1:], "candles_1d": [("2025-03-01",) * 2]}


def test_a_fill_that_has_changed_nothing_requests_nothing(derived: Ground) -> None:
    derived.fill("2025-02-05", "2025-02-06")
    follower = Follower(derived)
    assert follower.launch() == 3
    derived.fill("2025-02-05", "2025-02-06", refetch=True)
    assert follower.asked() == {}
    heal(derived, "2025-02-05")
    assert follower.asked() == {
        "candles_4h": [("2025-02-05",) * 2],
        "candles_1d": [("2025-02-01",) * 2],
    }


def test_what_the_terminal_has_derived_is_not_requested_again(derived: Ground) -> None:
    follower = Follower(derived)
    derived.fill("2025-02-05", "2025-02-07")
    derive(derived, ("2025-02-05", "2025-02-06", "2025-02-07"), Timeframe.H4)
    derive(derived, ("2025-02-01",), Timeframe.D1)
    derive(derived, ("2025-02-01",), Timeframe.W1)
    assert follower.asked() == {}


def test_an_input_that_changed_again_after_it_was_derived_is_seen_by_whoever_looks_first(
    derived: Ground,
) -> None:
    derived.fill("2025-02-05", "2025-02-06")
    derive(derived, ("2025-02-05", "2025-02-06"), Timeframe.H4)
    derive(derived, ("2025-02-01",), Timeframe.D1, Timeframe.W1)
    heal(derived, "2025-02-06")
    assert Follower(derived).asked() == {
        "candles_4h": [("2025-02-06",) * 2],
        "candles_1d": [("2025-02-01",) * 2],
    }


def test_a_run_that_was_killed_while_it_derived_is_made_good_by_the_sensor(derived: Ground) -> None:
    """The store alone says what is behind: no event of the killed run is needed."""
    derived.fill("2025-02-05", "2025-02-10")
    follower = Follower(derived)
    derive(derived, ("2025-02-05", "2025-02-06", "2025-02-07"), Timeframe.H4)
    assert follower.asked()["candles_4h"] == [("2025-02-08", "2025-02-10")]
    # That run dies as well, without a word: it is asked for again after a while, and again.
    assert follower.asked() == {}
    derived.move_clock(derived.clock.now() + timedelta(minutes=2))
    assert follower.asked()["candles_4h"] == [("2025-02-08", "2025-02-10")]
    assert follower.asked() == {}
    derived.move_clock(derived.clock.now() + timedelta(minutes=3))
    assert follower.launch() == 3
    assert derived.table("SELECT count(*) FROM kept.candles_4h").item() == 6 * 6 * 2


def test_what_was_made_without_a_run_is_reported_by_one(derived: Ground) -> None:
    derived.fill("2025-02-05", "2025-02-06")
    work = Derive(
        Store(derived.home, clock=derived.clock.now),
        scope_of(derived.profile, Timeframe.H4, derived.clock.now()),
        Window.of_days(date(2025, 2, 5), date(2025, 2, 7)),
    )
    assert len(list(work)) == 2
    assert not derived.colours("4h")
    follower = Follower(derived)
    assert follower.launch() == 3
    assert derived.colours("4h")["2025-02-06"] == "MATERIALIZED"
    assert follower.asked() == {}


def test_nothing_is_derived_of_what_a_run_still_fills(derived: Ground) -> None:
    derived.fill("2025-02-05", "2025-02-06")
    job = derived.definitions.resolve_implicit_global_asset_job_def()
    waiting = derived.instance.create_run_for_job(
        job.get_subset(asset_selection={derived.key()}),
        asset_selection=frozenset({derived.key()}),
        tags=range_tags("2025-02-06", "2025-02-20"),
        status=dg.DagsterRunStatus.STARTED,
    )
    follower = Follower(derived)
    assert follower.asked() == {"candles_4h": [("2025-02-05",) * 2]}
    derive(derived, ("2025-02-05",), Timeframe.H4)
    derived.instance.report_run_canceled(waiting)
    assert follower.asked() == {
        "candles_4h": [("2025-02-06",) * 2],
        "candles_1d": [("2025-02-01",) * 2],
    }


def test_a_run_that_was_to_make_both_and_filled_some_days_alone_leaves_these_to_be_derived(
    ground: Ground, vendor: Callable[..., PracticeVendor]
) -> None:
    hole = {"fault": "hole", "start": "2025-02-05T00:00Z", "end": "2025-02-06T00:00Z"}
    ground.keep(vendor(hole), "{timeframes: {fetch: [1h], derive: [4h]}}")
    both = RangeRun(
        "kept", (Timeframe.H1, Timeframe.H4), ("2025-02-04", "2025-02-05", "2025-02-06")
    )
    assert not Runner(ground.definitions, ground.instance).execute(both, done=lambda: None)[1]
    assert set(list(ground.colours("4h").values())[1:4]) == {"FAILED"}
    # The day between is made along, and has nothing to be made of.
    assert Follower(ground).asked() == {"candles_4h": [("2025-02-04", "2025-02-06")]}
