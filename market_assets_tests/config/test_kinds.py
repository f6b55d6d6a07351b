"""What each kind of market presets."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from market_assets.config.kinds import Kind, PriceRules
from market_assets.config.settings import RepairSettings, Severity
from market_assets.market.gaps import Priority
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]


def test_a_profile_of_few_words_has_the_presets_of_its_kind(load: Load) -> None:
    loaded = load("""
        sources: {practice: }
        profiles:
          coins: {kind: CRYPTO, start: 2024-01-01, sources: [practice], symbols: {BTCUSDT: }}
          shares: {kind: EQUITY, start: 2024-01-01, sources: [practice], symbols: {SPY: {}}}
          contracts: {kind: FUTURES, start: 2024-01-01, sources: [practice], symbols: {ES: {}}}
          pairs: {kind: FOREX, start: 2024-01-01, sources: [practice], symbols: {EURUSD: {}}}
        """)
    assert {
        name: (each.kind, each.calendar, each.prices) for name, each in loaded.profiles.items()
    } == {
        "coins": (
            Kind.CRYPTO,
            "24/7",
            PriceRules(positive=True, volume_optional=False, real_volume=True),
        ),
        "shares": (
            Kind.EQUITY,
            "XNYS",
            PriceRules(positive=True, volume_optional=False, real_volume=True),
        ),
        "contracts": (
            Kind.FUTURES,
            "CME Globex Equity",
            PriceRules(positive=False, volume_optional=False, real_volume=True),
        ),
        "pairs": (
            Kind.FOREX,
            "FOREX",
            PriceRules(positive=True, volume_optional=True, real_volume=False),
        ),
    }
    coins = loaded.profiles["coins"]
    assert coins.timeframes.fetch == (Timeframe.M1,)
    assert coins.timeframes.derive == ()
    assert coins.end is None
    assert coins.repair == RepairSettings(
        max_fills=50,
        max_time="10m",
        legacy_cutoff=date(2010, 1, 1),
        max_attempts=5,
        backoff=("1m", "1h"),
    )
    assert coins.checks.jitter == 0.1
    assert coins.checks.severity == {
        Priority.CRITICAL: Severity.ERROR,
        Priority.HIGH: Severity.ERROR,
        Priority.MEDIUM: Severity.WARN,
        Priority.LOW: Severity.WARN,
    }
    assert coins.partitions.of(Timeframe.H4) is Cadence.DAY
    assert coins.partitions.of(Timeframe.D1) is Cadence.MONTH
