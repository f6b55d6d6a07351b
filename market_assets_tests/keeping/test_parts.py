"""Parts of a home folder: how they grow, and what shorter settings would free."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from market_assets.config.services import RetentionSettings
from market_assets.keeping import Part, advice, by_age

pytestmark = pytest.mark.filterwarnings(
    "ignore::dagster.PreviewWarning", "ignore::dagster.BetaWarning"
)


def test_growth_is_that_of_the_newest_days() -> None:
    now = datetime(2025, 6, 30, 12, tzinfo=UTC)
    sizes = [(now - timedelta(days=day, hours=1), 70.0) for day in range(30)]
    assert Part("runs", 30, 2100, by_age(sizes, now)).growth == 70
    assert Part("runs", 1, 70, by_age(sizes[:1], now)).growth == 70
    assert Part("runs", 1, 70, by_age(sizes[20:21], now)).growth == 0
    assert Part("candles", 1, 70).growth is None


def test_advice_leaves_out_what_frees_next_to_nothing() -> None:
    settings = RetentionSettings()
    found = advice({"runs": 200_000, "ticks": 300_000, "jobs": 1000}, settings)
    assert [each.setting for each in found] == ["retention.ticks", "retention.runs"]
    assert found[0].shorter == timedelta(hours=12)
