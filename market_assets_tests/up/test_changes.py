"""What differs between two universes, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.up.changes import Summary, changes, orphans, summary_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Read = Callable[[str], Summary]

BEFORE = """
sources: {binance: {headers: {X-Key: "${KEY}"}}, bitfinex: {}}
profiles:
  crypto:
    kind: CRYPTO
    start: 2024-01-01
    timeframes: {fetch: [1m], derive: [1h]}
    sources: [binance]
    symbols: {BTCUSDT: {}, LITUSDT: {}}
  old: {kind: CRYPTO, start: 2024-01-01, timeframes: {fetch: [1h]}, sources: [binance],
        symbols: {A: {}}}
"""

AFTER = """
sources: {binance: {headers: {X-Key: "${KEY}"}, rate: 5/s}, bybit: {}}
alerts: {stale_after: 3h}
profiles:
  crypto:
    kind: CRYPTO
    start: 2023-01-01
    timeframes: {fetch: [1m], derive: [4h]}
    sources: [binance]
    symbols: {BTCUSDT: {start: 2024-02-01}, SOLUSDT: {}, ETHUSDT: {}}
    repair: {max_fills: 9}
  new: {kind: CRYPTO, start: 2024-01-01, timeframes: {fetch: [1h]}, sources: [bybit],
        symbols: {B: {}}}
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def summary(text: str, key: str = "tell-nobody") -> Summary:
        path = tmp_path / "universe.yaml"
        path.write_text(text)
        return summary_of(load_universe(path, environ={"KEY": key}))

    return summary


def test_every_change_is_a_sentence(read: Read) -> None:
    assert changes(read(BEFORE), read(AFTER)) == [
        "profile new is new: B; 1h",
        "profile old is no longer kept; what is stored of it stays in the schema old",
        "crypto: 2 symbols added: SOLUSDT, ETHUSDT",
        "crypto: symbol removed: LITUSDT (what is stored of them stays)",
        "crypto: symbol changed: BTCUSDT",
        "crypto: timeframes.derive: 4h added",
        "crypto: timeframes.derive: 1h removed",
        "crypto: start is 2023-01-01, was 2024-01-01",
        "crypto: repair has changed",
        "source bybit is new",
        "source bitfinex is removed",
        "source binance has changed",
        "alerts has changed",
    ]


def test_a_comment_or_another_order_of_keys_is_no_change(read: Read) -> None:
    assert (
        changes(
            read(BEFORE),
            read(
                "# again\n"
                f"{BEFORE.replace('fetch: [1m], derive: [1h]', 'derive: [1h], fetch: [1m]')}"
            ),
        )
        == []
    )


def test_no_secret_is_in_what_is_compared(read: Read) -> None:
    assert "tell-nobody" not in str(read(BEFORE))


def test_a_schema_that_nothing_names_is_told_with_what_can_be_done(read: Read) -> None:
    (line,) = orphans(["crypto", "main", "old", "older", "ops"], read(BEFORE))
    assert line.startswith("schema older is in the store, and no profile is called so: ")
    assert "market-assets forget older --yes" in line
