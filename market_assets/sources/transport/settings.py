"""What a source that speaks HTTP can be told: its keys of the universe, and whose limit it shares.

Pure. What a key does is in the module that it concerns.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations of HttpSettings at runtime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.sources.contract import SourceSettings
from market_assets.sources.transport.limits_url import LimitsUrl  # noqa: TC001 - a field has it

with late_imports():
    import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

RateText = Annotated[str, Field(pattern=r"^[1-9][0-9]*/[smh]$")]
"""Requests per second, minute or hour, like "50/s"; weights where the vendor counts in those."""

CAREFUL: RateText = "150/m"
"""For a vendor that publishes no figure: 2.5 requests per second."""

LONGEST_HOLD = 7 * 86_400.0
"""Seconds. A vendor's longest ban is three days; what is longer is a vendor's mistake."""


_PLAIN = re.compile(
    r"(https?|wss?)://[A-Za-z0-9][A-Za-z0-9.-]*(:[1-5]?\d{1,4})?(/[\w./-]*)?", re.ASCII
)
"""An address of which httpx, which takes a while to import, would find nothing to say."""


def _web_address(text: str) -> str:
    if (plain := _PLAIN.fullmatch(text)) and plain[1].startswith("http"):
        return text
    url = httpx.URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("must be an address like https://api.example.com")
    if url.userinfo or url.query or url.fragment:
        raise ValueError(
            "must hold no user, password or query: "
            "what shows the vendor who asks goes into `headers`"
        )
    return text


def _stream_address(text: str) -> str:
    if (plain := _PLAIN.fullmatch(text)) and plain[1].startswith("ws"):
        return text
    url = httpx.URL(text)
    if url.scheme not in {"ws", "wss"} or not url.host:
        raise ValueError("must be an address like wss://stream.example.com/ws")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("must hold no user, password or query")
    return text


StreamAddress = Annotated[str, AfterValidator(_stream_address)]
"""A ws or wss address with a host."""

WebAddress = Annotated[str, AfterValidator(_web_address)]
"""An http or https address with a host."""


def _header_text(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not (text.isprintable() and text.isascii()):
        raise ValueError("must be printable ASCII text on one line")
    return secret


HeaderSecret = Annotated[SecretStr, AfterValidator(_header_text)]
"""A key, or anything else that can be sent in a header and is shown to nobody."""


def _share(value: object) -> object:
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
    return float(match[1]) / 100 if match else value


Reserve = Annotated[float, BeforeValidator(_share), Field(ge=0, le=0.9)]
"""A share like 20% or 0.2."""


class HttpSettings(SourceSettings):
    """The keys of every source that speaks HTTP.

    Attributes:
        base_url: Where the vendor is; paths are appended to it.
        timeout: Seconds without a connection, or without a byte, after which a request is given up.
        total_timeout: Seconds that one request may take, body included: a server that drips is cut
            here.
        retries: How often a request is sent again after 408, 425, 429, 5xx, a timeout or a broken
            connection.
        backoff: Seconds before the first retry, about; doubled with each one, with jitter.
        backoff_cap: The longest wait between two attempts, Retry-After aside.
        max_elapsed: Seconds for one answer over all its attempts; time in the queue of the rate
            limit does not count.
        rate: The most requests per second, minute or hour, like "50/s" or "2900/m", in the vendor's
            weights where a request has one; None is unlimited. Where the vendor counts by windows
            of its clock, a whole window may be used at once; elsewhere a tenth of them may go at
            once (ten at least).
        reserve: The share of a rate per minute or hour that only updates and repairs may use. In
            the last tenth of a window of the vendor's clock a backfill may use what is left of it.
        hold: Seconds to leave the vendor alone for after a 429 that does not say how long.
        limiter_path: A file that makes the rate, and the time for which the vendor wants to be left
            alone, hold between processes; without it, they hold in this source alone. A source of a
            universe has one by itself: `source_of`.
        limiter: The Redis or PostgreSQL server that does so between machines, in place of the file.
        concurrency: The most requests in flight at once; without it what the source's traits say.
            How many there are follows from the answers: more while they are quick, fewer when they
            slow down or are refused.
        max_body: Bytes that an answer may have, after decompression.
        headers: Headers sent with every request: where keys go.
        hidden: What else is shown to nobody, such as a token in `base_url`. In a universe every
            `${NAME}` of a source is hidden by itself.
    """

    base_url: WebAddress
    timeout: PositiveFloat = 10
    total_timeout: PositiveFloat = 30
    retries: NonNegativeInt = 5
    backoff: NonNegativeFloat = 0.5
    backoff_cap: PositiveFloat = 30
    max_elapsed: PositiveFloat = 120
    rate: RateText | None = None
    reserve: Reserve = 0.2
    hold: NonNegativeFloat = 0
    limiter_path: Path | None = None
    limiter: LimitsUrl | None = None
    concurrency: PositiveInt | None = None
    max_body: ByteSize = ByteSize(32 * 1024**2)
    headers: dict[str, HeaderSecret] = Field(default_factory=dict)
    hidden: tuple[SecretStr, ...] = ()

    @model_validator(mode="after")
    def _one_limiter(self) -> Self:
        if self.limiter is not None and self.limiter_path is not None:
            raise ValueError("has both limiter and limiter_path: keep one of them")
        return self

    def secrets(self) -> set[str]:
        """Every value that must be shown to nobody.

        These are the headers, what is hidden, and the secret fields of a source's own.
        """
        return {secret.get_secret_value() for _, value in self for secret in _secrets_in(value)} - {
            ""
        }

    def whose_limit(self) -> str:
        """Name whose limit these settings are under: host and port, empty without an address."""
        return httpx.URL(self.base_url).netloc.decode()


class StreamingSettings(HttpSettings):
    """The keys of a source that has a stream of live candles beside HTTP.

    Attributes:
        stream_url: Where its stream is; by default the vendor's own. With another `base_url` it
            has to be given, or nothing is streamed: candles of two places are not mixed.
    """

    stream_url: StreamAddress | None = None

    def usual_url(self) -> str:
        """Give the vendor's own address, to which its own stream belongs."""
        return str(type(self).model_fields["base_url"].default)

    def stream_fault(self) -> str:
        """Say why nothing can be streamed with these settings; empty where it can."""
        is_usual = self.base_url.rstrip("/") == self.usual_url().rstrip("/")
        if self.stream_url or is_usual:
            return ""
        return (
            f"base_url is {self.base_url}, and the vendor's own stream belongs to another address; "
            "write where its stream is in stream_url, or leave base_url out"
        )

    def stream_address(self, name: str, usual: str) -> str:
        """Give the address of the stream.

        Args:
            name: The source's name, for messages.
            usual: The vendor's own address.

        Raises:
            SourceError: Nothing can be streamed with these settings.
        """
        if fault := self.stream_fault():
            raise SourceError(f"source {name}: {fault}", permanent=True)
        return self.stream_url or usual


def _secrets_in(value: object) -> Iterator[SecretStr]:
    if isinstance(value, SecretStr):
        yield value
    elif isinstance(value, dict | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _secrets_in(part)


def limit_name(settings: HttpSettings) -> str:
    """Name what these settings share a limit with: all of the same vendor and the same keys.

    The name is fit for a file. It has the vendor and, where there are keys, the beginning of their
    hash; it is empty without a vendor.
    """
    vendor = settings.whose_limit()
    keys = sorted(settings.model_copy(update={"limiter": None}).secrets())
    digest = sha256(json.dumps(keys).encode()).hexdigest()[:12] if keys else ""
    return re.sub(r"[^\w.-]+", "_", "-".join(filter(None, (vendor, digest)))) if vendor else ""
