"""Every adapter of paged JSON against servers that mean harm or are ill.

Each gives a typed error, soon, and reads no more than it must.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.errors import SourceError
from market_assets.sources.vendors.alpaca import AlpacaSource
from market_assets.sources.vendors.oanda import OandaSource
from market_assets.sources.vendors.polygon import PolygonSource
from market_assets_tests.sources.vendors import test_alpaca, test_oanda, test_polygon
from market_assets_tests.support import wire
from market_assets_tests.support.doubles import KEY, SECRET, Binance
from market_assets_tests.support.keyed_ground import minutes
from market_assets_tests.support.wire import QUICK, START, Wire, every, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from market_assets.sources.transport.rest import PagedSource

TOO_MUCH = 100_000_000


@dataclass(frozen=True)
class Prey:
    """An adapter, and what its vendor says.

    That is a page of five minutes, and refusals that come with a 200.

    Attributes:
        errors: The body of each, and words that the error must have.
    """

    source: type[PagedSource]
    symbol: str
    page: bytes
    errors: Mapping[str, str]
    settings: Mapping[str, object] = field(default_factory=dict)


def exchange(spoken: Wire, **errors: str) -> Prey:
    return Prey(spoken.source, spoken.symbol, tell(spoken, *every(5)), errors, spoken.settings)


_FIVE = minutes(START, 5)
PREY = {
    **{
        name: exchange(
            spoken, **{json.dumps(spoken.spoken.error(10001, "tHeir words")): "tHeir words"}
        )
        for name, spoken in {
            **wire.WIRES,
            "binance": Wire(Binance),
        }.items()
    },
    "polygon": Prey(
        PolygonSource,
        "AAPL",
        json.dumps(
            {
                "status": "OK",
                "ticker": "AAPL",
                "results": [test_polygon.bar(each) for each in _FIVE],
            }
        ).encode(),
        {
            '{"status":"ERROR","error":"tHeir words"}': "tHeir words",
            '{"status":"NOT_AUTHORIZED","message":"tHeir words"}': "tHeir words",
        },
        {"key": KEY, "history_days": None},
    ),
    "alpaca": Prey(
        AlpacaSource,
        "AAPL",
        json.dumps(
            {"bars": {"AAPL": [test_alpaca.bar(each) for each in _FIVE]}, "next_page_token": None}
        ).encode(),
        {'{"code":42210000,"message":"tHeir words"}': "42210000 tHeir words"},
        {"key": KEY, "secret": SECRET},
    ),
    "oanda": Prey(
        OandaSource,
        "EUR_USD",
        json.dumps(
            {"instrument": "EUR_USD", "candles": [test_oanda.candle(each) for each in _FIVE]}
        ).encode(),
        {'{"errorMessage":"tHeir words"}': "tHeir words"},
        {"key": KEY},
    ),
}


@pytest.fixture(params=PREY)
def prey(request: pytest.FixtureRequest) -> Prey:
    """Each adapter in turn."""
    return PREY[request.param]


@pytest.fixture
def given_by(tmp_path) -> Callable[..., Any]:
    """Ask a server for five minutes; gives the frame."""

    def given_by(prey: Prey, url: str, **settings: object) -> Any:
        model = prey.source.Settings.model_validate(
            QUICK | {"base_url": url, "hold": 0} | dict(prey.settings) | settings
        )
        kind = min(prey.source.traits.kinds)
        source = prey.source("mine", model, base=tmp_path, kind=kind)  # type: ignore[arg-type]
        return wire.ask(source, prey.symbol, bars=5)

    return given_by


@pytest.fixture
def fails(given_by) -> Callable[..., SourceError]:
    """Ask a server for five minutes; gives the error that comes of it, which is short and soon."""

    def fails(prey: Prey, url: str, **settings: object) -> SourceError:
        began = time.monotonic()
        with pytest.raises(
            SourceError, match=f"^source mine: {prey.symbol} 1m 2024-01-01 00:00"
        ) as caught:
            given_by(prey, url, **settings)
        assert time.monotonic() - began < 4
        assert len(str(caught.value)) < 1000
        assert "\n" not in str(caught.value)
        return caught.value

    return fails


def test_the_page_that_is_spoilt_below_is_a_page_while_it_is_whole(prey, serve, reply, given_by):
    assert len(given_by(prey, serve(reply((200, {}, prey.page))).url)) == 5


@pytest.mark.parametrize(
    "body",
    [
        b"<html><h1>Maintenance</h1></html>",
        b"",
        b"\0" * 1000,
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 50_000,
    ],
)
def test_what_is_no_json_is_asked_for_again_and_then_an_error(prey, serve, reply, fails, body):
    server = serve(reply((200, {}, body)))

    assert not fails(prey, server.url).permanent
    assert len(server.requests) == 3


def test_a_page_cut_off_anywhere_is_never_taken_for_a_shorter_one(prey, serve, fails):
    cuts = [len(prey.page) * tenth // 10 for tenth in range(1, 10)]
    left = list(cuts)

    async def cut(_request: bytes, writer: asyncio.StreamWriter) -> None:
        body = prey.page[: left.pop()]
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )

    assert not fails(prey, serve(cut).url, retries=len(cuts) - 1).permanent
    assert not left


@pytest.mark.parametrize("head", [b"content-length: %d\r\n", b"transfer-encoding: chunked\r\n"])
def test_a_connection_cut_in_the_body_is_asked_for_again_and_then_an_error(
    prey, serve, fails, head
):
    async def cut(_request: bytes, writer: asyncio.StreamWriter) -> None:
        declared = head % len(prey.page) if b"%" in head else head
        half = prey.page[: len(prey.page) // 2]
        body = half if b"%" in head else b"%x\r\n%s\r\n" % (len(half), half)
        writer.write(b"HTTP/1.1 200 OK\r\n" + declared + b"\r\n" + body)

    server = serve(cut)
    error = fails(prey, server.url)

    assert "no answer after 3 attempts: broken connection" in str(error)
    assert not error.permanent
    assert len(server.requests) == 3


def test_an_error_in_a_200_body_is_an_error_with_the_vendors_words(prey, serve, reply, fails):
    for body, words in prey.errors.items():
        assert words in str(fails(prey, serve(reply((200, {}, body.encode()))).url, retries=0))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(prey, serve, reply, fails, status):
    elsewhere = serve(reply((200, {}, prey.page)))
    server = serve(reply((status, {"location": f"{elsewhere.url}/there?{KEY}"}, b"")))

    error = fails(prey, server.url)

    assert (
        f"redirected to {elsewhere.url}/there: redirects are not followed, correct base_url"
        in str(error)
    )
    assert error.permanent
    assert (len(server.requests), len(elsewhere.requests)) == (1, 0)


@pytest.mark.parametrize("declared", [True, False])
def test_of_a_body_of_100_megabytes_no_more_is_read_than_may_be(prey, serve, fails, declared):
    sent = 0

    async def pour(_request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        length = b"content-length: %d\r\n" % TOO_MUCH if declared else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"connection: close\r\n\r\n")
        while sent < TOO_MUCH:
            writer.write(b" " * 1_000_000)
            await writer.drain()
            sent += 1_000_000

    server = serve(pour)
    error = fails(prey, server.url, max_body="1MiB")

    assert "max_body" in str(error)
    assert error.permanent
    assert len(server.requests) == 1
    assert sent < 20_000_000  # what two sockets hold


def test_of_a_small_body_that_unpacks_to_100_megabytes_no_more_is_unpacked_than_may_be(
    prey, serve, reply, fails
):
    server = serve(reply((200, {"content-encoding": "gzip"}, _BOMB)))

    assert "max_body" in str(fails(prey, server.url, max_body="1MiB"))


_BOMB = gzip.compress(b" " * 10_000_000, compresslevel=1)


def test_a_byte_now_and_then_is_cut_at_the_total_timeout(prey, serve, fails):
    async def drip(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(prey.page))
        for byte in prey.page:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    server = serve(drip)
    error = fails(prey, server.url, total_timeout=0.15, retries=1)

    assert "no answer after 2 attempts: the answer was not complete after 0.15 s" in str(error)
    assert not error.permanent
    assert len(server.requests) == 2


def test_silence_is_cut_at_the_timeout(prey, serve, fails):
    async def say_nothing(_request: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    assert "silent for 0.1 s" in str(fails(prey, serve(say_nothing).url, timeout=0.1, retries=0))
