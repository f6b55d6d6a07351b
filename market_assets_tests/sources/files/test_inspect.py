"""What a file seems to be: the settings that are guessed read it."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from market_assets.errors import SourceError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.files.inspect import inspect_file
from market_assets.sources.files.settings import ArchiveSettings
from market_assets_tests.support.archives import SAMPLES, archive, fetch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("suffix", ["csv", "txt.gz", "zip"])
def test_every_vendors_file_is_read_by_the_settings_that_are_guessed(
    tmp_path: Path, name: str, suffix: str
) -> None:
    _, text, timeframe, rows = SAMPLES[name]
    path = tmp_path / f"EURUSD_2024-03-11.{suffix}"
    body = text.encode()
    if suffix == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as pack:
            pack.writestr("a.csv", text)
        body = packed.getvalue()
    path.write_bytes(gzip.compress(body) if suffix == "txt.gz" else body)

    guess = inspect_file(path)

    written = yaml.safe_load(guess.yaml())["sources"]["files"]
    settings = ArchiveSettings.model_validate(written)
    many = "symbol" in text and guess.symbols
    pattern = f"{{date}}.{suffix}" if guess.symbols else f"{{symbol}}_{{date}}.{suffix}"
    assert settings.path.endswith(pattern)
    if name == "histdata for MetaTrader" or name.startswith(("mt4", "mt5")):
        written["clock"] = "-05:00" if name.startswith("histdata") else "UTC"
    written.pop("type")
    symbol = "EURUSD" if not guess.symbols else guess.symbols[-1]
    frame = fetch(archive(tmp_path, written.pop("path"), **written), symbol, timeframe)
    assert frame.select(CANDLE_SCHEMA.names()).rows()[-1:] == rows[-1:] or many
    assert guess.bars.height > 0


def test_a_table_that_nobody_knows_is_guessed_by_the_names_of_its_columns(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(
        "Ticker;Day;Hour;O;H;L;C;Vol.\nAAPL;2024-03-11;09:30;1,25;2,5;0,75;1,5;1.000\n"
        "AAPL;2024-03-11;09:31;1,25;2,5;0,75;1,5;1.000\n"
    )

    guess = inspect_file(tmp_path / "AAPL.csv")

    assert guess.settings["columns"] == {
        "date": "Day",
        "time": "Hour",
        "open": "O",
        "high": "H",
        "low": "L",
        "close": "C",
        "volume": "Vol.",
    }
    assert guess.timeframe is Timeframe.M1
    assert guess.bars.row(0) == (datetime(2024, 3, 11, 9, 30), 1.25, 2.5, 0.75, 1.5, 1000.0)


def test_without_names_it_is_guessed_by_the_cells(tmp_path: Path) -> None:
    (tmp_path / "AAPL.txt").write_text(
        "20240311|093000|1.0|2.0|0.5|1.5|10\n20240311|093500|1.0|2.0|0.5|1.5|10\n"
    )

    guess = inspect_file(tmp_path / "AAPL.txt")

    assert guess.settings["header"] is False
    assert guess.timeframe is Timeframe.M5
    assert guess.bars["ts"][0] == datetime(2024, 3, 11, 9, 30)


def test_dates_that_can_be_read_two_ways_are_put_to_the_person(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text("ts,open,high,low,close,volume\n01/02/2024,1,2,0.5,1.5,3\n")

    guess = inspect_file(tmp_path / "AAPL.csv")

    assert guess.settings["format"] == "%m/%d/%Y"
    assert any("format is a guess" in note for note in guess.notes)


def test_with_a_calendar_the_zone_and_the_meaning_of_the_stamps_are_guessed(tmp_path: Path) -> None:
    def write(first: datetime) -> None:
        rows = "".join(f"{first + n * timedelta(minutes=1)},1,2,0.5,1.5,3\n" for n in range(390))
        (tmp_path / "SPY.csv").write_text("ts,open,high,low,close,volume\n" + rows)

    write(datetime(2024, 3, 5, 9, 30))
    assert (
        inspect_file(tmp_path / "SPY.csv", calendar=load_calendar("XNYS")).settings["timezone"]
        == "America/New_York"
    )
    write(datetime(2024, 3, 5, 14, 31))
    assert (
        inspect_file(tmp_path / "SPY.csv", calendar=load_calendar("XNYS")).settings["stamps"]
        == "close"
    )


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a.csv", b"", "it is empty"),
        ("a.csv", b"<html></html>", "HTML"),
        ("a.xlsx", b"PK", "must end in"),
        ("a.zip", b"PK", "cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_what_is_no_table_is_an_error_that_names_it(
    tmp_path: Path, name: str, body: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(body)

    with pytest.raises(SourceError, match=words):
        inspect_file(tmp_path / name)
