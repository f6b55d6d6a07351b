"""How far back a vendor serves is found by halving, and a window that is odd is no horizon."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.transport.horizon import Horizon, oldest_served, words_of

START = datetime(2025, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@given(minutes=st.integers(2, 500_000), step=st.integers(1, 100), data=st.data())
def test_it_is_near_the_true_one_and_never_before_it(minutes, step, data):
    true = START + MINUTE * data.draw(st.integers(1, minutes))
    asked = []

    async def is_served(start: datetime) -> bool:
        asked.append(start)
        return start >= true

    found = asyncio.run(
        oldest_served(is_served, refused=START, served=START + minutes * MINUTE, step=step * MINUTE)
    )

    assert (
        true <= found < true + step * MINUTE or found == START + -(-minutes // step) * step * MINUTE
    )
    assert len(asked) <= (minutes // step + 1).bit_length()


def test_it_says_how_many_bars_that_are_and_why():
    horizon = Horizon(
        "gate", "BTC_USDT", Timeframe.M1, START, START + timedelta(days=1), "HTTP 400: too long ago"
    )
    assert horizon.bars == 1440
    assert str(horizon) == (
        "source gate serves BTC_USDT 1m "
        "from about 2025-01-01 00:00Z on and refuses what is older (HTTP 400: too long ago)"
    )


def test_the_words_of_a_refusal_are_those_behind_the_window():
    error = SourceError(
        "source gate: BTC 1m 2024-01-01 00:00..2024-01-02 00:00 UTC: HTTP 400: from > to"
    )
    assert words_of(error) == "HTTP 400: from > to"
