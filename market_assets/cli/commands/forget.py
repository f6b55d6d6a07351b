"""Removes from the store what nobody keeps any more."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from market_assets.cli.console import OUT, print_json
from market_assets.cli.options import AsJson, choices, wrong
from market_assets.cli.places import need_store, open_store, orphans_in, places_of, universe_here


def forget(
    name: Annotated[
        str, typer.Argument(help="What a profile was called that the universe no longer has.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this it is only said what would go.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove all that the store holds of a profile that is no longer in the universe.

    That is its candles, features and ledgers.
    """
    universe = universe_here(quiet=as_json)
    if name in (*universe.profiles, universe.markets.name):
        raise wrong(f"{name} is kept: take it out of {universe.path} first")
    need_store()
    store = open_store()
    with store.reading("looking for orphans") as view:
        orphans = dict(orphans_in(view.catalog.holdings(), universe))
    if name not in orphans:
        raise wrong(f"{name}: the store holds nothing of that name; {choices(name, orphans)}")
    if yes:
        with store.writing(f"removing {name}") as transaction:
            transaction.catalog.drop_profile(name)
    if as_json:
        print_json(
            {**places_of(universe), "schema": name, "candles": orphans[name], "removed": yes}
        )
    else:
        verb = "are removed" if yes else "would be removed: add --yes"
        OUT.print(
            f"{orphans[name]:,} candles of {escape(name)} and all that was noted of them {verb}.",
            highlight=False,
        )
