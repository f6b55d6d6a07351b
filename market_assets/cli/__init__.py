"""The terminal: the same operations as in the UI, with progress, `--json` and exit codes for scripts."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

import typer
from rich.markup import escape

from market_assets.cli.commands import asking, auditing, filling, looking, research, running
from market_assets.cli.console import ERR
from market_assets.errors import MarketAssetsError
from market_assets.private import keep_private

app = typer.Typer(
    help="Keeps market candles complete, and proves it.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.command()(running.up)
app.command()(filling.backfill)
app.command()(filling.repair)
app.command()(looking.status)
app.command()(looking.gaps)
app.command()(auditing.jobs)
app.command()(looking.genesis)
app.command()(auditing.alerts)
app.command()(research.returns)
app.command()(research.export)
app.command()(asking.sources)
app.command()(asking.probe)
app.command("practice-vendor")(asking.practice_vendor)


def main() -> NoReturn:
    """Run the terminal; errors that were raised on purpose are printed without a traceback."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    # Dagster's handler, which a run adds to this logger, writes the run's id before every message that comes after it.
    ours = logging.getLogger("market_assets")
    ours.addHandler(logging.getLogger().handlers[0])
    ours.propagate = False
    ours.setLevel(logging.INFO)
    keep_private()
    try:
        app()
    except MarketAssetsError as error:
        ERR.print(f"[bold red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    sys.exit(0)
