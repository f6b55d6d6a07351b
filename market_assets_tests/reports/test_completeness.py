"""How complete a profile is, as a table and as the cells of its heat map, out of a real store."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from market_assets.expected.series import prepare
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window, midnight
from market_assets.pictures.heatmap import Bucket, CellState
from market_assets.reports.completeness import audit_profiles, heat_of, matrix_of
from market_assets_tests.support.fill_ground import Ground, at, candles, every

HOUR = timedelta(hours=1)
NO_BARS = pl.Series(dtype=TS)


def heat(ground: Ground) -> dict[tuple[str, date], float | str]:
    """Each cell's share, or its state where that is not judged."""
    cells, _ = cells_of(ground)
    return {
        (symbol, bucket): share if state == CellState.JUDGED else state
        for symbol, bucket, share, state in cells.iter_rows()
    }


def bucket(ground: Ground) -> Bucket:
    return cells_of(ground)[1]


def cells_of(ground: Ground) -> tuple[pl.DataFrame, Bucket]:
    (audit,) = audit_profiles(ground.store, [ground.profile], ground.clock())
    return heat_of(audit.base)


def judge(
    ground: Ground, symbol: str, days: list[date], *, expected: int, missing: int = 0
) -> None:
    """Write the candles and the counts of some partitions as a fill leaves them."""
    opens = [
        ts
        for day in days
        for ts in every(HOUR, midnight(day), midnight(day) + HOUR * (expected - missing))
    ]
    rows = candles(opens).with_columns(symbol=pl.lit(symbol), source=pl.lit("practice"))
    counts = pl.DataFrame({"partition": [day.isoformat() for day in days]}).with_columns(
        symbol=pl.lit(symbol),
        expected=pl.lit(expected),
        stored=pl.lit(expected - missing),
        explained=pl.lit(0),
        missing=pl.lit(missing),
    )
    with ground.store.writing("testing") as transaction:
        prepare(transaction, ground.profile)
        dataset = Dataset.labelled("kept", ground.profile.base_timeframe)
        transaction.partitions.put(dataset, counts)
        for day in days:
            transaction.candles.forget(dataset, Window.of_days(day, day + 24 * HOUR), NO_BARS)
        if opens:
            transaction.candles.merge(dataset, [symbol], Window.holding(rows["ts"]), rows)


def test_a_day_has_the_share_of_its_bars_and_what_was_never_filled_says_so(
    empty_ground: Ground,
) -> None:
    ground = empty_ground
    there = [
        ts for ts in every(HOUR, at("2025-02-26"), at("2025-03-01")) if ts.day != 27 or ts.hour >= 6
    ]
    ground.add_archive("files", {"BTC": candles(there), "ETH": candles(there[:24])})
    ground.keep("symbols: {BTC: {}, ETH: {}}")
    ground.fill(window=Window(at("2025-02-26"), at("2025-02-28")))
    assert heat(ground) == {
        ("BTC", date(2025, 2, 26)): 1.0,
        ("BTC", date(2025, 2, 27)): 0.75,
        ("BTC", date(2025, 2, 28)): "never filled",
        ("ETH", date(2025, 2, 26)): 1.0,
        ("ETH", date(2025, 2, 27)): 0.0,
        ("ETH", date(2025, 2, 28)): "never filled",
    }


def test_nothing_is_expected_before_the_genesis_nor_of_a_symbol_that_the_universe_has_lost(
    ground: Ground,
) -> None:
    ground.keep("symbols: {BTC: {}, LATE: {}, LAST: {}}")
    ground.fill()
    days = {
        symbol: [day.day for name, day in heat(ground) if name == symbol]
        for symbol in ground.profile.symbols
    }
    assert days == {"BTC": [26, 27, 28], "LATE": [27, 28], "LAST": [28]}
    assert set(heat(ground).values()) == {1.0}
    ground.keep("symbols: {BTC: {}}")
    assert {symbol for symbol, _ in heat(ground)} == {"BTC"}


def test_a_day_that_was_judged_while_it_ran_is_counted_up_to_now(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}\nend: null")
    ground.fill()
    assert heat(ground)["BTC", date(2025, 3, 1)] == 1.0
    # Some minutes later than the hour the next update would have brought its bar.
    ground.wait(hours=6, minutes=30)
    assert heat(ground)["BTC", date(2025, 3, 1)] == 12 / 18
    ground.wait(hours=7)
    # The next day has one closed bar, and nobody has asked for it.
    assert heat(ground)["BTC", date(2025, 3, 1)] == 0.5
    assert heat(ground)["BTC", date(2025, 3, 2)] == "never filled"
    ground.fill()
    assert heat(ground)["BTC", date(2025, 3, 1)] == 1.0


def test_a_day_of_which_no_bar_has_closed_is_not_expected_yet(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}\nend: null")
    ground.clock.now = at("2025-03-01T00:59")
    assert max(day for _, day in heat(ground)) == date(2025, 2, 28)
    ground.wait(minutes=1)
    assert max(day for _, day in heat(ground)) == date(2025, 3, 1)


def test_days_without_a_session_have_no_cell(ground: Ground) -> None:
    ground.keep("kind: EQUITY\nstart: 2025-02-27\nend: 2025-03-05\nsymbols: {SPY: {}}")
    ground.clock.now = at("2025-03-06")
    assert [day.day for _, day in heat(ground)] == [27, 28, 3, 4]


def test_a_week_and_a_month_show_their_worst_day(empty_ground: Ground) -> None:
    ground = empty_ground
    ground.add_source("practice")
    ground.keep("start: 2024-06-03\nend: 2025-01-06\nsymbols: {BTC: {}}")
    days = [date(2024, 6, 3) + timedelta(days=n) for n in range(217)]
    judge(ground, "BTC", days, expected=24)
    judge(ground, "BTC", [date(2024, 6, 12)], expected=24, missing=1)
    judge(ground, "BTC", [date(2024, 6, 13)], expected=24, missing=6)
    assert bucket(ground) is Bucket.WEEK
    found = heat(ground)
    assert found.pop(("BTC", date(2024, 6, 10))) == 0.75
    assert len(found) == 30
    assert set(found.values()) == {1.0}
    ground.keep("start: 2020-06-01\nend: 2025-01-06\nsymbols: {BTC: {}}")
    assert bucket(ground) is Bucket.MONTH
    found = heat(ground)
    # One day that was never filled outweighs all that is known of the others.
    assert found["BTC", date(2024, 6, 1)] == "never filled"
    assert found["BTC", date(2024, 7, 1)] == 1.0


def test_counts_from_before_the_first_bar_was_known_are_no_knowledge(empty_ground: Ground) -> None:
    ground = empty_ground
    ground.add_source("practice")
    ground.keep("symbols: {BTC: {}}")
    judge(ground, "BTC", [date(2025, 2, 27)], expected=0)
    assert heat(ground)["BTC", date(2025, 2, 27)] == "never filled"


def test_months_of_days_have_a_cell_only_where_a_session_is(empty_ground: Ground) -> None:
    ground = empty_ground
    ground.add_source("practice")
    # The last of May 2025 is a Saturday, so that May has no bar of the symbol that starts there.
    ground.keep(
        "kind: EQUITY\nstart: 2025-04-01\nend: 2025-07-01\ntimeframes: {fetch: [1d]}\n"
        "symbols: {SPY: {}, NEW: {start: 2025-05-31}, OLD: {end: 2025-06-01}}"
    )
    ground.clock.now = at("2025-08-01")
    assert bucket(ground) is Bucket.MONTH
    months = {
        symbol: [day.month for name, day in heat(ground) if name == symbol]
        for symbol in ("SPY", "NEW", "OLD")
    }
    assert months == {"SPY": [4, 5, 6], "NEW": [6], "OLD": [4, 5]}


def test_a_profile_that_has_not_begun_has_no_cells(empty_ground: Ground) -> None:
    ground = empty_ground
    ground.add_source("practice")
    ground.keep("start: 2030-01-01\nend: null\nsymbols: {BTC: {}}")
    assert heat(ground) == {}


def test_the_matrix_counts_up_to_now_and_tells_what_is_abandoned(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}, ETH: {}}\nend: null\ntimeframes: {fetch: [1h], derive: [4h]}")
    ground.fill()
    ground.lose("symbol = 'BTC' AND ts >= '2025-02-28' AND ts < '2025-02-28 04:00'")
    with ground.store.writing("testing") as transaction:
        transaction.connection.execute(
            """
            INSERT INTO ops.gaps BY NAME
            SELECT 'kept' AS profile, 'BTC' AS symbol, '1h' AS timeframe,
                TIMESTAMP '2025-02-28' AS first_ts, TIMESTAMP '2025-02-28 02:00' AS last_ts,
                3 AS bars, 'abandoned' AS status, 5 AS attempts, 0 AS failures, 0 AS confirmations,
                TIMESTAMP '2025-03-01' AS first_seen, 'attempts: asked 5 times' AS reason
            """
        )
    ground.wait(hours=2, minutes=30)
    found = {
        (row["symbol"], row["timeframe"]): row
        for row in matrix_of(ground.store, [ground.profile], ground.clock()).to_dicts()
    }
    btc = found["BTC", "1h"]
    assert (btc["expected"], btc["missing"], btc["abandoned"], btc["health"]) == (
        86,
        6,
        3,
        "DEGRADED",
    )
    # Without a zone, as the store holds it.
    assert (btc["first_ts"], btc["last_ts"]) == (
        datetime(2025, 2, 26),  # noqa: DTZ001
        datetime(2025, 3, 1, 11),  # noqa: DTZ001
    )
    assert found["ETH", "1h"]["abandoned"] == 0
    assert found["ETH", "4h"]["health"] == "PENDING"
    ground.keep("symbols: {ETH: {}}")
    assert matrix_of(ground.store, [ground.profile], ground.clock())["symbol"].to_list() == ["ETH"]


def test_a_profile_that_was_never_filled_has_a_matrix(empty_ground: Ground) -> None:
    ground = empty_ground
    ground.add_source("practice")
    ground.keep("symbols: {BTC: {}}")
    (row,) = matrix_of(ground.store, [ground.profile], ground.clock()).to_dicts()
    assert (row["expected"], row["missing"], row["health"], row["first_ts"]) == (
        72,
        72,
        "MISSING",
        None,
    )


def test_partitions_that_were_judged_before_their_end_are_found_by_the_store(
    empty_ground: Ground,
) -> None:
    ground = empty_ground
    ground.add_source("practice")
    ground.keep("symbols: {BTC: {}}")
    judge(ground, "BTC", [date(2025, 2, 27), date(2025, 2, 28), date(2025, 3, 1)], expected=24)
    with ground.store.reading("testing") as view:
        # It is noon of the first of March.
        assert view.partitions.judged_early(
            Dataset.candles("kept", Timeframe.H1), timedelta(days=1)
        ) == ["2025-03-01"]
        assert view.partitions.judged_early(
            Dataset.candles("kept", Timeframe.H1), timedelta(days=2)
        ) == [
            "2025-02-28",
            "2025-03-01",
        ]


def test_what_was_stored_before_a_start_that_was_moved_hides_no_hole(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}")
    ground.fill()
    ground.lose("ts >= '2025-02-28' AND ts < '2025-02-28 04:00'")
    ground.keep("symbols: {BTC: {}}\nstart: 2025-02-27")
    (row,) = matrix_of(ground.store, [ground.profile], ground.clock()).to_dicts()
    assert (row["expected"], row["stored"], row["missing"], row["health"]) == (
        48,
        44,
        4,
        "DEGRADED",
    )
