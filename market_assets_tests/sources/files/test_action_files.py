"""Corporate actions from local files."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets.sources.actions import ACTION_SCHEMA, tidy
from market_assets.sources.files.action_files import ActionFilesSettings, ActionFilesSource
from market_assets_tests.support.action_answers import ask, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


START, END = date(2014, 1, 1), date(2026, 1, 1)
NOW = datetime(2025, 11, 18, 12, tzinfo=UTC)


class TestFiles:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Callable[..., ActionFilesSource]:
        def files(text: str, name: str = "AAPL.csv", **keys: object) -> ActionFilesSource:
            (tmp_path / name).write_text(text)
            settings = ActionFilesSettings.model_validate({"path": "{symbol}.csv"} | keys)
            return ActionFilesSource("mine", settings, base=tmp_path, kind="equity")

        return files

    def test_a_line_an_action_is_read_however_its_ratio_is_written(self, files):
        source = files(
            "ex_date,kind,ratio,amount,currency,detail\n"
            "2020-08-31,split,4:1,,,\n"
            "2014-06-09,Split,7-for-1,,,\n"
            "2020-08-07,DIVIDEND,,0.82,USD,\n"
            "2021-01-04,split,1/10,,,\n"
            "2022-06-09,rename,,,,FB to META\n"
            "2023-01-03,split,1.5,-,,\n"
            "2024-02-01,delisting,,,,\n"
        )

        assert told(ask(source, "AAPL")) == [
            ("2014-06-09", "split", 7.0),
            ("2020-08-07", "dividend", 0.82, "USD"),
            ("2020-08-31", "split", 4.0),
            ("2021-01-04", "split", 0.1),
            ("2022-06-09", "rename", "FB to META"),
            ("2023-01-03", "split", 1.5),
            ("2024-02-01", "delisting"),
        ]
        assert source.usage.requests == 1

    def test_a_line_a_day_in_a_file_of_many_symbols_is_read_and_dividends_are_what_was_paid(
        self, files
    ):
        source = files(
            "Ticker,Day,Dividends,Splits\n"
            "AAPL,2020-08-07 00:00:00-04:00,0.205,0.0\n"
            "AAPL,2020-08-10 00:00:00-04:00,0.0,0.0\n"
            "AAPL,2020-08-31 00:00:00-04:00,0.0,4.0\n"
            "AAPL,2020-11-06 00:00:00-05:00,0.205,0.0\n"
            "BAC,2020-09-03 00:00:00-04:00,0.18,0.0\n",
            name="all.csv",
            path="all.csv",
            columns={
                "symbol": "Ticker",
                "ex_date": "Day",
                "amount": "Dividends",
                "ratio": "Splits",
            },
            amounts="split_adjusted",
            currency="USD",
        )

        assert told(ask(source, "AAPL")) == [
            ("2020-08-07", "dividend", 0.82, "USD"),
            ("2020-08-31", "split", 4.0),
            ("2020-11-06", "dividend", 0.205, "USD"),
        ]
        # A split after the window still counts: the amounts are divided by it.
        assert told(ask(source, "AAPL", END, date(2030, 1, 1))) == []
        assert told(ask(source, "AAPL", date(2020, 8, 1), date(2020, 8, 31))) == [
            ("2020-08-07", "dividend", 0.82, "USD")
        ]
        assert told(ask(source, "NONE")) == []

    def test_dates_of_other_countries_and_parquet_are_read(self, files, tmp_path):
        source = files("ex_date,ratio,amount\n09/06/2014,7,\n", format="%d/%m/%Y")
        assert told(ask(source, "AAPL")) == [("2014-06-09", "split", 7.0)]

        pl.DataFrame({"ex_date": [date(2020, 8, 31)], "ratio": [4.0]}).write_parquet(
            tmp_path / "AAPL.parquet"
        )
        assert told(ask(files("", path="{symbol}.parquet"), "AAPL")) == [
            ("2020-08-31", "split", 4.0)
        ]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("when,ratio\n2020-01-01,2\n", "no column ex_date; it has when, ratio"),
            ("ex_date,price\n2020-01-01,2\n", "no column amount, ratio"),
            ("ex_date,ratio\n2020-01-01,two\n", "'two' is no ratio"),
            (
                "ex_date,ratio\n2020-01-01,-2\n",
                "1 of 1 actions are none, the first: ex_date 2020-01-01, kind split, ratio -2",
            ),
            ("ex_date,ratio\n01.02.2020,2\n", "ex_date None"),
            ("ex_date,kind,amount\n2020-01-01,spinoff,1\n", "kind spinoff"),
            ("ex_date,kind,ratio\n2020-01-01,split,\n", "kind split, ratio None"),
        ],
    )
    def test_what_is_no_action_is_refused_with_its_place_and_what_to_do(self, files, text, words):
        with pytest.raises(SourceError) as caught:
            ask(files(text), "AAPL")

        assert words in str(caught.value)
        assert "source mine: AAPL in " in str(caught.value)
        assert "Correct" in str(caught.value) or "Name" in str(caught.value)
        assert caught.value.permanent

    def test_a_file_that_is_not_there_is_no_answer(self, files):
        with pytest.raises(SourceError, match=r"cannot be read.*Correct the path"):
            ask(files(""), "MSFT")

    def test_there_are_no_candles_in_it(self, files):
        with pytest.raises(SourceError, match="no candles"):
            asyncio.run(files("").fetch("AAPL", "1d", NOW, NOW))

    def test_twice_the_same_is_once(self):
        row = (date(2020, 8, 31), "split", 4.0, None, None, None)
        frame = pl.DataFrame([row, row], schema=ACTION_SCHEMA, orient="row")

        assert tidy(frame, START, END, about="source mine").height == 1
