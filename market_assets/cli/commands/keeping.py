"""Shows what bookkeeping costs, and removes what is old of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from market_assets.cli.console import OUT, AsJson, add_row, open_store, print_json, universe_here
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.keeping import size_words
from market_assets.market.clock import present
from market_assets.market.durations import duration_words

with late_imports():
    from market_assets.defs.automation.retention import Keeper
    from market_assets.defs.automation.runs import instance_at

if TYPE_CHECKING:
    from collections.abc import Iterator


def usage(as_json: AsJson = False) -> None:
    """Tell what the home folder holds, how it grows, and what shorter settings would free."""
    with _keeper(quiet=as_json) as keeper:
        parts, shorter = keeper.parts(), keeper.advice()
    total = sum(part.bytes for part in parts)
    if as_json:
        answer = {
            "bytes": total,
            "files": sum(part.files for part in parts),
            "parts": [
                {
                    "name": part.name,
                    "files": part.files,
                    "bytes": part.bytes,
                    "free": part.free,
                    "growth_per_day": part.growth,
                }
                for part in parts
            ],
            "advice": [
                {
                    **asdict(advice),
                    "now": duration_words(advice.now),
                    "shorter": duration_words(advice.shorter),
                }
                for advice in shorter
            ],
        }
        print_json(answer)
        return

    table = Table("part", "size", "files", "a day", "free inside")
    for column in table.columns[1:]:
        column.justify = "right"
    for part in parts:
        grows = "-" if part.growth is None else size_words(part.growth)
        free = size_words(part.free) if part.free else ""
        listed = f"{part.files:,}" if part.files else "-"
        add_row(table, part.name, size_words(part.bytes), listed, grows, free)
    OUT.print(table)
    files = sum(part.files for part in parts)
    OUT.print(f"{size_words(total)} in {files:,} files.", highlight=False)
    for advice in shorter:
        change = f"{duration_words(advice.now)} -> {duration_words(advice.shorter)}"
        frees = size_words(advice.frees)
        OUT.print(f"{advice.setting} {change} frees about {frees}.", highlight=False)


def prune(
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would be removed."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than the universe's retention, and make the files shorter.

    It is safe beside a running `up`, which does the same once a day.
    """
    with _keeper(quiet=as_json) as keeper:
        removed = keeper.prune(dry_run=dry_run)
        freed = 0 if dry_run else keeper.compact()
    if as_json:
        answer = {
            "dry_run": dry_run,
            "removed": [asdict(removal) for removal in removed],
            "bytes_removed": sum(removal.bytes for removal in removed),
            "bytes_compacted": freed,
        }
        print_json(answer)
        return

    if not removed:
        OUT.print("Nothing is old enough to be removed.")
    else:
        table = Table("part", "what", "count", "bytes")
        for column in table.columns[2:]:
            column.justify = "right"
        for removal in removed:
            add_row(
                table, removal.part, removal.what, f"{removal.count:,}", size_words(removal.bytes)
            )
        OUT.print(table)
    verb = "would be removed" if dry_run else "were removed"
    OUT.print(f"{size_words(sum(removal.bytes for removal in removed))} {verb}.", highlight=False)
    if freed:
        OUT.print(f"The files are {size_words(freed)} shorter.", highlight=False)


@contextmanager
def _keeper(*, quiet: bool) -> Iterator[Keeper]:
    universe, store = universe_here(quiet=quiet), open_store()
    with instance_at(home()) as instance:
        yield Keeper(home(), store, instance, universe, present)
