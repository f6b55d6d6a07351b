"""Files as vendors write them: each layout reads its vendor's lines, and is guessed by them."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.files.layouts import LAYOUTS, guess_layout
from market_assets.sources.files.settings import ArchiveSettings
from market_assets_tests.support.archives import SAMPLES, archive, fetch

if TYPE_CHECKING:
    from pathlib import Path


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


class TestFormats:
    def test_binances_own_zip_is_read_without_header_and_across_its_change_of_unit(self, tmp_path):
        before = (
            "1735689540000,93500.1,93510.0,93490.5,93500.2,12.5,"
            "1735689599999,1168752.5,100,6.0,561001.2,0\n"
        )
        after = (
            "1735689600000000,93500.2,93511.0,93499.0,93505.5,3.25,"
            "1735689659999999,303892.9,80,1.5,140258.2,0\n"
        )
        for day, text in (("2024-12-31", before), ("2025-01-01", after)):
            with zipfile.ZipFile(tmp_path / f"BTCUSDT-1m-{day}.zip", "w") as pack:
                pack.writestr(f"BTCUSDT-1m-{day}.csv", text)

        frame = fetch(archive(tmp_path, "{symbol}-{timeframe}-{date}.zip", header=False), "BTCUSDT")

        # A frame's times have no zone.
        assert frame["ts"].to_list() == [
            datetime(2024, 12, 31, 23, 59),  # noqa: DTZ001
            datetime(2025, 1, 1),  # noqa: DTZ001
        ]
        assert frame["close"].to_list() == [93500.2, 93505.5]
        assert frame["volume"].to_list() == [12.5, 3.25]
