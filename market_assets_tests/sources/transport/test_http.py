"""The shared HTTP client against servers that refuse, stall, lie and break off."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from traceback import format_exception
from types import MappingProxyType

import pytest
from pydantic import SecretStr, ValidationError

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.practice.faults import Fault
from market_assets.sources.contract import Usage
from market_assets.sources.transport.http import HttpClient, HttpSettings, excerpt
from market_assets.sources.vendors.binance import BinanceSettings

START = datetime(2024, 1, 1, tzinfo=UTC)
KLINE = [1704067200000, "1", "2", "0.5", "1.5", "10", 1704067259999, "15", 3, "5", "7", "0"]
PAGE = json.dumps([KLINE]).encode()


class TestWaitingAsToldTo:
    @pytest.mark.parametrize("status", [429, 418])
    def test_a_refusal_with_retry_after_is_waited_out_and_the_page_then_had(
        self, vendor, ask, status
    ):
        vendor.set_faults([Fault(fault="error", status=status, code=-1003, retry_after=0, times=1)])

        answer = ask(vendor.url)

        assert answer.frame.height == 100
        assert answer.usage.retries == 1
        assert [entry["status"] for entry in vendor.log] == [status, 200]

    def test_a_retry_after_of_a_second_holds_every_request_of_the_client(self, serve, build):
        count = 0

        async def refuse_the_first_and_be_slow_with_the_second(_request, writer):
            nonlocal count
            count += 1
            if count == 1:
                writer.write(
                    b"HTTP/1.1 429 X\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: "
                    b"close\r\n\r\n"
                )
                return
            if count == 2:
                await asyncio.sleep(0.1)
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(PAGE)
                + PAGE
            )

        server = serve(refuse_the_first_and_be_slow_with_the_second)

        async def five_at_once():
            source = build(server.url, concurrency=2)
            async with source:
                minute = timedelta(minutes=1)
                await asyncio.gather(
                    *(source.fetch("A", Timeframe.M1, START, START + minute) for _ in range(5))
                )
            return source.usage

        usage = asyncio.run(five_at_once())

        # Two were under way when the server spoke; the four that follow, three of them never
        # refused, wait for it.
        assert usage.requests == 6
        assert min(server.times[2:]) - server.times[0] >= 0.99

    def test_a_retry_after_as_an_http_date_is_obeyed(self, serve, reply, ask):
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
        server = serve(
            reply(
                (429, {"retry-after": date}, b'{"code":-1003,"msg":"Too much request weight used"}')
            )
        )

        with pytest.raises(SourceError, match=r"left alone for another (9\d|100) s") as caught:
            ask(server.url)

        assert not caught.value.permanent
        assert len(server.requests) == 1

    def test_an_http_date_that_has_passed_means_now(self, serve, reply, ask):
        date = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
        server = serve(reply((503, {"retry-after": date}, b""), (200, {}, PAGE)))

        assert ask(server.url, bars=1).frame.height == 1

    def test_a_wait_longer_than_the_deadline_is_an_error_at_once_and_for_the_requests_after_it(
        self, serve, reply, build
    ):
        server = serve(reply((418, {"retry-after": "259200"}, b'{"code":-1003,"msg":"IP banned"}')))

        words = (
            r"alone for another 259200 s \(asked for by the vendor: HTTP 418: -1003 IP banned\), "
            r"longer than max_elapsed"
        )

        async def twice():
            source = build(server.url)
            async with source:
                for _ in range(2):
                    with pytest.raises(SourceError, match=words):
                        await source.fetch("A", Timeframe.M1, START, START + timedelta(minutes=1))

        asyncio.run(twice())

        assert len(server.requests) == 1

    def test_what_the_vendor_said_does_not_show_a_key_that_it_echoes(self, serve, reply, tmp_path):
        server = serve(reply((403, {}, b"blocked: s3cr3t-value")))

        with pytest.raises(SourceError, match=r"vendor: HTTP 403: blocked: \*\*\*\), longer"):
            asyncio.run(
                _get(
                    server.url,
                    tmp_path,
                    holds={403: 600},
                    settings={"headers": {"X-Key": "s3cr3t-value"}, "max_elapsed": 5},
                )
            )

    def test_a_wait_is_kept_when_the_source_is_opened_again(self, serve, reply, build):
        server = serve(reply((429, {"retry-after": "100"}, b"")))
        source = build(server.url, retries=0)

        async def once():
            async with source:
                await source.fetch("A", Timeframe.M1, START, START + timedelta(minutes=1))

        for _ in range(2):
            with pytest.raises(SourceError):
                asyncio.run(once())

        assert len(server.requests) == 1

    def test_a_retry_after_that_is_nonsense_falls_back_to_the_backoff(self, serve, reply, ask):
        server = serve(reply((429, {"retry-after": "soon"}, b""), (200, {}, PAGE)))

        assert ask(server.url, bars=1).usage.retries == 1

    @pytest.mark.parametrize(
        "words",
        [
            "Mon, 99999999999999999999999 Jan 2024 00:00:00 GMT",
            "Mon, 01 Jan 2024 00:00:99999999999999999999 GMT",
            "Mon, 01 Jan 0001 00:00:00 +2359",
            "\xff",
            "-1",
            "nan",
        ],
    )
    def test_a_retry_after_that_cannot_be_is_none(self, serve, reply, ask, words):
        server = serve(reply((429, {"retry-after": words}, b""), (200, {}, PAGE)))

        assert ask(server.url, bars=1, hold=0).frame.height == 1

    def test_418_without_a_retry_after_is_final(self, vendor, ask):
        vendor.set_faults([Fault(fault="error", status=418, code=-1003)])

        with pytest.raises(SourceError) as caught:
            ask(vendor.url)

        assert caught.value.permanent
        assert len(vendor.log) == 1

    def test_a_429_that_does_not_say_how_long_holds_for_as_long_as_the_settings_say(
        self, serve, reply, ask
    ):
        server = serve(reply((429, {}, b""), (200, {}, PAGE)))

        usage = ask(server.url, bars=1, hold=0.5).usage

        assert usage.waits >= 0.45
        assert server.times[1] - server.times[0] >= 0.45

    def test_a_retry_after_comes_before_the_settings(self, serve, reply, ask):
        server = serve(reply((429, {"retry-after": "0"}, b""), (200, {}, PAGE)))

        assert ask(server.url, bars=1, hold=60).usage.waits < 5

    def test_a_vendor_can_have_refusals_of_its_own_that_pass(self, serve, reply, tmp_path):
        server = serve(reply((403, {}, b""), (200, {}, b"{}")))

        assert asyncio.run(_get(server.url, tmp_path, holds={403: 0.3})) >= 0.25
        assert len(server.requests) == 2

    def test_an_answer_that_says_in_its_body_how_long_to_wait_is_obeyed_by_all_requests(
        self, serve, reply, tmp_path
    ):
        server = serve(reply((200, {}, b"busy"), (200, {}, b"{}")))

        def parse(body):
            if body == b"busy":
                raise SourceError("the answer is an error: too many visits", retry_after=0.3)
            return body

        assert asyncio.run(_get(server.url, tmp_path, parse=parse)) >= 0.25
        assert len(server.requests) == 2


async def _get(url, folder, parse=bytes, settings=MappingProxyType({}), **options):
    """Ask once, by a client of its own; gives the seconds that it waited."""
    usage = Usage()
    model = HttpSettings.model_validate({"base_url": url, "backoff": 0, **settings})
    async with HttpClient("theirs", model, usage, base=folder, **options) as client:
        await client.get("/", {}, about="a page", parse=parse)
    return usage.waits


class TestRetries:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_passing_refusals_are_tried_again(self, vendor, ask, status):
        vendor.set_faults([Fault(fault="error", status=status, times=2)])

        answer = ask(vendor.url)

        assert answer.frame.height == 100
        assert answer.usage.requests == 3
        assert answer.usage.retries == 2

    def test_a_refusal_that_does_not_pass_is_an_error_after_the_last_attempt(self, vendor, ask):
        vendor.set_faults([Fault(fault="error", status=503)])

        with pytest.raises(
            SourceError, match=r"no answer after 3 attempts: HTTP 503: -1000 An unknown error"
        ) as caught:
            ask(vendor.url)

        assert not caught.value.permanent
        assert len(vendor.log) == 3

    @pytest.mark.parametrize("fault", ["cut", "truncated"])
    def test_an_answer_that_breaks_off_is_asked_for_again(self, vendor, ask, fault):
        vendor.set_faults([Fault(fault=fault, times=1)])

        answer = ask(vendor.url)

        assert answer.frame.height == 100
        assert answer.usage.retries == 1

    def test_a_connection_that_always_breaks_in_the_body_is_an_error(self, vendor, ask):
        vendor.set_faults([Fault(fault="cut")])

        with pytest.raises(SourceError, match="broken connection"):
            ask(vendor.url)

    def test_a_closed_port_is_an_error(self, ask):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]

        with pytest.raises(SourceError, match="no answer after 3 attempts: broken connection"):
            ask(f"http://127.0.0.1:{port}")

    def test_the_deadline_ends_the_retries(self, vendor, ask):
        vendor.set_faults([Fault(fault="error", status=500)])

        with pytest.raises(SourceError, match=r"no answer within 0\.2 s: HTTP 500"):
            ask(vendor.url, backoff=1, retries=100, max_elapsed=0.2)


class TestHostileServers:
    def test_a_redirect_is_not_followed(self, vendor, ask):
        vendor.set_faults([Fault(fault="redirect")])

        with pytest.raises(
            SourceError,
            match=r"redirected to https://elsewhere\.invalid/klines: .* correct base_url",
        ) as caught:
            ask(vendor.url)

        assert caught.value.permanent
        assert len(vendor.log) == 1

    @pytest.mark.parametrize("declared", [True, False])
    def test_a_body_of_100_megabytes_is_refused_before_it_is_read(self, serve, ask, declared):
        sent = 0

        async def pour(_request, writer):
            nonlocal sent
            length = b"content-length: 100000000\r\n" if declared else b""
            writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"connection: close\r\n\r\n")
            for _ in range(100):
                writer.write(b" " * 1_000_000)
                await writer.drain()
                sent += 1_000_000

        server = serve(pour)

        with pytest.raises(SourceError, match="max_body") as caught:
            ask(server.url, max_body="1MiB")

        assert caught.value.permanent
        assert len(server.requests) == 1
        assert sent < 20_000_000  # what the two sockets hold

    def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(self, serve, reply, ask):
        bomb = gzip.compress(b" " * 20_000_000)
        server = serve(reply((200, {"content-encoding": "gzip"}, bomb)))

        with pytest.raises(SourceError, match="max_body"):
            ask(server.url, max_body="1MiB")

    def test_a_body_that_is_not_the_gzip_it_says_is_an_error(self, serve, reply, ask):
        server = serve(reply((200, {"content-encoding": "gzip"}, PAGE)))

        with pytest.raises(SourceError, match="broken connection"):
            ask(server.url)

    @pytest.mark.parametrize(
        ("encoding", "pack"),
        [
            ("gzip", gzip.compress),
            ("x-gzip", gzip.compress),
            ("deflate", zlib.compress),
            ("deflate", lambda body: zlib.compress(body, wbits=-15)),
            ("identity", bytes),
        ],
    )
    def test_a_packed_page_is_a_page(self, serve, reply, ask, encoding, pack):
        server = serve(reply((200, {"content-encoding": encoding}, pack(PAGE))))

        assert ask(server.url, bars=1).frame.height == 1

    @pytest.mark.parametrize(
        "encoding", ["gzip, gzip", "gzip, identity, deflate", "br", "gzip,," + "gzip," * 99]
    )
    def test_a_body_that_is_packed_twice_or_in_another_way_is_not_unpacked(
        self, serve, reply, ask, encoding
    ):
        # 60 kB of it would be 60 MB packed once, and 60 GB in the end.
        server = serve(
            reply((200, {"content-encoding": encoding}, gzip.compress(gzip.compress(PAGE))))
        )

        with pytest.raises(SourceError, match="gzip or deflate is read, one at a time"):
            ask(server.url)

    @pytest.mark.parametrize("row", [b'[1704067200000,"1","1","1","1","1"]', b"{}", b"0"])
    def test_a_body_full_of_rows_takes_little_memory(self, serve, reply, ask, row):
        body = b"[" + b",".join([row] * (32_000_000 // (len(row) + 1))) + b"]"
        server = serve(reply((200, {"content-encoding": "gzip"}, gzip.compress(body, 1))))
        del body
        tracemalloc.start()
        try:
            with pytest.raises(SourceError, match="no page has so many"):
                ask(server.url)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert peak < 100_000_000

    def test_pages_that_give_more_than_anybody_asked_for_are_not_followed(self, serve, reply, ask):
        page = b"[" + b",".join([b'[1704067200000,"1","1","1","1","1"]'] * 20_000) + b"]"
        server = serve(reply((200, {}, page)))

        with pytest.raises(SourceError, match="20,000 rows came, and a page has 1,000"):
            ask(server.url)

    def test_a_byte_now_and_then_is_cut_at_the_total_timeout(self, vendor, ask):
        vendor.set_faults([Fault(fault="drip", seconds=0.02)])
        began = time.monotonic()

        with pytest.raises(SourceError, match=r"not complete after 0\.2 s"):
            ask(vendor.url, total_timeout=0.2, retries=1)

        assert time.monotonic() - began < 1.5

    def test_silence_is_cut_at_the_timeout(self, serve, ask):
        async def say_nothing(_request, _writer):
            await asyncio.Event().wait()

        server = serve(say_nothing)

        with pytest.raises(SourceError, match=r"silent for 0\.1 s"):
            ask(server.url, timeout=0.1, retries=1)

        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
    )
    def test_what_is_no_http_is_an_error(self, serve, ask, answer):
        async def babble(_request, writer):
            writer.write(answer)

        with pytest.raises(SourceError, match="broken connection"):
            ask(serve(babble).url)

    def test_an_endless_error_page_is_not_read_to_its_end(self, serve, ask):
        async def rant(_request, writer):
            writer.write(b"HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n")
            while True:
                writer.write(b"blah " * 10_000)
                await writer.drain()

        with pytest.raises(SourceError, match="HTTP 404: blah blah") as caught:
            ask(serve(rant).url)

        assert len(str(caught.value)) < 500


class TestWhatAnErrorSays:
    def test_it_names_source_symbol_window_status_and_the_vendors_words(self, vendor, ask):
        with pytest.raises(SourceError) as caught:
            ask(vendor.url, symbol="NOPE")

        assert caught.value.permanent
        assert (
            str(caught.value)
            == "source mine: NOPE 1m 2024-01-01 00:00..2024-01-01 01:40 UTC: HTTP 400: "
            "-1121 Invalid symbol."
        )

    def test_a_secret_that_an_excerpt_cuts_in_its_middle_is_blotted_too(self, serve, ask):
        async def echo(_request, writer):
            body = b"x" * 190 + b" s3cr3t-value-that-is-long"
            writer.write(
                b"HTTP/1.1 403 X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )

        server = serve(echo)
        with pytest.raises(SourceError) as caught:
            ask(server.url, headers={"X-Key": "s3cr3t-value-that-is-long"}, retries=0)
        assert "s3cr" not in str(caught.value)
        assert "***..." in str(caught.value)

    @pytest.mark.parametrize("status", [302, 401, 500])
    def test_it_never_shows_a_header_or_the_query_even_when_the_vendor_echoes_them(
        self, serve, ask, status
    ):
        async def echo(request, writer):
            words = request.replace(b"\r\n", b" ")
            target = (
                b"location: https://example.com/"
                + request.split(b"X-Key: ")[1].split(b"\r\n")[0]
                + b"?"
                + b"q=limit\r\n"
            )
            writer.write(
                b"HTTP/1.1 %d X\r\n%sconnection: close\r\n\r\n" % (status, target)
                + words[words.index(b"X-Key") :]
            )

        server = serve(echo)

        with pytest.raises(SourceError) as caught:
            ask(server.url, headers={"X-Key": "s3cr3t-value"}, retries=0)

        assert b"X-Key: s3cr3t-value" in server.requests[0]
        told = str(caught.value)
        assert "s3cr3t" not in told
        assert "limit" not in told

    @pytest.mark.parametrize(
        "answer",
        [
            b"s3cr3t-value\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ns3cr3t-value\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ns3cr3t-value",
            b"HTTP/1.1 403 s3cr3t-value\r\nconnection: close\r\n\r\ns3cr3t-value",
            (
                b"HTTP/1.1 302 s3cr3t-value\r\nconnection: close\r\nlocation: "
                b"http://s3cr3t-value\r\n\r\n"
            ),
        ],
    )
    def test_no_traceback_of_it_shows_a_key(self, serve, ask, answer):
        async def echo(_request, writer):
            writer.write(answer)

        keys = {"X-Key": "s3cr3t-value"}  # not in the line that a traceback has
        with pytest.raises(SourceError) as caught:
            ask(serve(echo).url, headers=keys, retries=0)

        assert "s3cr3t" not in "".join(format_exception(caught.value))

    @pytest.mark.parametrize(
        "spelled",
        [
            's3cr3t/"Value+\\',
            "s3cr3t%2F%22Value%2B%5C",
            "s3cr3t/%22Value%2B%5C",
            's3cr3t/\\"Value+\\\\',
            's3cr3t\\/\\"Value+\\\\',
            "czNjcjN0LyJWYWx1ZStc",
            "Bearer s3cr3t/%22Value%2B%5C",
        ],
    )
    def test_a_secret_that_the_vendor_writes_in_another_way_is_blotted_too(
        self, serve, reply, ask, spelled
    ):
        server = serve(reply((403, {}, f"<p>{spelled}</p>".encode())))

        with pytest.raises(SourceError, match=r"HTTP 403: <p>(Bearer )?\*\*\*</p>$"):
            ask(server.url, headers={"Authorization": 'Bearer s3cr3t/"Value+\\'})

    def test_a_key_that_an_adapter_keeps_in_a_field_of_its_own_is_blotted_out_too(
        self, serve, reply, tmp_path
    ):
        class Settings(HttpSettings):
            key: SecretStr

        server = serve(reply((403, {}, b'{"error": "no such key: s3cr3t-value"}')))
        settings = Settings.model_validate(
            {
                "base_url": server.url,
                "key": "s3cr3t-value",
                "headers": {"Authorization": "Bearer s3cr3t-value"},
            }
        )

        async def get():
            async with HttpClient("theirs", settings, Usage(), base=tmp_path) as client:
                await client.get("/", {"key": "s3cr3t-value"}, about="a page", parse=bytes)

        with pytest.raises(SourceError, match=r"HTTP 403: no such key: \*\*\*$"):
            asyncio.run(get())

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b'{"code":-1121,"msg":"Invalid symbol."}', "-1121 Invalid symbol."),
            (b'{"code":42210000,"message":"invalid start"}', "42210000 invalid start"),
            (
                b'{"status":"ERROR","request_id":"6a7e","error":"Unknown API Key"}',
                "Unknown API Key",
            ),
            (
                b'{"errorMessage":"Insufficient authorization to perform request."}',
                "Insufficient authorization to perform request.",
            ),
            (b'["error",10020,"limit: invalid"]', '["error",10020,"limit: invalid"]'),
            (b"<html>\n  <body>Bad   Gateway", "<html> <body>Bad Gateway"),
        ],
    )
    def test_it_has_the_vendors_own_words_wherever_they_stand(self, body, words):
        assert excerpt(body) == words

    def test_settings_do_not_show_their_headers(self):
        settings = BinanceSettings.model_validate({"headers": {"X-Key": "s3cr3t-value"}})

        assert "s3cr3t" not in repr(settings) + str(settings.model_dump())

    def test_a_header_that_cannot_be_sent_is_refused_without_being_shown(self):
        for wrong in ("s3cr3t\r\nvalue", "s3cr3t\u2713"):
            with pytest.raises(ValidationError) as caught:
                BinanceSettings.model_validate({"headers": {"X-Key": wrong}})

            assert "s3cr3t" not in str(caught.value)


class TestRate:
    @pytest.mark.parametrize("shared", [False, True])
    def test_no_more_requests_a_second_than_the_rate_allows(
        self, serve, reply, build, tmp_path, shared
    ):
        server = serve(reply((200, {}, PAGE)))
        settings = {"rate": "6/s"} | ({"limiter_path": "limits/vendor.sqlite"} if shared else {})

        async def ask_five_times():
            # Through the file the limit holds for two sources as for two processes, without it for
            # each alone.
            one = build(server.url, **settings)
            other = build(server.url, **settings) if shared else one
            async with one:
                for _ in range(2):
                    await one.fetch("A", Timeframe.M1, START, START + timedelta(minutes=1))
            async with other:
                for _ in range(3):
                    await other.fetch("A", Timeframe.M1, START, START + timedelta(minutes=1))
            return other.usage.waits

        waits = asyncio.run(ask_five_times())

        # On a busy machine a request arrives later than it was let go, so less than a whole second
        # may lie between two arrivals.
        assert all(
            later - earlier >= 0.6
            for earlier, later in zip(server.times, server.times[3:], strict=False)
        )
        assert waits > 0.5
        assert (tmp_path / "limits" / "vendor.sqlite").exists() == shared

    def test_time_in_the_queue_of_the_rate_does_not_count_against_the_deadline(
        self, serve, reply, build
    ):
        server = serve(reply((200, {}, PAGE)))

        async def ask_twice():
            source = build(server.url, rate="2/s", max_elapsed=0.5)
            async with source:
                for _ in range(2):
                    await source.fetch("A", Timeframe.M1, START, START + timedelta(minutes=1))

        asyncio.run(ask_twice())

        assert len(server.requests) == 2

    def test_a_limiter_file_that_cannot_be_made_is_an_error(self, ask, tmp_path):
        (tmp_path / "file").write_text("")

        with pytest.raises(SourceError, match="rate limit's file") as caught:
            ask("http://127.0.0.1:9", rate="2/s", limiter_path="file/limits.sqlite")

        assert caught.value.permanent


class TestClient:
    def test_it_can_be_entered_again_by_another_loop(self, vendor, build):
        source = build(vendor.url, rate="100/s")

        async def once():
            async with source:
                return await source.fetch(
                    "BTCUSDT", Timeframe.M1, START, START + timedelta(minutes=5)
                )

        assert asyncio.run(once()).equals(asyncio.run(once()))
        assert source.usage.requests == 2

    def test_one_connection_serves_many_requests(self, vendor, build):
        async def ask_ten_times():
            source = build(vendor.url, concurrency=1)
            async with source:
                for _ in range(10):
                    await source.fetch("BTCUSDT", Timeframe.M1, START, START + timedelta(minutes=5))
                return len(source._http._client._transport._pool.connections)

        assert asyncio.run(ask_ten_times()) == 1

    def test_no_more_requests_are_in_flight_than_allowed(self, serve, build):
        flying = most = 0

        async def slowly(_request, writer):
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            for _ in range(20):
                await asyncio.sleep(0)
            flying -= 1
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(PAGE)
                + PAGE
            )

        server = serve(slowly)

        async def many():
            source = build(server.url, concurrency=3)
            async with source:
                minute = timedelta(minutes=1)
                await asyncio.gather(
                    *(source.fetch("A", Timeframe.M1, START, START + minute) for _ in range(20))
                )

        asyncio.run(many())

        assert most <= 3
        assert len(server.requests) == 20

    def test_without_being_opened_it_says_so(self, build):
        source = build("http://127.0.0.1:9")

        with pytest.raises(RuntimeError, match="not open"):
            asyncio.run(source.fetch("A", Timeframe.M1, START, START + timedelta(minutes=1)))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"base_url": "ftp://example.com"},
            {"base_url": "example.com"},
            {"base_url": "https://me:s3cr3t@example.com"},
            {"base_url": "https://s3cr3t@example.com"},
            {"base_url": "https://example.com/v2?apiKey=s3cr3t"},
            {"base_url": "https://example.com/v2#s3cr3t"},
            {"rate": "fast"},
            {"rate": "0/s"},
            {"timeout": 0},
            {"retries": -1},
            {"concurrency": 0},
            {"keys": "x"},
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, wrong):
        with pytest.raises(ValidationError) as caught:
            HttpSettings.model_validate({"base_url": "http://example.com"} | wrong)

        assert "s3cr3t" not in str(caught.value)

    def test_a_source_of_anothers_own_can_use_it(self, vendor, tmp_path):
        async def ping():
            settings = HttpSettings(base_url=vendor.url)
            async with HttpClient("theirs", settings, Usage(), base=tmp_path) as client:
                return await client.get("/api/v3/ping", {}, about="ping", parse=bytes)

        assert asyncio.run(ping()) == b"{}"
