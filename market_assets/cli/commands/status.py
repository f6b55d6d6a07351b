"""Shows what is complete: the matrix, and what is to be doubted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from market_assets.cli.completeness import matrix_now, print_matrix
from market_assets.cli.console import ERR, INCOMPLETE, print_json
from market_assets.cli.jumps import jumps_now, print_jumps
from market_assets.cli.options import AsJson, ProfileNames, Wide, profiles_of
from market_assets.cli.places import has_store, orphans_in, store_to_read, universe_here
from market_assets.cli.refused import print_refused, refused_now
from market_assets.cli.streams import print_streams, with_streams
from market_assets.imports import late_imports

with late_imports():
    from market_assets.reports.completeness import is_healthy
    from market_assets.reports.doubts import doubts_of
    from market_assets.verdicts.colour import names_of


if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.config.universe import Profile, Universe


def status(profiles: ProfileNames = None, wide: Wide = False, as_json: AsJson = False) -> None:
    """Show the completeness matrix.

    It says what must exist, what is stored, what is explained, and what is missing.
    """
    universe = universe_here(quiet=as_json)
    chosen = profiles_of(universe, profiles)
    matrix = matrix_now(chosen)
    if as_json:
        print_json(with_streams(matrix, chosen))
    else:
        print_matrix(matrix, wide=wide)
        print_streams(chosen)
        print_refused(refused_now(chosen))
    if has_store():
        _tell_doubts(profiles_of(universe, profiles))
        _tell_orphans(universe)
    jumps = jumps_now(chosen)
    print_jumps(jumps)
    raise typer.Exit(0 if is_healthy(matrix) and not jumps else INCOMPLETE)


def _tell_doubts(profiles: Sequence[Profile]) -> None:
    """Say where the bars contradict a calendar, and which of its sessions nobody traded."""
    with store_to_read() as store, store.reading("looking for doubtful calendars") as view:
        findings = [(profile, doubts_of(view, profile)) for profile in profiles]
    for profile, doubted in findings:
        for timeframe, doubts in doubted.items():
            for doubt in doubts:
                words = (
                    f"[yellow]The calendar {escape(profile.calendar)} "
                    f"of {escape(profile.name)} may be wrong[/] ({timeframe}, "
                    f"{escape(names_of(doubt.symbols))}): {escape(doubt.words)}. "
                    "What is right goes into [bold]calendar_changes[/] of the universe."
                )
                ERR.print(words, highlight=False, soft_wrap=True)


def _tell_orphans(universe: Universe) -> None:
    """Name what the store holds of profiles that the universe does not have.

    A profile that was renamed is one of these.
    """
    with store_to_read() as store, store.reading("looking for orphans") as view:
        held = view.catalog.holdings()
    for name, bars in orphans_in(held, universe):
        ERR.print(
            f"[yellow]The store also holds {escape(name)} ({bars:,} candles), "
            "which no profile is called.[/] To keep it, give a profile that name again; "
            f"to remove it: [bold]market-assets forget {escape(name)}[/]",
            highlight=False,
            soft_wrap=True,
        )
