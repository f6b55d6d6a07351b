"""How complete what is stored is."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe
from market_assets_tests.support.store_rows import answers, counts

if TYPE_CHECKING:
    from market_assets.store import Store


M1, H1 = Timeframe.M1, Timeframe.H1
at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


def series(*rows: tuple[str, str, int], profile: str = "crypto") -> pl.DataFrame:
    frame = pl.DataFrame(
        rows,
        schema={"symbol": pl.String, "timeframe": pl.String, "expected": pl.Int64},
        orient="row",
    )
    return frame.with_columns(
        profile=pl.lit(profile),
        derived=pl.col("timeframe") != "1m",
        counted_until=pl.lit(at("2025-03-01")).cast(TS),
    )


@pytest.fixture
def filled(store: Store, minutes):
    """Ten expected bars of BTC, of which eight are stored and two explained.

    ETH was never filled.
    """
    with store.writing("filling") as transaction:
        transaction.candles.create(Dataset.candles("crypto", M1), derived=False)
        transaction.candles.create(Dataset.candles("crypto", H1), derived=True)
        rows = minutes.candles(*(("BTC", minute, 1.0, 1.0) for minute in range(8)))
        transaction.candles.merge(
            Dataset.candles("crypto", M1), ["BTC"], minutes.window(0, 10), rows
        )
        transaction.partitions.put(
            Dataset.candles("crypto", M1), counts(("2025-01-01", "BTC", 10, 8, 2, 0))
        )
        transaction.series.put(series(("BTC", "1m", 10), ("BTC", "1h", 0), ("ETH", "1m", 10)))
    return store


def matrix(store: Store, *columns: str) -> list[tuple]:
    with store.reading("looking") as view:
        return view.completeness.matrix().select(columns).rows()


def test_the_matrix_counts_what_is_stored_and_explained(filled):
    names = (
        "symbol",
        "timeframe",
        "expected",
        "stored",
        "explained",
        "missing",
        "completeness",
        "health",
    )
    assert matrix(filled, *names) == [
        ("BTC", "1h", 0, 0, 0, 0, 1.0, "PENDING"),
        ("BTC", "1m", 10, 8, 2, 0, 1.0, "HEALTHY"),
        ("ETH", "1m", 10, 0, 0, 10, 0.0, "MISSING"),
    ]
    assert matrix(filled, "first_ts", "last_ts")[1] == (
        at("2025-01-01 00:00"),
        at("2025-01-01 00:07"),
    )
    assert matrix(filled, "first_ts", "last_ts")[2] == (None, None)


def test_rows_deleted_by_hand_are_missing_at_once(filled):
    with filled.writing("deleting by hand") as transaction:
        transaction.connection.execute(
            "DELETE FROM crypto.candles_1m WHERE ts >= '2025-01-01 00:05:00'"
        )
    assert matrix(filled, "stored", "missing", "completeness", "health")[1] == (
        5,
        3,
        0.7,
        "DEGRADED",
    )
    with filled.writing("deleting by hand") as transaction:
        transaction.connection.execute("DELETE FROM crypto.candles_1m")
    assert matrix(filled, "stored", "missing", "health")[1] == (0, 8, "MISSING")


def test_a_row_doubled_by_hand_counts_once_and_hides_no_other(filled, minutes):
    with filled.writing("doubling by hand") as transaction:
        table = "crypto.candles_1m"
        transaction.connection.execute(
            f"INSERT INTO {table} SELECT * FROM {table} WHERE ts < '2025-01-01 00:02:00'"
        )
        transaction.connection.execute(f"DELETE FROM {table} WHERE ts = '2025-01-01 00:05:00'")
    assert matrix(filled, "stored", "missing", "doubled", "health")[1] == (7, 1, 2, "DEGRADED")
    with filled.writing("finding it again") as transaction:
        window = minutes.window(0, 10)
        rows = transaction.candles.of(Dataset.candles("crypto", M1), ["BTC"], window).unique()
        merged = transaction.candles.merge(Dataset.candles("crypto", M1), ["BTC"], window, rows)
    assert (merged.revised.height, merged.rows.height) == (2, 7)
    assert matrix(filled, "stored", "missing", "doubled", "health")[1] == (7, 1, 0, "DEGRADED")


def test_what_was_explained_since_the_count_hides_no_hole(filled):
    with filled.writing("judging two more bars, which are explained") as transaction:
        transaction.partitions.put(
            Dataset.candles("crypto", M1), counts(("2025-01-01", "BTC", 12, 8, 2, 2))
        )
    assert matrix(filled, "expected", "missing", "health")[1] == (10, 2, "DEGRADED")


def test_what_is_still_to_be_derived_is_pending_until_it_was_or_its_input_is_missing(filled):
    def health(*own: tuple) -> str:
        with filled.writing("judging") as transaction:
            transaction.partitions.put(Dataset.candles("crypto", H1), counts(*own))
            transaction.series.put(
                series(("BTC", "1m", 10), ("BTC", "1h", 2), ("ETH", "1m", 10), ("ETH", "1h", 2))
            )
        return matrix(filled, "health")[0][0]

    assert health() == "PENDING"
    assert matrix(filled, "symbol", "timeframe", "health")[2] == ("ETH", "1h", "MISSING")
    # Derived, and its input lacked it.
    assert health(("2025-01-01", "BTC", 2, 0, 0, 2)) == "MISSING"
    # Derived, and deleted by hand.
    assert health(("2025-01-01", "BTC", 2, 2, 0, 0)) == "MISSING"


def test_a_table_dropped_by_hand_is_made_again(filled):
    with filled.writing("dropping by hand") as transaction:
        transaction.connection.execute("DROP TABLE crypto.candles_1m")
    with filled.writing("preparing") as transaction:
        transaction.candles.create(Dataset.candles("crypto", M1), derived=False)
    assert matrix(filled, "stored", "health")[1] == (0, "MISSING")


def test_a_table_of_somebody_elses_is_left_alone(filled):
    with filled.writing("a table of a user's") as transaction:
        transaction.connection.execute(
            "CREATE SCHEMA research; CREATE TABLE research.candles_mine (x INTEGER)"
        )
        transaction.candles.create(Dataset.candles("equity", M1), derived=False)
    assert len(matrix(filled, "symbol")) == 3


def test_before_the_first_fill_the_matrix_is_empty(store):
    with store.reading("looking") as view:
        assert view.completeness.matrix().is_empty()


def test_what_is_no_longer_kept_leaves_the_matrix_but_other_profiles_stay(filled):
    with filled.writing("counting") as transaction:
        transaction.series.put(series(("SPY", "1m", 5), profile="equity"))
        transaction.series.put(series(("ETH", "1m", 20)))
    assert matrix(filled, "profile", "symbol", "expected") == [
        ("crypto", "ETH", 20),
        ("equity", "SPY", 5),
    ]


def test_a_partition_judged_again_is_counted_once(filled, write, read):
    write(
        "partitions.put",
        Dataset.candles("crypto", M1),
        counts(("2025-01-01", "BTC", 10, 9, 1, 0), ("2025-01-02", "BTC", 10, 0, 0, 10)),
    )
    judged = read("partitions.counts", Dataset.candles("crypto", M1))
    assert judged.select("partition", "stored", "explained", "missing").rows() == [
        ("2025-01-01", 9, 1, 0),
        ("2025-01-02", 0, 0, 10),
    ]
    assert judged["judged_at"].unique().to_list() == [at("2025-03-01 12:00")]
    assert matrix(filled, "explained")[1] == (1,)
    assert read("partitions.counts", Dataset.candles("crypto", H1)).is_empty()
    assert read("partitions.counts", Dataset.candles("equity", M1)).is_empty()


def test_no_counts_and_no_answers_are_no_change(write, read, minutes):
    write("partitions.put", Dataset.candles("crypto", M1), counts())
    write("coverage.put", Dataset.candles("crypto", M1), answers(minutes))
    assert read("partitions.counts", Dataset.candles("crypto", M1)).is_empty()
    assert read(
        "coverage.of", Dataset.candles("crypto", M1), ["BTC"], minutes.window(0, 100)
    ).is_empty()
