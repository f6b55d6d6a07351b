"""The sensor `alerts` over real runs.

What does it find in Dagster, what does it report, and what does it never do?
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml

from market_assets.config.load import load_universe
from market_assets.defs.automation import alerts as module
from market_assets.defs.internals.adapter import NO_VALUE, partition_states, range_tags
from market_assets.keeping import note_failure, note_prune
from market_assets.store import Store
from market_assets_tests.support.alert_bell import Bell, loud
from market_assets_tests.support.alerts_ground import Webhook
from market_assets_tests.support.toy import (
    CHECK,
    KEY,
    KEYS,
    check_output,
    evaluation,
    fills,
    run,
    toy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground


pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)

MINUTE = timedelta(minutes=1)
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.stop()


@pytest.fixture
def bell(tmp_path: Path, instance: dg.DagsterInstance, hook: Webhook) -> Bell:
    """A bell over the toy asset, in a universe whose profile bears its name."""
    path = tmp_path / "universe.yaml"
    keys = {
        "kind": "CRYPTO",
        "start": "2025-01-06",
        "end": "2025-01-15",
        "sources": ["binance"],
        "symbols": {"BTC": {}},
    }
    path.write_text(yaml.safe_dump({"sources": {"binance": {}}, "profiles": {"toy": keys}}))
    universe = loud(load_universe(path, environ={}), hook.url)
    return Bell(universe, dg.Definitions([toy(fills())]), instance, tmp_path / "home")


def errs(*partitions: str) -> Any:
    """A step that fills partitions and fails their check with the severity ERROR."""

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        for partition in partitions:
            yield dg.AssetMaterialization(KEY, partition=partition)
        for partition in partitions:
            words = f"{partition} lacks bars"
            yield evaluation(
                context, partition, passed=False, severity=dg.AssetCheckSeverity.ERROR, words=words
            )
        yield check_output(KEY, CHECK.name)

    return body


def test_two_hundred_failed_partitions_are_one_message_and_filling_them_is_another(
    bell: Bell, hook: Webhook
) -> None:
    days = dg.DailyPartitionsDefinition("2024-07-01", end_date="2025-01-17")
    works = False

    @dg.asset(key=KEY, partitions_def=days, dagster_type=NO_VALUE, output_required=False)
    def candles(context):
        if not works:
            raise dg.Failure("the vendor refuses")
        for partition in context.partition_keys:
            yield dg.AssetMaterialization(KEY, partition=partition)

    bell.definitions = dg.Definitions([candles])
    tags = range_tags("2024-07-01", "2025-01-16")
    dg.materialize([candles], instance=bell.instance, tags=tags, raise_on_error=False)
    reasons = [bell.tick() for _ in range(3)]
    assert reasons == [
        "1 present (1 errors); told 1 new",
        "1 present (1 errors)",
        "1 present (1 errors)",
    ]
    assert bell.present() == [("failed_partitions", "candles", 200)]
    assert "200 partitions failed" in hook.bodies[0]
    assert hook.bodies[0].count("2024-") + hook.bodies[0].count("2025-") == 11
    assert "and 190 more" in hook.bodies[0]

    works = True
    dg.materialize([candles], instance=bell.instance, tags=tags)
    assert [bell.tick() for _ in range(2)] == ["nothing is wrong; told 1 over", "nothing is wrong"]
    assert len(hook.messages) == 2


def test_a_failed_check_of_severity_error_is_told_and_one_of_severity_warn_is_not(
    bell: Bell, hook: Webhook
) -> None:
    run(bell.instance, errs(*KEYS[:3]), KEYS[0], KEYS[2])
    run(bell.instance, fills(red=KEYS[3:5]), KEYS[3], KEYS[4])
    bell.tick()
    assert bell.present() == [("failed_check", "candles whole", 3)]
    assert f"{KEYS[2]}: {KEYS[2]} lacks bars" in hook.bodies[0]
    run(bell.instance, fills(*KEYS[:2]), KEYS[0], KEYS[1])
    bell.tick()
    assert bell.present() == [("failed_check", "candles whole", 1)]
    run(bell.instance, fills(KEYS[2]), KEYS[2], KEYS[2])
    assert bell.tick() == "nothing is wrong; told 1 over"
    assert len(hook.messages) == 2


def test_bars_of_a_day_that_runs_may_be_late_before_anybody_is_told(
    bell: Bell, hook: Webhook
) -> None:
    day = KEYS[1]
    bell.now = datetime(2025, 1, 7, 12, tzinfo=UTC)
    run(bell.instance, errs(day), day, day)
    bell.tick()
    bell.tick(9 * MINUTE)
    assert (bell.present(), hook.messages) == ([], [])
    run(bell.instance, fills(day), day, day)
    bell.tick(MINUTE)
    assert (bell.present(), hook.messages) == ([], [])

    run(bell.instance, errs(day), day, day)
    bell.tick()
    bell.tick(10 * MINUTE)
    assert bell.present() == [("failed_check", "candles whole", 1)]
    # A new process does not know since when it fails: what was told stays told.
    bell.restart()
    bell.tick()
    assert bell.present() == [("failed_check", "candles whole", 1)]
    assert len(hook.messages) == 1


@pytest.mark.parametrize("restarted", [True, False])
def test_while_a_partition_is_repaired_its_trouble_is_neither_over_nor_new(
    bell: Bell, hook: Webhook, *, restarted: bool
) -> None:
    run(bell.instance, errs(KEYS[0]), KEYS[0], KEYS[0])
    run(bell.instance, fills(then=dg.Failure("not filled")), KEYS[1], KEYS[1])
    bell.tick()
    before = bell.present()
    assert before == [("failed_check", "candles whole", 1), ("failed_partitions", "candles", 1)]
    during = []

    def body(_context: dg.AssetExecutionContext) -> Iterator[Any]:
        if restarted:
            bell.restart()
        bell.tick()
        bell.tick()
        during.append(bell.present())
        raise dg.Failure("not filled this time either")
        yield

    run(bell.instance, body, KEYS[0], KEYS[1])
    assert during == [before]
    assert len(hook.messages) == 1
    # Now the first is red as well, and there is no verdict on it any more.
    bell.tick()
    bell.tick()
    assert bell.present() == [("failed_partitions", "candles", 2)]


def test_a_new_process_repeats_nothing_and_sees_what_is_over(bell: Bell, hook: Webhook) -> None:
    run(bell.instance, errs(*KEYS[:2]), KEYS[0], KEYS[1])
    bell.tick()
    bell.restart()
    assert bell.tick() == "1 present (1 errors)"
    run(bell.instance, fills(*KEYS[:2]), KEYS[0], KEYS[1])
    bell.restart()
    assert bell.tick() == "nothing is wrong; told 1 over"
    assert len(hook.messages) == 2


def test_dagster_is_read_again_only_where_something_has_happened(
    bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Any) -> Any:
        read.append(key.to_user_string())
        return partition_states(instance, key, partitions)

    monkeypatch.setattr(module, "partition_states", counted)
    run(bell.instance, errs(*KEYS[:2]), KEYS[0], KEYS[1])
    for _ in range(4):
        bell.tick()
    assert read == ["toy/candles"]
    run(bell.instance, fills(*KEYS[:2]), KEYS[0], KEYS[1])
    assert bell.tick() == "nothing is wrong; told 1 over"
    assert len(read) == 2


def test_checks_of_a_run_that_was_deleted_are_forgotten_within_the_hour(bell: Bell) -> None:
    run(bell.instance, errs(KEYS[0]), KEYS[0], KEYS[0])
    bell.tick()
    bell.instance.wipe_assets([KEY])
    bell.tick(timedelta(hours=1))
    assert bell.present() == []


def test_a_partition_that_is_not_kept_any_more_is_no_trouble(bell: Bell) -> None:
    run(bell.instance, errs(*KEYS[:2]), KEYS[0], KEYS[1])
    bell.tick()

    later = dg.DailyPartitionsDefinition("2025-01-07", end_date="2025-01-15")

    @dg.asset(
        key=KEY,
        partitions_def=later,
        check_specs=[dg.AssetCheckSpec("whole", asset=KEY, partitions_def=later)],
    )
    def candles(): ...

    bell.definitions = dg.Definitions([candles])
    bell.restart()
    bell.tick()
    assert bell.present() == [("failed_check", "candles whole", 1)]


def test_a_busy_store_is_left_to_the_next_tick(bell: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", timedelta(seconds=0.05))
    run(bell.instance, errs(KEYS[0]), KEYS[0], KEYS[0])
    with Store(bell.store.home, clock=lambda: NOW).writing("a long report"):
        reason = bell.tick()
    assert reason.startswith("not looked: ")
    assert "a long report" in reason
    assert bell.tick() == "1 present (1 errors); told 1 new"


def test_a_failing_channel_never_raises_and_the_tick_says_so(bell: Bell, hook: Webhook) -> None:
    hook.status = 500
    run(bell.instance, errs(KEYS[0]), KEYS[0], KEYS[0])
    assert bell.tick().startswith("2 present (2 errors); json #1: ")
    assert "token" not in str([bell.tick() for _ in range(3)])


def test_a_daemon_that_is_heard_of_no_more_is_dead_until_it_is_heard_of_again(bell: Bell) -> None:
    dead = [("dead", "daemon ASSET", 1)]
    bell.silent = {"ASSET"}
    seen = []
    for _ in range(5):
        bell.tick()
        seen.append(bell.present())
    assert seen == [[], [], [], dead, dead]
    bell.silent = set()
    bell.tick()
    assert bell.present() == []


def test_after_a_night_in_which_nobody_looked_nothing_follows_from_silence(bell: Bell) -> None:
    bell.tick()
    bell.silent = set(bell.instance.get_required_daemon_types())
    bell.tick(timedelta(hours=9))
    assert bell.present() == []
    for _ in range(3):
        bell.tick()
    assert {kind for kind, _, _ in bell.present()} == {"dead"}


def test_a_sensor_that_never_ticks_is_dead_after_three_intervals_and_a_minute(bell: Bell) -> None:
    bell.automations = {"repair_toy": timedelta(minutes=5)}
    bell.restart()
    seen = []
    for _ in range(19):
        bell.tick()
        seen.append(bell.present())
    assert seen == [*17 * [[]], *2 * [[("dead", "automation repair_toy", 1)]]]


def test_a_stale_session_is_told_once_there_was_time_to_fill_it(
    ground: Ground, vendor: Callable[..., PracticeVendor], hook: Webhook
) -> None:
    ground.keep(
        vendor(), "{end: 2025-04-01, timeframes: {fetch: [1h], derive: []}, symbols: {BTC: {}}}"
    )
    assert ground.fill("2025-02-26", "2025-02-27").is_success
    bell = Bell(loud(ground.universe, hook.url), ground.definitions, ground.instance, ground.home)
    bell.now = datetime(2025, 3, 1, 14, 1, tzinfo=UTC)
    seen = []
    for _ in range(12):
        bell.tick()
        seen.append(bell.present())
    assert seen == [*10 * [[]], *2 * [[("stale", "candles_1h", 1)]]]
    assert "BTC has no bar of the session 2025-02-28, which is over" in hook.bodies[-1]
    ground.fill("2025-02-28", "2025-02-28")
    bell.tick()
    assert bell.present() == []


def test_a_prune_that_has_failed_is_told_until_one_is_done(bell: Bell, hook: Webhook) -> None:
    bell.store.home.mkdir(exist_ok=True)
    note_failure(bell.store.home, NOW, "the lake cannot be written: No space left on device.")
    assert bell.tick() == "1 present (0 errors); told 1 new"
    assert bell.present() == [("retention", "retention", 1)]
    assert "No space left on device" in hook.bodies[0]

    note_prune(bell.store.home, NOW)
    assert bell.tick() == "nothing is wrong; told 1 over"
