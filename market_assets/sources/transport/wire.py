"""How bytes go to a vendor and come back: aiohttp below the interface of httpx.

A page costs half the processor time that it costs with httpx's own transport (decision 33). The
package httpx-aiohttp translates between the two; here its errors get the meaning that httpx's own
have, and the environment's proxy is used as httpx does it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_KEPT = 30.0
"""Seconds for which a connection is kept that nobody uses."""


_MEANINGS: dict[type[Exception], type[httpx.TransportError]] = {
    aiohttp.ClientProxyConnectionError: httpx.ProxyError,
    aiohttp.ClientConnectorError: httpx.ConnectError,
}


class Wire(AiohttpTransport):
    """The connections to one vendor.

    Args:
        url: Where the vendor is.
        connections: How many there may be at once.
        trust_env: Whether the environment's proxy is used.
    """

    def __init__(self, url: httpx.URL, *, connections: int, trust_env: bool) -> None:
        self._connections = connections
        super().__init__(
            # Reading the list of authorities takes 20 ms, for nothing without TLS.
            verify=url.scheme == "https",
            trust_env=trust_env,
            proxy=_proxy(url) if trust_env else None,
        )

    def get_client(self) -> aiohttp.ClientSession:
        """The session of aiohttp, made when the first request is sent."""
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            keepalive_timeout=_KEPT,
            ssl=self.ssl_context,
            # Names are looked up as every other program of the machine does it.
            resolver=aiohttp.ThreadedResolver(),
        )
        # Cookies are httpx's affair.
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request: see `httpx.AsyncBaseTransport`."""
        with _meant():
            response = await super().handle_async_request(request)
        response.stream = _Body(response.stream)
        return response


class _Body(httpx.AsyncByteStream):
    """The body of an answer."""

    def __init__(self, stream: object) -> None:
        if not isinstance(stream, httpx.AsyncByteStream):
            raise TypeError("an answer without a body that can be waited for")
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _meant():
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _meant() -> Iterator[None]:
    """Give an error the meaning that it has with httpx's own transport.

    httpx-aiohttp takes each broken connection for a time-out, and hands on what it does not know.
    """
    try:
        yield
    except httpx.ConnectTimeout as error:
        cause = error.__cause__
        if isinstance(cause, TimeoutError):
            raise
        kind = next(
            (meaning for fault, meaning in _MEANINGS.items() if isinstance(cause, fault)),
            httpx.RemoteProtocolError,
        )
        raise kind(str(cause or error)) from cause
    except aiohttp.ClientError as error:
        raise httpx.RemoteProtocolError(str(error)) from error


def _proxy(url: httpx.URL) -> httpx.Proxy | None:
    """The proxy that the environment names for a vendor."""
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(url.host):
        return None
    return httpx.Proxy(address if "://" in address else f"http://{address}")
