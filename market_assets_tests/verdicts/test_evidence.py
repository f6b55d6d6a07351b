"""Every absent bar has evidence.

It is open until something explains it, and nothing that is no proof explains it.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.config.settings import EvidenceSettings, RepairSettings
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.verdicts.evidence import (
    ASKED_SCHEMA,
    EXPLAINED,
    LEDGER_SCHEMA,
    MISSING,
    State,
    advance,
    believable,
    classify,
    is_believable,
    to_ledger,
)

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

START = datetime(2025, 3, 3, tzinfo=UTC)
NOW = datetime(2025, 3, 5, tzinfo=UTC)
RULES = EvidenceSettings(quiet_limit=timedelta(minutes=3))
COVERAGE = {
    "symbol": pl.String,
    "start_ts": TS,
    "end_ts": TS,
    "bars": pl.Int64,
    "omits_quiet": pl.Boolean,
}
DAY = pl.col("ts").dt.date()


def naive(minute: int) -> datetime:
    return (START + timedelta(minutes=minute)).replace(tzinfo=None)


def grid(count: int = 10, *symbols: str, halted: range = range(0)) -> pl.DataFrame:
    """The bars of the first minutes, of one symbol or some."""
    rows = [
        (symbol, naive(minute), minute in halted)
        for symbol in symbols or ("A",)
        for minute in range(count)
    ]
    return pl.DataFrame(
        rows, schema={"symbol": pl.String, "ts": TS, "halted": pl.Boolean}, orient="row"
    )


def present(*minutes: int, symbol: str = "A") -> pl.DataFrame:
    rows = [(symbol, naive(minute)) for minute in minutes]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "ts": TS}, orient="row")


def but(*absent: int, count: int = 10) -> pl.DataFrame:
    return present(*(minute for minute in range(count) if minute not in absent))


def covered(
    *answers: tuple[int, int], bars: int = 5, omits: bool = True, symbol: str = "A"
) -> pl.DataFrame:
    rows = [(symbol, naive(start), naive(end), bars, omits) for start, end in answers]
    return pl.DataFrame(rows, schema=COVERAGE, orient="row")


def gap(first: int, last: int, status: State, **story: object) -> dict[str, object]:
    told = {
        "attempts": 1,
        "failures": 0,
        "confirmations": 0,
        "confirmed_at": None,
        "asked_at": None,
        "reason": "it said so",
    }
    return {
        "symbol": "A",
        "first_ts": naive(first),
        "last_ts": naive(last),
        "bars": last - first + 1,
        "status": status.value,
        "first_seen": naive(0),
        **(told | story),
    }


def ledger(*gaps: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(gaps), schema=LEDGER_SCHEMA)


def asked(
    *stretches: tuple[int, int],
    conclusive: bool = True,
    quiet: bool = False,
    failed: bool = False,
    reason: str = "answered",
) -> pl.DataFrame:
    rows = [
        ("A", naive(start), naive(end), conclusive, quiet, failed, reason)
        for start, end in stretches
    ]
    return pl.DataFrame(rows, schema=ASKED_SCHEMA, orient="row")


def states(
    stored: pl.DataFrame,
    *,
    bars: pl.DataFrame | None = None,
    coverage: pl.DataFrame | None = None,
    known: pl.DataFrame | None = None,
    timeframe: Timeframe = Timeframe.M1,
    rules: EvidenceSettings = RULES,
) -> pl.DataFrame:
    return classify(
        grid() if bars is None else bars,
        stored,
        coverage=covered() if coverage is None else coverage,
        ledger=ledger() if known is None else known,
        timeframe=timeframe,
        rules=rules,
    )


def found(*arguments: pl.DataFrame, **options: object) -> dict[str, list[int]]:
    """The minutes of the first symbol in each state but stored."""
    frame = states(*arguments, **options).filter(pl.col("symbol") == "A")
    by_state: dict[str, list[int]] = {}
    for minute, state in enumerate(frame["state"]):
        if state != State.STORED:
            by_state.setdefault(state, []).append(minute)
    return by_state


# What is known of a bar


def test_what_is_stored_is_stored_and_what_nothing_is_known_of_is_open():
    assert found(but()) == {}
    assert found(but(0, 4, 9)) == {"open": [0, 4, 9]}
    assert found(present()) == {"open": list(range(10))}


def test_no_bars_have_no_states():
    assert states(present(), bars=grid(0)).schema == {
        "symbol": pl.String,
        "ts": TS,
        "state": pl.String,
    }


def test_the_answer_is_in_the_order_of_the_bars():
    bars = grid(10, "A", "B")
    result = states(but(3), bars=bars, coverage=covered((0, 10)))
    assert result.select("symbol", "ts").equals(bars.select("symbol", "ts"))


def test_a_bar_that_somebody_stored_twice_is_one_bar():
    assert states(pl.concat([but(3), present(5)])).height == 10


def test_quiet_minutes_are_no_gap_where_the_source_leaves_them_out_and_has_answered():
    assert found(but(2, 5, 6, 7), coverage=covered((0, 10))) == {"no_trade": [2, 5, 6, 7]}


def test_a_silence_longer_than_the_limit_is_not_quiet():
    assert found(but(2, 3, 4, 5, 8), coverage=covered((0, 10))) == {
        "open": [2, 3, 4, 5],
        "no_trade": [8],
    }


def test_the_limit_is_a_number_of_bars_and_at_least_one():
    hours = EvidenceSettings(quiet_limit=timedelta(hours=1))
    assert [
        hours.quiet_bars(timeframe)
        for timeframe in (Timeframe.M1, Timeframe.M15, Timeframe.H1, Timeframe.D1)
    ] == [
        60,
        4,
        1,
        1,
    ]
    assert found(but(2, 4, 5), coverage=covered((0, 10)), timeframe=Timeframe.D1) == {
        "no_trade": [2],
        "open": [4, 5],
    }


def test_a_source_that_sends_empty_bars_does_not_explain_an_absent_one():
    assert found(but(3), coverage=covered((0, 10), omits=False)) == {"open": [3]}


def test_an_empty_answer_proves_nothing():
    assert found(but(3), coverage=covered((0, 10), bars=0)) == {"open": [3]}
    mixed = pl.concat([covered((0, 5)), covered((5, 10), bars=0)])
    assert found(but(3, 6), coverage=mixed) == {"no_trade": [3], "open": [6]}


def test_only_what_was_answered_for_is_quiet():
    assert found(but(1, 5, 8), coverage=covered((0, 5), (6, 8))) == {
        "no_trade": [1],
        "open": [5, 8],
    }


def test_a_silence_goes_on_over_the_border_of_two_answers():
    for answers in ([(0, 5), (5, 10)], [(0, 6), (4, 10)], [(0, 10), (3, 5)], [(3, 5), (0, 10)]):
        coverage = covered(*answers)
        assert found(but(4, 5, 6), coverage=coverage) == {"no_trade": [4, 5, 6]}
        assert found(but(3, 4, 5, 6), coverage=coverage) == {"open": [3, 4, 5, 6]}


def test_the_answers_of_one_symbol_say_nothing_of_another():
    bars, stored = grid(10, "A", "B"), but(3)
    result = states(stored, bars=bars, coverage=covered((0, 10), symbol="B")).filter(
        pl.col("state") != State.STORED
    )
    assert result.filter(pl.col("symbol") == "A")["state"].to_list() == ["open"]


def test_a_silence_ends_with_its_symbol():
    bars = grid(4, "A", "B")
    stored = pl.concat([present(0, 1), present(2, 3, symbol="B")])
    coverage = pl.concat([covered((0, 4)), covered((0, 4), symbol="B")])
    assert states(stored, bars=bars, coverage=coverage)["state"].to_list() == [
        *["stored"] * 2,
        *["no_trade"] * 4,
        *["stored"] * 2,
    ]


def test_a_silence_is_measured_in_bars_of_the_calendar():
    weeks = Window.of_days(date(2025, 3, 6), date(2025, 3, 12))
    bars = (
        load_calendar("XNYS")
        .bars(Timeframe.M1, weeks)
        .select(pl.lit("A").alias("symbol"), "ts", "halted")
    )
    friday_close = bars["ts"].search_sorted(at("2025-03-07 21:00"))
    absent = [
        friday_close - 2,
        friday_close - 1,
        friday_close,
    ]  # two minutes of Friday and one of Monday
    stored = bars.with_row_index().filter(~pl.col("index").is_in(absent)).select("symbol", "ts")
    answered = pl.DataFrame(
        [("A", *(edge.replace(tzinfo=None) for edge in (weeks.start, weeks.end)), 5, True)],
        schema=COVERAGE,
        orient="row",
    )
    assert found(stored, bars=bars, coverage=answered) == {"no_trade": absent}
    wider = stored.filter(pl.col("ts") != bars["ts"][friday_close + 1])
    assert found(wider, bars=bars, coverage=answered) == {"open": [*absent, friday_close + 1]}


def test_a_bar_in_a_halt_of_the_whole_market_is_explained_by_the_calendar():
    bars = grid(halted=range(4, 7))
    assert found(but(3, 4, 5, 6), bars=bars) == {"open": [3], "halted": [4, 5, 6]}
    assert found(but(5), bars=bars) == {"halted": [5]}
    # The halt is not part of the silence around it.
    assert found(but(3, 4, 5, 6, 7), bars=bars, coverage=covered((0, 10)))["no_trade"] == [3, 7]


@pytest.mark.parametrize("status", [State.OUTAGE, State.NO_TRADE, State.ABANDONED])
def test_what_was_settled_stays_settled(status: State):
    assert found(but(1, 2, 3, 4), known=ledger(gap(2, 3, status))) == {
        "open": [1, 4],
        status: [2, 3],
    }
    assert found(but(2), known=ledger(gap(2, 3, status))) == {status: [2]}
    assert found(but(), known=ledger(gap(2, 3, status))) == {}


def test_what_is_open_in_the_ledger_is_open():
    assert found(but(2, 3), known=ledger(gap(2, 3, State.OPEN))) == {"open": [2, 3]}
    assert found(but(2, 3), known=ledger(gap(2, 3, State.OPEN)), coverage=covered((0, 10))) == {
        "no_trade": [2, 3]
    }


# What a fill has learned


def after(
    stored: pl.DataFrame,
    question: pl.DataFrame,
    *,
    known: pl.DataFrame | None = None,
    now: datetime = NOW,
    rules: EvidenceSettings = RULES,
    coverage: pl.DataFrame | None = None,
    refused: pl.DataFrame | None = None,
    **budget: object,
) -> pl.DataFrame:
    """The ledger after a fill that asked a question."""
    known = ledger() if known is None else known
    classified = states(stored, known=known, coverage=coverage)
    remembered = advance(
        classified,
        ledger=known,
        asked=question,
        refused=present() if refused is None else refused,
        now=now,
        rules=rules,
        budget=RepairSettings(**budget),
    )
    return to_ledger(classified, remembered, DAY)


def story(frame: pl.DataFrame, *columns: str) -> list[tuple]:
    minutes = ((pl.col(name) - naive(0)).dt.total_minutes() for name in ("first_ts", "last_ts"))
    return frame.select(*minutes, *(columns or ("status", "attempts", "confirmations"))).rows()


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


# The ledger


def test_a_row_never_reaches_over_a_partition():
    bars = grid(3000)
    stored = but(*range(1000, 2900), count=3000)
    classified = states(stored, bars=bars)
    remembered = advance(
        classified,
        ledger=ledger(),
        asked=asked((0, 3000)),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    assert story(to_ledger(bars, remembered, DAY), "bars") == [
        (1000, 1439, 440),
        (1440, 2879, 1440),
        (2880, 2899, 20),
    ]
    assert story(to_ledger(bars, remembered, pl.lit(1)), "bars") == [(1000, 2899, 1900)]


def test_neighbours_on_the_calendar_make_one_row():
    week = Window.of_days(date(2025, 3, 6), date(2025, 3, 12))
    bars = (
        load_calendar("XNYS")
        .bars(Timeframe.D1, week)
        .select(pl.lit("A").alias("symbol"), "ts", "halted")
    )
    classified = states(present(), bars=bars, timeframe=Timeframe.D1)
    remembered = advance(
        classified,
        ledger=ledger(),
        asked=asked(),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    rows = to_ledger(bars, remembered, pl.col("ts").dt.month_start())
    assert rows.select("first_ts", "last_ts", "bars").rows() == [
        (at("2025-03-06"), at("2025-03-11"), 4)
    ]


def test_symbols_do_not_share_a_row():
    bars = grid(4, "A", "B")
    remembered = advance(
        states(present(), bars=bars),
        ledger=ledger(),
        asked=asked(),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    rows = to_ledger(bars, remembered, DAY)
    assert rows.select("symbol", "bars").rows() == [("A", 4), ("B", 4)]


def test_nothing_to_remember_is_an_empty_ledger():
    remembered = advance(
        states(but()),
        ledger=ledger(),
        asked=asked((0, 10)),
        now=NOW,
        rules=RULES,
        refused=present(),
        budget=RepairSettings(),
    )
    result = to_ledger(grid(), remembered, DAY)
    assert result.schema == LEDGER_SCHEMA
    assert result.is_empty()


# Whatever happens

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


def test_what_was_noted_after_the_present_instant_counts_as_never_noted():
    second = timedelta(seconds=1)
    noted = pl.DataFrame(
        {"at": [None, NOW, NOW + 30 * second, NOW + 90 * second]},
        schema={"at": pl.Datetime("us", "UTC")},
    )
    noted = noted.with_columns(pl.col("at").dt.replace_time_zone(None))

    # Clocks of machines differ by a little.
    assert believable(noted, NOW, "at").equals(noted.head(3))
    assert is_believable(NOW + 30 * second, NOW)
    assert not is_believable(NOW + 90 * second, NOW)
