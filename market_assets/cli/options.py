"""The options that several commands have, and what they mean: profiles, symbols, days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from market_assets.cli.completion import offer_profiles, offer_symbol_list
from market_assets.cli.console import harmless
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from market_assets.config.universe import Profile, Universe


ProfileNames = Annotated[
    list[str] | None,
    typer.Argument(
        help="Profiles of the universe; all of them if none is named.",
        autocompletion=offer_profiles,
    ),
]


AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")
]


Symbols = Annotated[
    str | None,
    typer.Option(help="Only these symbols, separated by commas.", autocompletion=offer_symbol_list),
]


Wide = Annotated[bool, typer.Option("--wide", help="Show all columns, however wide they are.")]


def profiles_of(universe: Universe, names: list[str] | None) -> list[Profile]:
    """The profiles that were named, or all of them.

    Raises:
        typer.BadParameter: One is not in the universe.
    """
    check_names("profile", names or [], list(universe.profiles))
    return [universe.profiles[name] for name in names or universe.profiles]


def symbols_of(profiles: list[Profile], given: str | None) -> list[str]:
    """The symbols of an option; empty where none was given.

    Raises:
        typer.BadParameter: No profile has one of them.
    """
    names = [name.strip() for name in given.split(",") if name.strip()] if given else []
    symbols = sorted({name for profile in profiles for name in profile.symbols})
    check_names("symbol", names, symbols)
    return names


def check_names(noun: str, names: Sequence[str], present: Sequence[str]) -> None:
    """Make sure that there is what was named.

    Args:
        noun: What it is: a profile, a symbol.
        names: What was named.
        present: What there is.

    Raises:
        typer.BadParameter: There is no such thing.
    """
    if unknown := [name for name in names if name not in present]:
        raise wrong(f"{', '.join(unknown)}: no such {noun}; {choices(unknown[0], present)}")


def choices(word: str, names: Sequence[str] | dict[str, Any]) -> str:
    """What there is in place of an unknown word, and which of it was probably meant."""
    return f"there are {listed(names)}{hint(word, names).removesuffix('.')}"


def wrong(words: str) -> typer.BadParameter:
    """The error of a wrong use, to be raised."""
    return typer.BadParameter(harmless(words))


def day_of(option: str, text: str | None) -> date | None:
    """The day that an option names, None where it was not given."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise wrong(f"{option} {text}: write a day like 2024-01-31") from None


def days_of(first: str | None, after: str | None) -> tuple[date | None, date | None]:
    """The days of the options --from and --to."""
    days = day_of("--from", first), day_of("--to", after)
    if days[0] and days[1] and days[1] < days[0]:
        raise wrong(f"--to {after} lies before --from {first}")
    return days
