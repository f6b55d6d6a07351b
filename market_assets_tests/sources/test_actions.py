"""Corporate actions from files, from Polygon and from Yahoo.

What is read, what is refused, and in which units do dividends come?
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from market_assets.config.load import load_universe
from market_assets.errors import SourceError, UniverseError
from market_assets.sources.actions import ACTION_SCHEMA, gives_actions, tidy
from market_assets.sources.contract import source_types
from market_assets.sources.files.action_files import ActionFilesSettings, ActionFilesSource
from market_assets.sources.vendors.polygon import PolygonSettings, PolygonSource
from market_assets.sources.vendors.yahoo import YahooSettings, YahooSource
from market_assets.sources.vendors.yahoo_actions import read_actions
from market_assets_tests.support.doubles import KEY
from market_assets_tests.support.keyed_ground import QUICK, KeyedVendor
from market_assets_tests.support.library_doubles import LoopbackSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.sources.actions import ActionSource
    from market_assets_tests.support.keyed_ground import Asked

START, END = date(2014, 1, 1), date(2026, 1, 1)
NOW = datetime(2025, 11, 18, 12, tzinfo=UTC)


def ask(source: ActionSource, symbol: str, start: date = START, end: date = END) -> pl.DataFrame:
    async def actions() -> pl.DataFrame:
        async with source:
            return await source.actions(symbol, start, end)

    return asyncio.run(actions())


def told(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The actions without what is null in them."""
    assert frame.schema == ACTION_SCHEMA
    return [
        tuple(f"{cell}" if isinstance(cell, date) else cell for cell in row if cell is not None)
        for row in frame.rows()
    ]


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


SPLITS = [
    {"execution_date": "2014-06-09", "split_from": 1, "split_to": 7, "ticker": "AAPL", "id": "x"},
    {"execution_date": "2020-08-31", "split_from": 1, "split_to": 4, "ticker": "AAPL"},
]
DIVIDENDS = [
    {
        "cash_amount": 0.82,
        "currency": "USD",
        "dividend_type": "CD",
        "ex_dividend_date": "2020-08-07",
        "frequency": 4,
        "ticker": "AAPL",
    },
    {
        "cash_amount": 0.205,
        "currency": "USD",
        "dividend_type": "CD",
        "ex_dividend_date": "2020-11-06",
        "frequency": 4,
        "ticker": "AAPL",
    },
    {
        "cash_amount": 3.08,
        "dividend_type": "SC",
        "ex_dividend_date": "2020-11-06",
        "frequency": 0,
        "ticker": "AAPL",
    },
]
# As Polygon's own client has it recorded for META.
EVENTS = [
    {"ticker_change": {"ticker": "META"}, "type": "ticker_change", "date": "2022-06-11"},
    {"ticker_change": {"ticker": "FB"}, "type": "ticker_change", "date": "2012-05-18"},
]


class Polygon:
    """The vendor's lists, a page of so many rows at a time."""

    def __init__(self, page: int = 1000, **lists: Any) -> None:
        self.lists = {
            "splits": SPLITS,
            "dividends": DIVIDENDS,
            "tickers": [],
            "events": EVENTS,
        } | lists
        self.page = page

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"status": "ERROR", "error": "Unknown API Key"}
        what = asked.path.rpartition("/")[2]
        rows = self.lists[what]
        if isinstance(rows, tuple | bytes):
            return rows if isinstance(rows, tuple) else (200, rows)
        if what == "events":
            return 200, {"results": {"name": "Meta", "events": rows}, "status": "OK"}
        at = int(asked.query.get("cursor", 0))
        answer = {"results": rows[at : at + self.page], "status": "OK", "request_id": "f00"}
        if at + self.page < len(rows):
            answer["next_url"] = (
                f"https://api.elsewhere.example/v3/reference/{what}?cursor={at + self.page}"
            )
        return 200, answer


class TestPolygon:
    @pytest.fixture
    def polygon(self, serve, tmp_path):
        def polygon(respond: Any) -> tuple[PolygonSource, KeyedVendor]:
            vendor = KeyedVendor(respond)
            settings = PolygonSettings.model_validate(
                QUICK | {"base_url": serve(vendor).url, "key": KEY}
            )
            return PolygonSource(
                "mine", settings, base=tmp_path, kind="equity", clock=lambda: NOW
            ), vendor

        return polygon

    def test_splits_dividends_and_changes_of_the_ticker_are_four_requests(self, polygon):
        source, vendor = polygon(Polygon())

        assert told(ask(source, "AAPL")) == [
            ("2014-06-09", "split", 7.0, "7 for 1"),
            ("2020-08-07", "dividend", 0.82, "USD"),
            ("2020-08-31", "split", 4.0, "4 for 1"),
            ("2020-11-06", "dividend", 0.205, "USD"),
            ("2020-11-06", "dividend", 3.08, "special"),
            ("2022-06-11", "rename", "FB to META"),
        ]
        first, second, third, fourth = vendor.log
        assert first.path == "/v3/reference/splits"
        assert first.query["ticker"] == "AAPL"
        assert (first.query["execution_date.gte"], first.query["execution_date.lt"]) == (
            "2014-01-01",
            "2026-01-01",
        )
        assert second.query["ex_dividend_date.gte"] == "2014-01-01"
        assert third.query["active"] == "false"
        assert (fourth.path, fourth.query) == (
            "/vX/reference/tickers/AAPL/events",
            {"types": "ticker_change"},
        )

    def test_further_pages_are_asked_of_our_own_address(self, polygon):
        source, vendor = polygon(Polygon(page=1))

        assert len(ask(source, "AAPL")) == 6
        assert [asked.query.get("cursor") for asked in vendor.log if "dividends" in asked.path] == [
            None,
            "1",
            "2",
        ]

    def test_the_day_a_ticker_was_delisted_is_told(self, polygon):
        gone = {
            "ticker": "AAPL",
            "name": "Apple",
            "active": False,
            "delisted_utc": "2023-05-02T04:00:00Z",
        }
        source, _ = polygon(
            Polygon(splits=[], dividends=[], events=(404, {"status": "NOT_FOUND"}), tickers=[gone])
        )

        assert told(ask(source, "AAPL")) == [("2023-05-02", "delisting", "Apple")]

    @pytest.mark.parametrize(
        ("lists", "words"),
        [
            ({"splits": (401, {"status": "ERROR", "error": "Unknown API Key"})}, "HTTP 401"),
            ({"dividends": (200, {"status": "OK", "results": {"a": 1}})}, "not a list of actions"),
            (
                {
                    "splits": [
                        {
                            "ticker": "MSFT",
                            "execution_date": "2020-01-01",
                            "split_from": 1,
                            "split_to": 2,
                        }
                    ]
                },
                "about MSFT",
            ),
            (
                {
                    "splits": [
                        {
                            "ticker": "AAPL",
                            "execution_date": "2020-01-01",
                            "split_from": 0,
                            "split_to": 2,
                        }
                    ]
                },
                "not a list of actions",
            ),
            ({"dividends": b'{"status": "OK", "results": [{"cash_'}, "not JSON"),
            (
                {"dividends": (200, {"status": "ERROR", "error": "limit exceeded"})},
                "limit exceeded",
            ),
            (
                {
                    "dividends": (
                        200,
                        {
                            "status": "OK",
                            "results": [],
                            "next_url": "https://x.example/other?cursor=1",
                        },
                    )
                },
                "next page is elsewhere",
            ),
            (
                {
                    "dividends": (
                        200,
                        {
                            "status": "OK",
                            "results": [],
                            "next_url": "https://x.example/v3/reference/dividends?cursor=1",
                        },
                    )
                },
                "do not end",
            ),
            (
                {
                    "dividends": [
                        {"ticker": "AAPL", "ex_dividend_date": "2020-01-02", "cash_amount": -1}
                    ]
                },
                "amount -1",
            ),
            ({"events": (500, {})}, "HTTP 500"),
        ],
    )
    def test_what_is_no_answer_is_an_error_that_names_source_and_symbol(
        self, polygon, lists, words
    ):
        source, _ = polygon(Polygon(**lists))

        with pytest.raises(SourceError) as caught:
            ask(source, "AAPL")

        assert words in str(caught.value)
        assert str(caught.value).startswith("source mine: AAPL ")
        assert KEY not in str(caught.value)


class TestYahoo:
    @pytest.mark.parametrize(
        ("name", "symbol", "expected"),
        [
            (
                "v8_chart-AAPL-2020-08-31-to-2020-11-07",
                "AAPL",
                [("2020-08-31", "split", 4.0, "4:1"), ("2020-11-06", "dividend", 0.205, "USD")],
            ),
            (
                "v8_historical-via-chart-MSFT-dividends-2021-02-01-to-2022-01-31.csv",
                "MSFT",
                [
                    ("2021-02-17", "dividend", 0.56, "USD"),
                    ("2021-05-19", "dividend", 0.56, "USD"),
                    ("2021-08-18", "dividend", 0.56, "USD"),
                    ("2021-11-17", "dividend", 0.62, "USD"),
                ],
            ),
            (
                "v8_historical-via-chart-NVDA-split-2021-02-01-to-2022-01-31.csv",
                "NVDA",
                [("2021-07-20", "split", 4.0, "4:1")],
            ),
        ],
    )
    def test_recorded_answers_are_read_with_the_exchange_s_dates(
        self, shared, name, symbol, expected
    ):
        said = json.loads((shared / "wire" / "yahoo" / f"{name}.json").read_bytes())
        body = json.dumps(said.get("response", {}).get("bodyJson", said)).encode()

        assert told(read_actions(symbol, body).sort("ex_date")) == expected

    def test_all_is_asked_for_up_to_now_and_dividends_are_given_as_they_were_paid(
        self, serve, tmp_path
    ):
        import yfinance  # noqa: PLC0415 - half a second

        dividends = {
            "1": {"amount": 0.205, "date": 1596807000},
            "2": {"amount": 0.26, "date": 1762785000},
        }
        split = {"date": 1598880600, "numerator": 4, "denominator": 1, "splitRatio": "4:1"}
        meta = {"symbol": "AAPL", "currency": "USD", "exchangeTimezoneName": "America/New_York"}
        result = {"meta": meta, "events": {"dividends": dividends, "splits": {"3": split}}}
        vendor = KeyedVendor(lambda _: (200, {"chart": {"result": [result], "error": None}}))
        settings = YahooSettings.model_validate(QUICK | {"base_url": serve(vendor).url})
        yfinance.set_tz_cache_location(str(tmp_path))
        with LoopbackSession() as session:
            yfinance.Ticker("NONE", session=session)
            source = YahooSource("mine", settings, base=tmp_path, kind="equity", clock=lambda: NOW)
            found = ask(source, "AAPL", date(2020, 8, 1), date(2020, 8, 31))

        assert told(found) == [("2020-08-07", "dividend", 0.82, "USD")]
        (asked,) = vendor.log
        assert asked.query["events"] == "div,splits"
        assert int(asked.query["period1"]) < datetime(2020, 8, 1, tzinfo=UTC).timestamp()
        assert int(asked.query["period2"]) > NOW.timestamp()

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"<html>", "no actions"),
            (
                (
                    b'{"chart": {"result": null, "error": {"code": "Not Found", "description": '
                    b'"No data found"}}}'
                ),
                "No data found",
            ),
            (
                (
                    b'{"chart": {"result": [{"meta": {"symbol": "MSFT", "exchangeTimezoneName": '
                    b'"UTC"}}], "error": null}}'
                ),
                "about 'MSFT'",
            ),
            (b'{"chart": {"result": [{"meta": {"symbol": "AAPL"}}], "error": null}}', "no actions"),
        ],
    )
    def test_what_is_no_answer_is_an_error(self, body, words):
        with pytest.raises(SourceError, match=words):
            read_actions("AAPL", body)


UNIVERSE = """
sources:
  archive: {{path: "{{symbol}}.csv"}}
  polygon: {{key: abc}}
  yahoo: {{}}
  files: {{type: action_files, path: "actions/{{symbol}}.csv"}}
profiles:
  us: {{kind: EQUITY, start: 2024-01-01, timeframes: {{fetch: [1d]}}, sources: [archive],
       symbols: {{AAPL: {{}}, BRK: {{sources: [archive, {{polygon: BRK.B}}]}}}}{more}}}
"""


class TestUniverse:
    @pytest.fixture
    def load(self, tmp_path):
        def load(more: str, **replace: str) -> Any:
            text = UNIVERSE.format(more=f", {more}" if more else "")
            for old, new in replace.items():
                assert old in text
                text = text.replace(old, new)
            path = tmp_path / "universe.yaml"
            path.write_text(text)
            return load_universe(path, environ={}).profiles["us"]

        return load

    def test_symbols_have_the_profile_s_sources_of_actions_under_the_names_that_these_know(
        self, load
    ):
        profile = load("actions: [polygon, files]")

        assert profile.has_actions
        assert [(one.source, one.symbol) for one in profile.symbols["AAPL"].actions] == [
            ("polygon", "AAPL"),
            ("files", "AAPL"),
        ]
        assert [(one.source, one.symbol) for one in profile.symbols["BRK"].actions] == [
            ("polygon", "BRK.B"),
            ("files", "BRK"),
        ]
        assert not load("").has_actions

    @pytest.mark.parametrize(
        ("more", "replace", "words"),
        [
            (
                "actions: [archive]",
                {},
                (
                    "profiles.us.actions.*archive cannot be asked for corporate actions; "
                    "of this file, files, polygon, yahoo can"
                ),
            ),
            ("actions: [nobody]", {}, "nobody is no source of this file"),
            ("actions: [polygon, polygon]", {}, "polygon is written 2 times"),
            (
                "actions: [files]",
                {"EQUITY": "CRYPTO", "archive, {polygon: BRK.B}": "archive"},
                "corporate actions are kept of EQUITY",
            ),
            ("actions: [files]", {"[1d]": "[1m]"}, "profiles.us.timeframes.*1d is missing"),
            ("", {"AAPL: {}": "AAPL: {actions: [files]}"}, "BRK has none of its own"),
            (
                "actions: [yahoo]",
                {"sources: [archive],": "sources: [yahoo],"},
                "candles of yahoo are divided by every split already",
            ),
            ("", {"sources: [archive],": "sources: [files],"}, "1d is served by no source of"),
        ],
    )
    def test_what_cannot_work_is_refused_when_the_file_is_read(self, load, more, replace, words):
        with pytest.raises(UniverseError, match=f"(?s){words}"):
            load(more, **replace)


def test_the_installed_types_that_can_be_asked_are_known_by_their_method():
    types = source_types()

    assert {name for name in types if gives_actions(types[name])} == {
        "action_files",
        "polygon",
        "yahoo",
    }
