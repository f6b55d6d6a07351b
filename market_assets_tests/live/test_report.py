"""What a session in which a profile is streamed says of itself."""

from __future__ import annotations

from datetime import UTC, datetime

from market_assets.live.report import StreamReport
from market_assets.market.timeframes import Timeframe
from market_assets.store.tables.streams import StreamState


def test_the_symbols_are_counted_by_their_state():
    states = [StreamState.LIVE, StreamState.REFUSED, StreamState.LIVE, StreamState.LIVE]
    report = StreamReport(
        at=datetime(2025, 3, 3, tzinfo=UTC),
        timeframe=Timeframe.M1,
        states={f"S{number}": state for number, state in enumerate(states)},
    )
    assert report.counted_states == "3 live, 1 refused"
