"""Yahoo through yfinance.

The tests cover recorded answers, what is asked, what is not taken for a bar, and refusals.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import yfinance

from market_assets.config.load import load_universe
from market_assets.errors import SourceError, UniverseError
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.sources.contract import CANDLE_SCHEMA, source_types, venue_of
from market_assets.sources.vendors import yahoo
from market_assets.sources.vendors.yahoo import YahooSettings, YahooSource, read_chart
from market_assets_tests.support.library_doubles import yahoo_on_loopback
from market_assets_tests.support.wire import MINUTE, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

NOW = datetime(2024, 3, 13, 17, 0, tzinfo=UTC)
OPEN = datetime(
    2024, 3, 12, 13, 30, tzinfo=UTC
)  # New York's session, two days after the clocks were changed


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    with yahoo_on_loopback():
        yield


@dataclass
class Yahoo:
    """The vendor; an instance is a handler of the server.

    Attributes:
        rows: Stamp, open, high, low, close and volume of each bar that it has.
        live: Rows that it adds to every answer.
        meta: What it says of the symbol beside that.
        refusals: Statuses, each with its body, to answer with first.
        log: Paths and queries.
    """

    rows: list[tuple[Any, ...]]
    live: list[tuple[Any, ...]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(request.split()[1].decode())
        query = dict(parse_qsl(url.query))
        self.log.append((unquote(url.path), query))
        status, body = (
            self.refusals.pop(0) if self.refusals else (200, self.answer(unquote(url.path), query))
        )
        head = (
            f"HTTP/1.1 {status} X\r\n"
            f"content-length: {len(body.encode())}\r\n"
            "connection: close\r\n\r\n"
        )
        writer.write(head.encode() + body.encode())

    def answer(self, path: str, query: dict[str, str]) -> str:
        first, after = int(query["period1"]), int(query["period2"])
        rows = [row for row in self.rows if first <= row[0] < after] + self.live
        meta = {
            "symbol": path.rpartition("/")[2],
            "dataGranularity": query["interval"],
            "exchangeTimezoneName": "America/New_York",
        }
        names = ("open", "high", "low", "close", "volume")
        quotes = {name: [row[place] for row in rows] for place, name in enumerate(names, 1)}
        result = {"meta": meta | self.meta, "indicators": {"quote": [quotes if rows else {}]}}
        return json.dumps(
            {
                "chart": {
                    "result": [result | ({"timestamp": [row[0] for row in rows]} if rows else {})],
                    "error": None,
                }
            }
        )


def bar(at: datetime, low: float = 100.0) -> tuple[int, float, float, float, float, int]:
    return int(at.timestamp()), low + 1.5, low + 3.25, low, low + 2.75, 1200


def refused(code: str, words: str) -> str:
    return json.dumps({"chart": {"result": None, "error": {"code": code, "description": words}}})


@pytest.fixture
def ask(serve: Callable[..., Any], tmp_path: Any) -> Callable[..., pl.DataFrame]:
    def ask(
        vendor: Any,
        symbol: str = "SPY",
        timeframe: Timeframe = Timeframe.M1,
        *,
        start: datetime = OPEN,
        bars: int = 10,
        **keys: Any,
    ) -> pl.DataFrame:
        settings = YahooSettings.model_validate(
            QUICK | {"base_url": serve(vendor).url, "hold": 0} | keys
        )
        source = YahooSource("mine", settings, base=tmp_path, kind="equity", clock=lambda: NOW)

        async def fetch() -> pl.DataFrame:
            async with source:
                return await source.fetch(
                    symbol, timeframe, start, start + bars * timeframe.duration
                )

        return asyncio.run(fetch())

    return ask


def stamps(frame: pl.DataFrame) -> list[datetime]:
    return [stamp.replace(tzinfo=UTC) for stamp in frame["ts"]]


class TestRecordedAnswers:
    def test_days_are_read_to_the_last_bit_and_bear_the_date_of_their_session(self, shared):
        path = shared / "wire" / "yahoo" / "v8_chart-AAPL-2020-08-31-to-2020-11-07.json"
        said = json.loads(path.read_bytes())["response"]["bodyJson"]
        (result,) = said["chart"]["result"]
        quotes = result["indicators"]["quote"][0]

        chart = read_chart(json.dumps(said).encode())
        days = chart.days()

        assert (chart.symbol, chart.interval, chart.zone) == ("AAPL", "1d", "America/New_York")
        assert days.schema == CANDLE_SCHEMA
        for name in ("open", "high", "low", "close", "volume"):
            assert days[name].to_list() == quotes[name]
        # The clocks change between, and each day opens at 9:30 all the same.
        assert stamps(days)[0] == midnight(date(2020, 8, 31))
        assert stamps(days)[-1] == midnight(date(2020, 11, 6))
        assert len(days) == 49

    @pytest.mark.parametrize(
        ("name", "first"),
        [
            ("v8_chart-OCDO.L-2020-01-01-to-2020-01-03", date(2020, 1, 2)),
            ("v8_chart-WSKT.JK-2020-01-01-to-2020-01-03", date(2020, 1, 2)),
            ("v8_chart-WSU.DE-2023-08-04-to-2023-08-09", date(2023, 8, 4)),
            ("v8_chart-BTC-USD-2020-01-01-to-2020-01-03", date(2020, 1, 1)),
        ],
    )
    def test_days_of_any_exchange_bear_the_date_of_its_zone(self, shared, name, first):
        said = json.loads((shared / "wire" / "yahoo" / f"{name}.json").read_bytes())["response"][
            "bodyJson"
        ]

        assert stamps(read_chart(json.dumps(said).encode()).days())[0] == midnight(first)

    def test_a_place_without_prices_is_no_row(self, shared):
        body = (shared / "wire" / "yahoo" / "v8_response_yahoo_historical01.json").read_bytes()

        frame = read_chart(body).candles

        assert len(frame) == 123  # of 124
        assert frame["close"].null_count() == 0

    def test_a_weekend_is_an_empty_answer(self, shared):
        name = "v8_chart-AAPL-2025-02-01-to-2025-02-02-includePrePost-false-interval-1m.json"
        said = json.loads((shared / "wire" / "yahoo" / name).read_bytes())["response"]["bodyJson"]

        chart = read_chart(json.dumps(said).encode())

        assert chart.candles.equals(CANDLE_SCHEMA.to_frame())
        assert (chart.symbol, chart.interval) == ("AAPL", "1m")


class TestRequests:
    def test_minutes_are_asked_for_with_both_bounds_in_seconds_the_end_exclusive(self, ask):
        vendor = Yahoo([bar(OPEN + n * MINUTE, 100 + n) for n in range(20)])

        frame = ask(vendor, "BRK-B")

        first = int(OPEN.timestamp())
        assert vendor.log == [
            (
                "/v8/finance/chart/BRK-B",
                {
                    "period1": str(first),
                    "period2": str(first + 600),
                    "interval": "1m",
                    "includePrePost": "false",
                },
            )
        ]
        assert frame.rows()[3] == (
            datetime(2024, 3, 12, 13, 33),  # noqa: DTZ001 - as frames have it
            104.5,
            106.25,
            103.0,
            105.75,
            1200.0,
        )
        assert len(frame) == 10

    def test_days_are_asked_for_with_a_day_more_on_either_side_and_only_those_asked_for_are_given(
        self, ask
    ):
        opens = [
            datetime(2024, 3, day, 14 if day < 10 else 13, 30, tzinfo=UTC)
            for day in (6, 7, 8, 11, 12, 13)
        ]
        vendor = Yahoo([bar(at) for at in opens])

        frame = ask(vendor, timeframe=Timeframe.D1, start=midnight(date(2024, 3, 7)), bars=5)

        assert stamps(frame) == [midnight(date(2024, 3, day)) for day in (7, 8, 11)]
        (_, asked), *_ = vendor.log
        assert [
            datetime.fromtimestamp(int(asked[name]), UTC) for name in ("period1", "period2")
        ] == [
            datetime(2024, 3, 6, tzinfo=UTC),
            datetime(2024, 3, 13, tzinfo=UTC),
        ]
        assert len(vendor.log) == 1

    def test_a_session_that_opens_on_the_utc_day_before_its_date_is_found(self, ask):
        sydney = Yahoo(
            [bar(datetime(2024, 3, 11, 23, tzinfo=UTC))],
            meta={"exchangeTimezoneName": "Australia/Sydney"},
        )

        frame = ask(sydney, "BHP.AX", Timeframe.D1, start=midnight(date(2024, 3, 12)), bars=1)

        assert stamps(frame) == [midnight(date(2024, 3, 12))]

    def test_hours_open_with_the_session(self, ask):
        vendor = Yahoo(
            [bar(OPEN + n * timedelta(hours=1)) for n in range(7)], meta={"dataGranularity": "60m"}
        )

        frame = ask(vendor, timeframe=Timeframe.H1, bars=7)

        assert stamps(frame) == [OPEN + n * timedelta(hours=1) for n in range(7)]


class TestWhatIsNoBar:
    def test_the_latest_trade_that_follows_the_bars_is_left_out(self, ask):
        rows = [bar(OPEN + n * MINUTE) for n in range(10)]

        frame = ask(Yahoo(rows, live=[bar(OPEN + timedelta(minutes=9, seconds=17))]))

        assert stamps(frame) == [OPEN + n * MINUTE for n in range(10)]

    def test_the_close_that_follows_the_last_hour_is_left_out(self, ask):
        rows = [bar(OPEN + n * timedelta(hours=1)) for n in range(7)]

        frame = ask(
            Yahoo(rows, live=[bar(OPEN + timedelta(hours=6.5))]), timeframe=Timeframe.H1, bars=8
        )

        assert len(frame) == 7

    def test_of_the_running_day_the_later_row_counts(self, ask):
        running = datetime(2024, 3, 13, 13, 30, tzinfo=UTC)

        frame = ask(
            Yahoo([bar(running, 100)], live=[bar(NOW, 101)]),
            timeframe=Timeframe.D1,
            start=midnight(running.date()),
            bars=1,
        )

        assert frame["low"].to_list() == [101.0]

    def test_what_lies_outside_the_window_is_left_out(self, ask):
        rows = [bar(OPEN + n * MINUTE) for n in range(10)]

        frame = ask(Yahoo(rows, live=[bar(OPEN + 10 * MINUTE), bar(OPEN + 11 * MINUTE)]))

        assert len(frame) == 10

    def test_a_row_that_lacks_some_prices_is_handed_on_as_it_is(self, ask):
        first, *others = bar(OPEN)

        frame = ask(Yahoo([(first, None, *others[1:]), bar(OPEN + MINUTE)]), bars=2)

        assert frame["open"].to_list() == [None, 101.5]


class TestReach:
    @pytest.mark.parametrize(
        ("timeframe", "days"),
        [
            (Timeframe.M1, 29),
            (Timeframe.M5, 59),
            (Timeframe.M15, 59),
            (Timeframe.H1, 729),
            (Timeframe.D1, None),
        ],
    )
    def test_it_speaks_for_what_the_vendor_still_has(self, tmp_path, timeframe, days):
        source = YahooSource(
            "mine", YahooSettings(), base=tmp_path, kind="equity", clock=lambda: NOW
        )

        window = source.answers_for("SPY", timeframe)

        assert window == (
            None if days is None else Window(midnight((NOW - timedelta(days=days - 1)).date()), NOW)
        )

    def test_what_comes_late_is_not_asked_for(self, tmp_path):
        source = YahooSource(
            "mine", YahooSettings(delay=900), base=tmp_path, kind="equity", clock=lambda: NOW
        )

        assert source.answers_for("BHP.AX", Timeframe.M1).end == NOW - timedelta(minutes=15)
        assert source.answers_for("BHP.AX", Timeframe.D1).end == midnight(NOW.date())

    def test_a_page_of_minutes_is_a_week(self):
        assert YahooSource.traits.page_size * MINUTE == timedelta(days=7)


class TestRefusals:
    def test_before_the_listing_there_is_nothing(self, ask):
        words = "Data doesn't exist for startDate = 1577836800, endDate = 1578009600"
        vendor = Yahoo([], refusals=[(400, refused("Bad Request", words))] * 2)

        assert ask(vendor).equals(CANDLE_SCHEMA.to_frame())

    def test_an_unknown_symbol_is_an_error_and_no_evidence(self, ask):
        vendor = Yahoo(
            [], refusals=[(404, refused("Not Found", "No data found, symbol may be delisted"))] * 2
        )

        with pytest.raises(
            SourceError, match=r"source mine: NOPE 1m .* Not Found: No data found"
        ) as caught:
            ask(vendor, "NOPE")

        assert caught.value.permanent

    def test_too_many_requests_hold_the_source(self, ask):
        vendor = Yahoo([bar(OPEN)], refusals=[(429, "Too Many Requests\r\n")] * 9)

        with pytest.raises(
            SourceError, match=r"left alone for another 1[12]0? s.*HTTP 429: too many requests"
        ) as caught:
            ask(vendor, hold=120)

        assert not caught.value.permanent
        assert len(vendor.log) == 2  # the library tries another way once by itself

    def test_a_server_error_passes(self, ask):
        vendor = Yahoo([bar(OPEN)], refusals=[(502, "<html>Will be right back</html>")] * 2)

        assert len(ask(vendor, bars=1)) == 1

    @pytest.mark.parametrize(
        ("meta", "words"),
        [
            ({"symbol": "QQQ"}, "the answer is about 'QQQ'"),
            ({"dataGranularity": "1d"}, "the answer has bars of '1d', not of 1m"),
        ],
    )
    def test_an_answer_to_another_question_is_an_error(self, ask, meta, words):
        with pytest.raises(SourceError, match=words):
            ask(Yahoo([bar(OPEN)], meta=meta), retries=0)

    @pytest.mark.parametrize(
        "body",
        [
            "<html>consent</html>",
            '{"chart": {"result"',
            '{"chart": {}}',
            "[]",
            '{"chart": {"error": null, "result": [{}]}}',
        ],
    )
    def test_what_is_no_chart_is_an_error(self, ask, body):
        with pytest.raises(SourceError, match="the answer is not"):
            ask(Yahoo([], refusals=[(200, body)] * 2), retries=0)

    def test_a_server_that_is_not_there_is_an_error_without_its_address(self, tmp_path):
        settings = YahooSettings.model_validate(
            QUICK | {"base_url": "http://127.0.0.1:9", "retries": 0}
        )

        async def fetch() -> None:
            async with YahooSource("mine", settings, base=tmp_path, kind="equity") as source:
                await source.fetch("SPY", Timeframe.M1, OPEN, OPEN + MINUTE)

        with pytest.raises(SourceError, match=r"source mine: SPY 1m .*no answer") as caught:
            asyncio.run(fetch())

        assert "chart" not in str(caught.value)

    def test_a_server_that_says_nothing_is_left_in_time(self, ask):
        async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        with pytest.raises(SourceError, match=r"was not complete after 0\.2 s|no answer"):
            ask(silent, retries=0, timeout=0.3, total_timeout=0.2)


class TestUniverse:
    UNIVERSE = """
    sources: {{yahoo: {{}}}}
    profiles:
      kept:
        kind: {kind}
        start: 2024-01-01
        timeframes: {{fetch: [{timeframe}]}}
        sources: [yahoo]
        symbols: {{SPY: {{}}}}
    """

    def load(self, folder, **keys):
        path = folder / "universe.yaml"
        path.write_text(self.UNIVERSE.format(**{"kind": "EQUITY", "timeframe": "1m"} | keys))
        return load_universe(path, environ={})

    def test_it_is_found_by_its_name(self, tmp_path):
        assert self.load(tmp_path).sources == {"yahoo": {}}
        assert source_types()["yahoo"] is YahooSource

    def test_a_library_that_is_missing_is_told_when_the_universe_is_loaded(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "yfinance", None)

        with pytest.raises(UniverseError, match=r"yfinance: pip install 'market-assets\[yahoo\]'"):
            self.load(tmp_path)

    @pytest.mark.parametrize(
        "keys", [{"kind": "FOREX"}, {"kind": "FUTURES"}, {"timeframe": "30m"}, {"kind": "CRYPTO"}]
    )
    def test_what_it_does_not_serve_is_refused(self, tmp_path, keys):
        with pytest.raises(UniverseError):
            self.load(tmp_path, **keys)

    def test_adjusted_prices_are_no_other_sources_venue(self):
        assert venue_of(YahooSource, YahooSettings(), "equity") == "yahoo-split-adjusted"
        assert venue_of(YahooSource, YahooSettings(), "crypto") == "yahoo"

    @pytest.mark.parametrize(
        "keys", [{}, {"limiter_path": "elsewhere/a.sqlite"}, {"limiter": "redis://a.example"}]
    )
    def test_its_cookies_lie_in_the_home_folder_wherever_its_limit_is_kept(
        self, tmp_path, monkeypatch, keys
    ):
        told = []
        monkeypatch.setattr(yfinance, "set_tz_cache_location", told.append)
        monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "home"))

        source = YahooSource(
            "mine", YahooSettings.model_validate(keys), base=tmp_path, kind="equity"
        )
        yahoo._library.__wrapped__(source._cookies)

        assert told == [str(tmp_path / "home" / "yahoo")]
