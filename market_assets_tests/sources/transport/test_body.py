"""Servers that lie, drip or send too much: the body of an answer is bounded."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib

import pytest

from market_assets.errors import SourceError
from market_assets.practice.faults import Fault

KLINE = [1704067200000, "1", "2", "0.5", "1.5", "10", 1704067259999, "15", 3, "5", "7", "0"]
PAGE = json.dumps([KLINE]).encode()


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
