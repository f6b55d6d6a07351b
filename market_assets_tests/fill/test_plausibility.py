"""The check `plausibility` of a partition, where the profile asks for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.settings import Severity
from market_assets_tests.verdicts.test_plausibility import FIRST, changed, market

if TYPE_CHECKING:
    from market_assets.work.outcome import PartitionOutcome
    from market_assets_tests.support.fill_ground import Ground

SPIKE = 15 * 1440 + 600


def filled(ground: Ground, checks: str) -> dict[str, PartitionOutcome]:
    ground.clock.now = datetime(2024, 1, 25, tzinfo=UTC)
    frame = changed(market(), SPIKE, 1, high=pl.col("high") * 1.05)
    ground.add_archive("files", {"A": frame.select("ts", "open", "high", "low", "close", "volume")})
    ground.keep(
        f"""
        start: 2024-01-01
        end: 2024-01-21
        timeframes: {{fetch: [1m]}}
        symbols: {{A: {{}}}}
        checks: {checks}
        """
    )
    return {outcome.partition.key: outcome for outcome in ground.fill()}


def test_a_spike_is_named_and_nothing_is_changed(empty_ground: Ground):
    outcomes = filled(empty_ground, "{plausibility: true}")
    verdicts = {key: outcome.verdicts[3] for key, outcome in outcomes.items()}
    assert {verdict.check for verdict in verdicts.values()} == {"plausibility"}
    assert [key for key, verdict in verdicts.items() if not verdict.passed] == ["2024-01-16"]
    told = verdicts["2024-01-16"]
    assert told.severity is Severity.WARN
    assert told.facts == {"implausible": 1, "spike": 1}
    (row,) = told.tables["implausible"]
    assert (row["symbol"], row["first_bar"], row["what"]) == ("A", "2024-01-16 10:00Z", "spike")
    assert "a spike of A at 2024-01-16 10:00Z (1 bar)" in told.summary
    assert outcomes["2024-01-16"].filled
    stored = empty_ground.rows("A")
    assert stored.height == market().height
    assert (
        stored.filter(pl.col("ts") == datetime.fromisoformat("2024-01-16 10:00"))["high"][0] > 100
    )
    assert stored["ts"][0] == FIRST


def test_it_is_off_unless_a_profile_asks_for_it(empty_ground: Ground):
    outcomes = filled(empty_ground, "{}")
    assert {len(outcome.verdicts) for outcome in outcomes.values()} == {3}
