from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets_tests.support.enrich_ground import Market

if TYPE_CHECKING:
    from market_assets.store import Store


@pytest.fixture
def market(store: Store, profile, clock):
    """Makes a market out of a profile's keys, of minutes of crypto if none are given."""

    def make(
        keys: str = "",
        *,
        symbols: str = "BTC: {}",
        derive: str = "[5m, 1h, 4h, 1d, 1w]",
        fetch: str = "[1m]",
    ) -> Market:
        given = keys or "kind: CRYPTO\nstart: 2025-03-03"
        return Market(
            store,
            profile(
                f"{given}\ntimeframes: {{fetch: {fetch}, derive: {derive}}}\nsymbols: {{{symbols}}}"
            ),
            clock,
        )

    return make
