"""What the platform does beside its candles: the channels of its alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.errors import UniverseError
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]


def test_a_channel_that_apprise_cannot_send_to_is_a_fault_with_its_line_and_without_its_words(
    load: Load,
):
    with pytest.raises(UniverseError) as raised:
        load(
            universe(
                top='alerts: {channels: [nonsense-4711, "foo://${BOT}/1", "json://example.org/x"]}'
            ),
            BOT="very-secret",
        )
    first, second = raised.value.problems
    assert first.startswith("alerts.channels[0]: is no URL of a service that apprise knows")
    assert second.startswith("alerts.channels[1]: is no URL of a service that apprise knows")
    assert "(line " in first
    assert not any(word in str(raised.value) for word in ("4711", "very-secret", "foo"))


def test_alert_channels_may_hold_secrets_and_are_not_shown(load: Load):
    loaded = load(
        universe(top='alerts: {channels: ["tgram://${BOT}/123"], gap_error: 3d}'),
        BOT="4711:very-secret",
    )
    assert [str(one) for one in loaded.alerts.channels] == ["tgram://4711:very-secret/123"]
    assert loaded.alerts.gap_error == timedelta(days=3)
    assert "very-secret" not in repr(loaded)
    assert (
        loaded.redact("cannot reach tgram://4711:very-secret/123")
        == "cannot reach tgram://${BOT}/123"
    )
