"""Candles in, candles out: nothing lost, nothing double, old values kept."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from market_assets.store import Merged, Store

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


@pytest.fixture
def merge(store: Store, minutes):
    """Merges minutes of crypto into a window, in a transaction of its own."""
    with store.writing("making the table") as transaction:
        transaction.candles.create(Dataset.candles("crypto", Timeframe.M1), derived=False)

    def commit(
        *rows: tuple[str, int, float, float | None],
        within: tuple[int, int] = (0, 10),
        **options: str,
    ) -> Merged:
        symbols = sorted({row[0] for row in rows})
        with store.writing("merging") as transaction:
            incoming = minutes.candles(*rows, **options)
            return transaction.candles.merge(
                Dataset.candles("crypto", Timeframe.M1), symbols, minutes.window(*within), incoming
            )

    return commit


@pytest.fixture
def stored(store: Store, minutes):
    """What is stored: symbol, minute, close, volume."""

    def read(
        symbols: tuple[str, ...] = ("BTC", "ETH"), within: tuple[int, int] = (-1000, 100_000)
    ) -> list[tuple]:
        with store.reading("looking") as view:
            rows = view.candles.of(
                Dataset.candles("crypto", Timeframe.M1), symbols, minutes.window(*within)
            ).sort("symbol", "ts")
        minute = (pl.col("ts") - minutes.naive(0)).dt.total_minutes()
        return rows.select("symbol", minute, "close", "volume").rows()

    return read


@pytest.fixture
def revisions(store: Store, minutes):
    def read() -> list[tuple]:
        with store.writing("looking") as transaction:
            rows = transaction.connection.sql(
                "SELECT * FROM ops.revisions ORDER BY symbol, ts, revised_at"
            ).pl()
        minute = (pl.col("ts") - minutes.naive(0)).dt.total_minutes()
        return rows.select("symbol", minute, "close", "volume", "source", "revised_at").rows()

    return read


def keys(frame: pl.DataFrame) -> list[tuple[str, datetime]]:
    return sorted(frame.select("symbol", "ts").rows())


def test_what_was_merged_is_what_is_read(merge, store, minutes):
    given_rows = [("BTC", 1, 100.5, 3.0), ("BTC", 0, 100.0, 0.0), ("ETH", 1, 7.25, None)]
    merged = merge(*given_rows)
    assert keys(merged.new) == [
        ("BTC", minutes.naive(0)),
        ("BTC", minutes.naive(1)),
        ("ETH", minutes.naive(1)),
    ]
    assert merged.revised.is_empty()
    with store.reading("looking") as view:
        read = view.candles.of(
            Dataset.candles("crypto", Timeframe.M1), ["BTC", "ETH"], minutes.window(0, 10)
        )
        opens = view.candles.opens(
            Dataset.candles("crypto", Timeframe.M1), ["BTC", "ETH"], minutes.window(0, 10)
        )
    assert_frame_equal(read, minutes.candles(*given_rows), check_row_order=False)
    assert_frame_equal(read, merged.rows, check_row_order=False)
    assert_frame_equal(opens, read.select("symbol", "ts"), check_row_order=False)


def test_a_window_is_read_from_its_start_and_without_its_end(merge, stored):
    merge(*(("BTC", minute, 1.0, 1.0) for minute in range(10)))
    assert [minute for _, minute, *_ in stored(within=(3, 6))] == [3, 4, 5]
    assert stored(within=(6, 6)) == []
    assert stored(symbols=()) == []
    assert stored(symbols=("DOGE",)) == []


def test_the_same_again_changes_nothing(merge, stored, revisions):
    rows = [("BTC", 0, 1.0, 2.0), ("BTC", 1, 1.5, None)]
    merge(*rows)
    before = stored()
    again = merge(*rows)
    assert again.new.is_empty()
    assert again.revised.is_empty()
    assert again.rows.height == 2
    assert stored() == before
    assert revisions() == []


def test_a_revised_candle_replaces_the_stored_one_and_its_old_values_are_kept(
    merge, stored, revisions, clock
):
    merge(("BTC", 0, 1.0, 2.0), ("BTC", 1, 5.0, 1.0))
    clock.now += timedelta(days=1)
    merged = merge(("BTC", 0, 1.25, 2.0), ("BTC", 1, 5.0, 1.0), source="bitfinex")
    assert [minute for _, minute in keys(merged.revised)] == [at("2025-01-01 00:00")]
    assert stored() == [("BTC", 0, 1.25, 2.0), ("BTC", 1, 5.0, 1.0)]
    assert revisions() == [("BTC", 0, 1.0, 2.0, "binance", at("2025-03-02 12:00"))]
    clock.now += timedelta(days=1)
    merge(("BTC", 0, 1.5, 2.0))
    assert [(close, source, when) for *_, close, _, source, when in revisions()] == [
        (1.0, "binance", at("2025-03-02 12:00")),
        (1.25, "bitfinex", at("2025-03-03 12:00")),
    ]


@pytest.mark.parametrize(("old", "new"), [(None, 3.0), (3.0, None), (0.0, None)])
def test_a_volume_that_appears_or_goes_is_a_revision(
    old: float | None, new: float | None, merge, stored, revisions
):
    merge(("BTC", 0, 1.0, old))
    merge(("BTC", 0, 1.0, new))
    assert stored() == [("BTC", 0, 1.0, new)]
    assert [volume for _, _, _, volume, *_ in revisions()] == [old]


def test_the_same_values_from_another_source_are_no_revision(merge, store, minutes, revisions):
    merge(("BTC", 0, 1.0, 2.0), source="binance")
    assert merge(("BTC", 0, 1.0, 2.0), source="bitfinex").revised.is_empty()
    assert revisions() == []
    with store.reading("looking") as view:
        assert view.candles.of(
            Dataset.candles("crypto", Timeframe.M1), ["BTC"], minutes.window(0, 1)
        )["source"].to_list() == ["binance"]


def test_rows_that_a_source_leaves_out_later_stay(merge, stored):
    merge(*(("BTC", minute, 1.0, 1.0) for minute in range(5)))
    merged = merge(("BTC", 2, 1.0, 1.0))
    assert merged.rows.height == 5
    assert len(stored()) == 5


def test_nothing_merged_is_nothing_changed(merge, stored, store, minutes):
    merge(("BTC", 0, 1.0, 1.0))
    with store.writing("merging") as transaction:
        merged = transaction.candles.merge(
            Dataset.candles("crypto", Timeframe.M1),
            ["BTC"],
            minutes.window(0, 5),
            minutes.candles(),
        )
    assert (merged.new.height, merged.revised.height, merged.rows.height) == (0, 0, 1)
    assert stored() == [("BTC", 0, 1.0, 1.0)]


values = st.tuples(st.sampled_from([1.0, 2.0, 3.5]), st.sampled_from([None, 0.0, 1.0]))
windows = st.tuples(st.integers(0, 30), st.integers(1, 15))


@st.composite
def merges(draw):
    """Overlapping windows, each with some candles of two symbols."""
    made = []
    for _ in range(draw(st.integers(1, 5))):
        first, length = draw(windows)
        slots = st.tuples(st.sampled_from("AB"), st.integers(first, first + length - 1))
        made.append(((first, first + length), draw(st.dictionaries(slots, values, max_size=20))))
    return made


fresh = count()


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(merges())
def test_after_any_merges_each_bar_is_there_once_with_its_last_values(merge, stored, store, steps):
    number = next(fresh)
    names = {letter: f"{letter}{number}" for letter in "AB"}
    model: dict[tuple[str, int], tuple[float, float | None]] = {}
    replaced = 0
    for within, bars in steps:
        rows = [(names[letter], minute, *value) for (letter, minute), value in bars.items()]
        merged = merge(*rows, within=within)
        changed = {slot for slot, value in bars.items() if slot in model and model[slot] != value}
        assert merged.new.height == len(bars.keys() - model.keys())
        assert merged.revised.height == len(changed)
        replaced += len(changed)
        model |= bars
        inside = [
            slot
            for slot in model
            if within[0] <= slot[1] < within[1] and slot[0] in {s for s, _ in bars}
        ]
        assert merged.rows.height == len(inside)
    expected = sorted((names[letter], minute, *value) for (letter, minute), value in model.items())
    assert stored(tuple(names.values())) == expected
    with store.writing("counting") as transaction:
        kept = "SELECT count(*) FROM ops.revisions WHERE list_contains(?, symbol)"
        assert transaction.connection.execute(kept, [list(names.values())]).fetchall() == [
            (replaced,)
        ]


@pytest.mark.parametrize(
    "profile", ["select", "my markets", 'a"b', "O'Neil", "börse", "candles_1m"]
)
def test_any_name_of_a_profile_does(profile: str, store: Store, minutes):
    series = pl.DataFrame(
        {
            "profile": [profile],
            "symbol": ["BTC"],
            "timeframe": ["1m"],
            "derived": [False],
            "expected": [2],
        }
    )
    with store.writing("merging") as transaction:
        transaction.candles.create(Dataset.candles(profile, Timeframe.M1), derived=False)
        transaction.candles.create(Dataset.candles(profile, Timeframe.H1), derived=True)
        transaction.candles.merge(
            Dataset.candles(profile, Timeframe.M1),
            ["BTC"],
            minutes.window(0, 1),
            minutes.candles(("BTC", 0, 1.0, 1.0)),
        )
        transaction.series.put(series.with_columns(counted_until=pl.lit(at("2025-01-01"))))
    with store.reading("looking") as view:
        assert (
            view.candles.of(
                Dataset.candles(profile, Timeframe.M1), ["BTC"], minutes.window(0, 1)
            ).height
            == 1
        )
        assert view.candles.has(Dataset.candles(profile, Timeframe.H1))
        assert view.completeness.matrix().select("profile", "stored").rows() == [(profile, 1)]


@pytest.mark.parametrize(
    "symbol", ["BRK.B", "O'NEIL", "ES=F", 'X"Y', "^GSPC", "日経225", "%_", "1000SHIBUSDT"]
)
def test_any_name_of_a_symbol_does(symbol: str, merge, stored):
    merge((symbol, 0, 1.0, 1.0), (symbol + "x", 0, 1.0, 1.0))
    merge((symbol, 0, 2.0, 1.0))
    assert stored((symbol,)) == [(symbol, 0, 2.0, 1.0)]


def test_an_exception_in_the_block_leaves_the_store_as_it_was(
    merge, stored, revisions, store, minutes
):
    merge(("BTC", 0, 1.0, 1.0))

    def fail_half_way() -> None:
        with store.writing("merging") as transaction:
            rows = minutes.candles(("BTC", 0, 9.0, 9.0), ("BTC", 1, 9.0, 9.0))
            merged = transaction.candles.merge(
                Dataset.candles("crypto", Timeframe.M1), ["BTC"], minutes.window(0, 5), rows
            )
            assert merged.rows.height == 2
            transaction.candles.create(Dataset.candles("equity", Timeframe.M1), derived=False)
            transaction.genesis.put(
                Dataset.candles("crypto", Timeframe.M1), "BTC", minutes.at(0), "binance"
            )
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail_half_way()
    assert stored() == [("BTC", 0, 1.0, 1.0)]
    assert revisions() == []
    with store.reading("looking") as view:
        assert not view.candles.has(Dataset.candles("equity", Timeframe.M1))
        assert view.genesis.of(Dataset.candles("crypto", Timeframe.M1)) == {}
    assert merge(("BTC", 1, 2.0, 2.0)).new.height == 1


def test_a_statement_that_fails_says_what_it_was_for_and_stores_nothing(store: Store, minutes):
    def merge_into_no_table() -> None:
        with store.writing("filling crypto 1m") as transaction:
            transaction.genesis.put(
                Dataset.candles("crypto", Timeframe.M1), "BTC", minutes.at(0), "binance"
            )
            transaction.candles.merge(
                Dataset.candles("crypto", Timeframe.M1),
                ["BTC"],
                minutes.window(0, 1),
                minutes.candles(),
            )

    with pytest.raises(
        StoreError, match=r"filling crypto 1m: .*candles_1m.*Nothing of this step was stored"
    ) as raised:
        merge_into_no_table()
    assert isinstance(raised.value.__cause__, duckdb.Error)
    with store.reading("looking") as view:
        assert view.genesis.of(Dataset.candles("crypto", Timeframe.M1)) == {}
    with (
        pytest.raises(StoreError, match=r"planning: .* could not be read"),
        store.reading("planning") as view,
    ):
        view.candles.opens(Dataset.candles("crypto", Timeframe.M1), ["BTC"], minutes.window(0, 1))


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "UTC"])
def test_the_machines_time_zone_plays_no_part(
    zone: str, *, monkeypatch, merge, store, minutes, revisions, clock
):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        clock.now = datetime(
            2025, 3, 9, 7, 30, tzinfo=UTC
        )  # the night in which New York skips an hour
        merge(("BTC", 0, 1.0, 1.0))
        merge(("BTC", 0, 2.0, 1.0))
        with store.writing("noting") as transaction:
            transaction.genesis.put(
                Dataset.candles("crypto", Timeframe.M1), "BTC", minutes.at(0), "binance"
            )
        with store.reading("looking") as view:
            assert view.candles.opens(
                Dataset.candles("crypto", Timeframe.M1), ["BTC"], minutes.window(0, 1)
            )["ts"].to_list() == [at("2025-01-01")]
            assert view.genesis.of(Dataset.candles("crypto", Timeframe.M1)) == {
                "BTC": datetime(2025, 1, 1, tzinfo=UTC)
            }
        assert [when for *_, when in revisions()] == [at("2025-03-09 07:30")]
    finally:
        monkeypatch.undo()
        time.tzset()
