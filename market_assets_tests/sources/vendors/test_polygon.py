"""Polygon's aggregates: recorded answers to the last bit, and days of New York.

Pages are cut short with or without a word of it.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import SourceError, UniverseError
from market_assets.market.timeframes import Timeframe, Window
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets.sources.vendors.polygon import PolygonSettings, PolygonSource, read_aggs
from market_assets_tests.support.doubles import KEY
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


def bar(open_: datetime) -> dict[str, float]:
    return {
        "t": int(open_.timestamp() * 1000),
        "o": 10.5,
        "h": 12.25,
        "l": 9.0,
        "c": 11.0,
        "v": 100.0,
        "vw": 11.1,
        "n": 7,
    }


class Polygon:
    """The vendor's pages of so many bars, with `next_url` or cut short in silence."""

    def __init__(
        self, bars: list[datetime], *, page: int = 50_000, names_next: bool = True, **extra: object
    ) -> None:
        self.bars = bars
        self.page = page
        self.names_next = names_next
        self.extra = {"ticker": "AAPL", "adjusted": False, "status": "OK"} | extra

    def __call__(self, asked):
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"status": "ERROR", "error": "Unknown API Key"}
        *_, symbol, _range, _number, unit, since, until = asked.path.split("/")
        if unit == "day":
            first, last = (datetime.fromisoformat(text).date() for text in (since, until))
            inside = [
                each for each in self.bars if first <= (each - timedelta(hours=4)).date() <= last
            ]
        else:
            inside = [
                each for each in self.bars if int(since) <= each.timestamp() * 1000 <= int(until)
            ]
        rows = inside[: min(self.page, int(asked.query.get("limit", self.page)))]
        answer = {
            "queryCount": len(rows),
            "resultsCount": len(rows),
            "request_id": "f00",
            **self.extra,
        }
        if rows:
            answer["results"] = [bar(each) for each in rows]
        if len(rows) < len(inside) and self.names_next:
            rest = int(inside[len(rows)].timestamp() * 1000)
            # Ports were once written twice, and the host has changed its name.
            answer["next_url"] = (
                f"https://api.elsewhere.example:443:443/v2/aggs/ticker/{symbol}"
                f"/range/1/minute/{rest}/{until}?cursor=bGltaXQ&apiKey=x"
            )
        return 200, answer


@pytest.fixture
def build(tmp_path):
    def build(url, *, kind="equity", **settings):
        model = PolygonSettings.model_validate(QUICK | {"base_url": url, "key": KEY} | settings)
        return PolygonSource("mine", model, base=tmp_path, kind=kind, clock=lambda: NOW)

    return build


@pytest.fixture
def ask(serve, build):
    return asker(serve, build, "AAPL")


class TestParsing:
    def test_recorded_answers_are_read_to_the_last_bit(self, shared):
        paths = sorted((shared / "wire" / "polygon").glob("*.json"))
        for path in paths:
            answer = json.loads(path.read_bytes())
            found = read_aggs(path.read_bytes(), raw=False)

            assert found.candles.columns == [*CANDLE_SCHEMA, "trades", "vwap"]
            assert found.symbols == ({answer["ticker"]} if "ticker" in answer else set())
            assert found.cursor is None
            assert [micros // 1000 for micros in found.candles["ts"].to_physical()] == [
                row["t"] for row in answer["results"]
            ]
            for name in CANDLE_SCHEMA.names()[1:]:
                assert found.candles[name].to_list() == [
                    float(row[name[0]]) for row in answer["results"]
                ]
            assert found.candles["trades"].to_list() == [row["n"] for row in answer["results"]]
            assert found.candles["vwap"].to_list() == [row["vw"] for row in answer["results"]]
        assert len(paths) == 7

    def test_recorded_prices_that_are_adjusted_are_not_taken_for_raw_ones(self, shared):
        body = (shared / "wire" / "polygon" / "aggs_AAPL_1day_2023-01.json").read_bytes()

        with pytest.raises(SourceError, match="adjusted for splits") as caught:
            read_aggs(body, raw=True)

        assert caught.value.permanent

    @pytest.mark.parametrize("extra", [{}, {"results": None}, {"results": []}])
    def test_an_answer_without_bars_is_an_empty_frame(self, extra):
        found = read_aggs(
            json.dumps({"status": "DELAYED", "ticker": "AAPL", **extra}).encode(), raw=True
        )

        assert found.candles.equals(CANDLE_SCHEMA.to_frame())

    def test_bars_that_are_spoken_of_and_not_there_are_no_absence(self):
        with pytest.raises(SourceError, match="none of the 3 bars") as caught:
            read_aggs(b'{"status":"OK","resultsCount":3}', raw=True)

        assert not caught.value.permanent

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b'{"status":"OK","results":[{"t":1',
            b"[]",
            b"{}",
            b'{"status":"OK","results":[7]}',
        ],
    )
    def test_what_holds_no_bars_is_an_error_that_may_pass(self, body):
        with pytest.raises(SourceError, match="the answer is not") as caught:
            read_aggs(body, raw=True)

        assert not caught.value.permanent


class TestDays:
    def test_recorded_days_across_a_change_of_clocks_bear_their_dates(self, shared, ask):
        body = json.loads(
            (
                shared / "wire" / "polygon" / "ticker_AAPL_range_1_day_2005-04-01_2005-04-04.json"
            ).read_bytes()
        )
        start, end = days("2005-04-01", "2005-04-05")

        frame, vendor = ask(
            lambda _: (200, body | {"adjusted": False}),
            timeframe=Timeframe.D1,
            start=start,
            end=end,
        )

        assert opens(frame) == days("2005-04-01", "2005-04-04")
        assert vendor.log[0].path == "/v2/aggs/ticker/AAPL/range/1/day/2005-04-01/2005-04-04"

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
            Polygon(days(*stamps)),
            timeframe=Timeframe.D1,
            start=start,
            end=last + timedelta(days=1),
        )

        assert opens(frame) == days(*sessions)
        assert len(vendor.log) == 1

    def test_days_of_crypto_are_days_of_utc(self, shared, ask):
        body = (shared / "wire" / "polygon" / "aggs_X-BTCUSD_1day_2023-01.json").read_bytes()
        start, end = days("2023-01-01", "2023-01-11")

        frame, _ = ask(
            lambda _: (200, body),
            symbol="X:BTCUSD",
            timeframe=Timeframe.D1,
            start=start,
            end=end,
            kind="crypto",
        )

        assert opens(frame) == [start + timedelta(days=place) for place in range(10)]

    def test_recorded_days_of_a_currency_are_utcs_and_thus_not_the_markets(self, shared):
        body = (shared / "wire" / "polygon" / "aggs_C-EURUSD_1day_2023-01.json").read_bytes()

        # Among them are a Saturday and two Sundays,
        # and a day of the market opens at 22:00 the day before.
        assert opens(read_aggs(body, raw=False).candles) == [
            datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=place) for place in range(10)
        ]
        assert Timeframe.D1 not in PolygonSource.traits.timeframes_for("forex")

    def test_a_window_in_which_no_day_opens_asks_nothing(self, ask):
        frame, vendor = ask(
            Polygon([]), timeframe=Timeframe.D1, start=START, end=START + timedelta(hours=3)
        )

        assert frame.is_empty()
        assert not vendor.log


class TestPages:
    def test_a_window_in_which_no_bar_opens_asks_nothing(self, ask):
        start = START + timedelta(seconds=30)

        frame, vendor = ask(Polygon(minutes(START, 10)), start=start, end=START + MINUTE)

        assert frame.equals(CANDLE_SCHEMA.to_frame())
        assert not vendor.log

    def test_a_window_is_asked_for_raw_ascending_and_with_the_key_in_a_header(self, ask):
        frame, vendor = ask(Polygon(minutes(START, 200)))

        assert opens(frame) == minutes(START, 100)
        (asked,) = vendor.log
        first = int(START.timestamp() * 1000)
        assert (
            asked.path == f"/v2/aggs/ticker/AAPL/range/1/minute/{first}/{first + 100 * 60_000 - 1}"
        )
        assert asked.query == {"adjusted": "false", "sort": "asc", "limit": "50000"}
        assert KEY not in asked.line

    def test_hours_of_a_currency_open_at_the_full_hour(self, ask):
        start = datetime(2024, 3, 8, 18, tzinfo=UTC)
        hours = [
            start + timedelta(hours=place) for place in range(4)
        ]  # the market closes at 22:00, and summer begins

        frame, vendor = ask(
            Polygon(hours, ticker="C:EURUSD", adjusted=True),
            symbol="C:EURUSD",
            timeframe=Timeframe.H1,
            start=start,
            bars=4,
            kind="forex",
        )

        assert opens(frame) == hours
        (asked,) = vendor.log
        first = int(start.timestamp() * 1000)
        assert (
            asked.path
            == f"/v2/aggs/ticker/C:EURUSD/range/1/hour/{first}/{first + 4 * 3_600_000 - 1}"
        )

    @pytest.mark.parametrize(
        ("bars", "page", "requests"),
        [(200, 40, 3), (100, 50, 2), (100, 100, 1), (101, 100, 1), (100, 99, 2)],
    )
    def test_next_url_is_followed_on_our_own_address_and_raw(self, ask, bars, page, requests):
        frame, vendor = ask(Polygon(minutes(START, bars), page=page))

        assert opens(frame) == minutes(START, 100)
        assert len(vendor.log) == requests
        assert [asked.query.get("cursor") for asked in vendor.log[1:]] == ["bGltaXQ"] * (
            requests - 1
        )
        assert all(
            asked.query["adjusted"] == "false" and "apiKey" not in asked.query
            for asked in vendor.log
        )

    @pytest.mark.parametrize(
        ("bars", "page", "requests"),
        [(100, 30, 4), (100, 50, 2), (100, 100, 1), (101, 100, 1), (100, 99, 2)],
    )
    def test_an_answer_that_is_cut_short_in_silence_is_gone_on_with(
        self, ask, bars, page, requests
    ):
        frame, vendor = ask(Polygon(minutes(START, bars), page=page, names_next=False))

        assert opens(frame) == minutes(START, 100)
        assert len(vendor.log) == requests

    def test_a_longer_bar_that_is_gone_on_behind_is_not_asked_for_again(self, ask):
        bars = [START + 5 * place * MINUTE for place in range(12)]

        frame, vendor = ask(
            Polygon(bars, page=7, names_next=False), timeframe=Timeframe.M5, bars=12
        )

        assert opens(frame) == bars
        assert vendor.log[1].path.split("/")[-2] == str(int(bars[7].timestamp() * 1000))

    def test_quiet_minutes_at_the_end_are_asked_for_once_more_and_then_believed(self, ask):
        frame, vendor = ask(Polygon(minutes(START, 60)))

        assert opens(frame) == minutes(START, 60)
        assert len(vendor.log) == 2

    def test_nothing_there_is_an_empty_frame(self, ask):
        frame, vendor = ask(Polygon([]))

        assert frame.equals(CANDLE_SCHEMA.to_frame())
        assert len(vendor.log) == 1

    def test_an_empty_page_that_names_a_next_one_is_followed(self, ask):
        def respond(asked):
            if "cursor" in asked.query:
                return Polygon(minutes(START, 100), page=1000)(asked)
            return 200, {"status": "OK", "next_url": f"https://x.example{asked.path}?cursor=a"}

        frame, vendor = ask(respond)

        assert opens(frame) == minutes(START, 100)
        assert len(vendor.log) == 2

    def test_a_next_page_that_is_the_one_before_ends_in_an_error(self, ask):
        def respond(asked):
            return 200, {
                "status": "OK",
                "results": [bar(START)],
                "next_url": f"https://x.example{asked.path}?cursor=a",
            }

        with pytest.raises(SourceError, match="do not move forward"):
            ask(respond)

    def test_empty_pages_that_always_name_a_next_one_end_in_an_error(self, ask):
        with pytest.raises(SourceError, match=r"the pages do not end: .*after 100 pages"):
            ask(
                lambda asked: (
                    200,
                    {"status": "OK", "next_url": f"https://x.example{asked.path}?cursor=a"},
                )
            )

    @pytest.mark.parametrize(
        "url",
        [
            "https://x.example/v3/accounts",
            "/v2/aggs/ticker/AAPL",
            "https://[x/v2/aggs/",
            "https://x.example/v2/aggs/a b",
            f"https://x.example/v2/aggs/?cursor={'x' * 5000}",
        ],
    )
    def test_a_next_page_that_cannot_be_one_is_not_asked_for(self, ask, url):
        with pytest.raises(
            SourceError, match=r"the next page is said to be elsewhere|the pages do not end"
        ) as caught:
            ask(lambda _: (200, {"status": "OK", "results": [bar(START)], "next_url": url}))

        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize("odd", [7, ["a"], {"a": 1}, False, ""])
    def test_a_name_or_a_next_page_of_another_type_is_none(self, odd):
        found = read_aggs(
            json.dumps({"status": "OK", "ticker": odd, "next_url": odd}).encode(), raw=True
        )

        assert (found.symbols, found.cursor) == (frozenset(), None)

    @pytest.mark.parametrize("stamp", [2**63 - 1, -(2**63) + 1, 2**70, 0, "soon", None])
    def test_a_day_with_a_stamp_beyond_all_reason_is_handed_on(self, ask, stamp):
        start = datetime(2024, 1, 3, tzinfo=UTC)
        rows = [bar(start + timedelta(hours=5)), bar(START) | {"t": stamp}]

        frame, _ = ask(
            lambda _: (200, {"status": "OK", "results": rows}),
            timeframe=Timeframe.D1,
            start=start,
            bars=1,
        )

        assert frame.height == 2
        assert opens(frame.head(1)) == [start]

    def test_an_answer_about_another_symbol_is_no_answer(self, ask):
        with pytest.raises(SourceError, match=r"AAPL 1m .*about MSFT"):
            ask(Polygon([], ticker="MSFT"))

    def test_adjusted_prices_are_refused(self, ask):
        with pytest.raises(SourceError, match="adjusted for splits"):
            ask(Polygon(minutes(START, 10), adjusted=True))


class TestRefusals:
    def test_what_the_plan_withholds_is_no_refusal_of_the_symbol(self, ask):
        words = (
            "Your plan doesn't include this data timeframe. "
            "Please upgrade your plan at https://polygon.io/pricing"
        )

        with pytest.raises(
            SourceError, match=r"this data timeframe.*tell the source's settings what the plan has"
        ) as caught:
            ask(lambda _: (403, {"status": "NOT_AUTHORIZED", "message": words}))

        assert not caught.value.permanent

    @pytest.mark.parametrize("key", ["error", "message"])
    def test_an_error_in_a_200_body_is_not_an_empty_page(self, ask, key):
        with pytest.raises(
            SourceError, match="the answer is an error: ERROR the ticker is wrong"
        ) as caught:
            ask(lambda _: (200, {"status": "ERROR", key: f"the ticker is wrong {KEY}"}))

        assert caught.value.permanent
        assert KEY not in str(caught.value)


class TestPlan:
    def test_late_data_are_no_evidence_of_what_happened_just_now(self, ask):
        with pytest.raises(SourceError, match="give the source a `delay` of 900 or more") as caught:
            ask(Polygon([], status="DELAYED"), delay=0)

        assert caught.value.permanent
        assert ask(Polygon([], status="DELAYED"), delay=900)[0].is_empty()

    def test_the_free_plan_speaks_for_two_years_and_not_for_today(self, build):
        source = build("http://127.0.0.1:9")

        assert source.answers_for("AAPL", Timeframe.M5) == Window(
            *days("2022-06-03", "2024-05-31T12:00")
        )
        assert source.answers_for("AAPL", Timeframe.D1) == Window(*days("2022-06-03", "2024-05-31"))

    def test_a_plan_that_holds_nothing_back_speaks_for_any_window(self, build):
        source = build("http://127.0.0.1:9", delay=0, history_days=None)

        assert source.answers_for("AAPL", Timeframe.M1) is None

    @pytest.mark.parametrize(
        ("minute", "last"), [(15 * 60 + 59, "2024-01-03"), (16 * 60, "2024-01-04")]
    )
    def test_a_delayed_day_is_spoken_for_once_its_session_is_given(self, tmp_path, minute, last):
        settings = PolygonSettings.model_validate({"key": KEY, "delay": 900, "history_days": None})
        now = datetime(2024, 1, 3, 5, tzinfo=UTC) + MINUTE * (minute + 15)
        source = PolygonSource("mine", settings, base=tmp_path, kind="equity", clock=lambda: now)

        assert source.answers_for("AAPL", Timeframe.D1).end == days(last)[0]

    def test_a_bar_that_is_unfinished_in_delayed_data_is_not_spoken_for(self, tmp_path):
        settings = PolygonSettings.model_validate({"key": KEY, "delay": 900, "history_days": None})
        now = START + timedelta(minutes=22, seconds=33)
        source = PolygonSource("mine", settings, base=tmp_path, kind="equity", clock=lambda: now)

        assert source.answers_for("AAPL", Timeframe.M5).end == START + 5 * MINUTE


class TestFirstBar:
    @pytest.fixture
    def probe(self, serve, build):
        def probe(respond, timeframe=Timeframe.M1, **settings):
            vendor = KeyedVendor(respond)
            url = serve(vendor).url

            async def first():
                source = build(url, **settings)
                async with source:
                    return await source.earliest("AAPL", timeframe)

            return asyncio.run(first()), vendor

        return probe

    def test_it_is_found_with_one_cheap_request(self, probe):
        listed = {
            "status": "OK",
            "ticker": "AAPL",
            "results": [bar(datetime(2024, 1, 10, 14, 37, tzinfo=UTC))],
        }

        first, vendor = probe(lambda _: (200, listed), Timeframe.M15, history_days=None)

        assert first == datetime(2024, 1, 10, 14, 30, tzinfo=UTC)
        (asked,) = vendor.log
        assert asked.path == "/v2/aggs/ticker/AAPL/range/1/minute/2003-09-10/2024-05-31"
        assert asked.query["limit"] == "1"

    def test_the_first_day_bears_its_date(self, probe):
        listed = {"status": "OK", "results": [bar(datetime(2024, 1, 10, 5, tzinfo=UTC))]}

        assert probe(lambda _: (200, listed), Timeframe.D1)[0] == datetime(2024, 1, 10, tzinfo=UTC)

    def test_where_the_plan_begins_is_nobodys_first_bar(self, probe):
        begins = {"status": "OK", "results": [bar(datetime(2022, 6, 6, 8, tzinfo=UTC))]}

        assert probe(lambda _: (200, begins))[0] is None

    def test_there_is_none_of_an_unknown_symbol(self, probe):
        assert probe(lambda _: (200, {"status": "OK", "resultsCount": 0}))[0] is None

    def test_a_plan_that_does_not_reach_back_does_not_condemn_the_symbol(self, probe):
        refusal = {
            "status": "NOT_AUTHORIZED",
            "message": "Your plan doesn't include this data timeframe.",
        }

        with pytest.raises(SourceError, match="what the plan has") as caught:
            probe(lambda _: (403, refusal))

        assert not caught.value.permanent


class TestUniverse:
    UNIVERSE = (
        "sources: {{polygon: {source}}}\n"
        "profiles: {{us: {{kind: {kind}, start: 2024-01-01, sources: [polygon], "
        "timeframes: {{fetch: [{timeframe}]}}, symbols: {{AAPL: {{}}}}}}}}\n"
    )

    def load(
        self,
        tmp_path,
        *,
        source="{key: '${POLYGON_KEY}'}",
        kind="EQUITY",
        timeframe="1m",
        environ=None,
    ):
        path = tmp_path / "universe.yaml"
        path.write_text(self.UNIVERSE.format(source=source, kind=kind, timeframe=timeframe))
        return load_universe(path, environ={"POLYGON_KEY": KEY} if environ is None else environ)

    def test_a_key_is_taken_from_the_environment_and_not_shown(self, tmp_path):
        universe = self.load(tmp_path)

        assert KEY not in repr(universe)
        assert KEY not in repr(PolygonSettings.model_validate(universe.sources["polygon"]))

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("{}", r"polygon\.key: is missing"),
            ("{key: ''}", r"polygon\.key"),
            ("{key: '${POLYGON_KEY}'}", "POLYGON_KEY is not set"),
        ],
    )
    def test_a_missing_key_is_refused_when_the_universe_is_loaded(self, tmp_path, source, words):
        with pytest.raises(UniverseError, match=words):
            self.load(tmp_path, source=source, environ={})

    def test_a_key_that_is_no_header_is_refused_without_being_shown(self, tmp_path):
        with pytest.raises(UniverseError, match=r"polygon\.key: must be printable ASCII") as caught:
            self.load(tmp_path, environ={"POLYGON_KEY": f"{KEY}\u20ac"})

        assert KEY not in str(caught.value)

    @pytest.mark.parametrize(
        ("kind", "timeframes"),
        [
            ("EQUITY", ["1m", "5m", "15m", "30m", "1d"]),
            ("CRYPTO", ["1m", "5m", "15m", "30m", "1h", "1d"]),
            ("FOREX", ["1m", "5m", "15m", "30m", "1h"]),
            ("FUTURES", []),
        ],
    )
    def test_a_timeframe_that_it_does_not_have_for_the_kind_is_refused_when_the_universe_is_loaded(
        self, tmp_path, kind, timeframes
    ):
        assert PolygonSource.traits.timeframes >= {*timeframes}
        for timeframe in Timeframe:
            if timeframe in timeframes:
                assert self.load(tmp_path, kind=kind, timeframe=timeframe)
            else:
                with pytest.raises(
                    UniverseError, match=r"is served by no source of AAPL|polygon serves CRYPTO"
                ):
                    self.load(tmp_path, kind=kind, timeframe=timeframe)
