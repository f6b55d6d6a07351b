"""Tables in a window of 80 columns and less."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from market_assets.cli.console import Terminal
from market_assets.cli.tables import Column, print_table

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell

COLUMNS = [Column("name"), Column("bars", right=True), Column("why", prose=True), Column("trigger")]


def printed(
    width: int, columns: list[Column], rows: list[list[str]], *, wide: bool = False
) -> list[str]:
    """The lines that a table takes in a terminal of some width."""
    terminal = Terminal(width=width, file=io.StringIO(), force_terminal=False)
    print_table(columns, rows, wide=wide, console=terminal)
    return terminal.file.getvalue().splitlines()


def test_the_columns_at_the_end_make_room_and_are_named() -> None:
    rows = [["crypto BTCUSDT 1m", "1,440", "the vendor answered without it " * 3, "backfill"]]
    whole = printed(200, COLUMNS, rows)
    assert "backfill" in whole[3]
    assert "--wide" not in whole[-1]

    narrow = printed(62, COLUMNS, rows)
    assert max(map(len, narrow)) <= 62
    assert narrow[-1] == "--wide shows also: trigger"
    # Sentences go on in the next line; a name is whole.
    assert "crypto BTCUSDT 1m" in narrow[3]
    assert sum("vendor" in line for line in narrow) == 3

    wide = printed(62, COLUMNS, rows, wide=True)
    assert len(wide) == 5
    assert rows[0][2].strip() in wide[3]
    assert "backfill" in wide[3]


def test_a_name_that_is_wider_than_the_window_is_not_cut() -> None:
    lines = printed(40, [Column("name"), Column("bars")], [["A" * 60, "12"]])
    assert "".join(lines).count("A") == 60
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize(("columns", "widest"), [(None, 2000), ("60", 60)])
def test_a_table_in_a_pipe_is_whole_unless_somebody_sets_its_width(
    shell: Shell, columns: str | None, widest: int
) -> None:
    shell.environment.pop("COLUMNS", None)
    shell.environment |= {"COLUMNS": columns} if columns else {}
    lines = shell.process("sources").out.splitlines()
    assert max(map(len, lines)) <= widest
    assert columns or max(map(len, lines)) > 100
