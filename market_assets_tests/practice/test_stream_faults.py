"""When a fault of a stream strikes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from market_assets.practice.stream_faults import StreamFault, StreamFaults

NOW = datetime(2025, 3, 3, 12, tzinfo=UTC)
NAMES = frozenset({"duplicate", "late"})


def strikes(fault, count=10, *, symbol="A", now=NOW):
    faults = StreamFaults([fault])
    return [bool(list(faults.striking(now, NAMES, symbol))) for _ in range(count)]


def test_every_nth_so_many_times():
    hits = strikes(StreamFault(fault="duplicate", every=3, times=2))

    assert [place for place, hit in enumerate(hits) if hit] == [2, 5]


@pytest.mark.parametrize(("minutes", "expected"), [(-1, False), (0, True), (4, True), (5, False)])
def test_between_its_start_and_its_end(minutes, expected):
    fault = StreamFault(fault="late", start=NOW, end=NOW + timedelta(minutes=5))

    assert strikes(fault, 1, now=NOW + timedelta(minutes=minutes)) == [expected]


def test_only_its_symbols_and_its_kind():
    assert strikes(StreamFault(fault="late", symbols={"A"}), 1) == [True]
    assert strikes(StreamFault(fault="late", symbols={"B"}), 1) == [False]
    assert strikes(StreamFault(fault="drop"), 1) == [False]


def test_a_cut_waits_for_the_age_of_a_connection():
    faults = StreamFaults([StreamFault(fault="cut", seconds=60, times=1)])

    hits = [bool(list(faults.striking(NOW, {"cut"}, age=age))) for age in (10, 59, 60, 61)]

    assert hits == [False, False, True, False]


def test_an_unknown_fault_is_refused():
    with pytest.raises(ValidationError, match="fault"):
        StreamFault(fault="nonsense")
