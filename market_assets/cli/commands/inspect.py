"""Looks into a file, and says how a universe would describe it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from market_assets.cli.console import INCOMPLETE, print_json
from market_assets.cli.guess import print_guess
from market_assets.cli.options import AsJson
from market_assets.imports import late_imports

with late_imports():
    from market_assets.market.calendars.sessions import load_calendar
    from market_assets.sources.files.inspect import inspect_file


def inspect(
    file: Annotated[
        Path, typer.Argument(help="A file of candles: Parquet, or text, packed or not.")
    ],
    calendar: Annotated[
        str | None,
        typer.Option(help="The market's calendar, such as XNYS, to see whether its times fit."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Guess how a file of candles is written.

    Prints the settings to paste into a universe, and the file's first bars.
    """
    guess = inspect_file(file, calendar=load_calendar(calendar) if calendar else None)
    if as_json:
        print_json({"file": str(file), **guess.document()})
    else:
        print_guess(str(file), guess)
    raise typer.Exit(INCOMPLETE if guess.bars.is_empty() else 0)
