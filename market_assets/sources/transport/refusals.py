"""What a refusal says that is no vendor's answer: pages of CDNs, firewalls, portals. Pure."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PASSING = frozenset({408, 425, 429})
_FINAL = frozenset({501, 505})
_TROUBLE = 500
"""From here on a status means a server in trouble, or what stands before it."""

_MOST = 64 * 1024
_SHOWN = 100

_PAGE = re.compile(
    r"^\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|h1|center)\b",
    re.IGNORECASE | re.DOTALL,
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_PASSWORD = re.compile(r"""<input\b[^>]*\btype\s*=\s*["']?password""", re.IGNORECASE)
_NUMBER = re.compile(r"\berror(?:\s+code)?\s*[:#]?\s*(\d{3,4})\b|\b(5(?:2\d|30))\b", re.IGNORECASE)
_BARE = re.compile(r"^\s*error code:\s*(\d{3,4})\s*$", re.IGNORECASE)

_CDNS = {
    "Cloudflare": ("cloudflare", "cf-ray", "error code: 1"),
    "CloudFront": ("cloudfront", "x-amz-cf-id"),
    "Akamai": ("akamai", "errors.edgesuite.net"),
    "Imperva": ("incapsula", "imperva"),
    "Fastly": ("fastly", "varnish"),
    "DDoS-Guard": ("ddos-guard",),
    "Sucuri": ("sucuri",),
}

_COUNTRY_NUMBERS, _RATE_NUMBERS = frozenset({1009}), frozenset({1015, 1027})
_BLOCK_NUMBERS = frozenset({1005, 1006, 1007, 1008, 1010, 1012, 1020})
_PLACE = re.compile(
    r"from your (?:country|region|location)"
    r"|your (?:country|region|jurisdiction)\b"
    r"|restricted (?:location|region|country|jurisdiction)"
    r"|(?:country|region|location|jurisdiction)\s+(?:is|are|you are in)?\s*"
    r"(?:not |un)(?:supported|allowed|available|eligible)"
    r"|not (?:available|permitted|offered|supported) in your"
    r"|unavailable for legal reasons"
    r"|geo-?(?:block|restrict)|embargo"
    r"|prohibited (?:country|region|jurisdiction)"
    r"|banned (?:the )?(?:country|region)"
    r"|block(?:s|ed)? access from (?:your|the) country",
    re.IGNORECASE,
)
_CHALLENGE = re.compile(
    r"just a moment|checking your browser|captcha|attention required|verify you are (?:a )?human",
    re.IGNORECASE,
)
_BLOCKED = re.compile(
    r"access denied|you have been blocked|request blocked|forbidden|blocked", re.IGNORECASE
)
_LOGIN = re.compile(r"\b(?:sign|log)[ -]?in\b|\blogin\b", re.IGNORECASE)
_MAINTENANCE = re.compile(r"maintenance|temporarily unavailable|be right back", re.IGNORECASE)


class Kind(StrEnum):
    """What a page is, in the words of a message."""

    COUNTRY = "a block of the country or the address that is asked from"
    BLOCK = "a block of this machine or of what it sent"
    RATE = "a limit of requests"
    CHALLENGE = "a page that only a browser gets past"
    LOGIN = "a login page"
    MAINTENANCE = "a page that tells of maintenance"
    ERROR = "an error page"
    PAGE = "a web page"


_OF_THE_MACHINE = frozenset({Kind.COUNTRY, Kind.BLOCK, Kind.CHALLENGE, Kind.LOGIN})
_ADVICE = {
    Kind.COUNTRY: "use a source that serves this place, or ask from another",
    Kind.BLOCK: "ask from another address, or more slowly (`rate`)",
    Kind.CHALLENGE: "ask from another address, or use another source",
    Kind.LOGIN: "see whether base_url is the address of the interface, "
    "and whether a proxy or portal stands before it",
}


@dataclass(frozen=True)
class Page:
    """A page that came in place of an answer.

    Attributes:
        kind: What it is.
        cdn: Whose it is, where that is known.
        number: The CDN's number of the error, None where it has none.
        words: The page's own title or first words.
    """

    kind: Kind
    cdn: str | None
    number: int | None
    words: str

    @property
    def is_for_the_machine(self) -> bool:
        """Whether it is meant for whoever asks from here, whatever is asked for."""
        return self.kind in _OF_THE_MACHINE

    def __str__(self) -> str:
        whose = f" by {self.cdn}" if self.cdn else ""
        number = f", error {self.number}" if self.number else ""
        words = f' ("{self.words}")' if self.words else ""
        return f"{self.kind.value}{whose}{number}{words}"

    @property
    def advice(self) -> str:
        """What can be done about it; empty where it passes by itself."""
        return _ADVICE.get(self.kind, "")


def page_in(
    body: bytes, headers: Mapping[str, str] | None = None, status: int = 200
) -> Page | None:
    """Understand a body that may be a web page; None where it is none.

    Args:
        body: What came, or its beginning.
        headers: The answer's headers.
        status: Its status: of a CDN from 520 on the number of the error.
    """
    text = body[:_MOST].decode("utf-8", "replace")
    bare = _BARE.match(text)
    if not bare and not _PAGE.match(text):
        return None
    title = _TITLE.search(text)
    seen = _plain(_UNSEEN.sub(" ", text))
    words = _plain(title[1]) if title and title[1].strip() else seen
    wording = f"{words} {seen}"
    cdn = _cdn(text, headers or {})
    number = _number(wording, status)
    return Page(_kind(text, wording, number), cdn, number, "" if bare else words[:_SHOWN].strip())


def passes(status: int) -> bool:
    """Whether what a status means may be over with the next attempt.

    It is then a limit, a time-out, or a server or a CDN in trouble.
    """
    return status in _PASSING or (status >= _TROUBLE and status not in _FINAL)


def is_of_a_place(status: int, words: str) -> bool:
    """Whether a vendor's own words refuse the country or the address that is asked from."""
    return status == 451 or (status in {401, 403, 423} and bool(_PLACE.search(words)))


def _plain(markup: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", markup)).split())


def _cdn(text: str, headers: Mapping[str, str]) -> str | None:
    sent = " ".join(f"{name}: {value}" for name, value in headers.items())
    place = f"{sent} {text}".lower()
    return next(
        (name for name, marks in _CDNS.items() if any(mark in place for mark in marks)), None
    )


def _number(wording: str, status: int) -> int | None:
    match = _NUMBER.search(wording)
    if match is not None:
        return int(match[1] or match[2])
    return status if 520 <= status <= 530 else None


def _kind(text: str, wording: str, number: int | None) -> Kind:
    signs = (
        (Kind.COUNTRY, number in _COUNTRY_NUMBERS or _PLACE.search(wording)),
        (Kind.RATE, number in _RATE_NUMBERS),
        (Kind.BLOCK, number in _BLOCK_NUMBERS),
        (Kind.CHALLENGE, _CHALLENGE.search(wording)),
        (Kind.LOGIN, _PASSWORD.search(text)),
        (Kind.ERROR, number is not None),
        (Kind.BLOCK, _BLOCKED.search(wording)),
        (Kind.MAINTENANCE, _MAINTENANCE.search(wording)),
        (Kind.LOGIN, _LOGIN.search(wording)),
    )
    return next((kind for kind, is_so in signs if is_so), Kind.PAGE)
