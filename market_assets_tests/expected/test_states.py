"""What the store knows of each bar that must exist."""

from __future__ import annotations

from datetime import timedelta

from market_assets.expected.states import ledger_of, states_of
from market_assets.market.timeframes import Window
from market_assets_tests.support.fill_ground import at, candles, every

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def test_a_bar_is_stored_or_as_the_ledger_has_it_or_open(ground):
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    ground.lose("ts >= '2025-02-27 10:00' AND ts < '2025-02-27 12:00'")
    scope = ground.scope()
    window = Window(at("2025-02-27T09:00"), at("2025-02-27T13:00"))
    with ground.store.reading("testing") as view:
        states = states_of(view, scope, window, quiet=False)
        assert states["state"].to_list() == ["stored", "open", "open", "stored"]
        assert states_of(view, scope, window).equals(states)


def test_bars_that_are_all_stored_need_no_evidence(ground):
    """A bar twice does not stand for one that is absent."""
    ground.keep("symbols: {BTC: {}, ETH: {}}")
    ground.fill()
    scope, window = ground.scope(), Window(at("2025-02-27T09:00"), at("2025-02-27T13:00"))
    with ground.store.reading("testing") as view:
        states = states_of(view, scope, window)
    assert states.columns == ["symbol", "ts", "state"]
    assert states["symbol"].to_list() == ["BTC"] * 4 + ["ETH"] * 4
    assert set(states["state"]) == {"stored"}

    with ground.store.writing("testing") as transaction:
        transaction.connection.execute(
            """
            INSERT INTO kept.candles_1h SELECT * FROM kept.candles_1h WHERE symbol = 'BTC'
            """
        )
    ground.lose("symbol = 'ETH' AND ts = '2025-02-27 10:00'")
    with ground.store.reading("testing") as view:
        states = states_of(view, scope, window)
    assert states["state"].to_list() == ["stored"] * 5 + ["open"] + ["stored"] * 2


def test_a_silence_is_measured_over_the_edges_of_the_window(empty_ground):
    start = at("2025-02-26T00:00")
    # Forty minutes without a bar, and a hundred.
    silent = [range(600, 640), range(700, 800)]
    opens = every(MINUTE, start, start + 24 * HOUR)
    there = [ts for place, ts in enumerate(opens) if not any(place in part for part in silent)]
    empty_ground.add_archive("files", {"BTC": candles(there)}, quiet_minutes="omitted")
    empty_ground.keep("{symbols: {BTC: {}}, timeframes: {fetch: [1m]}, end: 2025-02-27}")
    empty_ground.fill()
    with empty_ground.store.reading("testing") as view:
        for first, state in ((620, "no_trade"), (750, "open")):
            window = Window(start + first * MINUTE, start + (first + 1) * MINUTE)
            states = states_of(view, empty_ground.scope(), window)
            assert states["state"].to_list() == [state]


def test_what_a_clock_that_was_ahead_has_noted_is_left_out(ground):
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    scope = ground.scope()
    with ground.store.writing("testing") as transaction:
        transaction.connection.execute(
            """
            INSERT INTO ops.gaps (profile, symbol, timeframe, first_ts, last_ts, bars, status,
                                  attempts, confirmations, first_seen, reason)
            SELECT 'kept', 'BTC', '1h', first_ts, first_ts, 1, 'open', 1, 0, first_seen, ''
            FROM (
                VALUES (TIMESTAMP '2025-02-26', TIMESTAMP '2025-02-27'),
                       (TIMESTAMP '2025-02-27', TIMESTAMP '2099-01-01')
            ) seen (first_ts, first_seen)
            """
        )
    with ground.store.reading("testing") as view:
        found = ledger_of(view, scope, scope.window)
    assert found["first_ts"].to_list() == [at("2025-02-26").replace(tzinfo=None)]
