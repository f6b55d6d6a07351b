"""What is repaired now, what waits, and what is given up.

The newest comes first, within the budgets, and with no request too many.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_assets.config.settings import EvidenceSettings, RepairSettings
from market_assets.market.gaps import Priority, plan_requests
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import TS, Timeframe
from market_assets.plan.repair import (
    Launches,
    Pause,
    RepairPlan,
    RepairRules,
    Situation,
    Trouble,
    due_at,
    newest_pages,
    plan_repairs,
    resting,
    troubles_in,
    wait_after,
)
from market_assets.verdicts.ledger import LEDGER_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

M1 = Timeframe.M1
START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
EVIDENCE, BUDGET = EvidenceSettings(), RepairSettings()
DAYS = [Partition.holding(date(2025, 1, 1) + timedelta(days=n), Cadence.DAY) for n in range(59)]


def naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


def gap(
    day: str, hour: int = 0, bars: int = 60, *, symbol: str = "A", **story: object
) -> dict[str, object]:
    """An hour of a day that was asked for a month ago."""
    first = datetime.fromisoformat(f"{day} {hour:02}:00")
    told = {
        "status": "open",
        "attempts": 1,
        "failures": 0,
        "confirmations": 0,
        "confirmed_at": None,
        "first_seen": naive(START),
        "asked_at": naive(START),
        "reason": "it said so",
    }
    last = first + (bars - 1) * M1.duration
    return {"symbol": symbol, "first_ts": first, "last_ts": last, "bars": bars, **told, **story}


def ledger(*gaps: dict[str, object]) -> pl.DataFrame:
    frame = pl.DataFrame(list(gaps), schema=LEDGER_SCHEMA)
    return frame.with_columns(partition=pl.col("first_ts").dt.date().cast(pl.String))


def asked(ago: timedelta, **story: object) -> dict[str, object]:
    return {"asked_at": naive(NOW - ago), **story}


def plan(
    *gaps: dict[str, object],
    troubled: Iterable[str] | None = None,
    trouble: Trouble = Trouble.FAULTY,
    in_flight: Sequence[str] = (),
    launches: dict[str, Launches] | None = None,
    page_size: int = 1000,
    now: datetime = NOW,
    **budget: object,
) -> RepairPlan:
    known = ledger(*gaps)
    situation = Situation(
        DAYS,
        dict.fromkeys(known["partition"] if troubled is None else troubled, trouble),
        in_flight=in_flight,
        gaps=known,
        launches=launches or {},
        now=now,
    )
    rules = RepairRules(
        M1,
        page_sizes=dict.fromkeys("AB", page_size),
        evidence=EVIDENCE,
        budget=RepairSettings(**budget),
        oldest_absent=START + timedelta(days=10),
    )
    return plan_repairs(situation, rules)


def ranges(planned: RepairPlan) -> list[tuple[str, str]]:
    return [(run.partitions[0][5:], run.partitions[-1][5:]) for run in planned.runs]


# Waiting


def test_the_wait_doubles_from_the_first_to_the_longest():
    minutes = [
        wait_after(tries, BUDGET) // timedelta(minutes=1) for tries in (0, 1, 2, 3, 6, 7, 8, 10**9)
    ]
    assert minutes == [1, 1, 2, 4, 32, 60, 60, 60]


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_ledger_waits_as_long_as_a_partition_does(attempts, failures):
    frame = ledger(gap("2025-02-01", attempts=attempts, failures=failures))
    (due,) = frame.select(due_at(EVIDENCE, BUDGET, NOW)).to_series()
    assert due - naive(START) == wait_after(attempts + failures, BUDGET)


def test_after_an_answer_that_counts_the_next_try_waits_until_another_would_count():
    at = naive(NOW - timedelta(minutes=10))
    frame = ledger(gap("2025-02-01", asked_at=at, confirmed_at=at, confirmations=1))
    assert resting(frame, EVIDENCE, BUDGET, NOW)["due_at"].to_list() == [at + timedelta(hours=1)]
    failed_since = ledger(
        gap("2025-02-01", asked_at=at + timedelta(minutes=5), confirmed_at=at, confirmations=1)
    )
    assert resting(failed_since, EVIDENCE, BUDGET, NOW).is_empty()


def test_what_was_never_asked_for_or_asked_for_in_the_future_is_due():
    never, ahead = (
        gap("2025-02-01", asked_at=None),
        gap("2025-02-02", asked_at=naive(NOW + timedelta(days=3650))),
    )
    assert resting(ledger(never, ahead), EVIDENCE, BUDGET, NOW).is_empty()


# Requests

spans = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 90)), min_size=1, max_size=25)


def stretches(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint stretches of minutes that do not touch: first and last."""
    at, found = 0, []
    for space, bars in steps:
        found.append((at + space, at + space + bars - 1))
        at += space + bars
    return found


def gaps_of(found: list[tuple[int, int]], symbol: str = "A") -> pl.DataFrame:
    rows = [(symbol, *(naive(START) + edge * M1.duration for edge in span)) for span in found]
    return pl.DataFrame(
        rows, schema={"symbol": pl.String, "first_ts": TS, "last_ts": TS}, orient="row"
    )


def opens(found: list[tuple[int, int]]) -> pl.Series:
    minutes = [minute for first, last in found for minute in range(first, last + 1)]
    return pl.Series("ts", [naive(START) + minute * M1.duration for minute in minutes], dtype=TS)


@given(spans, st.integers(1, 200))
def test_pages_are_those_that_a_fill_plans_bar_by_bar_and_so_the_fewest(steps, page_size):
    found = stretches(steps)
    pages = newest_pages(gaps_of(found), M1, {"A": page_size}, 10**6)
    assert [window for _, window in pages] == plan_requests(
        opens(found), M1, page_size, newest_first=True
    )
    assert len(pages) == len(plan_requests(opens(found), M1, page_size))


@given(spans, spans, st.integers(1, 200), st.integers(1, 20))
def test_a_budget_takes_the_newest_pages_of_all_symbols(ours, theirs, page_size, most):
    gaps = pl.concat([gaps_of(stretches(ours)), gaps_of(stretches(theirs), "B")])
    pages = newest_pages(gaps, M1, {"A": page_size, "B": page_size}, most)
    every = newest_pages(gaps, M1, {"A": page_size, "B": page_size}, 10**6)
    assert pages == every[:most]
    assert [window.end for _, window in every] == sorted(
        (window.end for _, window in every), reverse=True
    )


def test_a_thousand_gaps_of_a_year_cost_no_request_more_than_the_least_possible():
    found = [(n * 525 + n % 7, n * 525 + n % 7 + n % 5) for n in range(1000)]
    least = len(plan_requests(opens(found), M1, 1000))
    assert len(newest_pages(gaps_of(found), M1, {"A": 1000}, 10**6)) == least < 1000


# Partitions


def test_gaps_that_are_due_are_repaired_newest_first_and_neighbours_in_one_run():
    planned = plan(
        gap("2025-01-20"),
        gap("2025-02-26"),
        gap("2025-02-27", 5),
        gap("2025-02-27", 9),
        gap("2025-02-28"),
    )
    assert ranges(planned) == [("02-26", "02-28"), ("01-20", "01-20")]
    newest, oldest = planned.runs
    assert (newest.troubled, newest.attempt, newest.requests, newest.priority) == (
        3,
        1,
        3,
        Priority.CRITICAL,
    )
    assert (oldest.requests, oldest.priority) == (1, Priority.LOW)
    assert (planned.paused, planned.next_due) == ({}, None)


def test_a_deep_request_that_covers_younger_gaps_counts_once():
    planned = plan(gap("2025-02-26", 23), gap("2025-02-27", 1), gap("2025-02-27", 5), max_fills=1)
    assert ranges(planned) == [("02-26", "02-27")]
    assert planned.runs[0].requests == 1


def test_a_whole_day_or_a_few_between_two_are_taken_along_and_more_are_not():
    assert ranges(plan(gap("2025-02-01"), gap("2025-02-09"))) == [("02-01", "02-09")]
    assert ranges(plan(gap("2025-02-01"), gap("2025-02-10"))) == [
        ("02-10", "02-10"),
        ("02-01", "02-01"),
    ]


def test_over_the_budget_the_oldest_wait():
    planned = plan(*(gap(f"2025-02-{day:02}") for day in range(1, 28, 9)), max_fills=2)
    assert ranges(planned) == [("02-19", "02-19"), ("02-10", "02-10")]
    assert planned.paused == {Pause.OVER_BUDGET: ["2025-02-01"]}


def test_gaps_in_backoff_wait_and_say_until_when():
    recent = asked(timedelta(seconds=90), attempts=2)
    planned = plan(
        gap("2025-02-27", **recent), gap("2025-02-10", **asked(timedelta(minutes=1), attempts=9))
    )
    assert planned.runs == ()
    assert planned.paused == {Pause.BACKOFF: ["2025-02-10", "2025-02-27"]}
    assert planned.next_due == NOW + timedelta(seconds=30)
    assert ranges(plan(gap("2025-02-27", **recent), now=NOW + timedelta(seconds=30))) == [
        ("02-27", "02-27")
    ]


def test_a_partition_with_one_gap_that_is_due_is_repaired_though_another_waits():
    planned = plan(gap("2025-02-27", **asked(timedelta(seconds=1))), gap("2025-02-27", 9))
    assert ranges(planned) == [("02-27", "02-27")]
    assert planned.runs[0].requests == 1


def test_abandoned_partitions_are_left_alone():
    assert plan(gap("2025-02-27", status="abandoned")).paused == {Pause.ABANDONED: ["2025-02-27"]}
    assert ranges(plan(gap("2025-02-27", status="abandoned"), gap("2025-02-27", 9))) == [
        ("02-27", "02-27")
    ]


def test_one_repair_a_partition_is_in_flight_and_no_range_reaches_over_it():
    days = [f"2025-02-{day}" for day in (20, 21, 22)]
    planned = plan(*(gap(day) for day in days), in_flight=[days[1]])
    assert ranges(planned) == [("02-22", "02-22"), ("02-20", "02-20")]
    assert planned.paused == {Pause.IN_FLIGHT: [days[1]]}


# Partitions that the ledger knows nothing of


def test_what_was_never_filled_is_filled_as_far_back_as_the_first_backfill_goes():
    planned = plan(troubled=[p.key for p in DAYS], trouble=Trouble.ABSENT)
    assert ranges(planned) == [("01-11", "02-28")]
    assert planned.runs[0].requests is None
    assert planned.paused == {Pause.BEFORE_FIRST_BACKFILL: [p.key for p in DAYS[:10]]}
    assert ranges(plan(troubled=[DAYS[0].key], trouble=Trouble.FAILED)) == [("01-01", "01-01")]


def test_a_run_that_failed_without_a_word_is_tried_again_ever_later_and_in_the_end_once_a_day():
    key = "2025-02-27"

    def again(count: int, ago: timedelta) -> RepairPlan:
        return plan(
            troubled=[key],
            trouble=Trouble.FAILED,
            launches={key: Launches(count, NOW - ago)},
            max_attempts=3,
        )

    assert again(1, timedelta(seconds=59)).next_due == NOW + timedelta(seconds=1)
    assert again(1, timedelta(seconds=60)).runs[0].attempt == 2
    assert again(2, timedelta(seconds=119)).paused == {Pause.BACKOFF: [key]}
    assert again(3, timedelta(hours=23)).paused == {Pause.BACKOFF: [key]}
    assert again(3, timedelta(hours=24)).runs[0].attempt == 4
    assert (
        again(1, -timedelta(days=3650)).runs[0].attempt == 2
    )  # launched by a clock that was ahead


def test_a_run_that_dies_before_it_asks_is_not_launched_at_every_tick():
    key = "2025-02-27"
    launched = {key: Launches(9, NOW - timedelta(minutes=59))}
    assert plan(gap(key), launches=launched).paused == {Pause.BACKOFF: [key]}
    assert plan(gap(key), launches=launched, now=NOW + timedelta(minutes=1)).runs[0].attempt == 10


stories = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["open", "open", "abandoned"]),
        "attempts": st.integers(0, 6),
        "failures": st.integers(0, 6),
        "asked_at": st.none()
        | st.integers(0, 5000).map(lambda minutes: naive(NOW - timedelta(minutes=minutes))),
    }
)


@given(
    st.dictionaries(st.integers(0, 58), stories, max_size=15),
    st.sets(st.integers(0, 58), max_size=8),
    st.sets(st.integers(0, 58), max_size=5),
    st.integers(1, 8),
)
def test_every_troubled_partition_is_in_one_run_or_has_a_reason(told, silent, flying, max_fills):
    gaps = [gap(DAYS[day].key, 3, **story) for day, story in told.items()]
    troubled = {DAYS[day].key for day in {*told, *silent}}
    busy = [DAYS[day].key for day in flying]
    planned = plan(
        *gaps, troubled=troubled, trouble=Trouble.FAILED, in_flight=busy, max_fills=max_fills
    )
    paused = [key for keys in planned.paused.values() for key in keys]
    running = [key for run in planned.runs for key in run.partitions]
    assert len(set(paused)) == len(paused)
    assert len(set(running)) == len(running), "two runs would fill one partition"
    assert troubled == {key for key in (*paused, *running) if key in troubled}
    assert not set(running) & set(busy)
    assert not set(paused) & {key for key in running if key in troubled and key not in paused}
    assert sum(run.requests or 0 for run in planned.runs) <= max_fills + len(planned.runs)
    newest = [run.partitions[-1] for run in planned.runs]
    assert newest == sorted(newest, reverse=True)


@pytest.mark.parametrize("most", [1, 3])
def test_nothing_in_trouble_is_no_plan(most):
    assert plan(max_fills=most) == RepairPlan()


def test_of_several_troubles_the_first_counts():
    keys = {
        Trouble.LOST: {"2025-01-02"},
        Trouble.FAILED: {"2025-01-01", "2025-01-02", "2030-01-01"},
    }
    assert troubles_in(DAYS, keys) == {"2025-01-01": Trouble.FAILED, "2025-01-02": Trouble.LOST}
