"""The story of one bar as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.reports.story import story_of
from market_assets_tests.support.fill_ground import Ground, at

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.market.timeframes import Timeframe
    from market_assets.reports.story import Story


def told(
    ground: Ground, symbol: str, ts: datetime | str, timeframe: Timeframe | None = None
) -> Story:
    ts = at(ts) if isinstance(ts, str) else ts
    with ground.store.reading("testing") as view:
        return story_of(
            view,
            ground.scope(timeframe),
            symbol,
            ts,
        )


def said(story: Story) -> str:
    return " | ".join(event.what for event in story.events)
