"""What waits while REST is asked for what a stream has missed, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from market_assets.alerts.grace import LONGEST, Grace, healing_profiles
from market_assets.alerts.troubles import Kind
from market_assets_tests.support.stream_rows import stream_frame, stream_row

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GAP = ("kept", Kind.GAP.value, "candles_1m")
CHECK = ("kept", Kind.FAILED_CHECK.value, "candles_1m continuity")


@pytest.mark.parametrize(
    ("state", "since", "connected", "healing"),
    [
        ("live", 60, 1, ["kept"]),
        ("live", 1, 60, []),
        ("live", 60, 4, []),
        ("lost", 1, 60, ["kept"]),
        ("lost", 4, 60, []),
        ("connecting", 2, None, ["kept"]),
        ("refused", 1, None, []),
        ("ended", 1, 1, []),
        # A stamp of a clock that was wrong.
        ("lost", -60, 60, []),
    ],
)
def test_a_profile_heals_for_minutes_after_a_symbol_was_lost_or_connected(
    state: str, since: int, connected: int | None, healing: list[str]
) -> None:
    at = None if connected is None else NOW - connected * MINUTE
    row = stream_row("kept", "BTC", state, NOW - since * MINUTE, NOW, connected_at=at)

    assert healing_profiles(stream_frame(row), NOW) == {*healing}


def test_what_may_follow_from_missed_bars_waits_and_nothing_else() -> None:
    backlog = ("kept", Kind.BACKLOG.value, "candles_1m")
    elsewhere = ("other", Kind.GAP.value, "candles_1m")
    keys = [GAP, CHECK, backlog, elsewhere]

    assert Grace().waiting(keys, {"kept"}, NOW, known_keys=()) == {GAP, CHECK}
    assert Grace().waiting(keys, {"kept"}, NOW, known_keys=[GAP]) == {CHECK}
    assert Grace().waiting(keys, set(), NOW, known_keys=()) == set()


def test_a_connection_that_breaks_again_and_again_hides_nothing_for_long() -> None:
    grace = Grace()
    waits = [
        bool(grace.waiting([GAP], {"kept"}, NOW + minutes * MINUTE, known_keys=()))
        for minutes in range(20)
    ]
    assert waits == [True] * int(LONGEST / MINUTE) + [False] * 10

    assert grace.waiting([], {"kept"}, NOW + 20 * MINUTE, known_keys=()) == set()
    assert grace.waiting([GAP], {"kept"}, NOW + 21 * MINUTE, known_keys=()) == {GAP}
