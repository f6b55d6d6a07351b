"""Secrets that a vendor repeats, made unreadable in what is shown of its answers. Pure.

Which values are secret: `HttpSettings.secrets`.
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

_TELLING = 4
"""How many letters of a secret are too many to be shown."""


def _spellings(secret: str) -> set[str]:
    """The ways in which a vendor may write what it was sent.

    Escaped, encoded, or without the word in front (Bearer).
    """
    rest = secret.partition(" ")[2]
    parts = {secret, rest} if len(rest) > _TELLING else {secret}
    escaped = {json.dumps(part)[1:-1] for part in parts} | {repr(part)[1:-1] for part in parts}
    slashes = {text.replace("/", "\\/") for text in escaped}  # some write JSON so
    addressed = {
        form for part in parts for form in (quote(part), quote(part, safe=""), quote_plus(part))
    }
    packed = {
        pack(part.encode()).decode().rstrip("=")
        for part in parts
        for pack in (b64encode, urlsafe_b64encode)
    }
    return parts | escaped | slashes | addressed | packed


class Blots:
    """What is made unreadable in the words of a vendor.

    Args:
        secrets: The values that are shown to nobody.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        # The longest first: one may be part of another.
        self._spellings = sorted(spellings, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._spellings)

    def over(self, text: str) -> str:
        """Make what a vendor said fit to be shown: without the secrets that it may repeat."""
        for secret in self._spellings:
            text = text.replace(secret, "***")
            # What an excerpt has cut in its middle is a part of the secret all the same.
            for size in range(len(secret) - 1, _TELLING - 1, -1):
                text = text.replace(f"{secret[:size]}...", "***...")
        return text
