"""What this project relies on in Dagster of checks, most of it private.

A test that fails here says what an upgrade has moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import sqlalchemy as db

from market_assets.defs.internals.adapter import (
    RUNLESS,
    latest_materializations,
)
from market_assets.defs.internals.checks import (
    FailedCheck,
    check_evaluation,
    check_failures,
    check_output,
    failed_evaluation,
    failed_evaluations,
    failures_elsewhere,
    report_evaluation,
)
from market_assets_tests.support.defs_ground import colours
from market_assets_tests.support.toy import (
    CHECK,
    DAYS,
    KEY,
    KEYS,
    evaluation,
    fills,
    run,
    toy,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from market_assets_tests.support.toy import Body

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)


def test_an_evaluation_is_stored_for_its_partition_and_is_current(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, fills(*KEYS))
    assert verdicts(instance) == dict.fromkeys(KEYS, ("SUCCEEDED", True))
    newest = latest_materializations(instance, KEY, KEYS)
    for info in instance.event_log_storage.get_asset_check_partition_info([CHECK]):
        assert info.latest_target_materialization_storage_id == newest[str(info.partition_key)]


def test_an_evaluation_keeps_its_words_its_severity_and_its_numbers(
    instance: dg.DagsterInstance,
) -> None:
    run_id = run(instance, fills(KEYS[0], red=(KEYS[1],)))
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    data: Any = entries[1].get_dagster_event().event_specific_data
    assert (data.partition, data.passed, data.severity.value) == (KEYS[1], False, "WARN")
    assert data.description == "A sentence."
    assert data.metadata == {"missing": dg.MetadataValue.int(3)}


def test_an_evaluation_without_the_materialization_that_it_is_about_would_not_be_current(
    instance: dg.DagsterInstance,
) -> None:
    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        early = evaluation(context, KEYS[0])
        yield dg.AssetMaterialization(KEY, partition=KEYS[0])
        yield early
        yield check_output(KEY, CHECK.name)

    run(instance, body, KEYS[0], KEYS[0])
    assert verdicts(instance) == {KEYS[0]: ("SUCCEEDED", False)}


def test_a_later_materialization_outdates_a_verdict_until_the_next_one(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, fills(KEYS[0]), KEYS[0], KEYS[0])
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=KEYS[0]))
    assert verdicts(instance)[KEYS[0]] == ("SUCCEEDED", False)
    run(instance, fills(KEYS[0]), KEYS[0], KEYS[0])
    assert verdicts(instance)[KEYS[0]] == ("SUCCEEDED", True)


def test_a_partition_that_was_not_filled_has_a_verdict_too(instance: dg.DagsterInstance) -> None:
    run(
        instance,
        fills(*KEYS[:2], red=(KEYS[2],), then=dg.Failure("one is not filled")),
        KEYS[0],
        KEYS[2],
    )
    assert verdicts(instance)[KEYS[2]] == ("FAILED", True)
    # A day that was green and fails now is judged against the rows that it still has.
    run(instance, fills(red=(KEYS[0],), then=dg.Failure("not filled again")), KEYS[0], KEYS[0])
    assert verdicts(instance)[KEYS[0]] == ("FAILED", True)
    assert colours(instance, KEY, DAYS)[KEYS[0]] == "FAILED"


def test_a_step_owes_an_output_for_each_check_and_we_know_its_name(
    instance: dg.DagsterInstance,
) -> None:
    def silent(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield dg.AssetMaterialization(KEY, partition=KEYS[0])
        yield evaluation(context, KEYS[0])

    names = set(toy(silent).op.output_dict)
    assert check_output(KEY, CHECK.name).output_name in names
    failed = instance.get_run_by_id(run(instance, silent, KEYS[0], KEYS[0]))
    paid = instance.get_run_by_id(run(instance, fills(KEYS[0]), KEYS[0], KEYS[0]))
    assert failed is not None
    assert paid is not None
    assert (failed.status.value, paid.status.value) == ("FAILURE", "SUCCESS")


def test_a_failed_check_is_found_by_its_partition_until_the_partition_passes(
    instance: dg.DagsterInstance,
) -> None:
    run(
        instance,
        fills(*KEYS[:2], red=(KEYS[2],), then=dg.Failure("one is not filled")),
        KEYS[0],
        KEYS[2],
    )
    first = check_failures(instance, KEY, CHECK.name)
    assert (set(first.failed), first.planned, first.settled) == ({KEYS[2]}, set(), set(KEYS[:2]))
    assert check_failures(instance, KEY, CHECK.name, first.newest) == (
        {},
        set(),
        set(),
        first.newest,
    )
    run(instance, fills(KEYS[2]), KEYS[2], KEYS[2])
    later = check_failures(instance, KEY, CHECK.name, first.newest)
    assert (later.failed, later.settled) == ({}, {KEYS[2]})
    assert later.newest > first.newest


def test_a_failed_check_is_not_current_once_its_partition_is_materialized_again(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, fills(KEYS[1], red=(KEYS[0],)), KEYS[0], KEYS[1])
    before = check_failures(instance, KEY, CHECK.name)
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=KEYS[0]))
    assert set(before.failed) == {KEYS[0]}
    assert check_failures(instance, KEY, CHECK.name, before.newest).settled == {KEYS[0]}


def test_the_words_of_a_failed_check_are_those_of_its_newest_failure(
    instance: dg.DagsterInstance,
) -> None:
    def said(words: str) -> Body:
        def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
            for partition in context.partition_keys:
                yield evaluation(context, partition, passed=False, words=words)
            yield check_output(KEY, CHECK.name)

        return body

    run(instance, said("first"), KEYS[0], KEYS[2])
    run(instance, said("second"), KEYS[0], KEYS[0])
    found = failed_evaluations(instance, KEY, CHECK.name, [KEYS[0], KEYS[1], KEYS[5]])
    assert found == {KEYS[0]: FailedCheck("WARN", "second"), KEYS[1]: FailedCheck("WARN", "first")}


def test_a_verdict_without_run_and_partition_can_be_written_again_and_the_newest_counts(
    instance: dg.DagsterInstance,
) -> None:
    for passed in (True, False, True, False):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=KEY, check_name=CHECK.name, passed=passed, description=f"{passed}"
            )
        )
    assert failed_evaluation(instance, KEY, CHECK.name) == FailedCheck("ERROR", "False")


def test_an_evaluation_of_no_run_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for passed in (True, False, True, False):
            told = evaluation_of("2025-02-03", passed=passed)
            report_evaluation(instance, told)
            report_evaluation(instance, evaluation_of("2025-02-04", passed=True))
            answers = check_failures(instance, told.asset_key, told.check_name)
            assert set(answers.failed) == (set() if passed else {"2025-02-03"})
            assert answers.settled == ({"2025-02-03", "2025-02-04"} if passed else {"2025-02-04"})
        # What the adapter is there for.
        with pytest.raises(db.exc.IntegrityError):
            instance.report_runless_asset_event(told)


def evaluation_of(partition: str, *, passed: bool) -> Any:
    return check_evaluation(
        asset_key=dg.AssetKey(["kept", "candles_1h"]),
        check="continuity",
        partition=partition,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="One bar is missing.",
        metadata={},
        materialization=None,
        run_id=RUNLESS,
        timestamp=0.0,
    )


def test_where_else_a_check_fails_is_a_sentence_with_the_newest_partitions(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, fills(*KEYS))
    assert failures_elsewhere(instance, KEY, CHECK.name, [KEYS[5]]) == ""
    run(instance, fills(KEYS[0], red=(KEYS[0],)), KEYS[0], KEYS[0])
    one = f"The check fails in 1 other partition: {KEYS[0]}."
    assert failures_elsewhere(instance, KEY, CHECK.name, [KEYS[5]]) == one
    assert failures_elsewhere(instance, KEY, CHECK.name, [KEYS[0]]) == ""

    run(instance, fills(*KEYS[:4], red=tuple(KEYS[:4])), KEYS[0], KEYS[3])
    assert failures_elsewhere(instance, KEY, CHECK.name, [KEYS[5]]) == (
        f"The check fails in 4 other partitions: {', '.join(KEYS[1:4])} and 1 more."
    )
