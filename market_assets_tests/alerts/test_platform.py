"""What is wrong with the platform itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from market_assets.alerts.platform import Life, dead, is_replacing, platform_troubles, prune_failed
from market_assets.alerts.troubles import Level
from market_assets.keeping import PruneNote
from market_assets.up.state import Restart, State

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def life(ago: float | None, error: str = "", *, stopped: bool = False) -> Life:
    seen = None if ago is None else NOW - timedelta(seconds=ago)
    return Life("automation repair", timedelta(minutes=1), seen, error, stopped=stopped)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (life(10), None),
        (life(240), None),
        (life(241), "was last heard of at 2025-03-01 11:55Z"),
        (life(None), "has never been heard of"),
        (life(10, "ValueError: no"), "fails: ValueError: no"),
        (life(10_000, stopped=True), None),
        # A clock that was set back: it was heard of in the future.
        (life(-10_000), None),
    ],
)
def test_what_should_tick_and_does_not_is_dead_after_three_intervals_and_a_minute(
    one: Life, words: str | None
) -> None:
    found = dead([one], NOW, NOW - timedelta(days=1))
    assert [trouble.summary for trouble in found] == ([words] if words else [])


def test_nothing_follows_from_a_silence_in_which_nobody_listened() -> None:
    assert dead([life(10_000), life(None)], NOW, NOW - timedelta(minutes=4)) == []
    assert len(dead([life(10_000)], NOW, NOW - timedelta(minutes=5))) == 1


def test_a_process_that_was_started_again_is_a_trouble_for_ten_quiet_minutes() -> None:
    restarts = [
        Restart("code server", NOW - timedelta(minutes=11), "killed by SIGKILL"),
        Restart("daemon", NOW - timedelta(minutes=10), "ended with exit code 1"),
        Restart("code server", NOW - timedelta(minutes=9), "killed by SIGSEGV"),
    ]
    state = State(1, "http://127.0.0.1:3000", "crypto.yaml", NOW, restarts=restarts)
    (trouble,) = platform_troubles(state, NOW)
    assert (trouble.key, trouble.level, trouble.count) == (
        ("", "restart", "code server"),
        Level.ERROR,
        2,
    )
    assert (
        trouble.summary
        == "ended by itself and was started again; the newest reason: killed by SIGSEGV"
    )
    assert trouble.details == (
        "2025-03-01 11:51Z: killed by SIGSEGV",
        "2025-03-01 11:49Z: killed by SIGKILL",
    )
    assert platform_troubles(state, NOW + timedelta(minutes=1)) == []


def test_a_universe_file_with_mistakes_is_a_trouble_until_it_has_none() -> None:
    state = State(
        1,
        "http://127.0.0.1:3000",
        "crypto.yaml",
        NOW,
        faults=["crypto.yaml: 1 problem", "start: is missing"],
    )
    (trouble,) = platform_troubles(state, NOW)
    assert trouble.key == ("", "universe", "universe file")
    assert (
        trouble.summary
        == "crypto.yaml has mistakes and is not taken over; the last good one goes on"
    )
    assert trouble.details == ("crypto.yaml: 1 problem", "start: is missing")
    state.faults = []
    assert platform_troubles(state, NOW) == []


def test_a_sensor_that_misses_its_code_server_while_it_is_replaced_is_no_trouble() -> None:
    state = State(1, "http://127.0.0.1:3000", "crypto.yaml", NOW, taken_over_at=NOW)
    error = (
        "dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server."
    )
    missed, other = (
        dead([Life("daemon SENSOR", timedelta(seconds=30), NOW, words)], NOW, NOW)[0]
        for words in (error, "KeyError: 1")
    )
    soon = NOW + timedelta(minutes=9)
    assert is_replacing(missed, state, soon)
    assert not is_replacing(other, state, soon)
    assert not is_replacing(missed, state, NOW + timedelta(minutes=10))
    assert not is_replacing(missed, State(1, "", "", NOW), soon)


def test_a_prune_that_fails_is_a_trouble_until_one_is_done() -> None:
    (trouble,) = prune_failed(PruneNote(NOW - timedelta(days=2), NOW, "the lake cannot be written"))
    assert trouble.level is Level.WARNING
    assert trouble.summary == (
        "the prune has failed since 2025-03-01 12:00Z: the lake cannot be written"
    )
    assert prune_failed(PruneNote(NOW)) == []
    assert prune_failed(PruneNote()) == []
