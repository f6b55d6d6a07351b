"""The shared HTTP client against servers that refuse, stall, lie and break off."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import MappingProxyType

import pytest

from market_assets.errors import SourceError
from market_assets.market.timeframes import Timeframe
from market_assets.practice.faults import Fault
from market_assets.sources.contract import Usage
from market_assets.sources.transport.http import HttpClient, HttpSettings

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

    def test_a_source_of_anothers_own_can_use_it(self, vendor, tmp_path):
        async def ping():
            settings = HttpSettings(base_url=vendor.url)
            async with HttpClient("theirs", settings, Usage(), base=tmp_path) as client:
                return await client.get("/api/v3/ping", {}, about="ping", parse=bytes)

        assert asyncio.run(ping()) == b"{}"
