"""What is printed on: standard output, standard error, JSON, and the exit code of what is missing.

Whatever others wrote is harmless here before it reaches the terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

from market_assets.market.instants import iso

if TYPE_CHECKING:
    import polars as pl
    from rich.text import Text

INCOMPLETE = 3
"""Exit code of a command that did its work and found something missing.

1 is an error, 2 a wrong use, 130 an interruption by Ctrl-C.
"""

_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that command a terminal, turn a text's direction, or cannot be seen or written."""

_UNBOUND = 100_000


def harmless(text: str) -> str:
    """A text that others wrote, as a terminal may show it.

    Characters that would act on the terminal are visible as escapes.
    """
    return _HARMFUL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class Terminal(Console):
    """A console on which no text that is printed can do more than be read."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        """Make a text of a string, as rich does, once it is harmless."""
        return super().render_str(harmless(text), **options)


def _width_of(stream: TextIO) -> int | None:
    """How wide the output may be; None where rich finds it out: a terminal's own, or COLUMNS.

    What goes to a file or a pipe is whole, unless somebody has set COLUMNS.
    """
    return None if stream.isatty() or os.environ.get("COLUMNS") else _UNBOUND


OUT = Terminal(width=_width_of(sys.stdout))
ERR = Terminal(stderr=True, width=_width_of(sys.stderr))


def print_json(answer: pl.DataFrame | dict[str, Any] | list[Any]) -> None:
    """Print an answer as JSON, a frame as the list of its rows."""
    plainly = answer if isinstance(answer, dict | list) else answer.to_dicts()
    print(json.dumps(plainly, default=plain, indent=1))  # noqa: T201 - the answer


def plain(value: object) -> object:
    """A time of the store (UTC, with or without its zone) as ISO text with its zone."""
    return iso(value) if isinstance(value, datetime) else str(value)
