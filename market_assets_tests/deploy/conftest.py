"""A universe that is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.deploy.site import site_of

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.deploy.site import Site

TOKEN, KEY = "a-token-that-nobody-guesses", "a-key-that-nobody-shows"

UNIVERSE = """
sources:
  alpaca: {key: "${ALPACA_KEY_ID}", secret: "${ALPACA_SECRET}"}
  binance: {}
export: {folder: LAKE}
serve: {token: "${SERVE_TOKEN}", port: 4001}
profiles:
  stocks: {kind: EQUITY, start: 2025-02-03, timeframes: {fetch: [1d]}, sources: [alpaca],
           symbols: {SPY: {}}}
  crypto: {kind: CRYPTO, start: 2025-02-03, timeframes: {fetch: [1h]}, sources: [binance],
           stream: {enabled: true}, symbols: {BTCUSDT: {}}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Of a universe with secrets, a token, and a lake outside its home."""
    path = tmp_path / "universe.yaml"
    path.write_text(UNIVERSE.replace("LAKE", str(tmp_path / "lake")))
    # Two variables may have one value.
    environ = {"ALPACA_KEY_ID": KEY, "ALPACA_SECRET": KEY, "SERVE_TOKEN": TOKEN}
    universe = load_universe(path, environ=environ)
    program = tmp_path / "bin" / "market-assets"
    return site_of(universe, tmp_path / "home", program, user="candles")
