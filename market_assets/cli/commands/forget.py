"""Removes from the store what nobody keeps any more."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from market_assets.cli.console import OUT, print_json
from market_assets.cli.options import AsJson, choices, wrong
from market_assets.cli.places import need_store, open_store, orphans_in, places_of, universe_here
from market_assets.words import many


def forget(
    name: Annotated[
        str, typer.Argument(help="What a profile was called that the universe no longer has.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this it is only said what would go.")
    ] = False,
    archive: Annotated[
        bool,
        typer.Option(
            "--archive", help="Also forget in which files of the lake its archived rows are."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove all that the store holds of a profile that is no longer in the universe.

    That is its candles, features and ledgers. Files of the lake stay, and what retention has
    archived in them is found again by a profile of that name, unless --archive is given.
    """
    universe = universe_here(quiet=as_json)
    if name in (*universe.profiles, universe.markets.name):
        raise wrong(f"{name} is kept: take it out of {universe.path} first")
    need_store()
    store = open_store()
    with store.reading("looking for orphans") as view:
        orphans = dict(orphans_in(view.catalog.holdings(), universe))
        files = view.pruned.archives()
    if archive:
        orphans = dict.fromkeys(files, 0) | orphans
    if name not in orphans:
        raise wrong(f"{name}: the store holds nothing of that name; {choices(name, orphans)}")
    if yes:
        with store.writing(f"removing {name}") as transaction:
            transaction.catalog.drop_profile(name, archive=archive)
    archived = files.get(name, [])
    if as_json:
        answer = {
            **places_of(universe),
            "schema": name,
            "candles": orphans[name],
            "removed": yes,
            "archived_files": archived,
            "archive_forgotten": yes and archive,
        }
        print_json(answer)
    else:
        verb = "are removed" if yes else "would be removed: add --yes"
        OUT.print(
            f"{orphans[name]:,} candles of {escape(name)} and all that was noted of them {verb}.",
            highlight=False,
        )
        if archived:
            OUT.print(_archive_words(name, len(archived), is_found=not archive), highlight=False)


def _archive_words(name: str, files: int, *, is_found: bool) -> str:
    """What becomes of the files in which a profile was archived."""
    words = f"{many(files, 'file')} of the lake hold what retention has archived of it, and stay"
    if is_found:
        return (
            f"{words}: a profile that is called {escape(name)} reads them again. "
            "With --archive the store forgets them."
        )
    return f"{words}, in its folder {escape(name)}: remove that folder if nobody wants them."
