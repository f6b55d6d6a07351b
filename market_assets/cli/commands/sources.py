"""Lists the sources of the universe and the types that there are."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape

from market_assets.cli.console import INCOMPLETE, OUT, print_json
from market_assets.cli.options import AsJson, Wide
from market_assets.cli.places import has_store, store_to_read
from market_assets.cli.tables import Column, minute, print_table
from market_assets.imports import late_imports

with late_imports():
    from market_assets.reports.probe import listed_sources, listed_types


def sources(wide: Wide = False, as_json: AsJson = False) -> None:
    """List the installed types of sources and those of the universe.

    Each is shown with what it has, and whether its key is set.
    """
    listing = {"types": listed_types(), "sources": listed_sources()}
    horizons = _learned_horizons()
    for row in listing["sources"]:
        row["horizons"] = [horizon for horizon in horizons if horizon["source"] == row["source"]]
    if as_json:
        print_json(listing)
    else:
        _print_sources(**listing, wide=wide)
    raise typer.Exit(0 if all(row["keys_set"] for row in listing["sources"]) else INCOMPLETE)


def _print_sources(
    types: list[dict[str, Any]], sources: list[dict[str, Any]], *, wide: bool
) -> None:
    columns = [Column(name) for name in ("source", "type", "profiles", "key", "venue", *_TRAITS)]
    print_table(
        columns, [_source_row(row) for row in sources], wide=wide, title="the universe's sources"
    )
    _print_horizons(sources)
    columns = [Column(name) for name in ("type", "needs a key", *_TRAITS)]
    print_table(columns, [_type_row(row) for row in types], wide=wide, title="installed types")


def _learned_horizons() -> list[dict[str, Any]]:
    """From when on sources serve that refuse what is older, as fills have learned it."""
    if not has_store():
        return []
    with store_to_read() as store, store.reading("reading how far back sources serve") as view:
        return view.horizons.all().to_dicts()


def _print_horizons(sources: list[dict[str, Any]]) -> None:
    for horizon in (entry for row in sources for entry in row["horizons"]):
        OUT.print(
            f"{escape(horizon['source'])} serves {escape(horizon['symbol'])} "
            f"{horizon['timeframe']} from about {minute(horizon['start_ts'])} on, "
            f"{horizon['bars']:,} bars of it, and refuses "
            f"what is older (learned {minute(horizon['learned_at'])}): {escape(horizon['words'])}",
            highlight=False,
            soft_wrap=True,
        )


def _source_row(row: dict[str, Any]) -> list[str]:
    missing = [name for name, is_set in row["keys"].items() if not is_set]
    named = "set" if row["keys"] else "in the file" if row["traits"]["needs_key"] else "-"
    key = f"{', '.join(missing)} not set" if missing else named
    users = [
        name + (" (another venue)" if name in row["other_venue"] else "")
        for name in row["profiles"]
    ]
    profiles, venue = ", ".join(users) or "-", row["venue"] or "-"
    return [row["source"], row["type"], profiles, key, venue, *_traits(row["traits"])]


def _type_row(row: dict[str, Any]) -> list[str]:
    traits = row["traits"]
    if traits is None:
        return [row["type"], "-", row["error"] or "by its settings", *("-" for _ in _TRAITS[1:])]
    return [row["type"], "yes" if traits["needs_key"] else "no", *_traits(traits)]


_TRAITS = ("kinds", "timeframes", "page", "quiet minutes", "names a genesis", "latest only")


def _traits(traits: dict[str, Any]) -> list[str]:
    return [
        " ".join(traits["kinds"]),
        " ".join(traits["timeframes"])
        + "".join(
            f"; {kind} without {' '.join(absent)}" for kind, absent in traits["lacks"].items()
        ),
        f"{traits['page_size']:,}",
        traits["quiet_minutes"],
        "yes" if traits["names_genesis"] else "no",
        f"{traits['latest_only']:,}" if traits["latest_only"] else "-",
    ]
