"""Ticks of an update schedule, and what was reported of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from market_assets.defs.resources import Sources

if TYPE_CHECKING:
    from market_assets_tests.support.defs_ground import Ground


LIVE = "{end: null, repair: {legacy_cutoff: null}}"
MIDDAY = "2025-02-05T12:00:30+00:00"

HOLE = {
    "fault": "hole",
    "symbols": ["ETH"],
    "start": "2025-02-05T01:00Z",
    "end": "2025-02-05T03:00Z",
}
"""Two hours of the morning before that midday."""


def tick(ground: Ground) -> list[dg.RunRequest] | str:
    """The reports that a tick asks for, or what it did."""
    resources = {
        "store": ground.store_resource,
        "sources": Sources(ground.universe),
        "clock": ground.clock,
    }
    with dg.build_schedule_context(
        instance=ground.instance, scheduled_execution_time=ground.clock.now(), resources=resources
    ) as context:
        data = ground.schedule().evaluate_tick(context)
    return list(data.run_requests or ()) or str(data.skip_message)


def wait(ground: Ground, **time: float) -> None:
    ground.move_clock(ground.clock.now() + timedelta(**time))


def green(ground: Ground) -> set[str]:
    return {key for key, colour in ground.colours().items() if colour == "MATERIALIZED"}
