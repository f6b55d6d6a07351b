"""What fills learn of absent bars, until they are explained or abandoned."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from market_assets.config.settings import EvidenceSettings, RepairSettings
from market_assets.market.timeframes import TS
from market_assets.verdicts.confirmation import advance
from market_assets.verdicts.evidence import (
    EXPLAINED,
    MISSING,
    State,
)
from market_assets.verdicts.ledger import LEDGER_SCHEMA, to_ledger
from market_assets_tests.support.absences import (
    DAY,
    NOW,
    RULES,
    after,
    asked,
    but,
    covered,
    found,
    gap,
    grid,
    ledger,
    naive,
    present,
    states,
    story,
)


def test_a_first_answer_without_a_bar_leaves_it_open_with_what_was_learned():
    result = after(but(3, 4), asked((0, 10), reason="binance answered without it"))
    assert result.schema == LEDGER_SCHEMA
    (row,) = result.rows(named=True)
    now = NOW.replace(tzinfo=None)
    assert row == gap(
        3,
        4,
        State.OPEN,
        confirmations=1,
        confirmed_at=now,
        first_seen=now,
        asked_at=now,
        reason="binance answered without it",
    )


def test_a_second_answer_an_hour_later_makes_an_outage():
    first = after(but(3, 4), asked((0, 10)))
    second = after(but(3, 4), asked((0, 10)), known=first, now=NOW + timedelta(hours=1))
    assert story(second) == [(3, 4, "outage", 2, 2)]
    (row,) = second.rows(named=True)
    assert row["first_seen"] == NOW.replace(tzinfo=None)


def test_answers_close_together_count_as_one():
    known = after(but(3), asked((0, 10)))
    for minutes in (10, 30, 59):
        known = after(but(3), asked((0, 10)), known=known, now=NOW + timedelta(minutes=minutes))
    assert story(known) == [(3, 3, "open", 4, 1)]
    known = after(but(3), asked((0, 10)), known=known, now=NOW + timedelta(minutes=60))
    assert story(known) == [(3, 3, "outage", 5, 2)]


def test_a_source_that_failed_has_confirmed_nothing_and_spent_no_attempt():
    known = ledger()
    for hour in range(9):
        question = asked((0, 10), conclusive=False, failed=True, reason="binance: 503")
        known = after(but(3), question, known=known, now=NOW + timedelta(hours=hour))
    assert story(
        known, "status", "attempts", "failures", "confirmations", "confirmed_at", "reason"
    ) == [(3, 3, "open", 0, 9, 0, None, "binance: 503")]


def test_a_clock_that_was_ahead_for_once_does_not_hold_an_outage_back():
    ahead = after(but(3), asked((0, 10)), now=NOW + timedelta(days=3650))
    assert story(after(but(3), asked((0, 10)), known=ahead)) == [(3, 3, "outage", 2, 2)]


def test_a_row_that_was_refused_confirms_nothing_and_is_abandoned_in_the_end():
    known = ledger()
    for hour in range(5):
        known = after(
            but(3, 4),
            asked((0, 10)),
            known=known,
            now=NOW + timedelta(hours=hour),
            refused=present(3),
        )
    assert story(known, "status", "attempts", "confirmations", "reason") == [
        (3, 3, "abandoned", 5, 0, "attempts: asked 5 times; answered"),
        (4, 4, "outage", 2, 2, "answered"),
    ]


def test_a_gap_that_no_source_can_speak_for_is_abandoned_after_its_attempts():
    known = ledger()
    for _ in range(3):
        question = asked((0, 10), conclusive=False, reason="no source reaches this far")
        known = after(but(3), question, known=known, max_attempts=3)
    assert story(known, "status", "reason") == [
        (3, 3, "abandoned", "attempts: asked 3 times; no source reaches this far")
    ]
    assert story(after(but(3), asked((0, 10)), known=known, max_attempts=3)) == [
        (3, 3, "abandoned", 3, 0)
    ]


def test_a_gap_that_is_being_confirmed_is_not_abandoned_however_often_it_was_asked_for():
    known = ledger(
        gap(3, 3, State.OPEN, attempts=9, confirmations=1, confirmed_at=NOW.replace(tzinfo=None))
    )
    known = after(but(3), asked((0, 10)), known=known, now=NOW + timedelta(minutes=10))
    assert story(known) == [(3, 3, "open", 10, 1)]
    assert story(after(but(3), asked((0, 10)), known=known, now=NOW + timedelta(hours=1))) == [
        (3, 3, "outage", 11, 2)
    ]


def test_a_gap_that_could_not_be_asked_for_in_all_the_time_is_abandoned():
    known = ledger(
        gap(3, 3, State.OPEN, attempts=0, failures=3, first_seen=NOW.replace(tzinfo=None))
    )
    question = asked((0, 10), conclusive=False, failed=True, reason="503")
    early = after(but(3), question, known=known, now=NOW + timedelta(days=29))
    assert story(early, "status", "failures") == [(3, 3, "open", 4)]
    assert story(after(but(3), question, known=known, now=NOW + timedelta(days=30)), "status") == [
        (3, 3, "open")
    ]
    late = after(but(3), question, known=early, now=NOW + timedelta(days=30))
    assert story(late, "status", "reason") == [
        (3, 3, "abandoned", "time: not one answer since 2025-03-05 00:00Z; 503")
    ]


def test_a_gap_before_the_legacy_cutoff_is_asked_for_once_and_one_never_asked_for_stays_open():
    cutoff = {"legacy_cutoff": date(2025, 3, 4)}
    known = after(but(3, 8), asked((0, 5)), **cutoff)
    assert story(known, "status", "reason") == [
        (3, 3, "abandoned", "legacy cutoff: before 2025-03-04, and asked for once; answered"),
        (8, 8, "open", "not asked yet"),
    ]
    assert story(after(but(3), asked((0, 5)), legacy_cutoff=date(2025, 3, 3))) == [
        (3, 3, "open", 1, 1)
    ]


def test_bars_that_were_not_asked_for_keep_their_story():
    known = ledger(
        gap(
            3,
            4,
            State.OPEN,
            attempts=2,
            confirmations=1,
            confirmed_at=naive(5),
            asked_at=naive(5),
            reason="503",
        )
    )
    result = after(but(3, 4, 8), asked((4, 5)), known=known)
    assert story(result, "status", "attempts", "confirmations", "reason") == [
        (3, 3, "open", 2, 1, "503"),
        (4, 4, "outage", 3, 2, "answered"),
        (8, 8, "open", 0, 0, "not asked yet"),
    ]


def test_a_quiet_source_that_confirms_a_long_silence_has_no_trade():
    silent = but(2, 3, 4, 5)
    first = after(silent, asked((0, 10), quiet=True), coverage=covered((0, 10)))
    second = after(
        silent,
        asked((0, 10), quiet=True),
        known=first,
        now=NOW + timedelta(hours=2),
        coverage=covered((0, 10)),
    )
    assert story(second) == [(2, 5, "no_trade", 2, 2)]
    assert found(silent, known=second, coverage=covered((0, 10))) == {"no_trade": [2, 3, 4, 5]}


def test_what_coverage_explains_needs_no_row():
    assert after(but(3), asked((0, 10), quiet=True), coverage=covered((0, 10))).is_empty()
    was_open = ledger(gap(3, 3, State.OPEN))
    assert after(
        but(3), asked((0, 10), quiet=True), known=was_open, coverage=covered((0, 10))
    ).is_empty()


def test_what_came_after_all_leaves_the_ledger():
    known = ledger(gap(3, 5, State.OUTAGE, confirmations=2))
    assert story(after(but(3, 5), asked(), known=known)) == [
        (3, 3, "outage", 1, 2),
        (5, 5, "outage", 1, 2),
    ]
    assert after(but(), asked(), known=known).is_empty()


def test_asking_again_for_what_is_settled_counts_nothing():
    known = ledger(
        gap(3, 3, State.OUTAGE, attempts=2, confirmations=2), gap(7, 7, State.ABANDONED, attempts=5)
    )
    assert after(but(3, 7), asked((0, 10)), known=known).equals(known)


def test_the_number_of_confirmations_is_a_setting():
    once = EvidenceSettings(confirmations=1)
    assert story(after(but(3), asked((0, 10)), rules=once)) == [(3, 3, "outage", 1, 1)]


def test_halted_bars_are_no_business_of_the_ledger():
    bars = grid(halted=range(4, 6))
    classified = states(but(3, 4, 5), bars=bars)
    remembered = advance(
        classified,
        ledger=ledger(),
        asked=asked((0, 10)),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    assert story(to_ledger(bars, remembered, DAY)) == [(3, 3, "open", 1, 1)]


COUNT = 24

stretch = st.tuples(st.integers(0, COUNT - 1), st.integers(1, 12)).map(
    lambda pair: (pair[0], min(COUNT, sum(pair)))
)


@st.composite
def fills(draw):
    """The result of one fill.

    That is how long after the last it came, what arrives, what was answered for, and what was
    asked.
    """
    asks, reach = [], 0
    for start, end in sorted(draw(st.lists(stretch, max_size=3))):
        if start >= reach:
            asks.append((start, end, draw(st.booleans()), draw(st.booleans())))
            reach = end
    return (
        timedelta(minutes=draw(st.sampled_from([1, 30, 59, 60, 61, 300]))),
        draw(st.sets(st.integers(0, COUNT - 1), max_size=6)),
        draw(st.lists(st.tuples(stretch, st.integers(0, 1)), max_size=2)),
        asks,
    )


@given(st.lists(fills(), min_size=1, max_size=5))
def test_expected_is_stored_and_explained_and_open_after_any_fills(steps):
    bars, known, coverage, now = grid(COUNT), ledger(), covered(), NOW
    part = (pl.col("ts") - pl.lit(naive(0)).cast(TS)).dt.total_minutes() // 10
    stored: set[int] = set()
    told: dict[
        int, list[datetime]
    ] = {}  # when each bar was conclusively answered to be absent, an hour apart
    attempts: Counter[int] = Counter()
    for wait, arrived, answered, asks in steps:
        now += wait
        stored |= arrived
        coverage = pl.concat([coverage, *(covered(span, bars=count) for span, count in answered)])
        classified = states(present(*stored), bars=bars, coverage=coverage, known=known)
        question = pl.concat(
            [
                asked(),
                *(
                    asked((start, end), conclusive=sure, quiet=quiet)
                    for start, end, sure, quiet in asks
                ),
            ]
        )
        remembered = advance(
            classified,
            ledger=known,
            asked=question,
            now=now,
            rules=RULES,
            refused=present(),
            budget=RepairSettings(),
        )
        known = to_ledger(bars, remembered, part)

        was_open = {
            minute for minute, state in enumerate(classified["state"]) if state == State.OPEN
        }
        remembers = {(ts - naive(0)) // timedelta(minutes=1) for ts in remembered["ts"]}
        for forgotten in set(range(COUNT)) - remembers:
            told.pop(forgotten, None)
            attempts.pop(forgotten, None)
        for start, end, sure, _ in asks:
            for minute in was_open & set(range(start, end)):
                attempts[minute] += 1
                times = told.setdefault(minute, [])
                if sure and (not times or now - times[-1] >= RULES.apart):
                    times.append(now)

        final = classified.update(remembered.select("symbol", "ts", "state"), on=["symbol", "ts"])
        tally = Counter(final["state"])
        assert tally[State.STORED] == len(stored)
        assert tally[State.STORED] + sum(tally[state] for state in (*EXPLAINED, *MISSING)) == COUNT
        assert tally[State.HALTED] == 0
        for minute, state in enumerate(final["state"]):
            if state == State.OUTAGE:
                assert len(told[minute]) >= RULES.confirmations
            if state == State.OPEN:
                assert len(told.get(minute, [])) < RULES.confirmations

        # The ledger holds exactly what is remembered, in rows that do not overlap and do not reach
        # over a partition.
        spans = story(known, "bars")
        assert all(
            last - first + 1 == size and first // 10 == last // 10 for first, last, size in spans
        )
        assert all(before[1] < later[0] for before, later in pairwise(spans))
        unfolded = {minute: row for row in story(known) for minute in range(row[0], row[1] + 1)}
        assert unfolded.keys() == remembers
        assert {minute: row[2] for minute, row in unfolded.items()} == {
            (ts - naive(0)) // timedelta(minutes=1): state
            for ts, state in remembered.select("ts", "state").rows()
        }
        assert {minute: row[3] for minute, row in unfolded.items() if row[3]} == {
            m: n for m, n in attempts.items() if n
        }
        # What was written down is what is read the next time.
        again = states(present(*stored), bars=bars, coverage=coverage, known=known)
        assert again.equals(final)
