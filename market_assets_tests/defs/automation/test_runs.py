"""What the terminal runs, and in which order.

The tests cover also what it makes of a home and of runs that were broken off.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster._daemon.types import DaemonHeartbeat

from market_assets.defs.assets.partitions import partitions_of
from market_assets.defs.automation.repair import in_flight
from market_assets.defs.automation.runs import (
    fail_orphans,
    instance_at,
    plan_backfill,
    prepare_home,
    unfinished_runs,
)
from market_assets.defs.internals.adapter import range_tags
from market_assets.defs.keys import AUTOMATIC_TAG, STREAM_TAG, automatic
from market_assets.expected.scope import scope_of
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets_tests.support.defs_ground import colours
from market_assets_tests.support.toy import DAYS, KEY, KEYS, fills, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.config.universe import Profile

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
PREFIX = ".dagster/market_assets_"


def of(kind: str, start: str, end: str, timeframes: str) -> str:
    return (
        f"kind: {kind}\nstart: {start}\nend: {end}\nsymbols: {{A: {{}}}}\ntimeframes: {timeframes}"
    )


def plan(profile: Profile, window: Window | None = None) -> list[tuple[str, str, str, int]]:
    """Each run as its timeframes, its first and last partition and how many it has."""
    runs = plan_backfill(profile, window or profile.window(NOW), NOW)
    assert all(run.profile == profile.name for run in runs)
    return [
        (" ".join(run.timeframes), run.partitions[0], run.partitions[-1], len(run.partitions))
        for run in runs
    ]


def test_what_is_made_of_something_comes_after_it_and_siblings_share_a_run(
    profile: Callable[[str], Profile],
) -> None:
    kept = profile(
        of("EQUITY", "2025-01-02", "2025-02-03", "{fetch: [5m, 1m], derive: [1w, 1h, 15m, 1d]}")
    )
    days = ("2025-01-02", "2025-01-31", 20)
    assert plan(kept) == [
        ("1m", *days),
        ("5m", *days),
        ("15m 1h", *days),
        ("1d", "2025-01-01", "2025-02-01", 2),
        ("1w", "2025-01-01", "2025-02-01", 2),
    ]


def test_a_long_window_is_run_in_pieces_so_that_a_run_stays_readable(
    profile: Callable[[str], Profile],
) -> None:
    kept = profile(of("CRYPTO", "2023-01-01", "2026-01-01", "{fetch: [1h], derive: [1d]}"))
    pieces = plan(kept)
    assert pieces == [
        ("1h", "2023-01-01", "2024-02-04", 400),
        ("1h", "2024-02-05", "2025-03-10", 400),
        ("1h", "2025-03-11", "2025-12-31", 296),
        ("1d", "2023-01-01", "2025-12-01", 36),
    ]


def test_only_the_partitions_that_a_window_touches_are_run(
    profile: Callable[[str], Profile],
) -> None:
    kept = profile(of("EQUITY", "2025-01-02", "null", "{fetch: [1m], derive: [1d]}"))
    friday_to_tuesday = Window.of_days(date(2025, 1, 31), date(2025, 2, 4))
    assert plan(kept, friday_to_tuesday) == [
        ("1m", "2025-01-31", "2025-02-03", 2),
        ("1d", "2025-01-01", "2025-02-01", 2),
    ]
    weekend = Window.of_days(date(2025, 2, 1), date(2025, 2, 3))
    assert plan(kept, weekend) == [("1d", "2025-02-01", "2025-02-01", 1)]
    assert plan(kept, Window.of_days(date(2024, 1, 1), date(2025, 1, 1))) == []
    assert plan(kept, Window(NOW, NOW)) == []
    # What has not begun is not run, however far the window reaches.
    ahead = plan(kept, Window(midnight(date(2026, 3, 4)), midnight(date(2027, 1, 1))))
    assert ahead == [("1m", "2026-03-04", "2026-03-04", 1), ("1d", "2026-03-01", "2026-03-01", 1)]


@pytest.mark.parametrize("kind", ["CRYPTO", "EQUITY", "FUTURES", "FOREX"])
def test_every_planned_partition_is_one_that_dagster_has(
    profile: Callable[[str], Profile], kind: str
) -> None:
    kept = profile(of(kind, "2025-06-01", "null", "{fetch: [1h], derive: [4h, 1d, 1w]}"))
    for planned in plan_backfill(kept, kept.window(NOW), NOW):
        for timeframe in planned.timeframes:
            with dg.partition_loading_context(effective_dt=NOW):
                known = partitions_of(scope_of(kept, timeframe, NOW)).get_partition_keys()
            assert list(planned.partitions) == [key for key in known if key <= f"{NOW:%Y-%m-%d}"]
    assert Timeframe.W1 in planned.timeframes


def test_a_run_whose_process_is_gone_is_failed_and_its_partitions_are_no_longer_busy(
    instance: dg.DagsterInstance,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()

    def running(process: int | None, host: str = socket.gethostname()) -> str:
        tags = {} if process is None else {f"{PREFIX}host": host, f"{PREFIX}process": str(process)}
        return create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=tags).run_id

    dead = running(gone.pid)
    alive = [
        running(os.getpid()),
        running(os.getppid()),
        running(gone.pid, host="another"),
        running(None),
    ]
    assert fail_orphans(instance) == [dead]
    failed = instance.get_run_by_id(dead)
    assert failed is not None
    assert failed.status is dg.DagsterRunStatus.FAILURE
    assert "is gone; what it had committed is kept" in str(
        instance.all_logs(dead)[-1].get_dagster_event().message
    )
    statuses = [found.status for run_id in alive if (found := instance.get_run_by_id(run_id))]
    assert statuses == [dg.DagsterRunStatus.STARTED] * 4
    assert fail_orphans(instance) == []


def test_a_run_that_was_made_and_never_started_holds_up_a_repair_for_some_minutes(
    instance: dg.DagsterInstance,
) -> None:
    tags = range_tags(KEYS[0], KEYS[1])
    location = RegisteredCodeLocationOrigin("here")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "ours"), "job")

    def made(status: dg.DagsterRunStatus) -> str:
        selection = frozenset({KEY})
        run = create_run_for_test(
            instance, status=status, tags=tags, asset_selection=selection, remote_job_origin=origin
        )
        return run.run_id

    kinds = dg.DagsterRunStatus
    forgotten = [made(kinds.NOT_STARTED), made(kinds.STARTING)]
    queued = made(kinds.QUEUED)
    alive = made(kinds.STARTED)
    now = datetime.now(UTC)
    later = now + timedelta(minutes=11)

    assert fail_orphans(instance, now) == []
    assert len(unfinished_runs(instance, now)) == 4
    assert in_flight(instance, KEY, KEYS) == set(KEYS[:2])
    # With a daemon, what is queued or starting is its business.
    instance.add_daemon_heartbeat(
        DaemonHeartbeat(later.timestamp(), QueuedRunCoordinatorDaemon.daemon_type(), "here", [])
    )
    assert {run.run_id for run in unfinished_runs(instance, later)} == {forgotten[1], queued, alive}
    much_later = later + timedelta(minutes=11)
    assert [run.run_id for run in unfinished_runs(instance, much_later)] == [alive]
    assert set(fail_orphans(instance, much_later)) == set(forgotten)
    assert fail_orphans(instance, much_later) == []
    kept = instance.get_run_by_id(queued)
    assert kept is not None
    assert kept.status is kinds.QUEUED


DIES = """
import os, sys
import dagster as dg
from market_assets.defs.automation.runs import instance_at
from market_assets_tests.support.toy import KEY, KEYS, toy
from pathlib import Path
import socket
from market_assets.defs.internals.adapter import range_tags

def body(context):
    yield dg.AssetMaterialization(KEY, partition=KEYS[0])
    os.kill(os.getpid(), 9)

with instance_at(Path(sys.argv[1])) as instance:
    tags = {
        ".dagster/market_assets_host": socket.gethostname(),
        ".dagster/market_assets_process": str(os.getpid())
    }
    dg.materialize([toy(body)], instance=instance, tags={**range_tags(KEYS[0], KEYS[2]), **tags})
"""


def test_after_a_killed_terminal_the_next_one_finds_the_truth(tmp_path: Path) -> None:
    home = tmp_path / "home"
    killed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DIES, str(home)], capture_output=True, check=False
    )
    assert killed.returncode == -9
    with instance_at(home) as instance:
        shown = colours(instance, KEY, DAYS)
        assert [shown[key] for key in KEYS[:4]] == ["MATERIALIZED", "FAILED", "FAILED", "MISSING"]
        run(instance, fills(*KEYS[:3]), KEYS[0], KEYS[2])
        assert list(colours(instance, KEY, DAYS).values())[:3] == ["MATERIALIZED"] * 3


def test_a_new_home_gets_our_dagster_yaml_and_the_process_is_pointed_to_it(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    prepare_home(home)
    assert (home / "dagster.yaml").read_text() == files("market_assets").joinpath(
        "dagster.yaml"
    ).read_text()
    assert os.environ["DAGSTER_HOME"] == str(home)


def test_of_the_runs_that_start_by_themselves_one_goes_on_at_a_time(tmp_path: Path) -> None:
    prepare_home(tmp_path)
    settings = yaml.safe_load((tmp_path / "dagster.yaml").read_text())
    limits = settings["concurrency"]["runs"]["tag_concurrency_limits"]
    assert {"key": AUTOMATIC_TAG, "limit": 1} in limits
    one_each = {"value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    assert {"key": STREAM_TAG, **one_each} in limits
    # Streams go on all the time, and leave room for the others.
    assert settings["concurrency"]["runs"]["max_concurrent_runs"] >= 100
    assert automatic(3) == {AUTOMATIC_TAG: "true", "dagster/priority": "3"}


def test_a_home_keeps_the_dagster_yaml_that_was_changed_in_it(tmp_path: Path) -> None:
    prepare_home(tmp_path)
    changed = (
        (tmp_path / "dagster.yaml")
        .read_text()
        .replace("max_concurrent_runs: 100", "max_concurrent_runs: 9")
    )
    (tmp_path / "dagster.yaml").write_text(changed)
    prepare_home(tmp_path)
    with instance_at(tmp_path) as instance:
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 9
    assert (tmp_path / "dagster.yaml").read_text() == changed
