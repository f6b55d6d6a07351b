"""A server on the loopback that gives exactly the bytes that a function makes of a request."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import TracebackType

_PATIENCE = 5.0


@dataclass(frozen=True)
class Request:
    """A request as the vendor sees it.

    Attributes:
        method: Such as GET.
        path: Decoded.
        raw_path: As it came.
        query: Names and values of the query, and of a form in the body.
        headers: By name in lower case.
        text: All of it as it came, secrets included.
    """

    method: str
    path: str
    raw_path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: Of HTTP.
        body: What becomes JSON; bytes are sent as they are.
        headers: Beside the length and the type.
        cut: After so many bytes of the body the connection breaks; None where it comes whole.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cut: int | None = None

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class LoopbackServer:
    """A server in a thread of this process while the context lasts, on a free port.

    Args:
        respond: Gives the reply to a request; called in the server's thread.

    Attributes:
        url: Where it is.
        requests: What came, oldest first.
        faults: What `respond` has raised.
    """

    def __init__(self, respond: Callable[[Request], Reply]) -> None:
        self.requests: list[Request] = []
        self.faults: list[Exception] = []
        self.url = ""
        self._respond = respond
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="vendor-double", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(_cancel_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what the work gives
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.requests.append(request)
            writer.write(_bytes_of(self._reply(request)))
            await writer.drain()
        # Cancelled by nobody but the end of the context.
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _reply(self, request: Request) -> Reply:
        try:
            return self._respond(request)
        # Whatever it is, the check that asked has to hear of it.
        except Exception as error:  # noqa: BLE001
            self.faults.append(error)
            return Reply(500, b"the vendor's double has failed")


async def _cancel_tasks() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
    }
    body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode("latin-1")
    method, target, _ = first.split(" ")
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True)) | dict(parse_qsl(body))
    return Request(method, unquote(url.path), url.path, query, headers, head + body)


def _bytes_of(reply: Reply) -> bytes:
    body = reply.content
    lines = [
        f"HTTP/1.1 {reply.status} X",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body[: reply.cut]
