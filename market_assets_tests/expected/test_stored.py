"""How many of the bars that must exist are stored."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from market_assets.expected import stored
from market_assets.expected.called import called_of
from market_assets.expected.stored import bars_in, stored_in
from market_assets.verdicts.ledger import LEDGER_SCHEMA

if TYPE_CHECKING:
    from market_assets_tests.support.fill_ground import Ground

NOTHING = LEDGER_SCHEMA.to_frame()


@pytest.fixture
def filled(ground: Ground) -> Ground:
    """Three days of hours of two symbols, some of them twice, and some that no hour has."""
    ground.keep("symbols: {BTC: {}, LATE: {}}")
    ground.fill()
    with ground.store.writing("testing") as transaction:
        table = "kept.candles_1h"
        for where, minutes in (("ts < '2025-02-26 02:00'", 0), ("ts < '2025-02-26 05:00'", 30)):
            transaction.connection.execute(
                f"""
                INSERT INTO {table}
                SELECT * REPLACE (ts + to_minutes({minutes}) AS ts)
                FROM {table}
                WHERE symbol = 'BTC' AND {where}
                """
            )
    ground.lose("symbol = 'BTC' AND ts >= '2025-02-26 20:00' AND ts < '2025-02-27 01:00'")
    return ground


@pytest.mark.parametrize("at_once", [1_000_000, 10])
def test_a_bar_counts_once_and_a_row_beside_the_calendar_does_not(
    filled: Ground, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(stored, "_AT_ONCE", at_once)
    scope = filled.scope()
    with filled.store.reading("testing") as view:
        scope = scope.since(view.genesis.of(scope.dataset))
        counted = stored_in(view, called_of(scope, scope.now), NOTHING)
        bars = bars_in(view, scope, scope.extent)
    rows = counted.sort("symbol", "part").select("symbol", "part", "stored", "doubled").rows()
    days = [date(2025, 2, day) for day in (26, 27, 28)]
    # Two rows of the first day are there twice, and two of those beside it.
    assert rows[:3] == [("BTC", days[0], 20, 4), ("BTC", days[1], 23, 0), ("BTC", days[2], 24, 0)]
    assert [row[:2] for row in rows[3:]] == [("LATE", days[1]), ("LATE", days[2])]
    of_btc = bars.filter(symbol="BTC").sort("part").drop("symbol", "part").rows()
    assert of_btc == [(25, 20, 24), (23, 23, 24), (24, 24, 24)]
