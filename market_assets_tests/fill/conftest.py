"""Grounds whose vendor cannot name first bars, and hours that a fill plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.expected.scope import Scope, scope_of
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from market_assets.config.universe import Profile


@pytest.fixture
def plain(empty_ground, vendor):
    """A ground with the usual vendor, that cannot name first bars."""
    empty_ground.add_vendor("vendor", vendor, earliest_probe=False)
    return empty_ground


@pytest.fixture
def hours_of_march(profile: Callable[[str], Profile]) -> Callable[[datetime], Scope]:
    """Give the hours of two symbols from the 1st of March on, as of a time."""
    kept = profile("""
        kind: CRYPTO
        start: 2025-03-01
        timeframes: {fetch: [1h]}
        symbols: {BTC: {}, ETH: {}}
    """)
    return lambda now: scope_of(kept, Timeframe.H1, now)
