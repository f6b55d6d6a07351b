"""The other peer: `freqtrade download-data` of the same candles, into its Feather files.

Prints one line of JSON.

It runs in an environment of its own (freqtrade-requirements.txt), and imports nothing of this
project. It is freqtrade's own command, but for what it would have read of Binance's markets.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import ccxt
import ccxt.async_support
import pandas as pd
from freqtrade.main import main as freqtrade

_MINUTE = 60_000


def _teach_markets(symbols: list[str]) -> None:
    """Tell ccxt which markets there are: the practice vendor has no list of them."""

    def market(exchange: ccxt.Exchange, symbol: str) -> dict[str, object]:
        base = symbol.removesuffix("USDT")
        return exchange.safe_market_structure(
            {
                "id": symbol,
                "symbol": f"{base}/USDT",
                "base": base,
                "quote": "USDT",
                "baseId": base,
                "quoteId": "USDT",
                "type": "spot",
                "spot": True,
                "active": True,
                "precision": {"amount": 1e-5, "price": 1e-2},
            }
        )

    async def fetch_markets(exchange: ccxt.Exchange, _params: object = None) -> list[object]:
        return [market(exchange, symbol) for symbol in symbols]

    ccxt.async_support.binance.fetch_markets = fetch_markets


def _config(url: str, folder: Path) -> Path:
    exchange = {
        "name": "binance",
        "pair_whitelist": [],
        # Else it takes the days from Binance's archive, which is no vendor of this benchmark.
        "only_from_ccxt": True,
        "ccxt_config": {
            "enableRateLimit": False,
            "urls": {"api": {"public": f"{url}/api/v3"}},
            "options": {"fetchCurrencies": False},
        },
    }
    path = folder / "config.json"
    path.write_text(json.dumps({"exchange": exchange, "stake_currency": "USDT", "dry_run": True}))
    return path


def _candles(folder: Path, start: int, end: int) -> int:
    """How many of the candles that were asked for are in the files."""
    first, after = (pd.Timestamp(edge, unit="ms", tz="UTC") for edge in (start, end))
    dates = [pd.read_feather(path)["date"] for path in folder.rglob("*.feather")]
    return sum(int(((date >= first) & (date < after)).sum()) for date in dates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("symbols", help="separated by commas")
    parser.add_argument("start", type=int, help="milliseconds since 1970")
    parser.add_argument("end", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    symbols = given.symbols.split(",")

    _teach_markets(symbols)
    options = ["--config", str(_config(given.url, given.folder)), "--userdir", str(given.folder)]
    options += ["--timeframes", "1m", "--data-format-ohlcv", "feather"]
    # A range ends with its last candle.
    options += ["--timerange", f"{given.start // 1000}-{(given.end - _MINUTE) // 1000}"]
    options += ["--pairs", *(f"{symbol.removesuffix('USDT')}/USDT" for symbol in symbols)]
    began = time.perf_counter()
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        freqtrade(["create-userdir", "--userdir", str(given.folder)])
    except SystemExit as end:
        _see(end)
    try:
        freqtrade(["download-data", *options])
    except SystemExit as end:
        _see(end)
    finally:
        sys.stdout = out
    seconds = time.perf_counter() - began

    candles = _candles(given.folder, given.start, given.end)
    size = sum(path.stat().st_size for path in given.folder.rglob("*.feather"))
    print(json.dumps({"candles": candles, "seconds": seconds, "bytes_per_candle": size / candles}))


def _see(end: SystemExit) -> None:
    """Pass a failure on."""
    if end.code:
        raise end


if __name__ == "__main__":
    main()
