"""Archives of files, and candles to write into them."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.files.archive import ArchiveSource
from market_assets.sources.files.settings import ArchiveSettings

if TYPE_CHECKING:
    from pathlib import Path


START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)

MARCH_11 = datetime(2024, 3, 11)

SAMPLES: dict[str, tuple[str, str, Timeframe, list[tuple[Any, ...]]]] = {
    "histdata": (
        "histdata",
        (
            "20240311 000000;1.09410;1.09420;1.09400;1.09415;0\n"
            "20240311 000100;1.09415;1.09430;1.09410;1.09420;0\n"
        ),
        Timeframe.M1,
        [
            (datetime(2024, 3, 11, 5, 0), 1.0941, 1.0942, 1.094, 1.09415, 0.0),
            (datetime(2024, 3, 11, 5, 1), 1.09415, 1.0943, 1.0941, 1.0942, 0.0),
        ],
    ),
    "histdata in summer": (
        "histdata",
        "20240711 000000;1.0;2.0;0.5;1.5;0\n",
        Timeframe.M1,
        [(datetime(2024, 7, 11, 5, 0), 1.0, 2.0, 0.5, 1.5, 0.0)],
    ),
    "histdata for MetaTrader": (
        "histdata",
        "2024.03.11,00:00,1.0,2.0,0.5,1.5,0\n",
        Timeframe.M1,
        [(datetime(2024, 3, 11, 5, 0), 1.0, 2.0, 0.5, 1.5, 0.0)],
    ),
    "mt5": (
        "mt5",
        (
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
            "2024.03.11\t00:00:00\t1.0\t2.0\t0.5\t1.5\t12\t0\t3\n"
        ),
        Timeframe.M1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 12.0)],
    ),
    "mt5 by the day": (
        "mt5",
        (
            "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
            "2024.03.11\t1.0\t2.0\t0.5\t1.5\t12\t0\t3\n"
        ),
        Timeframe.D1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 12.0)],
    ),
    "mt4": (
        "mt4",
        "2024.03.11,00:00,1.0,2.0,0.5,1.5,12\n2024.03.11,00:01,1.0,2.0,0.5,1.5,13\n",
        Timeframe.M1,
        [
            (MARCH_11, 1.0, 2.0, 0.5, 1.5, 12.0),
            (datetime(2024, 3, 11, 0, 1), 1.0, 2.0, 0.5, 1.5, 13.0),
        ],
    ),
    "kibot": (
        "kibot",
        "03/11/2024,09:30,1.0,2.0,0.5,1.5,100\n",
        Timeframe.M1,
        [(datetime(2024, 3, 11, 13, 30), 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "kibot by the day": (
        "kibot",
        "03/11/2024,1.0,2.0,0.5,1.5,100\n",
        Timeframe.D1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "stooq": (
        "stooq",
        (
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
            "AAPL.US,5,20240311,153000,1.0,2.0,0.5,1.5,100,0\n"
            "AAPL.US,5,20240311,090000,1.0,2.0,0.5,1.5,100,0\n"
        ),
        Timeframe.M5,
        [
            (datetime(2024, 3, 11, 14, 30), 1.0, 2.0, 0.5, 1.5, 100.0),
            (datetime(2024, 3, 11, 8, 0), 1.0, 2.0, 0.5, 1.5, 100.0),
        ],
    ),
    "stooq by the day": (
        "stooq",
        (
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
            "AAPL.US,D,20240311,000000,1.0,2.0,0.5,1.5,100.25,0\n"
        ),
        Timeframe.D1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 100.25)],
    ),
    "firstrate": (
        "firstrate",
        "2024-03-11 04:00:00,1.0,2.0,0.5,1.5,100\n",
        Timeframe.M1,
        [(datetime(2024, 3, 11, 8, 0), 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "dukascopy": (
        "dukascopy",
        "Gmt time,Open,High,Low,Close,Volume\n11.03.2024 00:00:00.000,1.0,2.0,0.5,1.5,100.5\n",
        Timeframe.M1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 100.5)],
    ),
    "dukascopy in local time": (
        "dukascopy",
        (
            "Local time,Open,High,Low,Close,Volume\n"
            "11.03.2024 01:00:00.000 GMT+0100,1.0,2.0,0.5,1.5,100.5\n"
        ),
        Timeframe.M1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 100.5)],
    ),
    "tradestation": (
        "tradestation",
        (
            '"Date","Time","Open","High","Low","Close","Up","Down"\n'
            "03/11/2024,09:31,1.0,2.0,0.5,1.5,60,40\n"
        ),
        Timeframe.M1,
        [(datetime(2024, 3, 11, 13, 30), 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "yahoo": (
        "yahoo",
        "Date,Open,High,Low,Close,Adj Close,Volume\n2024-03-11,1.0,2.0,0.5,1.5,1.4,100\n",
        Timeframe.D1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "yahoo's page": (
        "yahoo",
        (
            'Date,Open,High,Low,"Close   Close price adjusted for splits.","Adj Close   Adjusted '
            'close price",Volume\n'
            '"Mar 11, 2024",1.0,2.0,0.5,1.5,1.4,"1,234,567"\n'
        ),
        Timeframe.D1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 1234567.0)],
    ),
    "yfinance of several levels": (
        "yahoo",
        (
            "Price,Close,High,Low,Open,Volume\nTicker,0700.HK,0700.HK,0700.HK,0700.HK,0700.HK\n"
            "Date,,,,,\n"
            "2024-03-11,1.5,2.0,0.5,1.0,100\n"
        ),
        Timeframe.D1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "dukascopy's new page": (
        "dukascopy",
        "UTC,Open,High,Low,Close,Volume\n11.03.2024 00:00:00.000 UTC,1.0,2.0,0.5,1.5,120.46\n",
        Timeframe.M1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 120.46)],
    ),
    "stooq's Polish page": (
        "stooq",
        "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen\n2024-03-11,1.0,2.0,0.5,1.5,100\n",
        Timeframe.D1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "alphavantage": (
        "alphavantage",
        (
            "timestamp,open,high,low,close,volume\n"
            "2024-03-11 09:31:00,1.0,2.0,0.5,1.5,9\n"
            "2024-03-11 09:30:00,1.0,2.0,0.5,1.5,8\n"
        ),
        Timeframe.M1,
        [
            (datetime(2024, 3, 11, 13, 31), 1.0, 2.0, 0.5, 1.5, 9.0),
            (datetime(2024, 3, 11, 13, 30), 1.0, 2.0, 0.5, 1.5, 8.0),
        ],
    ),
    "tiingo": (
        "tiingo",
        (
            "date,close,high,low,open,volume,"
            "adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor\n"
            "2024-03-11,1.5,2.0,0.5,1.0,100,1,1,1,1,1,0.0,1.0\n"
        ),
        Timeframe.D1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "ibkr": (
        "ibkr",
        (
            ",date,open,high,low,close,volume,average,barCount\n"
            "0,2024-03-11 09:30:00-04:00,1.0,2.0,0.5,1.5,-1,-1,-1\n"
        ),
        Timeframe.M1,
        [(datetime(2024, 3, 11, 13, 30), 1.0, 2.0, 0.5, 1.5, None)],
    ),
    "ibkr with the zone's name": (
        "ibkr",
        (
            "date,open,high,low,close,volume,average,barCount\n"
            "20240311 09:30:00 US/Eastern,1.0,2.0,0.5,1.5,7,1,1\n"
        ),
        Timeframe.M1,
        [(datetime(2024, 3, 11, 13, 30), 1.0, 2.0, 0.5, 1.5, 7.0)],
    ),
    "databento": (
        "databento",
        (
            "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
            "1710163800000000000,33,1,5482,10000000000,10500000000,9990000001,10250000000,100,SPY\n"
        ),
        Timeframe.M1,
        [(datetime(2024, 3, 11, 13, 30), 10.0, 10.5, 9.990000001, 10.25, 100.0)],
    ),
    "databento with prices in words": (
        "databento",
        (
            "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
            "2024-03-11T13:30:00.000000000Z,33,1,5482,"
            "10.000000000,10.500000000,9.990000000,10.250000000,100,SPY\n"
        ),
        Timeframe.M1,
        [(datetime(2024, 3, 11, 13, 30), 10.0, 10.5, 9.99, 10.25, 100.0)],
    ),
    "polygon": (
        "polygon",
        (
            "ticker,volume,open,close,high,low,window_start,transactions\n"
            "QQQ,1,9,9,9,9,1710163800000000000,1\nSPY,100,1.0,1.5,2.0,0.5,1710163800000000000,7\n"
        ),
        Timeframe.M1,
        [(datetime(2024, 3, 11, 13, 30), 1.0, 2.0, 0.5, 1.5, 100.0)],
    ),
    "cryptodatadownload": (
        "cryptodatadownload",
        (
            "https://www.CryptoDataDownload.com\n"
            "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD\n"
            "1710115260000,2024-03-11 00:01:00,BTC/USD,1.0,2.0,0.5,1.5,7,10\n"
            "1710115200,2024-03-11 00:00:00,BTC/USD,1.0,2.0,0.5,1.5,8,10\n"
        ),
        Timeframe.M1,
        [
            (datetime(2024, 3, 11, 0, 1), 1.0, 2.0, 0.5, 1.5, 7.0),
            (MARCH_11, 1.0, 2.0, 0.5, 1.5, 8.0),
        ],
    ),
    "cryptodatadownload by the hour": (
        "cryptodatadownload",
        (
            "https://www.CryptoDataDownload.com\n"
            "Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USD\n"
            "2020-01-01 11-AM,BTCUSD,1.0,2.0,0.5,1.5,7,10\n"
            "2020-01-01 12-AM,BTCUSD,1.0,2.0,0.5,1.5,8,10\n"
        ),
        Timeframe.H1,
        [
            (datetime(2020, 1, 1, 11), 1.0, 2.0, 0.5, 1.5, 7.0),
            (datetime(2020, 1, 1), 1.0, 2.0, 0.5, 1.5, 8.0),
        ],
    ),
    "kraken": (
        "kraken",
        "1710115200,1.0,2.0,0.5,1.5,0.25,3\n",
        Timeframe.M1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 0.25)],
    ),
    "binance": (
        "binance",
        "1710115200000,1.0,2.0,0.5,1.5,0.25,1710115259999,1.0,3,0.1,0.1,0\n",
        Timeframe.M1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 0.25)],
    ),
    "binance with a header": (
        "binance",
        (
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
            "taker_buy_volume,taker_buy_quote_volume,ignore\n"
            "1710115200000,1.0,2.0,0.5,1.5,0.25,1710115259999,1.0,3,0.1,0.1,0\n"
        ),
        Timeframe.M1,
        [(MARCH_11, 1.0, 2.0, 0.5, 1.5, 0.25)],
    ),
}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def candles(count: int = 5, start: datetime = START, step: timedelta = MINUTE) -> pl.DataFrame:
    rows = [
        (
            (start + step * place).replace(tzinfo=None),
            1.1 + place,
            2.2 + place,
            0.3 + place,
            1.7 + place,
            10.0 * place,
        )
        for place in range(count)
    ]
    return pl.DataFrame(rows, schema=CANDLE_SCHEMA, orient="row")


def archive(base: Path, path: str, *, kind: str = "equity", **more: object) -> ArchiveSource:
    return ArchiveSource(
        "files", ArchiveSettings.model_validate({"path": path} | more), base=base, kind=kind
    )


def fetch(
    source: ArchiveSource,
    symbol: str = "SPY",
    timeframe: Timeframe = Timeframe.M1,
    start: datetime = LONG_AGO,
    end: datetime = FAR_AHEAD,
) -> pl.DataFrame:
    async def within() -> pl.DataFrame:
        async with source:
            return await source.fetch(symbol, timeframe, start, end)

    return asyncio.run(within())


def micros(at: datetime) -> int:
    return (at.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
