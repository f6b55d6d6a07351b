"""Checks a universe file, and says what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from market_assets.cli.console import OUT, print_json
from market_assets.cli.options import AsJson, Wide
from market_assets.cli.tables import Column, print_table
from market_assets.errors import UniverseError
from market_assets.imports import late_imports

with late_imports():
    from market_assets.config.load import load_universe

if TYPE_CHECKING:
    from market_assets.config.universe import Profile, Universe


def validate(
    file: Annotated[
        Path | None, typer.Argument(help="A universe file; the one that is used if not given.")
    ] = None,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Check a universe file and say what it holds; nothing is asked for and nothing is written."""
    try:
        universe = load_universe(file)
    except UniverseError as error:
        if not as_json:
            raise
        print_json(
            {"valid": False, "universe": error.path, "problems": error.problems, "profiles": []}
        )
        raise typer.Exit(1) from None
    profiles = [_described(profile) for profile in universe.profiles.values()]
    if as_json:
        print_json(
            {"valid": True, "universe": str(universe.path), "problems": [], "profiles": profiles}
        )
        return
    OUT.print(f"[green]valid[/]: {escape(str(universe.path))}", highlight=False, soft_wrap=True)
    _print_profiles(profiles, wide=wide)
    _print_rest(universe)


def _described(profile: Profile) -> dict[str, Any]:
    """What the universe says of a profile, in plain values."""
    frames = profile.timeframes
    return {
        "profile": profile.name,
        "kind": profile.kind.value,
        "calendar": profile.calendar,
        "start": str(profile.start),
        "end": str(profile.end) if profile.end else None,
        "symbols": list(profile.symbols),
        "fetch": [kept.value for kept in frames.fetch],
        "derive": [kept.value for kept in frames.derive],
        "features": [kept.value for kept in frames.features],
        "returns": [kept.value for kept in frames.returns],
        "sources": sorted(
            {choice.source for symbol in profile.symbols.values() for choice in symbol.choices}
        ),
    }


def _print_profiles(profiles: list[dict[str, Any]], *, wide: bool) -> None:
    columns = [
        Column("profile"),
        Column("kind"),
        Column("symbols", right=True),
        Column("from"),
        Column("to"),
        Column("fetch"),
        Column("sources"),
        Column("derive"),
        Column("features"),
        Column("returns"),
        Column("calendar"),
    ]
    rows = [
        [
            row["profile"],
            row["kind"],
            str(len(row["symbols"])),
            row["start"],
            row["end"] or "now",
            *(
                " ".join(row[key]) or "-"
                for key in ("fetch", "sources", "derive", "features", "returns")
            ),
            row["calendar"],
        ]
        for row in profiles
    ]
    print_table(columns, rows, wide=wide)


def _print_rest(universe: Universe) -> None:
    """What the universe holds beside its profiles."""
    markets, channels = universe.markets, len(universe.alerts.channels)
    if markets.timeframes:
        frames = " ".join(kept.value for kept in markets.timeframes)
        OUT.print(f"Returns across profiles: {escape(markets.name)} {frames}.", highlight=False)
    if universe.export:
        OUT.print(
            f"Exported as Parquet files to {escape(universe.export.folder)}.",
            highlight=False,
            soft_wrap=True,
        )
    OUT.print(
        f"Alerts go to {channels} channels." if channels else "Alerts go to nobody.",
        highlight=False,
    )
