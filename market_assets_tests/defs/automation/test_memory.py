"""What a repair sensor remembers from tick to tick."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from market_assets.practice.book import Market
from market_assets_tests.support.repair_daemon import NEW, QUICK, Daemon, reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

    Vendor = Callable[..., PracticeVendor]


def test_two_daemons_ask_for_the_same_run_and_dagster_launches_it_once(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    ground.keep(vendor(), QUICK)
    other = Daemon(ground)
    ours, theirs = daemon.tick(), other.tick()
    assert [request.run_key for request in ours.run_requests or ()] == [
        r.run_key for r in theirs.run_requests or ()
    ]
    daemon.launch(ours)
    assert reason(other.tick()) == "1h: all 7 partitions are well"


def test_a_cursor_that_was_reset_does_not_make_a_run_key_that_was_used(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor(NEW)
    ground.keep(source, QUICK)
    daemon.heal()
    daemon.cursor = None
    daemon.wait(hours=2)
    assert len(daemon.heal()) == 1


def test_a_clock_that_jumps_ahead_and_back_holds_nothing_up(
    ground: Ground, vendor: Vendor, daemon: Daemon
) -> None:
    source = vendor(NEW)
    ground.keep(source, QUICK)
    before = ground.clock.now()
    daemon.heal()
    ground.move_clock(before + timedelta(days=3650))
    source.set_faults(
        [*Market.model_validate({"faults": [NEW, {"fault": "error", "status": 503}]}).faults]
    )
    daemon.heal()
    source.set_faults([])
    ground.move_clock(before + timedelta(hours=2))
    assert len(daemon.heal()) == 1
    assert reason(daemon.tick()) == "1h: all 7 partitions are well"
