"""Bytes to a vendor and back: what errors mean, which connections there are, and the proxy."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from market_assets.sources.transport.wire import Wire

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a=b\r\n\r\n{}"


def ask(url: str, count: int = 1, *, trust_env: bool = False, timeout: float = 5) -> list[bytes]:
    """Ask one after the other over one wire; gives the bodies."""

    async def run() -> list[bytes]:
        wire = Wire(httpx.URL(url), connections=4, trust_env=trust_env)
        async with httpx.AsyncClient(transport=wire, timeout=timeout) as client:
            return [(await client.get(url)).content for _ in range(count)]

    return asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}",
        b"this is no answer\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno number\r\n",
    ],
)
def test_an_answer_that_breaks_off_or_is_none_is_no_time_out(serve, answer):
    async def handle(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    with pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError)):
        ask(serve(handle).url)


def test_a_server_that_says_nothing_is_a_time_out(serve):
    async def handle(_request: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with pytest.raises(httpx.ReadTimeout):
        ask(serve(handle).url, timeout=0.2)


def test_a_closed_port_is_a_broken_connection(free_port):
    with pytest.raises(httpx.ConnectError):
        ask(f"http://127.0.0.1:{free_port}")


def test_one_connection_serves_many_requests():
    connections = 0

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            while await reader.readline():
                while (await reader.readline()).strip():
                    pass
                writer.write(ANSWER)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        wire = Wire(httpx.URL(url), connections=4, trust_env=False)
        async with server, httpx.AsyncClient(transport=wire) as client:
            for _ in range(10):
                assert (await client.get(url)).content == b"{}"

    asyncio.run(run())

    assert connections == 1


def test_the_environments_proxy_is_asked_unless_the_vendor_is_excepted(
    serve, reply, monkeypatch: pytest.MonkeyPatch
):
    proxy = serve(reply((200, {}, b"{}")))
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert ask("http://vendor.invalid/candles", trust_env=True) == [b"{}"]
    assert proxy.requests[0].startswith(b"GET http://vendor.invalid/candles HTTP/1.1\r\n")

    monkeypatch.setenv("no_proxy", "vendor.invalid")
    for trust_env in (True, False):
        with pytest.raises(httpx.ConnectError):
            ask("http://vendor.invalid/candles", trust_env=trust_env)
    assert len(proxy.requests) == 1


def test_a_query_arrives_as_it_was_written(serve, reply):
    server = serve(reply((200, {}, b"{}")))

    ask(f"{server.url}/a%2Fb/c:d?symbol=BTC%2FUSDT&at=2024-01-01T00%3A00%3A00%2B00%3A00&x=a%26b")

    path = server.requests[0].split()[1]
    assert httpx.URL(path.decode()).params["at"] == "2024-01-01T00:00:00+00:00"
    assert httpx.URL(path.decode()).params["x"] == "a&b"
    assert path.startswith(b"/a%2Fb/c:d?")


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""

    async def run() -> int:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            return int(server.sockets[0].getsockname()[1])

    return asyncio.run(run())
