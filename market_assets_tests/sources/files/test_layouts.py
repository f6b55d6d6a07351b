"""Files as vendors write them: each layout reads its vendor's lines, and is guessed by them."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml
from pydantic import ValidationError

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.files.layouts import LAYOUTS, guess_layout
from market_assets.sources.files.settings import ArchiveSettings
from market_assets_tests.sources.files.test_archive import archive, fetch

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("suffix", ["csv", "txt", "csv.gz", "zip", "crlf.csv", "utf16.csv"])
def test_a_layout_reads_its_vendors_lines(tmp_path: Path, name: str, suffix: str) -> None:
    layout, text, timeframe, rows = SAMPLES[name]
    path = tmp_path / f"SPY.{suffix}"
    body = text.encode()
    if suffix == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as pack:
            pack.writestr("__MACOSX/._SPY.csv", b"\0\5\26\7")
            pack.writestr(".DS_Store", b"\0\0")
            pack.writestr("SPY.txt" if layout == "stooq" else "SPY.CSV", text)
        body = packed.getvalue()
    elif suffix == "csv.gz":
        body = gzip.compress(body)
    elif suffix == "crlf.csv":
        body = body.replace(b"\n", b"\r\n")
    elif suffix == "utf16.csv":
        body = text.encode("utf-16")
    path.write_bytes(body)

    frame = fetch(archive(tmp_path, "{symbol}." + suffix, layout=layout), timeframe=timeframe)

    found = frame.select(CANDLE_SCHEMA.names()).rows()
    assert found == rows if layout != "polygon" else found[-1:] == rows


_FILES = {
    "binance": (
        "1710115200000,1.0,2.0,0.5,1.5,0.25,1710115259999,0.3,3,0.1,0.1,0\n",
        {"quote_volume": 0.3, "trades": 3.0, "taker_buy_volume": 0.1},
    ),
    "binance with a header": (
        (
            "open_time,open,high,low,close,volume,close_time,quote_asset_volume,"
            "number_of_trades,taker_buy_base_asset_volume,x,y\n"
            "1710115200000,1.0,2.0,0.5,1.5,0.25,1710115259999,0.3,3,0.1,0.1,0\n"
        ),
        {"quote_volume": 0.3, "trades": 3.0, "taker_buy_volume": 0.1},
    ),
    "kraken": ("1710115200,1.0,2.0,0.5,1.5,0.25,3\n", {"trades": 3.0}),
    "ibkr": (
        (
            "date,open,high,low,close,volume,average,barCount\n20240311 09:30:00 "
            "US/Eastern,1.0,2.0,0.5,1.5,7,1.25,4\n"
        ),
        {"trades": 4.0, "vwap": 1.25},
    ),
    "ibkr of midpoints": (
        (
            "date,open,high,low,close,volume,average,barCount\n20240311 09:30:00 "
            "US/Eastern,1.0,2.0,0.5,1.5,-1,-1,-1\n"
        ),
        {"trades": None, "vwap": None},
    ),
    "polygon": (
        (
            "ticker,volume,open,close,high,low,window_start,transactions\n"
            "SPY,100,1.0,1.5,2.0,0.5,1710163800000000000,7\n"
        ),
        {"trades": 7.0},
    ),
    "cryptodatadownload": (
        (
            "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume "
            "BTC,Volume USDT,tradecount\n"
            "1710115200000,2024-03-11 00:00:00,BTC/USDT,1.0,2.0,0.5,1.5,7,10,5\n"
        ),
        {"quote_volume": 10.0, "trades": 5.0},
    ),
    "cryptodatadownload of two currencies": (
        (
            "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume "
            "USDT,Volume USD\n"
            "1710115200000,2024-03-11 00:00:00,USDT/USD,1.0,2.0,0.5,1.5,7,10\n"
        ),
        {"quote_volume": 10.0},
    ),
    "cryptodatadownload of a turnover alone": (
        (
            "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume USD\n"
            "1710115200000,2024-03-11 00:00:00,BTC/USD,1.0,2.0,0.5,1.5,7\n"
        ),
        {},
    ),
}


@pytest.mark.parametrize("name", _FILES)
def test_a_layout_reads_the_extra_columns_of_its_vendor(tmp_path: Path, name: str) -> None:
    text, extras = _FILES[name]
    (tmp_path / "SPY.csv").write_text(text)

    frame = fetch(archive(tmp_path, "{symbol}.csv", layout=name.split(maxsplit=1)[0]))

    assert frame.drop(CANDLE_SCHEMA.names()).to_dicts() == [extras]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_extra_columns_are_named_or_taken_by_our_names(tmp_path: Path, suffix: str) -> None:
    columns = {
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 7.0,
        "vwap": 1.25,
        "Turnover": 8.75,
        "n": 4,
    }
    bars = pl.DataFrame({"ts": [MARCH_11], **{name: [value] for name, value in columns.items()}})
    path = tmp_path / f"SPY.{suffix}"
    bars.write_parquet(path) if suffix == "parquet" else bars.write_csv(path)

    alone = fetch(archive(tmp_path, "{symbol}." + suffix))
    named = fetch(
        archive(tmp_path, "{symbol}." + suffix, columns={"quote_volume": "Turnover", "trades": "n"})
    )

    assert alone.drop(CANDLE_SCHEMA.names()).to_dicts() == [{"vwap": 1.25}]
    assert named.drop(CANDLE_SCHEMA.names()).to_dicts() == [
        {"quote_volume": 8.75, "trades": 4.0, "vwap": 1.25}
    ]
    with pytest.raises(SourceError, match="has no column 'N' for trades"):
        fetch(archive(tmp_path, "{symbol}." + suffix, columns={"trades": "N"}))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_layout_is_guessed_by_the_first_lines(name: str) -> None:
    layout, text, _, _ = SAMPLES[name]

    guessed = guess_layout(text)

    alike = {"histdata for MetaTrader": "mt4"}
    assert guessed == alike.get(name, layout)


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,open,high,low,close,volume\n1710115200000,1,2,0.5,1.5,3\n",
        (
            "timestamp,open,high,low,close,volume\n2024-03-11 00:00:00,1,2,0.5,1.5,3\n2024-03-11 "
            "00:01:00,1,2,0.5,1.5,3\n"
        ),
        "timestamp,open,high,low,close,volume\n2024-03-11T00:00:00Z,1,2,0.5,1.5,3\n",
        "date,time,open,high,low,close,volume\n2024-03-11,09:30,1,2,0.5,1.5,3\n",
        "Date,Time,Open,High,Low,Close,Volume\n2024-03-11,09:30,1,2,0.5,1.5,3\n",
    ],
)
def test_names_that_anybody_may_use_are_no_layout(text: str) -> None:
    assert guess_layout(text) is None


def test_every_layout_has_a_sample_and_is_a_value_of_the_setting() -> None:
    assert {layout for layout, *_ in SAMPLES.values()} == set(LAYOUTS)
    for layout in LAYOUTS:
        ArchiveSettings.model_validate({"path": "{symbol}.csv", "layout": layout})


@pytest.mark.parametrize("name", ["Alpha Vantage", "alpha_vantage", "ALPHAVANTAGE"])
def test_a_layout_may_be_written_as_its_vendor_is(name: str) -> None:
    assert (
        ArchiveSettings.model_validate({"path": "{symbol}.csv", "layout": name}).layout
        == "alphavantage"
    )


def test_an_offset_that_yaml_takes_for_a_number_is_a_clock(tmp_path: Path) -> None:
    (tmp_path / "SPY.csv").write_text(HEAD + "2024-03-11 10:30,1,2,0.5,1.5,3\n")
    given = yaml.safe_load("clock: +10:30")

    assert fetch(archive(tmp_path, "{symbol}.csv", **given))["ts"].to_list() == [MARCH_11]


def test_every_key_of_a_layout_can_be_set_otherwise(tmp_path: Path) -> None:
    (tmp_path / "SPY.csv").write_text(SAMPLES["histdata"][1])

    frame = fetch(archive(tmp_path, "{symbol}.csv", layout="histdata", timezone="UTC"))

    assert frame["ts"][0] == MARCH_11


def test_polygons_files_of_all_symbols_give_the_one_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "2024-03-11.csv").write_text(SAMPLES["polygon"][1])

    frame = fetch(archive(tmp_path, "{date}.csv", layout="polygon"), "SPY")

    assert frame.select(CANDLE_SCHEMA.names()).rows() == SAMPLES["polygon"][3]


def test_krakens_names_have_minutes_in_them(tmp_path: Path) -> None:
    for minutes in (1, 60, 1440):
        (tmp_path / f"XBTUSD_{minutes}.csv").write_text(
            f"1710115200,{minutes},{minutes},{minutes},{minutes},1,1\n"
        )
    source = archive(tmp_path, "{symbol}_{minutes}.csv", layout="kraken")

    assert fetch(source, "XBTUSD", Timeframe.H1)["close"].to_list() == [60.0]
    assert fetch(source, "XBTUSD", Timeframe.D1)["close"].to_list() == [1440.0]


HEAD = "ts,open,high,low,close,volume\n"


class TestNumbersAndStampsAsTheyAreWritten:
    @pytest.mark.parametrize(
        "stamp", ["1717200000.0", "1.7172E+12", " 1717200000 ", "1717200000000", "20240601000000"]
    )
    def test_a_count_is_read_however_it_is_written(self, tmp_path, stamp):
        (tmp_path / "SPY.csv").write_text(HEAD + f"{stamp},1,2,0.5,1.5,3\n")

        assert fetch(archive(tmp_path, "{symbol}.csv"))["ts"].to_list() == [datetime(2024, 6, 1)]

    def test_a_date_of_eight_digits_is_no_count_of_seconds(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(HEAD + "20240311,1,2,0.5,1.5,3\n")

        assert fetch(archive(tmp_path, "{symbol}.csv"), timeframe=Timeframe.D1)["ts"].to_list() == [
            MARCH_11
        ]

    def test_nor_in_a_parquet_file(self, tmp_path):
        frame = pl.DataFrame({"ts": [20240311, 20240312]}).with_columns(
            pl.lit(1.5).alias(name) for name in ("open", "high", "low", "close", "volume")
        )
        frame.write_parquet(tmp_path / "SPY.parquet")

        assert (
            fetch(archive(tmp_path, "{symbol}.parquet"), timeframe=Timeframe.D1)["ts"][0]
            == MARCH_11
        )

    def test_a_blank_after_each_comma_is_none(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            "ts, open, high, low, close, volume\n2024-03-11, 1, 2, 0.5, 1.5, 3\n"
        )

        assert fetch(archive(tmp_path, "{symbol}.csv")).row(0) == (
            MARCH_11,
            1.0,
            2.0,
            0.5,
            1.5,
            3.0,
        )

    @pytest.mark.parametrize(
        ("cells", "numbers"),
        [
            (
                '"1,234.50","1,300.00","1,200.00","1,250.25","12,345"',
                (1234.5, 1300.0, 1200.0, 1250.25, 12345.0),
            ),
            (
                "1 234.50,1 300.00,1 200.00,1 250.25,12345",
                (1234.5, 1300.0, 1200.0, 1250.25, 12345.0),
            ),
            (
                '"1234,50","1300,00","1200,00","1250,25","12.345"',
                (1234.5, 1300.0, 1200.0, 1250.25, 12345.0),
            ),
            (
                '"1.234,50","1.300,00","1.200,00","1.250,25","12.345"',
                (1234.5, 1300.0, 1200.0, 1250.25, 12345.0),
            ),
            (
                "1\u2019234.50,1\u2019300.00,1\u2019200.00,1\u2019250.25,12\u2019345",
                (1234.5, 1300.0, 1200.0, 1250.25, 12345.0),
            ),
            (
                "1\u2009234.50,1\u2009300.00,1\u2009200.00,1\u2009250.25,12\u2009345",
                (1234.5, 1300.0, 1200.0, 1250.25, 12345.0),
            ),
            (
                '"1,01,234.50","1,01,300","1,01,200","1,01,250.25","12,34,567"',
                (101234.5, 101300.0, 101200.0, 101250.25, 1234567.0),
            ),
            (
                '"1,234","1,300","1,200","1,250","1,234,567"',
                (1234.0, 1300.0, 1200.0, 1250.0, 1234567.0),
            ),
            ("1234.5,1300,1200,1250.25,60.14M", (1234.5, 1300.0, 1200.0, 1250.25, 60140000.0)),
            ("1234.5,1300,1200,1250.25,3.4m", (1234.5, 1300.0, 1200.0, 1250.25, 3400000.0)),
            ("1234.5,1300,1200,1250.25,1.2 k", (1234.5, 1300.0, 1200.0, 1250.25, 1200.0)),
            ("1234.5,1300,1200,1250.25,2.5B", (1234.5, 1300.0, 1200.0, 1250.25, 2.5e9)),
            (
                '"1234,5","1300,25","1200,5","1250,25","60,14M"',
                (1234.5, 1300.25, 1200.5, 1250.25, 60140000.0),
            ),
            (
                '"1234,5","1300,25","1200,5","1250,25","1,5 Mio."',
                (1234.5, 1300.25, 1200.5, 1250.25, 1500000.0),
            ),
        ],
    )
    def test_thousands_may_be_parted_and_a_comma_may_stand_before_a_fraction(
        self, tmp_path, cells, numbers
    ):
        (tmp_path / "SPY.csv").write_text(HEAD + f"2024-03-11,{cells}\n")

        assert fetch(archive(tmp_path, "{symbol}.csv")).row(0)[1:] == numbers

    def test_a_number_that_can_be_two_is_none(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            "ts;open;high;low;close;volume\n2024-03-11;1,234;1,234;1,234;1,234;1\n"
        )
        source = archive(tmp_path, "{symbol}.csv")

        assert fetch(source)["close"].to_list() == [None]
        assert fetch(archive(tmp_path, "{symbol}.csv", decimal=","))["close"].to_list() == [1.234]
        assert fetch(archive(tmp_path, "{symbol}.csv", decimal="."))["close"].to_list() == [1234.0]

    @pytest.mark.parametrize(
        "dtype", [pl.Categorical, pl.Enum(["2024-03-11 00:00:00", "2024-03-11 00:01:00"])]
    )
    def test_categories_are_text(self, tmp_path, dtype):
        frame = pl.DataFrame({"ts": ["2024-03-11 00:00:00", "2024-03-11 00:01:00"]}).with_columns(
            pl.col("ts").cast(dtype),
            *(pl.lit(1.5).alias(name) for name in ("open", "high", "low", "close", "volume")),
        )
        frame.write_parquet(tmp_path / "SPY.parquet")

        assert fetch(archive(tmp_path, "{symbol}.parquet"))["ts"][1] == datetime(2024, 3, 11, 0, 1)

    def test_a_volume_may_stand_for_none(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            HEAD + "2024-03-11,1,2,0.5,1.5,-1\n2024-03-12,1,2,0.5,1.5,3\n"
        )

        assert fetch(archive(tmp_path, "{symbol}.csv", null_volume=-1))["volume"].to_list() == [
            None,
            3.0,
        ]


class TestTextsAsTheyAre:
    ROWS = "2024-03-11 00:00:00,1,2,0.5,1.5,3\n2024-03-11 00:01:00,1,2,0.5,1.6,4\n"

    def closes(
        self, folder: Path, body: bytes, *, name: str = "SPY.csv", **settings: Any
    ) -> list[float]:
        (folder / name).write_bytes(body)
        suffix = name.removeprefix("SPY")
        return fetch(archive(folder, "{symbol}" + suffix, **settings))["close"].to_list()

    @pytest.mark.parametrize(
        "encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-8-sig", "cp1252"]
    )
    def test_letters_are_read_however_they_are_written(self, tmp_path, encoding):
        body = (HEAD.strip() + ",Umsatz \u20ac\n" + self.ROWS.replace("\n", ",\u20ac\n")).encode(
            encoding, "replace"
        )

        assert self.closes(tmp_path, body) == [1.5, 1.6]

    def test_a_column_is_found_by_a_name_that_windows_has_written(self, tmp_path):
        body = b"ts,open,high,low,close,Umsatz \x80\n" + self.ROWS.encode()

        assert self.closes(tmp_path, body, columns={"volume": "Umsatz \u20ac"}) == [1.5, 1.6]

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
    @pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.bz2", "csv.xz", "CSV", "Txt"])
    def test_how_a_file_is_packed_its_bytes_say_and_not_its_name(self, tmp_path, pack, suffix):
        body = pack((HEAD + self.ROWS).encode())

        assert self.closes(tmp_path, body, name=f"SPY.{suffix}") == [1.5, 1.6]

    def test_a_zip_may_be_called_csv_and_its_member_nothing(self, tmp_path):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as pack:
            pack.writestr("SPY", HEAD + self.ROWS)

        assert self.closes(tmp_path, packed.getvalue()) == [1.5, 1.6]

    @pytest.mark.parametrize(
        ("start", "words"),
        [
            (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it"),
            (b"\xd0\xcf\x11\xe0", "an Excel workbook: save it as CSV"),
            (b"PAR1", "a Parquet file: its name must end in .parquet"),
            (b"ARROW1", "an Arrow file: save it as Parquet"),
        ],
    )
    def test_what_is_no_text_is_told_by_what_it_is(self, tmp_path, start, words):
        with pytest.raises(SourceError, match=words):
            self.closes(tmp_path, start + b"\0" * 100)

    def test_so_is_a_workbook_of_today(self, tmp_path):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as pack:
            pack.writestr("xl/workbook.xml", "<workbook/>")

        with pytest.raises(SourceError, match="an Excel workbook: save it as CSV"):
            self.closes(tmp_path, packed.getvalue())

    @pytest.mark.parametrize(
        "text",
        [
            "sep=,\n" + HEAD + ROWS,
            "#" + HEAD + ROWS,
            "# of a vendor, as it is, without, any, warranty\n" + HEAD + ROWS,
            HEAD + "# a remark\n" + ROWS.replace("\n", "\n# another\n", 1),
            HEAD + "#2024-03-10 23:59:00,9,9,9,9,9\n" + ROWS,
            HEAD.replace(",", "  ") + ROWS.replace(" 00", "T00").replace(",", "   "),
            HEAD.replace("ts", "date time").replace(",", " ") + ROWS.replace(",", " "),
        ],
    )
    def test_signs_remarks_and_blanks_are_no_rows(self, tmp_path, text):
        apart = {"date": "date", "time": "time"} if text.startswith("date") else {}

        frame_closes = self.closes(tmp_path, text.encode(), columns=apart)

        assert frame_closes == [1.5, 1.6]

    def test_lines_with_fewer_cells_than_names_are_told(self, tmp_path):
        with pytest.raises(SourceError, match="its lines have 6 cells, and its header has 7 names"):
            self.closes(tmp_path, (HEAD.strip() + ",more\n" + self.ROWS).encode())

    def test_further_lines_of_names_are_none(self, tmp_path):
        text = (
            "ts,close,high,low,open,volume\nTicker,0700.HK,0700.HK,0700.HK,0700.HK,0700.HK\n"
            "Date,,,,,\n2024-03-11,1.5,2,0.5,1,3\n"
        )

        assert self.closes(tmp_path, text.encode()) == [1.5]


class TestClockInTheHeader:
    TEXT = "Time ({}),Open,High,Low,Close,Volume\n2024.03.11 02:00:00,1,2,0.5,1.5,3\n"

    def read(self, folder, zone, **settings):
        (folder / "SPY.csv").write_text(self.TEXT.format(zone))
        names = {"ts": f"Time ({zone})"} | {
            name: name.capitalize() for name in ("open", "high", "low", "close")
        }
        return fetch(archive(folder, "{symbol}.csv", columns=names, **settings))["ts"].to_list()

    @pytest.mark.parametrize("zone", ["EET", "GMT+2", "Europe/Athens"])
    def test_one_that_nobody_has_said_is_asked_for(self, tmp_path, zone):
        with pytest.raises(
            SourceError, match=rf"set timezone: {zone}, or timezone: UTC".replace("+", r"\+")
        ):
            self.read(tmp_path, zone)

    @pytest.mark.parametrize(("zone", "hour"), [("EET", 0), ("UTC", 2)])
    def test_what_is_set_is_taken_at_its_word(self, tmp_path, zone, hour):
        assert self.read(tmp_path, "EET", timezone=zone) == [datetime(2024, 3, 11, hour)]

    @pytest.mark.parametrize("zone", ["UTC", "GMT", "UTC+0", "ms", "local"])
    def test_utc_and_what_is_no_clock_is_none_to_ask_for(self, tmp_path, zone):
        assert self.read(tmp_path, zone) == [datetime(2024, 3, 11, 2)]


class TestSeveralSymbols:
    TEXT = (
        "ts,ticker,open,high,low,close,volume\n2024-03-11,SPY,1,2,0.5,1.5,3\n"
        "{},QQQ,100,200,50,150,3\n"
    )

    @pytest.mark.parametrize("columns", [{}, {"symbol": "ticker"}])
    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_a_file_of_several_gives_each_its_own(self, tmp_path, suffix, columns):
        text = self.TEXT.format("2024-03-11")
        (tmp_path / "SPY.csv").write_text(text)
        pl.read_csv(text.encode(), try_parse_dates=True).cast(
            {"high": pl.Float64, "open": pl.Float64}
        ).with_columns(pl.col("ts").cast(pl.Datetime("us"))).write_parquet(tmp_path / "SPY.parquet")

        assert fetch(archive(tmp_path, "{symbol}." + suffix, columns=columns))[
            "close"
        ].to_list() == [1.5]

    def test_none_of_them_is_taken_for_one_that_it_does_not_name(self, tmp_path):
        (tmp_path / "spy-1m.csv").write_text(self.TEXT.format("2024-03-11"))

        with pytest.raises(
            SourceError,
            match=r"several symbols at the same times, such as QQQ, SPY, and none of spy-1m",
        ):
            fetch(archive(tmp_path, "{symbol}.csv"), symbol="spy-1m")

    def test_one_that_was_renamed_is_one(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(self.TEXT.format("2024-03-12"))

        assert fetch(archive(tmp_path, "{symbol}.csv"))["close"].to_list() == [1.5, 150.0]


class TestFixedPointPrices:
    TEXT = HEAD + "2024-03-11,10000000000,10500000000,9990000000,10250000000,3\n"

    def test_they_are_refused_where_nobody_says_so(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(self.TEXT)

        with pytest.raises(SourceError, match=r"look like fixed-point numbers: set price_scale"):
            fetch(archive(tmp_path, "{symbol}.csv"))

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_with_a_scale_they_are_prices(self, tmp_path, suffix):
        (tmp_path / "SPY.csv").write_text(self.TEXT)
        pl.read_csv(self.TEXT.encode(), try_parse_dates=True).write_parquet(
            tmp_path / "SPY.parquet"
        )

        row = fetch(archive(tmp_path, "{symbol}." + suffix, price_scale=1e-9)).row(0)

        assert row == (MARCH_11, 10.0, 10.5, 9.99, 10.25, 3.0)

    def test_so_are_those_of_a_parquet_file(self, tmp_path):
        pl.read_csv(self.TEXT.encode(), try_parse_dates=True).write_parquet(
            tmp_path / "SPY.parquet"
        )

        with pytest.raises(SourceError, match="price_scale"):
            fetch(archive(tmp_path, "{symbol}.parquet"))

    def test_a_scale_of_one_says_that_they_are_prices_as_they_stand(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(self.TEXT)

        assert fetch(archive(tmp_path, "{symbol}.csv", price_scale=1))["close"].to_list() == [
            10250000000.0
        ]

    def test_no_price_of_theirs_is_none(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            HEAD + f"2024-03-11,{2**63 - 1},{2**63 - 1},{2**63 - 1},{2**63 - 1},3\n"
        )

        assert fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9))["close"].to_list() == [
            None
        ]

    def test_they_are_right_to_the_last_bit(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(
            HEAD + "2024-03-11,172700000000,172940000000,172610000000,172930000000,3\n"
        )

        row = fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9)).row(0)

        assert row[1:5] == (172.7, 172.94, 172.61, 172.93)

    def test_a_whole_price_among_fractions_is_one_as_it_stands(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(HEAD + "2024-03-11,172.94,173.06,172.7,173,3\n")

        assert fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9)).row(0)[1:5] == (
            172.94,
            173.06,
            172.7,
            173.0,
        )

    def test_billionths_beside_fractions_are_billionths(self, tmp_path):
        rows = (
            "2024-03-11,172.94,173.06,172.7,173.5,3\n"
            "2024-03-12,172940000000,173060000000,172700000000,173000000000,3\n"
        )
        (tmp_path / "SPY.csv").write_text(HEAD + rows)

        closes = fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9))["close"].to_list()

        assert closes == [173.5, 173.0]

    def test_whole_prices_that_are_no_billionths_are_refused(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(HEAD + "2024-03-11,17,18,16,17,3\n")

        with pytest.raises(SourceError, match="price_scale: 1 where they are prices as they stand"):
            fetch(archive(tmp_path, "{symbol}.csv", price_scale=1e-9))

    def test_cents_may_have_fractions(self, tmp_path):
        (tmp_path / "SPY.csv").write_text(HEAD + "2024-03-11,1000,1050.5,950,1000,3\n")

        assert fetch(archive(tmp_path, "{symbol}.csv", price_scale=0.01)).row(0)[1:5] == (
            10.0,
            10.505,
            9.5,
            10.0,
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layout": "nobody"}, "layout"),
        ({"clock": "Mars + 7h"}, "New York"),
        ({"clock": "UTC", "timezone": "UTC"}, "set one of them"),
        ({"columns": {"time": "t"}}, "one of dates"),
        ({"encoding": "morse"}, "no encoding"),
        ({"stamps": "middle"}, "stamps"),
        ({"price_scale": 0}, "price_scale"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ArchiveSettings.model_validate({"path": "{symbol}.csv"} | wrong)
