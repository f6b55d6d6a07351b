"""Partitions that were filled and whose candles are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.expected.lost import lost_partitions
from market_assets_tests.support.fill_ground import at

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from market_assets_tests.support.fill_ground import Ground

DAYS = ("2025-02-26", "2025-02-27", "2025-02-28")


def lost(
    ground: Ground, filled: Collection[str] = DAYS, since: datetime | None = None
) -> dict[str, str]:
    with ground.store.reading("testing") as view:
        return lost_partitions(view, ground.scope(), filled=filled, since=since)


def test_candles_that_somebody_deleted_are_missed_from_an_instant_on(ground):
    ground.keep("symbols: {BTC: {}, ETH: {}}")
    ground.fill()
    assert lost(ground) == {}
    ground.lose("symbol = 'ETH' AND ts >= '2025-02-26 20:00' AND ts < '2025-02-27 01:00'")
    assert lost(ground) == {
        "2025-02-26": "20 of 24 candles are left of ETH",
        "2025-02-27": "23 of 24 candles are left of ETH",
    }
    assert list(lost(ground, since=at("2025-02-27T00:00"))) == ["2025-02-27"]


def test_a_bar_that_is_stored_twice_and_a_row_beside_the_calendar_stand_for_no_other(ground):
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    with ground.store.writing("testing") as transaction:
        for minutes in (0, 30):
            transaction.connection.execute(
                f"""
                INSERT INTO kept.candles_1h
                SELECT * REPLACE (ts + to_minutes({minutes}) AS ts)
                FROM kept.candles_1h
                WHERE ts = '2025-02-26 20:00'
                """
            )
    ground.lose("ts >= '2025-02-26 06:00' AND ts < '2025-02-26 08:00'")
    assert lost(ground) == {"2025-02-26": "22 of 24 candles are left of BTC"}


def test_what_another_store_has_filled_is_lost_where_a_bar_must_exist(ground):
    ground.keep("{symbols: {BTC: {start: 2025-02-27}}}")
    with ground.store.writing("making the store"):
        pass
    words = "the store knows nothing of it"
    # Nothing must exist on the first day, and nobody has filled the last one.
    assert lost(ground, DAYS[:2]) == {"2025-02-27": words}
    assert lost(ground, [*DAYS, "2024-01-01"]) == dict.fromkeys(DAYS[1:], words)


def test_a_day_of_which_no_bar_has_closed_is_not_lost(ground, clock):
    ground.keep("symbols: {BTC: {}}")
    with ground.store.writing("making the store"):
        pass
    clock.now = at("2025-02-28T00:30")
    assert list(lost(ground)) == list(DAYS[:2])
    clock.now = at("2025-02-28T01:30")
    assert list(lost(ground)) == list(DAYS)
