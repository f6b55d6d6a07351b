"""OANDA's candles: a recorded answer to the last bit.

The tests cover days that begin at 17:00 in New York, and what is not complete.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import SourceError, UniverseError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.vendors.oanda import OandaSettings, OandaSource, read_candles
from market_assets_tests.support.doubles import KEY
from market_assets_tests.support.keyed_ground import (
    MINUTE,
    QUICK,
    START,
    asker,
    days,
    minutes,
    opens,
)


def candle(open_: datetime, *, price: str = "mid", complete: bool = True) -> dict[str, object]:
    prices = {"o": "1.10001", "h": "1.10005", "l": "1.10000", "c": "1.10003"}
    return {
        "time": f"{open_:%Y-%m-%dT%H:%M:%S}.000000000Z",
        "complete": complete,
        "volume": 42,
        price: prices,
    }


class Oanda:
    """The vendor's candles from a start on, so many as asked for, or fewer."""

    def __init__(
        self,
        bars: list[datetime],
        *,
        page: int = 5000,
        instrument: str = "EUR_USD",
        unfinished: int = 0,
    ) -> None:
        self.bars = bars
        self.page = page
        self.instrument = instrument
        self.unfinished = unfinished

    def __call__(self, asked):
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"errorMessage": "Insufficient authorization to perform request."}
        if int(asked.query["count"]) > 5000:
            return 400, {"errorMessage": "Maximum value for 'count' exceeded"}
        first = datetime.fromisoformat(asked.query["from"])
        rows = [each for each in self.bars if each >= first][
            : min(self.page, int(asked.query["count"]))
        ]
        price = {"M": "mid", "B": "bid", "A": "ask"}[asked.query["price"]]
        done = len(self.bars) - self.unfinished
        candles = [
            candle(each, price=price, complete=self.bars.index(each) < done) for each in rows
        ]
        return 200, {
            "instrument": self.instrument,
            "granularity": asked.query["granularity"],
            "candles": candles,
        }


@pytest.fixture
def build(tmp_path):
    def build(url, **settings):
        model = OandaSettings.model_validate(QUICK | {"base_url": url, "key": KEY} | settings)
        return OandaSource("mine", model, base=tmp_path, kind="forex")

    return build


@pytest.fixture
def ask(serve, build):
    return asker(serve, build, "EUR_USD")


class TestParsing:
    def test_a_recorded_answer_is_read_to_the_last_bit(self, shared):
        body = (shared / "wire" / "oanda" / "v3_instruments_instrument_candles.json").read_bytes()
        answer = json.loads(body)
        found = read_candles(body, "mid")

        assert found.candles.schema == CANDLE_SCHEMA
        assert found.symbols == {answer["instrument"]}
        assert opens(found.candles) == [
            datetime.fromisoformat(row["time"]) for row in answer["candles"]
        ]
        assert found.candles["volume"].to_list() == [
            float(row["volume"]) for row in answer["candles"]
        ]
        for name in ("open", "high", "low", "close"):
            assert found.candles[name].to_list() == [
                float(row["mid"][name[0]]) for row in answer["candles"]
            ]

    def test_an_answer_with_another_price_than_asked_for_is_an_error(self, shared):
        body = (shared / "wire" / "oanda" / "v3_instruments_instrument_candles.json").read_bytes()

        with pytest.raises(SourceError, match="not a list of candles"):
            read_candles(body, "bid")

    def test_an_answer_without_candles_is_an_empty_frame(self):
        assert read_candles(b'{"instrument":"EUR_USD","candles":[]}', "mid").candles.equals(
            CANDLE_SCHEMA.to_frame()
        )

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b'{"candles":[{"time":"20', b"[]", b"{}", b'{"candles":[7]}']
    )
    def test_what_holds_no_candles_is_an_error_that_may_pass(self, body):
        with pytest.raises(SourceError, match="the answer is not") as caught:
            read_candles(body, "mid")

        assert not caught.value.permanent


class TestGrid:
    @pytest.mark.parametrize("timeframe", [Timeframe.H1, Timeframe.H4, Timeframe.D1])
    @pytest.mark.parametrize("day", ["2024-03-05", "2024-10-29"])
    def test_bars_of_the_vendor_lie_on_the_calendars_grid_across_a_change_of_clocks(
        self, ask, timeframe, day
    ):
        (start,) = days(day)
        window = Window(start, start + timedelta(days=10))
        bars = load_calendar("FOREX").bars(timeframe, window)
        stamps = [instant.replace(tzinfo=UTC) for instant in bars["opens_at"].to_list()]
        expected = [instant.replace(tzinfo=UTC) for instant in bars["ts"].to_list()]

        frame, _ = ask(
            Oanda(stamps, page=3), timeframe=timeframe, start=window.start, end=window.end
        )

        assert opens(frame) == expected

    def test_a_day_is_asked_for_from_17_00_in_new_york_on(self, ask):
        stamps = days("2024-03-07T22:00", "2024-03-10T21:00", "2024-03-11T21:00")
        start, end = days("2024-03-08", "2024-03-12")

        frame, vendor = ask(Oanda(stamps), timeframe=Timeframe.D1, start=start, end=end)

        assert opens(frame) == days("2024-03-08", "2024-03-11")
        (asked,) = vendor.log
        assert asked.query["from"] == "2024-03-07T22:00:00Z"
        assert (asked.query["dailyAlignment"], asked.query["alignmentTimezone"]) == (
            "17",
            "America/New_York",
        )


class TestPages:
    @pytest.mark.parametrize(("price", "letter"), [("mid", "M"), ("bid", "B"), ("ask", "A")])
    def test_a_window_is_asked_for_with_the_price_wanted_and_the_key_in_a_header(
        self, ask, price, letter
    ):
        frame, vendor = ask(Oanda(minutes(START, 200)), price=price)

        assert opens(frame) == minutes(START, 100)
        (asked,) = vendor.log
        assert asked.path == "/v3/instruments/EUR_USD/candles"
        assert asked.query == {
            "price": letter,
            "granularity": "M1",
            "from": "2024-01-03T15:00:00Z",
            "count": "100",
            "dailyAlignment": "17",
            "alignmentTimezone": "America/New_York",
        }
        assert KEY not in asked.line

    def test_a_later_candle_shows_that_quiet_minutes_are_quiet(self, ask):
        quiet = minutes(START, 60) + minutes(START + 500 * MINUTE, 100)

        frame, vendor = ask(Oanda(quiet))

        assert opens(frame) == minutes(START, 60)
        assert len(vendor.log) == 1

    def test_candles_that_are_not_complete_are_left_out(self, ask):
        frame, vendor = ask(Oanda(minutes(START, 50), unfinished=1), bars=50)

        assert opens(frame) == minutes(START, 49)
        assert len(vendor.log) == 2

    def test_an_answer_about_another_instrument_is_no_answer(self, ask):
        with pytest.raises(SourceError, match=r"EUR_USD 1m .*about GBP_USD"):
            ask(Oanda(minutes(START, 100), instrument="GBP_USD"))

    def test_a_vendor_that_ignores_the_start_ends_in_an_error(self, ask):
        answer = {"instrument": "EUR_USD", "candles": [candle(each) for each in minutes(START, 10)]}

        with pytest.raises(SourceError, match="do not move forward"):
            ask(lambda _: (200, answer))


class TestRefusals:
    def test_an_error_in_a_200_body_is_not_an_empty_page(self, ask):
        with pytest.raises(
            SourceError, match="the answer is an error: Invalid value specified for 'instrument'"
        ) as caught:
            ask(lambda _: (200, {"errorMessage": "Invalid value specified for 'instrument'"}))

        assert caught.value.permanent


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("{}", "FOREX", r"oanda\.key: is missing"),
        ("{key: '${OANDA_KEY}'}", "FOREX", "OANDA_KEY is not set"),
        ("{key: a, price: last}", "FOREX", r"oanda\.price: last is not one of mid, bid, ask"),
        ("{key: a}", "CRYPTO", "oanda"),
    ],
)
def test_what_cannot_work_is_refused_when_the_universe_is_loaded(tmp_path, source, kind, words):
    path = tmp_path / "universe.yaml"
    profile = (
        f"{{kind: {kind}, start: 2024-01-01, sources: [oanda], "
        "symbols: {EURUSD: {sources: [{oanda: EUR_USD}]}}}"
    )
    path.write_text(f"sources: {{oanda: {source}}}\nprofiles: {{fx: {profile}}}\n")

    with pytest.raises(UniverseError, match=words):
        load_universe(path, environ={})
