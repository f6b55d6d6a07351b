"""Tables in a terminal, and how values are written in their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from market_assets.cli.console import OUT, Terminal, harmless
from market_assets.market.instants import bare_minute

if TYPE_CHECKING:
    from rich.console import Console

_PROSE = 28
"""How many characters a column of sentences must have to be shown at all."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: What stands above it.
        right: It holds numbers.
        prose: It holds sentences, which may be broken into lines; everything else stands whole in
            one.
    """

    heading: str
    right: bool = False
    prose: bool = False


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | Text]],
    *,
    wide: bool = False,
    title: str | None = None,
    console: Console | None = None,
) -> None:
    """Print a table with the columns that the terminal has room for.

    A line below says which columns are left out.

    Args:
        columns: The most important ones first.
        rows: One cell per column; what is written in a string is shown as it is, whatever it looks
            like.
        wide: Show all columns; lines that are longer than the terminal is wide are left to it.
        title: What stands above the table.
        console: Where it goes; standard output if not given.
    """
    console = console or OUT
    cells = [
        [Text(harmless(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows
    ]
    widths = [
        max([cell_len(column.heading), *(_width(row[place]) for row in cells)])
        for place, column in enumerate(columns)
    ]
    shown = len(columns) if wide else _columns_that_fit(columns, widths, console.width)
    # A name that is wider than all of the terminal goes on in the next line: nothing is cut.
    is_narrow = not wide and _needed(columns[:shown], widths) > console.width
    table = Table(title=title and escape(title), title_justify="left")
    for column in columns[:shown]:
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=wide or not (column.prose or is_narrow),
            overflow="fold",
        )
    for row in cells:
        table.add_row(*row[:shown])
    whole = sum(widths) + 3 * len(widths) + 1
    # A console takes no table that is wider than itself.
    target = Terminal(file=console.file, width=whole) if wide and whole > console.width else console
    target.print(table)
    if left_out := [column.heading for column in columns[shown:]]:
        console.print(f"[dim]--wide shows also: {', '.join(left_out)}[/]", highlight=False)


def _columns_that_fit(columns: Sequence[Column], widths: Sequence[int], room: int) -> int:
    """How many of the first columns a width has room for, at least two."""
    counts = range(len(columns), 2, -1)
    return next(
        (count for count in counts if _needed(columns[:count], widths) <= room),
        min(2, len(columns)),
    )


def _needed(columns: Sequence[Column], widths: Sequence[int]) -> int:
    """How wide a table of some columns is at least."""
    cells = [
        min(width, _PROSE) if column.prose else width
        for column, width in zip(columns, widths, strict=False)
    ]
    return sum(cells) + 3 * len(cells) + 1


def _width(cell: Text) -> int:
    return max((cell_len(line) for line in cell.plain.splitlines()), default=0)


def add_row(table: Table, *cells: str) -> None:
    """Add a row to a table as it is written: what a source says may look like rich's markup."""
    table.add_row(*map(escape, cells))


def minute(ts: datetime | None) -> str:
    """An instant to the minute, or a dash."""
    return bare_minute(ts) if ts else "-"


def number(value: float | None) -> str:
    """A price or a volume as a person reads it, or a dash."""
    return "-" if value is None else f"{value:,.10g}"
