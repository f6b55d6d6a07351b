"""Why a run failed, and what is known of a partition that was never filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from market_assets.defs.internals.failures import failure_of, reason_of
from market_assets_tests.support.toy import KEY, KEYS, fills, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_assets_tests.support.toy import Body

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)


def test_why_a_run_failed_is_a_line_and_a_trace_only_where_somebody_slipped(
    instance: dg.DagsterInstance,
) -> None:
    lost = RuntimeError("the step failed")
    lost.__cause__ = OSError("No space left on device")
    wanted = run(instance, fills(KEYS[0], then=dg.Failure("two partitions could not be filled")))
    slipped = run(instance, fills(KEYS[0], then=lost))
    ended = run(instance, fills(KEYS[0], then=dg.DagsterExecutionInterruptedError()))

    assert failure_of(instance, wanted) == ("two partitions could not be filled", "")
    cause, trace = failure_of(instance, slipped)
    assert cause == "OSError: No space left on device"
    assert "RuntimeError: the step failed" in trace
    assert "line " in trace
    cause, trace = failure_of(instance, ended)
    assert cause == "the run was ended before it was done; what it had committed is kept"
    assert trace == ""
    assert failure_of(instance, "no such run")[0].startswith("it left no word")


def observes(partition: str, words: str) -> Body:
    """A step that says of a partition why it is not filled, and fails."""

    def body(_context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield dg.AssetObservation(KEY, partition=partition, description=words)
        raise dg.Failure("1 partition could not be filled")

    return body


def test_the_reason_is_what_was_observed_of_the_partition_until_it_is_filled(
    instance: dg.DagsterInstance,
) -> None:
    day = KEYS[1]
    assert reason_of(instance, KEY, day) is None
    failed = run(instance, observes(day, "Not filled: the source is down."), day, day)
    reason = reason_of(instance, KEY, day)
    assert reason is not None
    assert (reason.words, reason.run_id) == ("Not filled: the source is down.", failed)
    assert reason_of(instance, KEY, KEYS[2]) is None

    run(instance, fills(day), day, day)
    assert reason_of(instance, KEY, day) is None


def test_a_run_that_fails_before_it_says_anything_of_the_partition_tells_why_it_failed(
    instance: dg.DagsterInstance,
) -> None:
    day = KEYS[1]
    slipped = run(instance, fills(then=OSError("No space left on device")), day, day)
    reason = reason_of(instance, KEY, day)
    assert reason is not None
    assert reason.words == "Not filled: OSError: No space left on device."
    assert reason.run_id == slipped
    assert reason.at.year >= 2025

    run(instance, observes(day, "Not filled: the source is down."), day, day)
    run(instance, fills(then=OSError("No space left on device")), day, day)
    reason = reason_of(instance, KEY, day)
    assert reason is not None
    assert reason.words.splitlines() == [
        "Not filled: OSError: No space left on device.",
        "Before: Not filled: the source is down.",
    ]
