"""What a first universe can keep: each market at each source, a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from market_assets.config.kinds import Kind
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILES, PRACTICE = "files", "practice"
"""The starters whose kind of market is asked for."""


@dataclass(frozen=True)
class Starter:
    """One market at one source.

    Attributes:
        name: By which it is asked for.
        title: What it keeps, for a person who chooses.
        kind: The kind of market; None where whoever asks for it says the kind.
        source: The type of the source.
        settings: The source's keys.
        symbols: What it begins with.
        fetch: The timeframe that the source is asked for.
        days: How many days back it begins.
        variables: The environment variables with the source's keys.
        settle: How late its newest bars come, as a setting of `update`; empty for the usual time.
        vendor_name: Makes the source's own name out of a symbol, where that is another one.
        notes: What a reader of the file has to know.
    """

    name: str
    title: str
    kind: Kind | None
    source: str
    settings: Mapping[str, object] = field(default_factory=dict)
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    fetch: Timeframe = Timeframe.M1
    days: int = 30
    variables: tuple[str, ...] = ()
    settle: str = ""
    vendor_name: Callable[[str], str] = str
    notes: tuple[str, ...] = ()


def _paired(symbol: str) -> str:
    return symbol if symbol.startswith("t") else f"t{symbol}"


def _slashed(symbol: str) -> str:
    return f"{symbol[:3]}_{symbol[3:]}" if len(symbol) == 6 and symbol.isalpha() else symbol


def _front_month(symbol: str) -> str:
    return symbol if "." in symbol else f"{symbol}.v.0"


def _kraken_name(symbol: str) -> str:
    return f"XBT{symbol[3:]}" if symbol.startswith("BTC") else symbol


STARTERS: Mapping[str, Starter] = {
    starter.name: starter
    for starter in (
        Starter("binance", "crypto: spot on Binance", Kind.CRYPTO, "binance"),
        Starter(
            "binance-usdm",
            "crypto: perpetuals and futures in USDT on Binance (USD-M)",
            Kind.CRYPTO,
            "binance",
            {"market": "usdm"},
        ),
        Starter("bybit", "crypto: spot on Bybit", Kind.CRYPTO, "bybit"),
        Starter(
            "bybit-linear",
            "crypto: perpetuals in USDT on Bybit",
            Kind.CRYPTO,
            "bybit",
            {"category": "linear"},
        ),
        Starter(
            "bitfinex",
            "crypto: spot on Bitfinex",
            Kind.CRYPTO,
            "bitfinex",
            symbols=("BTCUSD", "ETHUSD"),
            vendor_name=_paired,
        ),
        Starter(
            "coinbase",
            "crypto: spot on Coinbase",
            Kind.CRYPTO,
            "coinbase",
            symbols=("BTC-USD", "ETH-USD"),
        ),
        Starter(
            "kraken",
            "crypto: spot on Kraken, its newest 720 bars",
            Kind.CRYPTO,
            "kraken",
            symbols=("BTCUSD", "ETHUSD"),
            fetch=Timeframe.H1,
            days=29,
            vendor_name=_kraken_name,
            notes=("Kraken serves the newest 720 bars and no older ones: 12 hours of minutes.",),
        ),
        Starter(
            "yahoo",
            "stocks: days on Yahoo (extra yahoo)",
            Kind.EQUITY,
            "yahoo",
            symbols=("SPY", "AAPL", "MSFT"),
            fetch=Timeframe.D1,
            days=5 * 365,
            notes=(
                "Yahoo's prices are adjusted for splits; it has minutes of the last 30 days alone.",
            ),
        ),
        Starter(
            "polygon",
            "stocks: minutes on Polygon (a key, POLYGON_KEY)",
            Kind.EQUITY,
            "polygon",
            {"key": "${POLYGON_KEY}"},
            symbols=("SPY", "AAPL"),
            days=10,
            variables=("POLYGON_KEY",),
            settle="1d",
            notes=(
                "`rate`, `delay` and `history_days` are the free plan's unless they are set here.",
            ),
        ),
        Starter(
            "alpaca",
            "stocks: minutes on Alpaca (a key, ALPACA_KEY and ALPACA_SECRET)",
            Kind.EQUITY,
            "alpaca",
            {"key": "${ALPACA_KEY}", "secret": "${ALPACA_SECRET}"},
            symbols=("SPY", "AAPL"),
            variables=("ALPACA_KEY", "ALPACA_SECRET"),
            settle="16m",
        ),
        Starter(
            "oanda",
            "forex: minutes on OANDA (a token, OANDA_TOKEN)",
            Kind.FOREX,
            "oanda",
            {"key": "${OANDA_TOKEN}"},
            symbols=("EURUSD", "GBPUSD", "USDJPY"),
            variables=("OANDA_TOKEN",),
            vendor_name=_slashed,
            notes=("A practice account is asked at `base_url: https://api-fxpractice.oanda.com`.",),
        ),
        Starter(
            "databento",
            "futures: minutes of CME on Databento (a key, DATABENTO_KEY; extra databento)",
            Kind.FUTURES,
            "databento",
            {
                "key": "${DATABENTO_KEY}",
                "dataset": "GLBX.MDP3",
                "stype_in": "continuous",
            },
            symbols=("ES", "NQ"),
            days=10,
            variables=("DATABENTO_KEY",),
            vendor_name=_front_month,
            notes=(
                "Databento charges for what is asked for.",
                "Prices jump where one contract follows another.",
            ),
        ),
        Starter(FILES, "files of your own: a folder of Parquet, CSV or text", None, "archive"),
        Starter(
            PRACTICE,
            "simulated candles, without network and key",
            None,
            "practice",
            {"seed": 7},
            days=14,
            notes=(
                "No market ever traded these candles.",
                "The vendor lacks 25 minutes of one symbol, so that a gap can be seen.",
            ),
        ),
    )
}
"""The starters by name, in the order in which a person is shown them."""
