"""Secrets of a file: used with their values, shown with their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REFERENCE = re.compile(r"\$\{(\w+)\}")


class Secret(str):
    """A string of the file with environment variables filled in.

    It is used with their values and shown (`repr`) with their names.

    Attributes:
        written: The text of the file, `${NAME}` and all.
    """

    written: str

    def __new__(cls, value: str, written: str) -> Self:
        """Take the value with the variables filled in, and the text of the file."""
        secret = super().__new__(cls, value)
        secret.written = written
        return secret

    # Str's own has one item, for str's own __new__.
    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.written

    def __repr__(self) -> str:
        return repr(self.written)


def secrets_in(value: object) -> Iterator[Secret]:
    """Every string with a variable filled in that a part of a file holds."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from secrets_in(part)


def variables_in(value: object) -> list[str]:
    """The environment variables that are filled in within a part of a file, sorted."""
    names = {name for text in secrets_in(value) for name in _REFERENCE.findall(text.written)}
    return sorted(names)


def redact(text: str, secrets: Mapping[str, str]) -> str:
    """The text with each secret value replaced by the `${NAME}` that it came from."""
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, secrets[value]).replace(repr(value)[1:-1], secrets[value])
    return text
