"""Which partitions a request fills: those of its window, and for a repair those that lack a bar."""

from __future__ import annotations

from datetime import UTC, datetime

from market_assets.market.timeframes import Window
from market_assets.serve.plan import backfill_ranges, repair_ranges
from market_assets_tests.support.serve_ground import END, START

WHOLE = Window(datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


def bounds(ranges):
    return [(part.dataset.name, part.first, part.last) for part in ranges]


def test_a_backfill_is_all_that_the_profile_keeps_of_a_window(filled):
    crypto = filled.universe().profiles["crypto"]
    days = Window(START.replace(day=4), START.replace(day=6))

    whole = backfill_ranges(crypto, WHOLE, filled.clock())
    assert bounds(whole) == [("candles_1h", "2025-02-03", "2025-02-09")]
    some = backfill_ranges(crypto, days, filled.clock())
    assert bounds(some) == [("candles_1h", "2025-02-04", "2025-02-05")]
    assert backfill_ranges(crypto, Window(END, WHOLE.end), filled.clock()) == []


def test_a_repair_is_what_lacks_a_bar_of_the_symbols(filled):
    crypto = filled.universe().profiles["crypto"]
    with filled.store.reading("planning") as view:

        def ranges(symbols, window=WHOLE):
            return bounds(repair_ranges(view, crypto, symbols, window, filled.clock()))

        assert ranges([]) == ranges(["BTC"]) == [("candles_1h", "2025-02-05", "2025-02-05")]
        assert ranges(["ETH"]) == []
        assert ranges([], Window(START, START.replace(day=5))) == []


def test_a_repair_is_also_what_was_never_filled_newest_first(ground):
    crypto = ground.universe().profiles["crypto"]
    with ground.store.writing("forgetting") as transaction:
        transaction.connection.execute(
            "DELETE FROM ops.partitions WHERE partition IN ('2025-02-08', '2025-02-09')"
        )
    with ground.store.reading("planning") as view:
        ranges = repair_ranges(view, crypto, [], WHOLE, ground.clock())
    assert [(part.first, part.last) for part in ranges] == [
        ("2025-02-08", "2025-02-09"),
        ("2025-02-05", "2025-02-05"),
    ]
