"""What `up` has done by short-lived processes."""

from __future__ import annotations

import dagster as dg
import pytest

from market_assets.defs.errands import end_runs
from market_assets.defs.keys import process_tags

STATUSES = ["NOT_STARTED", "STARTING", "STARTED", "CANCELING", "SUCCESS", "FAILURE"]


@pytest.mark.parametrize("alive", [True, False])
def test_an_unfinished_run_that_no_process_executes_is_ended(*, alive: bool) -> None:
    @dg.job
    def job() -> None:
        """Nothing."""

    tags = process_tags() if alive else {}
    with dg.DagsterInstance.ephemeral() as instance:
        runs = {
            status: instance.create_run_for_job(
                job, status=dg.DagsterRunStatus[status], tags=tags
            ).run_id
            for status in STATUSES
        }
        ended = [] if alive else STATUSES[:4]
        assert set(end_runs(instance)) == {runs[status] for status in ended}
        for status, run_id in runs.items():
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status.value == ("FAILURE" if status in ended else status)
