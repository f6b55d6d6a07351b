"""Which gaps a repair asks for now, newest first and within the budgets. Pure.

It also says why the other gaps are left alone.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from enum import StrEnum
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import polars as pl

from market_assets.market.gaps import Priority, priority
from market_assets.market.partitions import hull
from market_assets.market.timeframes import TS, Window, literal
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.settings import EvidenceSettings, RepairSettings
    from market_assets.market.partitions import Partition
    from market_assets.market.timeframes import Timeframe

_PARTITIONS_PER_RUN = 200
_DAY = timedelta(days=1)
_TAKEN_ALONG = 7
"""How many whole partitions between two others are taken along.

A run costs seconds, a partition that is whole hundredths of one.
"""


def wait_after(tries: int, budget: RepairSettings) -> timedelta:
    """How long to wait after so many tries.

    It is the first wait, doubled by each further try, up to the longest.
    """
    first, longest = budget.backoff
    # Doubled forty times, it is longer than any setting allows.
    doublings = min(max(tries, 1) - 1, 40)
    return min(first * (1 << doublings), longest)


def due_at(evidence: EvidenceSettings, budget: RepairSettings, now: datetime) -> pl.Expr:
    """When each row of the gap ledger may be asked for again, as an expression.

    It is a TS, null for a row that may be asked for at any time. After an answer that counts
    towards its confirmation, asking again is no use before another answer would count too.
    """
    first, longest = (int(wait / timedelta(microseconds=1)) for wait in budget.backoff)
    tries = (pl.col("attempts") + pl.col("failures").fill_null(0)).clip(1, 41)
    wait = (first * pl.lit(2.0).pow(tries - 1)).clip(upper_bound=longest).cast(pl.Int64)
    soonest = pl.col("asked_at") + pl.duration(microseconds=wait)
    counted = pl.col("confirmed_at") == pl.col("asked_at")
    later = (
        pl.when(counted)
        .then(pl.max_horizontal(soonest, pl.col("confirmed_at") + evidence.apart))
        .otherwise(soonest)
    )
    # A stamp of the future is one of a clock that was wrong.
    return pl.when(pl.col("asked_at") <= literal(now)).then(later).otherwise(None).cast(TS)


def resting(
    ledger: pl.DataFrame, evidence: EvidenceSettings, budget: RepairSettings, now: datetime
) -> pl.DataFrame:
    """The open gaps of a ledger that are not due yet: its columns and due_at."""
    dated = ledger.with_columns(due_at=due_at(evidence, budget, now))
    return dated.filter(pl.col("status") == State.OPEN, pl.col("due_at") > literal(now))


def newest_pages(
    gaps: pl.DataFrame, timeframe: Timeframe, page_sizes: Mapping[str, int], most: int
) -> list[tuple[str, Window]]:
    """The requests that cover the newest gaps, newest first.

    A request that reaches back to an older gap covers it along.

    These are the windows of `plan_requests` from the newest on, found without listing the bars of
    long gaps.

    Args:
        gaps: symbol, first_ts, last_ts.
        timeframe: The gaps' timeframe.
        page_sizes: How many bars one request for a symbol may span.
        most: How many requests there may be.

    Returns:
        Pairs of a symbol and a half-open window, at most `most`.
    """
    by_symbol = [
        _pages_of(
            str(symbol),
            symbol_gaps.sort("last_ts", descending=True),
            timeframe.micros,
            page_sizes[str(symbol)],
        )
        for (symbol,), symbol_gaps in gaps.select("symbol", "first_ts", "last_ts")
        .partition_by("symbol", as_dict=True)
        .items()
    ]
    return list(islice(heapq.merge(*by_symbol, key=lambda page: page[1].end, reverse=True), most))


def _pages_of(
    symbol: str, gaps: pl.DataFrame, bar: int, page_size: int
) -> Iterator[tuple[str, Window]]:
    spans = gaps.select(pl.col("first_ts", "last_ts").to_physical()).iter_rows()
    first, last = next(spans)
    end = last + bar
    reach = end - page_size * bar
    start = max(first, reach)
    while True:
        while first < reach:
            # The page is full, and the older part of this gap is left.
            yield symbol, Window.of_micros(start, end)
            end = min(last + bar, reach)
            reach = end - page_size * bar
            start = max(first, reach)
        span = next(spans, None)
        if span is None:
            break
        first, last = span
        if last >= reach:
            start = max(first, reach)
    yield symbol, Window.of_micros(start, end)


class Trouble(StrEnum):
    """Why a partition is looked at."""

    LOST = "was filled, and candles of it are gone"
    ABSENT = "never filled"
    FAILED = "failed"
    FAULTY = "a check failed"
    UNFINISHED = "not judged to its end, or not for every symbol"
    UNTOLD = "has changed since it was reported"


class Pause(StrEnum):
    """Why a partition in trouble is left alone for now."""

    IN_FLIGHT = "a run is under way"
    BACKOFF = "waiting before the next try"
    ABANDONED = "abandoned"
    BEFORE_FIRST_BACKFILL = "older than the first backfill"
    OVER_BUDGET = "over the requests of one repair"


@dataclass(frozen=True)
class Launches:
    """How often a partition was launched for the same trouble, and when last."""

    count: int
    at: datetime


@dataclass(frozen=True)
class RepairRun:
    """Neighbouring partitions that one run repairs.

    Attributes:
        partitions: Their keys, oldest first; some between the troubled ones may be whole.
        troubled: How many of them are in trouble.
        attempt: The number of this try.
        requests: How many requests its gaps need by plan; None where nothing is known of it yet and
            the fill plans it.
        priority: By the age of the newest.
    """

    partitions: tuple[str, ...]
    troubled: int
    attempt: int
    requests: int | None
    priority: Priority


@dataclass(frozen=True)
class RepairPlan:
    """The runs to launch, newest first, and what is left alone.

    `paused` has keys by reason; `next_due` is when the next of them is due.
    """

    runs: tuple[RepairRun, ...] = ()
    paused: Mapping[Pause, Sequence[str]] = field(default_factory=dict)
    next_due: datetime | None = None


@dataclass(frozen=True)
class Situation:
    """What is so of the partitions of some fetched candles, as of one instant.

    Attributes:
        partitions: All that are due, oldest first.
        troubled: Why, by the key of each that is in trouble.
        in_flight: The keys that an unfinished run is to materialize.
        gaps: The ledger's open and abandoned rows: partition (its key), symbol, first_ts, last_ts,
            status, attempts, failures, confirmed_at, asked_at.
        launches: What was launched before for those in trouble.
        now: The present instant.
    """

    partitions: Sequence[Partition]
    troubled: Mapping[str, Trouble]
    in_flight: Collection[str]
    gaps: pl.DataFrame
    launches: Mapping[str, Launches]
    now: datetime


@dataclass(frozen=True)
class RepairRules:
    """What a repair may do.

    Attributes:
        timeframe: The candles' timeframe.
        page_sizes: How many bars one request for a symbol may span.
        evidence: When an absence counts as explained.
        budget: What may be spent.
        oldest_absent: Partitions before this that were never filled are left to a backfill; what
            was there once is filled again whatever its age.
    """

    timeframe: Timeframe
    page_sizes: Mapping[str, int]
    evidence: EvidenceSettings
    budget: RepairSettings
    oldest_absent: datetime


def troubles_in(
    partitions: Sequence[Partition], keys: Mapping[Trouble, Collection[str]]
) -> dict[str, Trouble]:
    """Why each partition that is in trouble is so, by its key.

    Args:
        partitions: All that are due.
        keys: The keys of those that a trouble concerns; of several, the first in this order counts.
    """
    troubled: dict[str, Trouble] = {}
    for partition in partitions:
        reasons = (trouble for trouble, concerned in keys.items() if partition.key in concerned)
        if trouble := next(reasons, None):
            troubled[partition.key] = trouble
    return troubled


def plan_repairs(situation: Situation, rules: RepairRules) -> RepairPlan:
    """Decide which troubled partitions are repaired now.

    A partition with open gaps in the ledger is repaired when one of them is due; one with none but
    abandoned gaps is not. One without any gap in the ledger (never filled, or its run died) is
    filled, and after `max_attempts` runs once a day.

    Args:
        situation: What is so.
        rules: What may be done.
    """
    partitions, troubled, now = situation.partitions, situation.troubled, situation.now
    in_flight, launches, budget = situation.in_flight, situation.launches, rules.budget
    dated = situation.gaps.with_columns(due_at=due_at(rules.evidence, budget, now))
    ledger = _Ledger.of(dated, now)
    paused: dict[Pause, list[str]] = defaultdict(list)
    due_times: list[datetime] = []
    repaired: set[str] = set()
    filled: set[str] = set()
    for partition in partitions:
        key = partition.key
        if key not in troubled:
            continue
        too_old = (
            troubled[key] in {Trouble.ABSENT, Trouble.UNFINISHED}
            and partition.window.end <= rules.oldest_absent
        )
        pause, due = _pause_of(
            key, troubled[key], ledger, launches.get(key), budget=budget, now=now
        )
        if pause is None and too_old and key not in ledger.due:
            pause = Pause.BEFORE_FIRST_BACKFILL
        if key in in_flight:
            paused[Pause.IN_FLIGHT].append(key)
        elif pause is None:
            (repaired if key in ledger.due else filled).add(key)
        else:
            paused[pause].append(key)
            due_times += [due] if due else []
    wanted = ledger.gaps.filter(pl.col("partition").is_in(repaired))
    pages = newest_pages(wanted, rules.timeframe, rules.page_sizes, budget.max_fills)
    reached = {
        p.key
        for p in partitions
        if p.key in repaired and any(w.intersect(p.window) for _, w in pages)
    }
    if spared := sorted(repaired - reached):
        paused[Pause.OVER_BUDGET] = spared
    runs = []
    for kind, blocked_keys in ((reached, {*in_flight, *filled}), (filled, {*in_flight, *reached})):
        for group in _groups(partitions, kind, blocked_keys):
            window, keys = hull(group), [p.key for p in group if p.key in kind]
            runs.append(
                RepairRun(
                    tuple(p.key for p in group),
                    troubled=len(keys),
                    attempt=1 + max(launches[key].count if key in launches else 0 for key in keys),
                    requests=sum(1 for _, w in pages if w.intersect(window))
                    if kind is reached
                    else None,
                    priority=priority(now - min(window.end, now)),
                )
            )
    runs.sort(key=lambda run: run.partitions[-1], reverse=True)
    return RepairPlan(tuple(runs), dict(paused), min(due_times, default=None))


@dataclass(frozen=True)
class _Ledger:
    """The ledger's gaps as a repair needs them.

    The gaps that are due, the partitions that have one, when the others will have one, and the
    partitions with abandoned gaps.
    """

    gaps: pl.DataFrame
    due: frozenset[str]
    rests: Mapping[str, datetime]
    abandoned: frozenset[str]

    @classmethod
    def of(cls, dated: pl.DataFrame, now: datetime) -> _Ledger:
        # A gap that a clock which was ahead has abandoned counts as never asked for.
        future = (pl.col("asked_at") > literal(now)).fill_null(value=False)
        opened = dated.filter((pl.col("status") == State.OPEN) | future)
        due = opened.filter(pl.col("due_at").fill_null(literal(now)) <= literal(now))
        later = opened.group_by("partition").agg(pl.min("due_at"))
        return cls(
            due,
            frozenset(due["partition"]),
            {key: at.replace(tzinfo=UTC) for key, at in later.iter_rows() if at is not None},
            frozenset(dated.filter(pl.col("status") == State.ABANDONED)["partition"]),
        )


def _pause_of(
    key: str,
    trouble: Trouble,
    ledger: _Ledger,
    before: Launches | None,
    *,
    budget: RepairSettings,
    now: datetime,
) -> tuple[Pause | None, datetime | None]:
    """Why a troubled partition is left alone, and until when; None where it is not."""
    tried = before is not None and before.at <= now
    wait = wait_after(before.count, budget) if before is not None else timedelta()
    again = before.at + wait if before is not None and tried else now
    # The ledger does not know all that is absent from these.
    partly = trouble in {Trouble.UNFINISHED, Trouble.LOST}
    if key in ledger.due or (key in ledger.rests and not partly):
        due = again if key in ledger.due else max(again, ledger.rests[key])
        return (Pause.BACKOFF, due) if due > now else (None, None)
    if key in ledger.abandoned and not partly:
        return Pause.ABANDONED, None
    if before is not None and tried and before.count >= budget.max_attempts:
        # Its runs end without a trace in the ledger: the cause may be mended one day.
        again = before.at + max(wait, _DAY)
    return (Pause.BACKOFF, again) if again > now else (None, None)


def _groups(
    partitions: Sequence[Partition], chosen: Collection[str], blocked: Collection[str]
) -> Iterator[list[Partition]]:
    """The chosen partitions in runs of neighbours.

    A run takes along the few partitions between two chosen ones, unless one of them is blocked.
    """
    places = [place for place, partition in enumerate(partitions) if partition.key in chosen]
    first = 0
    for at, (place, following) in enumerate(
        pairwise([*places, len(partitions) + _TAKEN_ALONG + 1])
    ):
        between = partitions[place + 1 : following]
        far = following - place - 1 > _TAKEN_ALONG
        full = following - places[first] >= _PARTITIONS_PER_RUN
        if far or full or any(partition.key in blocked for partition in between):
            yield list(partitions[places[first] : place + 1])
            first = at + 1
