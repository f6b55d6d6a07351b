"""What is noted beside the candles: completeness, gaps, coverage, genesis, judgements, jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe
from market_assets.verdicts.ledger import LEDGER_SCHEMA

if TYPE_CHECKING:
    from market_assets.store import Store

M1, H1 = Timeframe.M1, Timeframe.H1
at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


@pytest.fixture
def write(store: Store):
    """Does one thing in a transaction of its own."""

    def commit(method: str, *arguments: object, **options: object) -> object:
        with store.writing(method) as transaction:
            return attrgetter(method)(transaction)(*arguments, **options)

    return commit


@pytest.fixture
def read(store: Store):
    def look(method: str, *arguments: object, **options: object):
        with store.reading(method) as view:
            return attrgetter(method)(view)(*arguments, **options)

    return look


# Completeness


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


def counts(*rows: tuple[str, str, int, int, int, int]) -> pl.DataFrame:
    names = ("expected", "stored", "explained", "missing")
    return pl.DataFrame(
        rows,
        schema={"partition": pl.String, "symbol": pl.String} | dict.fromkeys(names, pl.Int64),
        orient="row",
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


# Gaps


def gap(
    minutes, symbol: str, first: int, last: int, status: str = "open", **story: object
) -> dict[str, object]:
    told = {
        "attempts": 1,
        "confirmations": 1,
        "confirmed_at": None,
        "asked_at": None,
        "reason": "binance answered without it",
    }
    return {
        "symbol": symbol,
        "first_ts": minutes.naive(first),
        "last_ts": minutes.naive(last),
        "bars": last - first + 1,
        "status": status,
        "first_seen": minutes.naive(0),
        **(told | story),
    }


def gaps(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=LEDGER_SCHEMA)


def test_a_gap_is_read_as_it_was_written(write, read, minutes):
    full = gap(
        minutes, "BTC", 3, 5, "outage", confirmed_at=minutes.naive(60), asked_at=minutes.naive(61)
    )
    bare = gap(minutes, "ETH", 3, 3)
    write(
        "gaps.put",
        Dataset.candles("crypto", M1),
        ["BTC", "ETH"],
        minutes.window(0, 10),
        gaps(full, bare),
    )
    found = read("gaps.of", Dataset.candles("crypto", M1))
    assert_frame_equal(
        found.drop("profile", "timeframe"), gaps(full, bare), check_column_order=False
    )
    assert found.select("profile", "timeframe").unique().rows() == [("crypto", "1m")]


def test_only_the_gaps_of_the_symbols_and_the_window_are_replaced(write, read, minutes):
    before = gaps(
        *(gap(minutes, symbol, first, first) for symbol in ("BTC", "ETH") for first in (2, 12))
    )
    write("gaps.put", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 20), before)
    write("gaps.put", Dataset.candles("equity", M1), ["BTC"], minutes.window(0, 20), before.head(1))
    write("gaps.put", Dataset.candles("crypto", H1), ["BTC"], minutes.window(0, 20), before.head(1))
    write(
        "gaps.put",
        Dataset.candles("crypto", M1),
        ["BTC"],
        minutes.window(0, 10),
        gaps(gap(minutes, "BTC", 4, 6)),
    )
    found = read("gaps.of").select(
        "profile", "timeframe", "symbol", (pl.col("first_ts") - minutes.naive(0)).dt.total_minutes()
    )
    assert found.rows() == [
        ("crypto", "1h", "BTC", 2),
        ("crypto", "1m", "BTC", 4),
        ("crypto", "1m", "BTC", 12),
        ("crypto", "1m", "ETH", 2),
        ("crypto", "1m", "ETH", 12),
        ("equity", "1m", "BTC", 2),
    ]
    write("gaps.put", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 20), gaps())
    assert read("gaps.of", Dataset.candles("crypto", M1)).is_empty()


def test_gaps_are_found_by_profile_timeframe_symbol_and_window(write, read, minutes):
    rows = gaps(
        *(gap(minutes, symbol, first, first) for symbol in ("BTC", "ETH") for first in (2, 12))
    )
    write("gaps.put", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 20), rows)
    assert read("gaps.of").height == 4
    assert read("gaps.of", Dataset.candles("crypto", M1)).height == 4
    assert read("gaps.of", Dataset.candles("equity", M1)).is_empty()
    assert read("gaps.of", Dataset.candles("crypto", H1)).is_empty()
    assert read("gaps.of", symbols=["ETH"])["symbol"].unique().to_list() == ["ETH"]
    assert read("gaps.of", symbols=[]).is_empty()
    assert read(
        "gaps.of", Dataset.candles("crypto", M1), symbols=["BTC"], window=minutes.window(2, 12)
    )["first_ts"].to_list() == [minutes.naive(2)]


# Coverage


def answers(minutes, *rows: tuple[str, str, int, int, int]) -> pl.DataFrame:
    values = [
        (symbol, source, minutes.naive(start), minutes.naive(end), bars)
        for symbol, source, start, end, bars in rows
    ]
    schema = {
        "symbol": pl.String,
        "source": pl.String,
        "start_ts": TS,
        "end_ts": TS,
        "bars": pl.Int64,
    }
    return pl.DataFrame(values, schema=schema, orient="row").with_columns(
        omits_quiet=pl.lit(value=True)
    )


def test_an_answer_is_found_by_every_window_that_it_touches(write, read, minutes):
    write(
        "coverage.put",
        Dataset.candles("crypto", M1),
        answers(minutes, ("BTC", "kraken", 10, 20, 7)),
    )

    def touched(first: int, after: int) -> bool:
        return not read(
            "coverage.of", Dataset.candles("crypto", M1), ["BTC"], minutes.window(first, after)
        ).is_empty()

    assert [touched(0, 10), touched(0, 11), touched(12, 13), touched(19, 30), touched(20, 30)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert read(
        "coverage.of", Dataset.candles("crypto", M1), ["ETH"], minutes.window(0, 30)
    ).is_empty()
    assert read(
        "coverage.of", Dataset.candles("crypto", H1), ["BTC"], minutes.window(0, 30)
    ).is_empty()
    (row,) = read(
        "coverage.of", Dataset.candles("crypto", M1), ["BTC"], minutes.window(0, 30)
    ).rows(named=True)
    assert (row["bars"], row["omits_quiet"], row["answered_at"]) == (
        7,
        True,
        at("2025-03-01 12:00"),
    )


def test_an_answer_replaces_those_of_the_same_source_inside_it(write, read, minutes):
    old = [
        ("BTC", "kraken", 0, 10, 5),
        ("BTC", "kraken", 10, 20, 5),
        ("BTC", "kraken", 15, 35, 5),
        ("BTC", "binance", 0, 10, 5),
        ("ETH", "kraken", 0, 10, 5),
    ]
    write("coverage.put", Dataset.candles("crypto", M1), answers(minutes, *old))
    write("coverage.put", Dataset.candles("equity", M1), answers(minutes, old[0]))
    write(
        "coverage.put",
        Dataset.candles("crypto", M1),
        answers(minutes, ("BTC", "kraken", 0, 30, 12)),
    )
    found = read(
        "coverage.of", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 100)
    ).sort("symbol", "source", "start_ts")
    # What meets or overlaps is one row, of as many bars as there must have been at least.
    assert found.select("symbol", "source", "start_ts", "end_ts", "bars").rows() == [
        ("BTC", "binance", minutes.naive(0), minutes.naive(10), 5),
        ("BTC", "kraken", minutes.naive(0), minutes.naive(35), 12),
        ("ETH", "kraken", minutes.naive(0), minutes.naive(10), 5),
    ]
    assert (
        read("coverage.of", Dataset.candles("equity", M1), ["BTC"], minutes.window(0, 100)).height
        == 1
    )


def test_an_empty_answer_does_not_take_the_place_of_evidence(write, read, minutes):
    write(
        "coverage.put",
        Dataset.candles("crypto", M1),
        answers(minutes, ("BTC", "kraken", 0, 10, 5), ("BTC", "kraken", 10, 20, 0)),
    )
    write(
        "coverage.put", Dataset.candles("crypto", M1), answers(minutes, ("BTC", "kraken", 0, 30, 0))
    )
    found = read(
        "coverage.of", Dataset.candles("crypto", M1), ["BTC"], minutes.window(0, 100)
    ).sort("start_ts", "end_ts")
    assert found.select("end_ts", "bars").rows() == [(minutes.naive(10), 5), (minutes.naive(30), 0)]


# Genesis


def test_the_genesis_is_the_one_that_was_found_last_and_all_are_kept(
    store, write, read, minutes, clock
):
    assert read("genesis.of", Dataset.candles("crypto", M1)) == {}
    write("genesis.put", Dataset.candles("crypto", M1), "BTC", minutes.at(100), "kraken")
    write("genesis.put", Dataset.candles("crypto", M1), "ETH", minutes.at(7), "binance")
    clock.now += timedelta(days=1)
    write("genesis.put", Dataset.candles("crypto", M1), "BTC", minutes.at(50), "binance")
    assert read("genesis.of", Dataset.candles("crypto", M1)) == {
        "BTC": minutes.at(50),
        "ETH": minutes.at(7),
    }
    write(
        "genesis.put", Dataset.candles("crypto", M1), "BTC", minutes.at(60), "binance"
    )  # in the same second
    assert read("genesis.of", Dataset.candles("crypto", M1))["BTC"] == minutes.at(60)
    assert read("genesis.of", Dataset.candles("crypto", H1)) == {}
    with store.writing("counting") as transaction:
        assert transaction.connection.execute(
            "SELECT count(*) FROM ops.genesis WHERE symbol = 'BTC'"
        ).fetchall() == [(3,)]


def test_the_geneses_are_listed_as_they_were_found_last_and_can_be_forgotten(write, read, minutes):
    for timeframe, symbol, minute in (
        (M1, "BTC", 9),
        (M1, "BTC", 5),
        (H1, "BTC", 60),
        (M1, "ETH", 7),
    ):
        write(
            "genesis.put",
            Dataset.candles("crypto", timeframe),
            symbol,
            minutes.at(minute),
            "binance",
        )
    write("genesis.put", Dataset.candles("other", M1), "BTC", minutes.at(1), "kraken")
    listed = read("genesis.all")
    assert listed.columns == ["profile", "symbol", "timeframe", "ts", "source", "found_at"]
    assert listed.select("profile", "symbol", "timeframe", "ts").rows() == [
        ("crypto", "BTC", "1h", minutes.naive(60)),
        ("crypto", "BTC", "1m", minutes.naive(5)),
        ("crypto", "ETH", "1m", minutes.naive(7)),
        ("other", "BTC", "1m", minutes.naive(1)),
    ]
    write("genesis.forget", "crypto", ["BTC"])
    assert read("genesis.all").select("profile", "symbol").rows() == [
        ("crypto", "ETH"),
        ("other", "BTC"),
    ]


def test_the_oldest_candle_of_each_symbol(write, read, minutes):
    write("candles.create", Dataset.candles("crypto", M1), derived=False)
    rows = minutes.candles(("BTC", 3, 1.0, 1.0), ("BTC", 1, 1.0, 1.0), ("ETH", 0, 1.0, 1.0))
    write(
        "candles.merge", Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 4), rows
    )
    assert read("candles.first", Dataset.candles("crypto", M1), ["BTC", "XRP"]) == {
        "BTC": minutes.at(1)
    }


def test_a_symbol_is_dead_when_nobody_has_ever_had_a_bar_of_it_and_a_gap_of_it_is_settled(
    write, read, minutes
):
    write(
        "coverage.put",
        Dataset.candles("crypto", M1),
        answers(minutes, ("BTC", "kraken", 0, 10, 5), ("NONE", "kraken", 0, 10, 0)),
    )
    assert read("coverage.symbols", Dataset.candles("crypto", M1)) == {"BTC"}
    assert read("gaps.dead_symbols", Dataset.candles("crypto", M1)) == set()
    rows = gaps(*(gap(minutes, symbol, 0, 9) for symbol in ("BTC", "NONE", "NEW")))
    settled = pl.when(pl.col("symbol") == "NEW").then(pl.lit("open")).otherwise(pl.lit("abandoned"))
    write(
        "gaps.put",
        Dataset.candles("crypto", M1),
        ["BTC", "NONE", "NEW"],
        minutes.window(0, 10),
        rows.with_columns(status=settled),
    )
    assert read("gaps.dead_symbols", Dataset.candles("crypto", M1)) == {"NONE"}
    assert read("gaps.unexplained", Dataset.candles("crypto", M1), ["NEW", "NONE"]).sort("symbol")[
        "status"
    ].to_list() == [
        "open",
        "abandoned",
    ]
    assert read("gaps.unexplained", Dataset.candles("equity", M1), ["NEW"]).is_empty()


def test_a_partition_gets_another_instant_when_a_symbol_changes_whatever_the_clock_does(
    write, clock
):
    def version() -> str:
        return write("partitions.versions", Dataset.candles("crypto", M1), ["2025-01-01"])[
            "2025-01-01"
        ]

    write(
        "partitions.put",
        Dataset.candles("crypto", M1),
        counts(("2025-01-01", "BTC", 10, 8, 2, 0), ("2025-01-01", "ETH", 10, 8, 2, 0)),
    )
    clock.now += timedelta(hours=1)
    write(
        "partitions.put", Dataset.candles("crypto", M1), counts(("2025-01-01", "BTC", 10, 9, 1, 0))
    )
    seen = [version()]
    clock.now -= timedelta(hours=1)
    write(
        "partitions.put", Dataset.candles("crypto", M1), counts(("2025-01-01", "ETH", 10, 9, 1, 0))
    )
    seen.append(version())
    write(
        "partitions.put", Dataset.candles("crypto", M1), counts(("2025-01-01", "ETH", 10, 9, 1, 0))
    )
    assert seen[0] < seen[1] == version()


def test_a_partition_with_other_evidence_is_another_and_one_of_which_none_was_noted_is_not(write):
    def version(evidence: str | None) -> str:
        told = counts(("2025-01-01", "BTC", 10, 8, 2, 0)).with_columns(
            evidence=pl.lit(evidence, pl.String)
        )
        write("partitions.put", Dataset.candles("crypto", M1), told)
        return write("partitions.versions", Dataset.candles("crypto", M1), ["2025-01-01"])[
            "2025-01-01"
        ]

    unknown, first, same, other = (
        version(text)
        for text in (None, "two hours of no trade", "two hours of no trade", "an outage")
    )
    assert unknown == first == same < other


def test_until_when_partitions_were_judged_and_for_how_many_symbols(write, read):
    assert read("partitions.newest_judged_at", Dataset.candles("crypto", M1)) is None
    early = datetime(2025, 1, 1, 12, tzinfo=UTC)
    first, second = ("2025-01-01", "BTC", 10, 9, 1, 0), ("2025-01-01", "ETH", 10, 0, 0, 10)
    write("partitions.put", Dataset.candles("crypto", M1), counts(first), early)
    write(
        "partitions.put",
        Dataset.candles("crypto", M1),
        counts(second, ("2025-01-02", "ETH", 10, 10, 0, 0), ("2025-01-02", "BTC", 0, 0, 0, 0)),
    )
    found = (
        read("partitions.judged_until", Dataset.candles("crypto", M1), ["BTC", "ETH"])
        .sort("partition")
        .rows()
    )
    # A symbol of which nothing was expected counts as one that was not judged.
    assert found == [
        ("2025-01-01", at("2025-01-01 12:00"), 2),
        ("2025-01-02", at("2025-03-01 12:00"), 1),
    ]
    assert read("partitions.judged_until", Dataset.candles("crypto", M1), ["BTC"]).rows() == [
        ("2025-01-01", at("2025-01-01 12:00"), 1)
    ]
    assert read("partitions.newest_judged_at", Dataset.candles("crypto", M1)) == datetime(
        2025, 3, 1, 12, tzinfo=UTC
    )


# Derived candles


def derived(minutes, *rows: tuple[str, int, float, int]) -> pl.DataFrame:
    flat = minutes.candles(
        *((symbol, minute, close, 1.0) for symbol, minute, close, _ in rows), source="candles_1m"
    )
    return flat.with_columns(
        pl.Series("bars", [made_of for *_, made_of in rows], pl.Int32), bars_expected=pl.lit(60)
    )


def test_derived_bars_are_replaced_only_where_they_differ(write, read, minutes):
    write("candles.create", Dataset.candles("crypto", H1), derived=True)
    rows = derived(minutes, ("BTC", 0, 1.0, 60), ("BTC", 60, 1.0, 60), ("BTC", 120, 1.0, 60))
    every = rows.select("symbol", "ts")
    assert_frame_equal(
        write("candles.replace_derived", Dataset.candles("crypto", H1), every, rows),
        every,
        check_row_order=False,
    )
    assert write("candles.replace_derived", Dataset.candles("crypto", H1), every, rows).is_empty()

    renewed = derived(minutes, ("BTC", 0, 1.0, 59), ("BTC", 120, 1.0, 60))
    changed = write("candles.replace_derived", Dataset.candles("crypto", H1), every, renewed)
    assert sorted(changed["ts"]) == [minutes.naive(0), minutes.naive(60)]
    found = read("candles.of", Dataset.candles("crypto", H1), ["BTC"], minutes.window(0, 200)).sort(
        "ts"
    )
    assert_frame_equal(found, renewed.with_columns(pl.col("bars_expected").cast(pl.Int32)))


def test_derived_bars_that_were_not_made_again_stay(write, read, minutes):
    write("candles.create", Dataset.candles("crypto", H1), derived=True)
    rows = derived(minutes, ("BTC", 0, 1.0, 60), ("ETH", 0, 1.0, 60), ("BTC", 60, 1.0, 60))
    write("candles.replace_derived", Dataset.candles("crypto", H1), rows, rows)
    write("candles.replace_derived", Dataset.candles("crypto", H1), rows.head(1), rows.clear())
    found = read(
        "candles.of", Dataset.candles("crypto", H1), ["BTC", "ETH"], minutes.window(0, 200)
    ).sort("symbol")
    assert found.select("symbol", "ts").rows() == [
        ("BTC", minutes.naive(60)),
        ("ETH", minutes.naive(0)),
    ]


# Jobs


def job(minutes, name: str) -> dict[str, object]:
    return {
        "job_id": name,
        "run_id": None,
        "kind": "fill",
        "profile": "crypto",
        "timeframe": "1m",
        "symbols": ["BTC", "O'NEIL"],
        "start_ts": minutes.naive(0),
        "end_ts": minutes.naive(100),
        "trigger": "repair",
        "host": "here",
        "process": 4711,
    }


def test_a_job_is_followed_from_its_start_to_its_end(write, read, minutes, clock):
    write("jobs.start", job(minutes, "a"), {"partitions": 2})
    (started,) = read("jobs.newest", 10).rows(named=True)
    assert (started["status"], started["progress"], started["ended_at"], started["detail"]) == (
        "RUNNING",
        0.0,
        None,
        '{"partitions": 2}',
    )
    assert (started["trigger"], started["host"], started["process"]) == ("repair", "here", 4711)
    assert read("jobs.running", "here") == [("a", 4711, 0.0, {"partitions": 2})]
    assert read("jobs.running", "there") == []
    assert (started["symbols"], started["started_at"]) == (
        ["BTC", "O'NEIL"],
        at("2025-03-01 12:00"),
    )
    clock.now += timedelta(minutes=5)
    write("jobs.update", "a", progress=0.5, status="RUNNING", detail={"partitions_done": 1})
    (running,) = read("jobs.newest", 10).rows(named=True)
    assert (running["progress"], running["ended_at"]) == (0.5, None)
    write(
        "jobs.update",
        "a",
        progress=1.0,
        status="SUCCEEDED",
        detail={"rows": {"new": 7}, "until": datetime(2025, 1, 1, tzinfo=UTC)},
    )
    (ended,) = read("jobs.newest", 10).rows(named=True)
    assert (ended["status"], ended["ended_at"]) == ("SUCCEEDED", at("2025-03-01 12:05"))
    assert read("jobs.running", "here") == []
    assert json.loads(ended["detail"]) == {"rows": {"new": 7}, "until": "2025-01-01 00:00:00+00:00"}


def test_the_newest_jobs_come_first(write, read, minutes, clock):
    for name in "abc":
        write("jobs.start", job(minutes, name), {})
        clock.now += timedelta(seconds=1)
    assert read("jobs.newest", 2)["job_id"].to_list() == ["c", "b"]
    assert read("jobs.newest", None, clock.now - timedelta(seconds=2))["job_id"].to_list() == [
        "c",
        "b",
    ]
    assert read("jobs.newest", None)["job_id"].to_list() == ["c", "b", "a"]


def test_a_reader_cannot_write(store):
    with pytest.raises(StoreError, match="read-only"), store.reading("looking") as view:
        view.database.execute("DELETE FROM ops.jobs")
