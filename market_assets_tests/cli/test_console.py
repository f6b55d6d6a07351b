"""What others wrote, on a terminal."""

from __future__ import annotations

import io

import pytest

from market_assets.cli.console import Terminal, harmless
from market_assets.cli.tables import Column, print_table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("BTC\u202eDSU", r"BTC\u202eDSU"),
        (
            "two\nlines\tand a tab, \u00fcml\u00e4ute, \u65e5\u672c",
            "two\nlines\tand a tab, \u00fcml\u00e4ute, \u65e5\u672c",
        ),
        ("a\rb\u2028c\u200bd\ud800", r"a\rb\u2028c\u200bd\ud800"),
    ],
)
def test_what_acts_on_a_terminal_is_visible(text: str, shown: str) -> None:
    assert harmless(text) == shown
    terminal = Terminal(width=80, file=io.StringIO(), force_terminal=False)
    cells = [text.replace("\n", " "), ""]
    print_table([Column("x"), Column("y")], [cells], console=terminal)
    (line, *_) = terminal.file.getvalue().splitlines()[3:]
    assert not set(line) & set("\x1b\x07\r\u202e\u2028\u200b\ud800")
