"""What is known of absent bars has a digest.

The digest changes when that knowledge changes, and only then.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import TS
from market_assets.work.publish import evidence_of


def evidence(*states: str) -> dict[tuple[str, str], str]:
    """Of hours from the eve of a day on."""
    first = datetime.fromisoformat("2025-03-03 22:00")
    frame = pl.DataFrame(
        {
            "symbol": "BTC",
            "ts": [first + timedelta(hours=n) for n in range(len(states))],
            "state": states,
        }
    )
    return evidence_of(frame.cast({"ts": TS}), Cadence.DAY)


def test_there_is_none_where_all_is_stored():
    assert evidence(*4 * ["stored"]) == {}


def test_each_partition_has_its_own():
    found = evidence("stored", "open", "open", "stored")
    assert set(found) == {("2025-03-03", "BTC"), ("2025-03-04", "BTC")}
    assert evidence("stored", "stored", "open", "stored") == {
        ("2025-03-04", "BTC"): found["2025-03-04", "BTC"]
    }


def test_it_tells_states_and_places_apart_though_as_many_are_explained():
    told = [
        evidence("stored", "stored", *states)["2025-03-04", "BTC"]
        for states in (
            ("open", "no_trade"),
            ("no_trade", "open"),
            ("no_trade", "outage"),
            ("open", "stored"),
        )
    ]
    assert len(set(told)) == 4


def test_a_gap_that_is_given_up_is_a_gap_as_before_and_stored_bars_that_follow_change_nothing():
    first = evidence("open", "stored")
    assert evidence("abandoned", "stored") == first
    assert evidence("open", "stored", "stored", "stored") == first
