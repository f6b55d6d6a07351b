"""Exchanges through ccxt.

The tests cover pages, an exchange that does not heed what it is asked for, refusals, and what is
reported when a universe is loaded.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from traceback import format_exception
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pydantic import ValidationError

from market_assets.config.load import load_universe
from market_assets.errors import SourceError, UniverseError
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import source_types, venue_of
from market_assets.sources.vendors.ccxt import CcxtSettings, CcxtSource, _moved
from market_assets_tests.support.wire import MINUTE, QUICK, START, candle, every, opens, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

NOW = START + timedelta(days=30)
KEY = "kkkk-tell-nobody-4711"
PRODUCT = {
    "id": "BTC-USD",
    "base_currency": "BTC",
    "quote_currency": "USD",
    "quote_increment": "0.01",
    "base_increment": "0.00000001",
    "display_name": "BTC-USD",
    "min_market_funds": "1",
    "status": "online",
}


@dataclass
class Coinbase:
    """The exchange that the library calls coinbaseexchange; an instance is a handler of the server.

    Attributes:
        bars: The opens that it has, in seconds, sorted.
        heedless: It gives its newest bars whatever it is asked for.
        refusals: Statuses, headers and bodies to answer with instead of candles first.
        log: The queries for candles.
        paths: Every path that was asked for.
    """

    bars: list[int]
    heedless: bool = False
    refusals: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    log: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(request.split()[1].decode())
        self.paths.append(url.path)
        status, headers, body = (
            200,
            {},
            json.dumps(self.answer(url.path, dict(parse_qsl(url.query)))),
        )
        if self.refusals and url.path.endswith("/candles"):
            status, headers, body = self.refusals.pop(0)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = [
            f"HTTP/1.1 {status} X",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            *lines,
        ]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body.encode())

    def answer(self, path: str, query: dict[str, str]) -> Any:
        if not path.endswith("/candles"):
            return [PRODUCT] if path == "/products" else []
        self.log.append(query)
        first, last = (datetime.fromisoformat(query[name]).timestamp() for name in ("start", "end"))
        found = (
            self.bars[-300:] if self.heedless else [ts for ts in self.bars if first <= ts <= last]
        )
        rows = [candle(ts) for ts in found]
        return [
            [ts, low, high, open_, close, volume]
            for ts, open_, high, low, close, volume in reversed(rows)
        ]


@pytest.fixture
def build(tmp_path: Any) -> Callable[..., CcxtSource]:
    def build(url: str, *, now: datetime = NOW, **keys: Any) -> CcxtSource:
        keys = QUICK | {"base_url": url, "exchange": "coinbaseexchange", "hold": 0} | keys
        return CcxtSource(
            "mine",
            CcxtSettings.model_validate(keys),
            base=tmp_path,
            kind="crypto",
            clock=lambda: now,
        )

    return build


def ask(
    source: CcxtSource,
    symbol: str = "BTC/USD",
    *,
    start: datetime = START,
    bars: int = 10,
    timeframe: Timeframe = Timeframe.M1,
) -> pl.DataFrame:
    async def fetch() -> pl.DataFrame:
        async with source:
            return await source.fetch(symbol, timeframe, start, start + bars * timeframe.duration)

    return asyncio.run(fetch())


class TestPages:
    def test_a_window_is_asked_for_with_its_start_and_a_whole_page(self, serve, build):
        exchange = Coinbase(every(400))

        frame = ask(build(serve(exchange).url))

        assert rows(frame) == [candle(ts) for ts in every(10)]
        assert [(query["start"], query["end"]) for query in exchange.log] == [
            ("2024-01-01T00:00:00.000Z", "2024-01-01T04:59:00.000Z")
        ]

    def test_the_exchanges_own_name_is_understood_too(self, serve, build):
        assert len(ask(build(serve(Coinbase(every(10))).url), "BTC-USD")) == 10

    def test_the_markets_are_asked_for_once(self, serve, build):
        exchange, source = Coinbase(every(400)), None
        source = build(serve(exchange).url)

        async def fetch() -> None:
            async with source:
                await asyncio.gather(
                    *(
                        source.fetch(
                            "BTC/USD", Timeframe.M1, START + n * MINUTE, START + (n + 1) * MINUTE
                        )
                        for n in range(6)
                    )
                )

        asyncio.run(fetch())

        assert exchange.paths.count("/products") == 1
        assert source.usage.requests == len(exchange.log) == 6

    def test_a_page_that_ends_early_is_gone_on_with(self, serve, build):
        # The library lets nobody have more than 300 bars of this exchange at once.
        exchange = Coinbase(every(700))

        frame = ask(build(serve(exchange).url), bars=650)

        assert opens(frame) == every(650)
        assert len(exchange.log) == 3


class TestAnExchangeThatGivesItsNewestBars:
    @pytest.mark.parametrize("bars", [10, 900], ids=["all behind the window", "its end alone"])
    def test_is_not_taken_to_have_nothing_before(self, serve, build, bars):
        exchange = Coinbase(every(1000), heedless=True)

        with pytest.raises(
            SourceError,
            match=r"source mine: BTC/USD 1m .* the 300 bars given are the newest "
            r".*`latest_only: 300`",
        ) as caught:
            ask(build(serve(exchange).url, now=START + 1000 * MINUTE), bars=bars)

        assert not caught.value.permanent

    def test_the_newest_minutes_of_a_quiet_market_cost_one_request(self, serve, build):
        exchange = Coinbase(every(1000)[:995:3])

        assert (
            len(
                ask(
                    build(serve(exchange).url, now=START + 1000 * MINUTE),
                    start=START + 995 * MINUTE,
                    bars=5,
                )
            )
            == 0
        )
        assert len(exchange.log) == 1

    def test_a_hole_near_the_present_is_told_apart_from_it(self, serve, build):
        there = every(1000)
        exchange = Coinbase(there[:900] + there[910:])

        frame = ask(
            build(serve(exchange).url, now=START + 1000 * MINUTE), start=START + 900 * MINUTE
        )

        assert frame.is_empty()
        assert [query["start"][11:16] for query in exchange.log] == ["15:00", "10:00"]

    def test_a_hole_of_long_ago_costs_one_request(self, serve, build):
        there = every(1000)
        exchange = Coinbase(there[:100] + there[110:])

        assert ask(
            build(serve(exchange).url, now=START + 1000 * MINUTE), start=START + 100 * MINUTE
        ).is_empty()
        assert len(exchange.log) == 1

    def test_is_asked_for_no_more_than_these_where_it_is_known(self, build):
        assert build("http://127.0.0.1:9", exchange="kraken").traits.latest_only == 720
        assert build("http://127.0.0.1:9", latest_only=300).traits.latest_only == 300

    def test_an_open_may_lie_outside_the_range_where_it_is_the_close_before(self, build):
        def outside(**settings):
            return build("http://127.0.0.1:9", **settings).traits.open_outside_range

        assert outside(exchange="bitmex")
        assert not outside(exchange="bitmex", open_outside_range=False)
        assert not outside(exchange="kraken")
        assert outside(exchange="kraken", open_outside_range=True)

    def test_krakens_recorded_answer_comes_through_to_the_last_bit(self, shared, serve, build):
        body = (shared / "wire" / "kraken" / "ohlc_XBTUSDT_1m_720_2025-11-10.json").read_bytes()
        recorded = json.loads(body)["result"]["XBTUSDT"]
        pair = {
            "altname": "XBTUSDT",
            "wsname": "XBT/USDT",
            "base": "XXBT",
            "quote": "USDT",
            "status": "online",
            "fees": [[0, 0.4]],
            "fees_maker": [[0, 0.25]],
            "leverage_buy": [],
            "pair_decimals": 1,
            "lot_decimals": 8,
            "ordermin": "0.0001",
        }
        answers = {
            "/0/public/AssetPairs": json.dumps({"error": [], "result": {"XBTUSDT": pair}}).encode(),
            "/0/public/Assets": b'{"error": [], "result": {}}',
            "/0/public/OHLC": body,
        }

        async def kraken(request: bytes, writer: asyncio.StreamWriter) -> None:
            answer = answers[urlsplit(request.split()[1].decode()).path]
            writer.write(
                (
                    f"HTTP/1.1 200 X\r\ncontent-length: {len(answer)}\r\nconnection: close\r\n\r\n"
                ).encode()
                + answer
            )

        first = datetime.fromtimestamp(recorded[0][0], UTC)
        frame = ask(build(serve(kraken).url, exchange="kraken"), "BTC/USDT", start=first, bars=100)

        assert rows(frame) == [(row[0], *map(float, [*row[1:5], row[6]])) for row in recorded[:100]]


class TestTraits:
    def test_they_are_those_of_the_exchange(self, build):
        coinbase = build("http://127.0.0.1:9").traits
        binance = build("http://127.0.0.1:9", exchange="binance", quiet_minutes="omitted").traits

        assert coinbase.timeframes == {Timeframe(text) for text in ("1m", "5m", "15m", "1h", "1d")}
        assert coinbase.page_size == 300
        assert (coinbase.emits_empty_bars, binance.emits_empty_bars) == (True, False)
        assert binance.timeframes == frozenset(Timeframe) - {Timeframe.W1}
        assert binance.page_size == 1000
        assert not binance.earliest_probe
        assert (
            binance.venue
            == venue_of(CcxtSource, CcxtSettings(exchange="binance"), "crypto")
            == "binance"
        )

    def test_a_timeframe_that_the_exchange_lacks_is_refused(self, build):
        with pytest.raises(
            SourceError, match="coinbaseexchange has 1m, 5m, 15m, 1h, 1d; fetch one of these"
        ) as caught:
            ask(build("http://127.0.0.1:9"), timeframe=Timeframe.M30)

        assert caught.value.permanent

    def test_an_exchange_without_candles_is_refused(self, build):
        with pytest.raises(SourceError, match="bitflyer gives no candles through ccxt"):
            build("http://127.0.0.1:9", exchange="bitflyer")

    def test_every_address_of_the_exchange_is_moved(self):
        api = {
            "public": "https://api.{hostname}/v1",
            "private": {"spot": "http://x.example"},
            "none": None,
        }

        assert _moved(api, "http://127.0.0.1:1/") == {
            "public": "http://127.0.0.1:1/v1",
            "private": {"spot": "http://127.0.0.1:1"},
            "none": None,
        }


class TestRefusals:
    def test_an_unknown_symbol_is_permanent(self, serve, build):
        exchange = Coinbase(every(10))

        with pytest.raises(
            SourceError, match=r"source mine: NO/PE 1m .*BadSymbol: .*write it as ccxt does"
        ) as caught:
            ask(build(serve(exchange).url), "NO/PE")

        assert caught.value.permanent
        assert not exchange.log

    def test_a_retry_after_is_obeyed(self, serve, build):
        exchange = Coinbase(
            every(10), refusals=[(429, {"Retry-After": "77"}, '{"message": "slow down"}')]
        )

        with pytest.raises(
            SourceError, match=r"left alone for another 7[67] s.*RateLimitExceeded"
        ) as caught:
            ask(build(serve(exchange).url))

        assert not caught.value.permanent

    def test_a_hold_is_one_of_all_who_share_the_limits_file(self, serve, build):
        exchange = Coinbase(every(10), refusals=[(429, {"Retry-After": "77"}, "{}")])
        url = serve(exchange).url

        for paths in (3, 3):  # currencies, products and candles; and nothing by the second source
            with pytest.raises(SourceError, match=r"left alone for another 7[67] s"):
                ask(build(url, limiter_path="limits.sqlite", rate="100/s"))
            assert len(exchange.paths) == paths

    def test_a_refusal_that_says_no_time_holds_for_that_of_the_settings(self, serve, build):
        exchange = Coinbase(every(10), refusals=[(429, {}, "{}")])

        with pytest.raises(SourceError, match=r"left alone for another 4[34] s"):
            ask(build(serve(exchange).url, hold=44))

    @pytest.mark.parametrize(
        "refusal",
        [
            (503, {}, "<html>maintenance</html>"),
            (500, {}, ""),
            (200, {}, "<html>"),
            (200, {}, "[[17040"),
            (200, {}, '{"a": 1}'),
        ],
    )
    def test_what_passes_is_asked_for_again(self, serve, build, refusal):
        exchange = Coinbase(every(10), refusals=[refusal])
        source = build(serve(exchange).url)

        assert len(ask(source)) == 10
        assert source.usage.retries == 1

    def test_a_refused_key_is_permanent(self, serve, build):
        exchange = Coinbase(every(10), refusals=[(400, {}, '{"message": "Invalid API Key"}')])

        with pytest.raises(SourceError, match=r"AuthenticationError: .*Invalid API Key") as caught:
            # It opens nothing.
            ask(build(serve(exchange).url, key=KEY, secret="ssss-tell-nobody"))  # noqa: S106

        assert caught.value.permanent

    def test_what_the_exchange_repeats_of_a_key_is_not_shown(self, serve, build):
        exchange = Coinbase(
            every(10), refusals=[(400, {}, json.dumps({"message": f"{KEY} is strange"}))]
        )

        with pytest.raises(SourceError, match=r"\*\*\* is strange") as caught:
            ask(build(serve(exchange).url, key=KEY, retries=0))

        assert not caught.value.permanent
        assert KEY not in "".join(format_exception(caught.value))

    def test_a_server_that_is_not_there_is_an_error_without_its_address(self, build):
        with pytest.raises(SourceError, match="ExchangeNotAvailable") as caught:
            ask(build("http://127.0.0.1:9", retries=0))

        assert not caught.value.permanent
        assert "127.0.0.1:9/" not in str(caught.value)

    def test_a_server_that_says_nothing_is_left_in_time(self, serve, build):
        async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        with pytest.raises(SourceError, match=r"was not complete after 0\.2 s"):
            ask(build(serve(silent).url, retries=0, total_timeout=0.2))


class TestUniverse:
    UNIVERSE = """
    sources: {{market: {{type: ccxt, {keys}}}}}
    profiles:
      crypto:
        kind: {kind}
        start: 2024-01-01
        timeframes: {{fetch: [{timeframe}]}}
        sources: [market]
        symbols: {{BTCUSD: {{sources: [{{market: BTC/USD}}]}}}}
    """

    def load(self, folder, keys="exchange: kraken", kind="CRYPTO", timeframe="1m"):
        path = folder / "universe.yaml"
        path.write_text(self.UNIVERSE.format(keys=keys, kind=kind, timeframe=timeframe))
        return load_universe(path, environ={})

    def test_it_is_found_by_its_name(self, tmp_path):
        assert (
            self.load(tmp_path).profiles["crypto"].symbols["BTCUSD"].sources[0].symbol == "BTC/USD"
        )
        assert source_types()["ccxt"] is CcxtSource

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ("exchange: krakn", "'krakn' is no exchange of ccxt; did you mean kraken"),
            ("exchange: qqq", "'qqq' is no exchange of ccxt; it knows 1"),
            ("exchange: __init__", "is no exchange of ccxt"),
            ("rate: 1/s", "exchange"),
            (
                "exchange: okx, headers: {X-More: a}",
                "has headers, which the package ccxt would not send",
            ),
        ],
    )
    def test_an_exchange_that_the_library_does_not_know_is_told_when_the_universe_is_loaded(
        self, tmp_path, keys, words
    ):
        with pytest.raises(UniverseError, match=words):
            self.load(tmp_path, keys)

    def test_a_library_that_is_missing_is_told_when_the_universe_is_loaded(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "ccxt", None)

        with pytest.raises(UniverseError, match=r"ccxt: pip install 'market-assets\[ccxt\]'"):
            self.load(tmp_path)

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ({"kind": "EQUITY"}, "market serves CRYPTO"),
            ({"timeframe": "1w"}, "1w is served by no source of BTCUSD"),
            (
                {"timeframe": "4h", "keys": "exchange: coinbaseexchange"},
                "they have 1m, 5m, 15m, 1h, 1d",
            ),
            ({"keys": "exchange: bitflyer"}, "bitflyer gives no candles through ccxt"),
        ],
    )
    def test_what_it_does_not_serve_is_refused(self, tmp_path, keys, words):
        with pytest.raises(UniverseError, match=words):
            self.load(tmp_path, **keys)

    def test_a_key_is_shown_to_nobody(self):
        assert KEY not in repr(CcxtSettings.model_validate({"exchange": "okx", "key": KEY}))
        with pytest.raises(ValidationError) as caught:
            CcxtSettings.model_validate({"exchange": "nope", "key": KEY})
        assert KEY not in str(caught.value)
