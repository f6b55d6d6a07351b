"""Nights that look like a split that no source has reported, as commands name them."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from market_assets.config.load import load_universe
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.expected.scope import scope_of
from market_assets_tests.support.enrich_ground import D1, Market, days
from market_assets_tests.support.shell import in_this_process


def test_a_night_like_a_split_is_told_in_the_terminal_and_is_no_success(tmp_path, store, clock):
    clock.now = datetime(2025, 3, 15, tzinfo=UTC)
    path = tmp_path / "universe.yaml"
    path.write_text(
        """
sources: {practice: {}}
profiles:
  us:
    kind: EQUITY
    start: 2025-03-03
    end: 2025-03-15
    sources: [practice]
    symbols: {AAA: {}, BBB: {}}
    timeframes: {fetch: [1d], returns: [1d]}
"""
    )
    profile = load_universe(path, environ={}).profiles["us"]
    Market(store, profile, clock).fill(days("2025-03-03", "2025-03-15"), timeframe=D1)
    prices = ", ".join(f"{name} = 100" for name in ("open", "high", "low", "close"))
    with store.writing("a split of BBB that nobody tells of") as transaction:
        transaction.connection.execute(f"UPDATE us.candles_1d SET {prices}")
        transaction.connection.execute(
            f"""
            UPDATE us.candles_1d
            SET {prices.replace("100", "33")}
            WHERE symbol = 'BBB' AND ts > '2025-03-10'
            """
        )
    list(
        Returns(
            store,
            Alignment.of_profile(scope_of(profile, D1, clock())),
            days("2025-03-01", "2025-04-01"),
        )
    )
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(tmp_path / "home"),
        "MARKET_ASSETS_UNIVERSE": str(path),
    }
    told = "A split may be missing: us BBB opened on 2025-03-11 at 33 after a close of 100"
    for words in (["returns", "us"], ["status"]):
        done = in_this_process(words, environment)
        assert (done.code, told in " ".join(done.err.split())) == (3, True)
    assert in_this_process(["returns", "us", "--symbols", "AAA"], environment).code == 0
