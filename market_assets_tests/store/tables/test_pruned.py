"""Partitions that retention has removed, with what was known of them."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.store_rows import answers, counts

MINUTES = Dataset.candles("crypto", Timeframe.M1)
DAY = 1440
KEYS = ["2025-01-01", "2025-01-02", "2025-01-03"]


@pytest.fixture
def whole(write, minutes) -> Window:
    """Three days with two bars of BTC each, and one of ETH on the second; all were answered for."""
    bars = [("BTC", day * DAY + minute, 1.0, 1.0) for day in range(3) for minute in (0, 1)]
    window = minutes.window(0, 3 * DAY)
    write("candles.create", MINUTES, derived=False)
    write(
        "candles.merge",
        *(MINUTES, ["BTC", "ETH"], window),
        minutes.candles(*bars, ("ETH", DAY, 2.0, 1.0)),
    )
    write("partitions.put", MINUTES, counts(*((key, "BTC", 1440, 2, 0, 1438) for key in KEYS)))
    write("coverage.put", MINUTES, answers(minutes, ("BTC", "kraken", 0, 3 * DAY, 6)))
    return window


def remove(write, window: Window, **options: object) -> int:
    return write("pruned.remove", MINUTES, window, Cadence.DAY, retention="2y", **options)


@pytest.mark.usefixtures("whole")
def test_what_is_due_lies_below_the_floor_oldest_first_also_what_has_no_row(write, read, minutes):
    write("partitions.put", MINUTES, counts(("2024-12-31", "BTC", 1440, 0, 0, 1440)))

    due = read("pruned.due", MINUTES, minutes.at(2 * DAY), Cadence.DAY)

    assert due.rows() == [("2024-12-31", 0), ("2025-01-01", 2), ("2025-01-02", 3)]
    assert not read("pruned.has", MINUTES)


def test_rows_go_with_what_ledgers_know_of_their_time_and_are_remembered(
    write, read, minutes, whole
):
    before = read("pruned.ledger_rows", MINUTES, minutes.at(2 * DAY))

    assert remove(write, minutes.window(0, 2 * DAY)) == 5

    assert before["partitions"] == 2
    assert set(read("pruned.ledger_rows", MINUTES, minutes.at(2 * DAY)).values()) == {0}
    left = read("candles.opens", MINUTES, ["BTC", "ETH"], whole)
    assert left.rows() == [("BTC", minutes.naive(2 * DAY)), ("BTC", minutes.naive(2 * DAY + 1))]
    assert read("pruned.keys", MINUTES) == set(KEYS[:2])
    assert read("pruned.symbols", MINUTES) == {"BTC", "ETH"}
    assert read("pruned.of", MINUTES, KEYS[1]).select("symbol", "rows", "retention").rows() == [
        ("BTC", 2, "2y"),
        ("ETH", 1, "2y"),
    ]
    assert read("pruned.of", MINUTES, KEYS[1], "ETH")["archived"].to_list() == [None]
    # Nobody has answered any longer for what is gone.
    (answered,) = read("coverage.of", MINUTES, ["BTC"], whole).select("start_ts", "end_ts").rows()
    assert answered == (minutes.naive(2 * DAY), minutes.naive(3 * DAY))


def test_other_tables_are_left_alone(write, read, minutes, whole):
    other = Dataset.candles("equity", Timeframe.M1)
    write("partitions.put", other, counts((KEYS[0], "BTC", 1440, 2, 0, 1438)))

    remove(write, whole)

    assert read("pruned.ledger_rows", other, minutes.at(3 * DAY))["partitions"] == 1
    assert not read("pruned.has", other)


@pytest.mark.usefixtures("whole")
def test_a_partition_that_was_filled_and_removed_again_has_all_its_rows_and_files(
    write, read, minutes
):
    first, second = (
        pl.DataFrame({"partition": [KEYS[0]], "paths": [[path]]})
        for path in ("a.parquet", "b.parquet")
    )
    remove(write, minutes.window(0, DAY), archived=first)
    write(
        "candles.merge",
        *(MINUTES, ["BTC"], minutes.window(5, 6)),
        minutes.candles(("BTC", 5, 1.0, 1.0)),
    )

    remove(write, minutes.window(0, DAY), archived=second)

    (row,) = read("pruned.of", MINUTES, KEYS[0]).rows(named=True)
    assert (row["rows"], row["archived"]) == (3, ["a.parquet", "b.parquet"])
    assert row["pruned_at"] == datetime(2025, 3, 1, 12)  # noqa: DTZ001
    assert read("pruned.archived", MINUTES) == {"a.parquet": KEYS[0], "b.parquet": KEYS[0]}
    assert read("pruned.archived", MINUTES, since=KEYS[1]) == {}
    assert read("pruned.archived", MINUTES, until=KEYS[0]) == {}
    assert read("pruned.partitions", MINUTES).rows() == [(KEYS[0], "BTC")]


@pytest.mark.usefixtures("whole")
def test_rows_are_known_again_in_any_order_and_other_values_are_not(read, minutes):
    with_eth = [("ETH", DAY, 2.0, 1.0), ("BTC", DAY + 1, 1.0, 1.0), ("BTC", DAY, 1.0, 1.0)]
    day = minutes.window(DAY, 2 * DAY)
    stored = read("candles.rows", "crypto", "candles_1m", None, day)
    told = read("pruned.checksum", MINUTES, day)

    assert told.rows == len(with_eth)
    assert read("pruned.checksum_of", MINUTES, stored.reverse(), day) == told
    # What the table does not have does not count.
    assert read("pruned.checksum_of", MINUTES, stored, minutes.window(0, DAY)).rows == 0
    changed = stored.with_columns(close=pl.col("close") + 0.5)
    assert read("pruned.checksum_of", MINUTES, changed, day) != told
