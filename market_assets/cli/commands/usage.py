"""Shows what the home folder holds, and how it grows."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table

from market_assets.cli.console import OUT, print_json
from market_assets.cli.keeper import keeper_here
from market_assets.cli.options import AsJson
from market_assets.cli.tables import add_row
from market_assets.keeping import size_words
from market_assets.market.durations import duration_words


def usage(as_json: AsJson = False) -> None:
    """Tell what the home folder holds, how it grows, and what shorter settings would free."""
    with keeper_here(quiet=as_json) as keeper:
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
