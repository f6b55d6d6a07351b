"""What a file seems to hold, as `inspect` and `probe` print it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from market_assets.cli.console import OUT
from market_assets.cli.tables import Column, number, print_table

if TYPE_CHECKING:
    from market_assets.sources.files.inspect import Guess


def print_guess(file: str, guess: Guess) -> None:
    """Print what a file seems to hold, the settings for a universe, and its first bars."""
    length = f", bars of {guess.timeframe}" if guess.timeframe else ""
    OUT.print(f"{escape(file)}: {guess.layout or 'no known layout'}{length}", highlight=False)
    if guess.symbols:
        OUT.print(f"symbols: {escape(', '.join(guess.symbols))} ...", highlight=False)
    for note in guess.notes:
        OUT.print(f"- {escape(note)}", highlight=False, soft_wrap=True)
    for reason, example in guess.refused.items():
        OUT.print(
            f"- refused, {escape(reason)}, such as {escape(example)}",
            highlight=False,
            soft_wrap=True,
        )
    OUT.print()
    OUT.print(escape(guess.yaml()), highlight=False, soft_wrap=True)
    columns = [Column("open (UTC)"), *(Column(name, right=True) for name in guess.bars.columns[1:])]
    rows = [[str(row[0]), *map(number, row[1:])] for row in guess.bars.rows()]
    if rows:
        print_table(columns, rows)
