"""A run of hours sees that its profile has changed, and only that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.defs.automation.stream_changes import UniverseWatch
from market_assets_tests.support.live_ground import MINUTE, LiveGround, live_ground
from market_assets_tests.support.manual_timer import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveGround]:
    with live_ground(tmp_path, "BTCUSDT") as ground:
        yield ground


def test_a_mistake_in_the_universe_or_a_change_of_another_profile_ends_nothing(live):
    profile = live.profile
    path = live.path
    text = path.read_text()
    watch = UniverseWatch(live.universe, profile)
    minutes = iter(range(20))

    def looks() -> list[bool]:
        return [watch.has_changed(START + next(minutes) * MINUTE) for _ in range(3)]

    before = looks()
    path.write_text(text.replace("CRYPTO", "CRIPTO"))
    mistaken = looks()
    path.write_text(text.replace("  live:", "  other:"))
    gone = looks()
    path.write_text(text)

    assert before == [False, False, False]
    assert mistaken == [False, False, False]
    assert gone == [False, True, True]
    assert looks() == [False, False, False]
