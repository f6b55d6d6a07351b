"""Removes old bookkeeping, and data that are kept no longer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from market_assets.cli.console import OUT, print_json
from market_assets.cli.keeper import keeper_here
from market_assets.cli.options import AsJson
from market_assets.cli.tables import add_row
from market_assets.keeping import size_words

if TYPE_CHECKING:
    from market_assets.keeping import Removed


def prune(
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would be removed."),
    ] = False,
    trust_clock: Annotated[
        bool,
        typer.Option(
            "--trust-clock", help="Believe the clock, though no candle and no prune is as new."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than the universe's retention, and make the files shorter.

    It is safe beside a running `up`, which does the same once a day.
    """
    with keeper_here(quiet=as_json) as keeper:
        before = keeper.length()
        removed = keeper.prune(dry_run=dry_run, trust_clock=trust_clock)
        compacted = 0 if dry_run else keeper.compact()
        # Beside a running `up` files grow meanwhile.
        freed = 0 if dry_run else max(before - keeper.length(), 0)
        inside = keeper.free_inside()
    if as_json:
        answer = {
            "dry_run": dry_run,
            "removed": [asdict(removal) for removal in removed],
            "bytes_removed": sum(removal.bytes for removal in removed),
            "bytes_compacted": compacted,
            "bytes_given_back": freed,
            "bytes_free_inside": inside,
        }
        print_json(answer)
        return

    _print_removed(removed, dry_run=dry_run)
    if (removed and not dry_run) or freed:
        OUT.print(
            f"The disk has {size_words(freed)} more room; inside the files "
            f"{size_words(inside)} are free, and used again.",
            highlight=False,
        )


def _print_removed(removed: list[Removed], *, dry_run: bool) -> None:
    """Print what was removed, or would be."""
    if not removed:
        OUT.print("Nothing is old enough to be removed.")
        return

    table = Table("part", "what", "count", "partitions", "bytes")
    for column in table.columns[2:]:
        column.justify = "right"
    for removal in removed:
        add_row(
            table,
            removal.part,
            removal.what,
            f"{removal.count:,}",
            f"{removal.partitions:,}" if removal.partitions else "",
            size_words(removal.bytes),
        )
    OUT.print(table)
    verb = "would be removed" if dry_run else "were removed"
    size = size_words(sum(removal.bytes for removal in removed))
    OUT.print(f"{size} {verb}.", highlight=False)
