"""What an error says: the vendor's own words, and no secret in whatever spelling."""

from __future__ import annotations

import asyncio
from traceback import format_exception

import pytest
from pydantic import SecretStr  # noqa: TC002 - a model reads its annotations

from market_assets.errors import SourceError
from market_assets.sources.contract import Usage
from market_assets.sources.transport.body import excerpt
from market_assets.sources.transport.http import HttpClient
from market_assets.sources.transport.settings import HttpSettings


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
                + request.split(b"x-key: ")[1].split(b"\r\n")[0]
                + b"?"
                + b"q=limit\r\n"
            )
            writer.write(
                b"HTTP/1.1 %d X\r\n%sconnection: close\r\n\r\n" % (status, target)
                + words[words.index(b"x-key") :]
            )

        server = serve(echo)

        with pytest.raises(SourceError) as caught:
            ask(server.url, headers={"X-Key": "s3cr3t-value"}, retries=0)

        assert b"x-key: s3cr3t-value" in server.requests[0]
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
