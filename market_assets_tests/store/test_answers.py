"""Answers that meet or overlap become one row, which claims no more than they did."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.timeframes import TS, Timeframe
from market_assets.store.answers import COVERAGE_COLUMNS, merge_coverage, without

M1 = Timeframe.M1
START = datetime(2025, 1, 1)  # noqa: DTZ001 - as the store has it
SCHEMA = {
    "symbol": pl.String,
    "source": pl.String,
    "start_ts": TS,
    "end_ts": TS,
    "bars": pl.Int64,
    "omits_quiet": pl.Boolean,
    "answered_at": TS,
    "answered_from": TS,
}


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def answers(*rows: tuple[int, int, int, int]) -> pl.DataFrame:
    """First minute, minute after the last, bars, and the hour of the answer."""
    values = [
        ("BTC", "kraken", at(first), at(after), bars, True, at(60 * hour), None)
        for first, after, bars, hour in rows
    ]
    return pl.DataFrame(values, schema=SCHEMA, orient="row")


def merged(frame: pl.DataFrame) -> list[tuple]:
    found = merge_coverage(frame, M1.duration)
    assert found.columns == list(COVERAGE_COLUMNS)
    assert found.schema == pl.Schema(SCHEMA)
    names = ("start_ts", "end_ts", "bars", "answered_at", "answered_from")
    return found.select(names).rows()


def test_answers_that_meet_are_one_and_their_bars_add_up():
    rows = answers((0, 10, 9, 1), (10, 20, 10, 2), (21, 30, 9, 3))
    assert merged(rows) == [
        (at(0), at(20), 19, at(120), at(60)),
        (at(21), at(30), 9, at(180), None),
    ]


def test_where_answers_overlap_the_bars_that_may_have_come_twice_count_once():
    # All that is new of the second may be its last minute.
    assert merged(answers((0, 10, 10, 1), (5, 11, 6, 2)))[0][2] == 11
    # Of a quiet symbol nobody knows which three came again.
    assert merged(answers((0, 10, 4, 1), (5, 11, 3, 2)))[0][2] == 4
    # One inside another adds nothing.
    assert merged(answers((0, 10, 4, 1), (2, 8, 6, 2)))[0][2] == 6


def test_what_proves_nothing_is_not_merged_with_what_does():
    rows = answers((0, 10, 5, 1), (10, 20, 0, 2), (20, 30, 0, 3))
    assert sorted(row[:3] for row in merged(rows)) == [(at(0), at(10), 5), (at(10), at(30), 0)]


def test_series_sources_and_what_they_say_of_quiet_bars_stay_apart():
    rows = answers((0, 10, 5, 1), (10, 20, 5, 1))
    for name, value in (("symbol", "ETH"), ("source", "binance"), ("omits_quiet", False)):
        other = pl.concat([rows.head(1), rows.tail(1).with_columns(pl.lit(value).alias(name))])
        assert len(merged(other)) == 2


def test_an_empty_frame_stays_empty():
    assert merged(answers()) == []


spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 15), st.integers(0, 3)), min_size=1, max_size=8
)


@given(spans)
def test_a_merged_row_covers_what_was_answered_for_and_claims_no_bar_too_many(spans):
    # Each answer leaves out every so many minutes, whatever minute it begins with.
    given_bars, rows = {}, []
    for first, length, gap in spans:
        bars = {minute for minute in range(first, first + length) if minute % (gap + 1) == 0}
        rows.append((first, first + length, len(bars), 1))
        given_bars[len(rows)] = bars
    found = merge_coverage(answers(*rows), M1.duration)

    def minutes(*, proof: bool) -> set[int]:
        covered = [range(first, after) for first, after, bars, _ in rows if (bars > 0) is proof]
        return {minute for span in covered for minute in span}

    for proof in (True, False):
        kept = found.filter((pl.col("bars") > 0) == proof)
        ranges = [
            range(int((a - START).total_seconds() / 60), int((b - START).total_seconds() / 60))
            for a, b in kept.select("start_ts", "end_ts").rows()
        ]
        assert {minute for span in ranges for minute in span} == minutes(proof=proof)
        assert sum(map(len, ranges)) == len(minutes(proof=proof))
    every = set().union(*given_bars.values())
    assert found["bars"].sum() <= len(every)
    assert merge_coverage(found, M1.duration).equals(found)
    # In whatever order the answers come.
    one_by_one = answers()
    for row in rows:
        one_by_one = merge_coverage(pl.concat([one_by_one, answers(row)]), M1.duration)
    names = ["start_ts", "end_ts"]
    assert sorted(one_by_one.select(names).rows()) == sorted(found.select(names).rows())
    assert one_by_one["bars"].sum() <= len(every)


def test_stretches_are_cut_out_of_what_was_answered_for():
    answers = pl.DataFrame(
        {
            "symbol": ["A", "B", "C"],
            "start_ts": [at(0), at(4), at(9)],
            "end_ts": [at(8), at(5), at(10)],
        },
        schema_overrides={"start_ts": TS, "end_ts": TS},
    )
    left = without(answers, [(at(4), at(5)), (at(-1), at(1)), (at(7), at(9))])
    assert left.rows() == [("A", at(1), at(4)), ("A", at(5), at(7)), ("C", at(9), at(10))]
    assert without(answers, []).equals(answers)
    assert without(answers.clear(), [(at(0), at(1))]).schema == answers.schema
