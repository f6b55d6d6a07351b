"""Corporate actions from Polygon."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.errors import SourceError
from market_assets.sources.vendors.polygon import PolygonSettings, PolygonSource
from market_assets_tests.support.action_answers import ask, told
from market_assets_tests.support.doubles import KEY
from market_assets_tests.support.keyed_ground import QUICK, KeyedVendor

if TYPE_CHECKING:
    from market_assets_tests.support.keyed_ground import Asked

NOW = datetime(2025, 11, 18, 12, tzinfo=UTC)

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
