"""The terms on which the pages of a fill are asked for and read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.scope import scope_of
from market_assets.fill.terms import first_of, terms_of
from market_assets.market.timeframes import TS, Timeframe, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Profile


def test_they_are_those_of_the_profile(profile: Callable[[str], Profile]):
    kept = profile("""
        kind: FOREX
        start: 2025-03-01
        timeframes: {fetch: [5m]}
        symbols: {EURUSD: {}}
        checks: {jitter: 0.2}
        evidence: {quiet_limit: 20m}
    """)
    now = datetime(2025, 3, 3, 12, 7, tzinfo=UTC)
    terms = terms_of(scope_of(kept, Timeframe.M5, now))
    assert (terms.jitter, terms.quiet_bars, terms.kind) == (0.2, 4, "forex")
    assert terms.rules == kept.prices

    closed = terms.closed_bars(Window(now - timedelta(minutes=12), now + timedelta(minutes=12)))
    assert [f"{ts:%H:%M}" for ts in closed] == ["11:55", "12:00"]


def test_the_first_of_some_instants_has_its_zone():
    opens = pl.Series([1, 2], dtype=pl.Int64).cast(TS)
    assert first_of(opens) == datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)
