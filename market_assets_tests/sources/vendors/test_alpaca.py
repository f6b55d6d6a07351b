"""Alpaca's stock bars.

The tests cover recorded answers to the last bit, days of New York, page tokens, and what the free
plan holds back.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import SourceError, UniverseError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.vendors.alpaca import AlpacaSettings, AlpacaSource, read_bars
from market_assets_tests.support.doubles import KEY, SECRET
from market_assets_tests.support.keyed_ground import (
    MINUTE,
    QUICK,
    START,
    KeyedVendor,
    asker,
    days,
    minutes,
    opens,
)

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)


def bar(open_: datetime) -> dict[str, object]:
    return {
        "t": f"{open_:%Y-%m-%dT%H:%M:%SZ}",
        "o": 10.5,
        "h": 12.25,
        "l": 9,
        "c": 11,
        "v": 100,
        "n": 7,
        "vw": 11.1,
    }


class Alpaca:
    """The vendor's pages of so many bars, with a token for the next, or cut short in silence."""

    def __init__(
        self,
        bars: list[datetime],
        *,
        page: int = 10_000,
        names_next: bool = True,
        symbol: str = "AAPL",
    ) -> None:
        self.bars = bars
        self.page = page
        self.names_next = names_next
        self.symbol = symbol

    def __call__(self, asked):
        if (asked.headers.get("apca-api-key-id"), asked.headers.get("apca-api-secret-key")) != (
            KEY,
            SECRET,
        ):
            return 403, {"message": "forbidden."}
        first, last = (datetime.fromisoformat(asked.query[name]) for name in ("start", "end"))
        inside = [each for each in self.bars if first <= each <= last]
        skip = int(asked.query.get("page_token", 0))
        rows = inside[skip : skip + self.page]
        more = str(skip + self.page) if self.names_next and skip + self.page < len(inside) else None
        return 200, {
            "bars": {self.symbol: [bar(each) for each in rows]} if rows else {},
            "next_page_token": more,
        }


@pytest.fixture
def build(tmp_path):
    def build(url, **settings):
        model = AlpacaSettings.model_validate(
            QUICK | {"base_url": url, "key": KEY, "secret": SECRET} | settings
        )
        return AlpacaSource("mine", model, base=tmp_path, kind="equity", clock=lambda: NOW)

    return build


@pytest.fixture
def ask(serve, build):
    return asker(serve, build, "AAPL")


class TestParsing:
    @pytest.mark.parametrize("number", ["01", "02", "03", "04", "05", "08"])
    def test_recorded_answers_are_read_to_the_last_bit(self, shared, number):
        body = (shared / "wire" / "alpaca" / f"stock_data_{number}.json").read_bytes()
        answer = json.loads(body)
        rows = [row for bars in answer["bars"].values() for row in bars]

        found = read_bars(body)

        assert found.candles.columns == [*CANDLE_SCHEMA, *(["trades", "vwap"] if rows else [])]
        assert found.symbols == set(answer["bars"])
        assert found.cursor == answer.get("next_page_token")
        assert opens(found.candles) == [datetime.fromisoformat(row["t"]) for row in rows]
        for name in CANDLE_SCHEMA.names()[1:]:
            assert found.candles[name].to_list() == [float(row[name[0]]) for row in rows]
        assert not rows or found.candles["trades"].to_list() == [row["n"] for row in rows]
        assert not rows or found.candles["vwap"].to_list() == [row["vw"] for row in rows]

    @pytest.mark.parametrize("number", ["06", "07"])
    def test_recorded_latest_bars_are_another_kind_of_answer(self, shared, number):
        with pytest.raises(SourceError, match="not a list of candles"):
            read_bars((shared / "wire" / "alpaca" / f"stock_data_{number}.json").read_bytes())

    @pytest.mark.parametrize("bars", ["null", "{}", '{"AAPL": null}', '{"AAPL": []}'])
    def test_an_answer_without_bars_is_an_empty_frame(self, bars):
        assert read_bars(f'{{"bars": {bars}, "next_page_token": null}}'.encode()).candles.equals(
            CANDLE_SCHEMA.to_frame()
        )

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>", b'{"bars":{"AAPL":[{"t":"20', b"[]", b"{}", b'{"bars":{"AAPL":[7]}}'],
    )
    def test_what_holds_no_bars_is_an_error_that_may_pass(self, body):
        with pytest.raises(SourceError, match="the answer is not") as caught:
            read_bars(body)

        assert not caught.value.permanent

    def test_an_odd_cell_does_not_cost_the_page(self):
        good = '{"t":"2024-01-03T15:00:00Z","o":1,"h":2,"l":0.5,"c":1,"v":3}'
        frame = read_bars(
            (
                f'{{"bars":{{"A":[{good},{{"t":"soon","o":NaN,"h":null,"l":0.5,"c":1,"v":3}}]}}}}'
            ).encode()
        ).candles

        assert frame["ts"].null_count() == 1
        assert frame["high"].to_list() == [2.0, None]


class TestDays:
    def test_recorded_days_bear_their_dates(self, shared, ask):
        body = json.loads((shared / "wire" / "alpaca" / "stock_data_01.json").read_bytes()) | {
            "next_page_token": None
        }
        start, end = days("2022-02-01", "2022-02-03")

        frame, vendor = ask(lambda _: (200, body), timeframe=Timeframe.D1, start=start, end=end)

        assert opens(frame) == days("2022-02-01", "2022-02-02")
        assert (vendor.log[0].query["start"], vendor.log[0].query["end"]) == (
            "2022-02-01T05:00:00Z",
            "2022-02-02T05:00:00Z",
        )

    @pytest.mark.parametrize(
        ("sessions", "stamps"),
        [
            (("2024-03-08", "2024-03-11"), ("2024-03-08T05:00", "2024-03-11T04:00")),
            (("2024-11-01", "2024-11-04"), ("2024-11-01T04:00", "2024-11-04T05:00")),
        ],
    )
    def test_midnight_in_new_york_is_the_date_on_both_sides_of_a_change(
        self, ask, sessions, stamps
    ):
        start, last = days(*sessions)

        frame, vendor = ask(
            Alpaca(days(*stamps)), timeframe=Timeframe.D1, start=start, end=last + timedelta(days=1)
        )

        assert opens(frame) == days(*sessions)
        assert len(vendor.log) == 1


class TestPages:
    def test_a_window_is_asked_for_raw_one_symbol_at_a_time_with_the_keys_in_headers(self, ask):
        frame, vendor = ask(Alpaca(minutes(START, 200)), feed="iex")

        assert opens(frame) == minutes(START, 100)
        (asked,) = vendor.log
        assert asked.path == "/v2/stocks/bars"
        assert asked.query == {
            "symbols": "AAPL",
            "timeframe": "1Min",
            "start": "2024-01-03T15:00:00Z",
            "end": "2024-01-03T16:39:59Z",
            "limit": "10000",
            "adjustment": "raw",
            "feed": "iex",
            "sort": "asc",
        }
        assert KEY not in asked.line
        assert SECRET not in asked.line

    @pytest.mark.parametrize(
        ("bars", "page", "requests"),
        [(200, 40, 3), (100, 50, 2), (100, 100, 1), (101, 100, 1), (100, 99, 2)],
    )
    def test_a_page_token_is_followed(self, ask, bars, page, requests):
        frame, vendor = ask(Alpaca(minutes(START, bars), page=page))

        assert opens(frame) == minutes(START, 100)
        assert [asked.query.get("page_token") for asked in vendor.log] == [
            None,
            *(str(page * n) for n in range(1, requests)),
        ]

    @pytest.mark.parametrize(("page", "requests"), [(30, 4), (50, 2), (99, 2)])
    def test_an_answer_that_is_cut_short_in_silence_is_gone_on_with(self, ask, page, requests):
        frame, vendor = ask(Alpaca(minutes(START, 100), page=page, names_next=False))

        assert opens(frame) == minutes(START, 100)
        assert len(vendor.log) == requests

    def test_an_empty_page_with_a_token_is_gone_on_with(self, ask):
        def respond(asked):
            if "page_token" in asked.query:
                return 200, {
                    "bars": {"AAPL": [bar(each) for each in minutes(START, 100)]},
                    "next_page_token": None,
                }
            return 200, {"bars": {}, "next_page_token": "QUFQTHxN"}

        frame, vendor = ask(respond)

        assert opens(frame) == minutes(START, 100)
        assert len(vendor.log) == 2

    def test_quiet_minutes_at_the_end_are_asked_for_once_more_and_then_believed(self, ask):
        frame, vendor = ask(Alpaca(minutes(START, 60)))

        assert opens(frame) == minutes(START, 60)
        assert len(vendor.log) == 2

    def test_a_page_that_is_the_one_before_ends_in_an_error(self, ask):
        with pytest.raises(SourceError, match="do not move forward"):
            ask(lambda _: (200, {"bars": {"AAPL": [bar(START)]}, "next_page_token": "again"}))

    def test_tokens_without_end_end_in_an_error(self, ask):
        with pytest.raises(SourceError, match=r"the pages do not end: .*after 100 pages"):
            ask(lambda _: (200, {"bars": {}, "next_page_token": "again"}))

    def test_an_answer_about_another_symbol_is_no_answer(self, ask):
        with pytest.raises(SourceError, match=r"AAPL 1m .*about MSFT"):
            ask(Alpaca(minutes(START, 100), symbol="MSFT"))


class TestRefusals:
    def test_bars_that_are_too_young_for_the_plan_are_no_refusal_of_older_ones(self, ask):
        words = "subscription does not permit querying recent SIP data"

        with pytest.raises(
            SourceError, match=f"{words}; tell the source's settings what the plan has"
        ) as caught:
            ask(lambda _: (403, {"message": words}))

        assert not caught.value.permanent

    def test_an_error_in_a_200_body_is_not_an_empty_page(self, ask):
        with pytest.raises(
            SourceError, match="the answer is an error: 42210000 invalid timeframe"
        ) as caught:
            ask(lambda _: (200, {"code": 42210000, "message": "invalid timeframe"}))

        assert caught.value.permanent


class TestPlan:
    def test_the_newest_quarter_of_an_hour_is_not_spoken_for(self, build):
        reach = build("http://127.0.0.1:9").answers_for("AAPL", Timeframe.M1)

        assert reach.end == NOW - 16 * MINUTE
        assert reach.start.year == 1970

    def test_a_plan_that_holds_nothing_back_speaks_for_any_window(self, build):
        assert build("http://127.0.0.1:9", delay=0).answers_for("AAPL", Timeframe.M1) is None

    def test_the_first_bar_is_found_with_one_request(self, serve, build):
        listed = {
            "bars": {"AAPL": [bar(datetime(2016, 1, 4, 5, tzinfo=UTC))]},
            "next_page_token": "more",
        }
        vendor = KeyedVendor(lambda _: (200, listed))
        url = serve(vendor).url

        async def first():
            source = build(url)
            async with source:
                return await source.earliest("AAPL", Timeframe.D1)

        assert asyncio.run(first()) == datetime(2016, 1, 4, tzinfo=UTC)
        (asked,) = vendor.log
        assert (asked.query["limit"], asked.query["end"]) == ("1", "2024-06-01T11:44:00Z")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{key: a}", r"alpaca\.secret: is missing"),
        ("{secret: a}", r"alpaca\.key: is missing"),
        ("{key: a, secret: '${ALPACA_SECRET}'}", "ALPACA_SECRET is not set"),
        ("{key: a, secret: b, feed: all}", r"alpaca\.feed: all is not one of sip, iex"),
    ],
)
def test_a_missing_key_is_refused_when_the_universe_is_loaded(tmp_path, source, words):
    path = tmp_path / "universe.yaml"
    profile = "{kind: EQUITY, start: 2024-01-01, sources: [alpaca], symbols: {AAPL: {}}}"
    path.write_text(f"sources: {{alpaca: {source}}}\nprofiles: {{us: {profile}}}\n")

    with pytest.raises(UniverseError, match=words):
        load_universe(path, environ={})
