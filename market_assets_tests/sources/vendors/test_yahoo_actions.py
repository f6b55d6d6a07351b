"""Corporate actions from Yahoo."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from market_assets.errors import SourceError
from market_assets.sources.vendors.yahoo import YahooSettings, YahooSource
from market_assets.sources.vendors.yahoo_actions import read_actions
from market_assets_tests.support.action_answers import ask, told
from market_assets_tests.support.keyed_ground import QUICK, KeyedVendor
from market_assets_tests.support.library_doubles import LoopbackSession

NOW = datetime(2025, 11, 18, 12, tzinfo=UTC)


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
