"""The body of an answer: how it is unpacked within a limit, and what of it is shown. Pure.

Nothing here asks anybody for anything.
"""

from __future__ import annotations

import json
import zlib

from market_assets.errors import printable
from market_assets.sources.transport.failure import FailureError
from market_assets.sources.transport.refusals import Kind, page_in

EXCERPT = 200
"""How many letters of an answer are shown."""

_WORDS = ("msg", "message", "errorMessage", "error")  # under which vendors say what was wrong

ERROR_BODY = 64 * 1024
"""How many bytes of an error are read."""

_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class Unpacker:
    """Unpacks the chunks of a body: at most one encoding, and little more than a limit.

    Args:
        encoding: The Content-Encoding header.
        limit: Bytes of the whole body.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        words = [word.strip() for word in encoding.lower().split(",")]
        packed = [word for word in words if word not in {"", "identity"}]
        if len(packed) > 1 or not _ENCODINGS.issuperset(packed):
            shown = excerpt(encoding.encode("utf-8", "replace"))
            raise FailureError(
                f"the body is packed as {shown!r}; gzip or deflate is read, one at a time"
            )
        self._left = limit + 1
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None
        # Some say deflate and mean it without the header of zlib.
        self._may_be_bare = packed == ["deflate"]
        self._begun = False

    def __call__(self, chunk: bytes) -> bytes:
        """Give what a chunk holds, as far as the limit allows."""
        if self._inflate is None or not chunk:
            return chunk
        try:
            data = self._inflate.decompress(chunk, max(1, self._left))
        except zlib.error as error:
            if self._begun or not self._may_be_bare:
                raise FailureError(
                    f"broken connection: the compressed body is damaged: {error}"
                ) from None
            self._begun = True
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            return self(chunk)
        self._begun = True
        self._left -= len(data)
        return data

    @property
    def whole(self) -> bool:
        """Whether the end of what was packed has come."""
        return self._inflate is None or not self._begun or self._inflate.eof


def excerpt(body: bytes) -> str:
    """Find the vendor's own words in a body, at most 200 characters on one line.

    They are the code and message of an error, else the start of the body. A web page is described
    as what it is, where that is known.
    """
    page = page_in(body)
    if page is not None and page.kind is not Kind.PAGE:
        return printable(str(page))
    text = body[:ERROR_BODY].decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and (
        words := next((answer[key] for key in _WORDS if answer.get(key)), None)
    ):
        text = f"{answer.get('code', '')} {words}"
    text = printable(" ".join(text[: 8 * EXCERPT].split()))
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}..."
