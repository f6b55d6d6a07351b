"""What every command of the terminal uses: its consoles, its options, tables, and how values are written."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from market_assets.errors import UniverseError

if TYPE_CHECKING:
    import polars as pl

    from market_assets.store import Store
    from market_assets.universe import Profile, Universe

INCOMPLETE = 3
"""Exit code of a command that did its work and found something missing; 1 is an error, 2 a wrong use."""

# A table that goes to a file or a pipe is not squeezed into 80 columns.
OUT = Console(width=None if sys.stdout.isatty() else 200)
ERR = Console(stderr=True)

ProfileNames = Annotated[
    list[str] | None, typer.Argument(help="Profiles of the universe; all of them if none is named.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")]
Symbols = Annotated[str | None, typer.Option(help="Only these symbols, separated by commas.")]


def open_store() -> Store:
    """The store of the home folder; its clock is the machine's."""
    from market_assets.store import Store  # noqa: PLC0415 - DuckDB is not needed for a help text
    from market_assets.universe import home  # noqa: PLC0415

    return Store(home(), clock=lambda: datetime.now(UTC))


def looking_store() -> Store:
    """The store of the home folder for a command that only looks: it does not wait for long.

    What is read instead of the newest state, and because of whom, is told on standard error.
    """
    from market_assets.store import LookingStore  # noqa: PLC0415 - DuckDB is not needed for a help text
    from market_assets.universe import home  # noqa: PLC0415

    def tell(words: str) -> None:
        ERR.print(f"[yellow]{escape(words)}[/]", highlight=False, soft_wrap=True)

    return LookingStore(home(), clock=lambda: datetime.now(UTC), tell=tell)


def profiles_of(universe: Universe, names: list[str] | None) -> list[Profile]:
    """The profiles that were named, or all of them.

    Raises:
        UniverseError: One is not in the universe.
    """
    unknown = [name for name in names or [] if name not in universe.profiles]
    if unknown:
        there = ", ".join(universe.profiles)
        raise UniverseError(universe.path, [f"profiles.{name}: no such profile; there are {there}" for name in unknown])
    return [universe.profiles[name] for name in names or universe.profiles]


def symbols_of(profiles: list[Profile], given: str | None) -> list[str]:
    """The symbols of an option, each of which some profile has; empty where none was given."""
    names = [name.strip() for name in given.split(",") if name.strip()] if given else []
    known = {name for profile in profiles for name in profile.symbols}
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: no such symbol; there are {', '.join(sorted(known))}")
    return names


def day_of(option: str, text: str | None) -> date | None:
    """The day that an option names, None where it was not given."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: write a day like 2024-01-31") from None


def matrix_now(profiles: list[Profile]) -> pl.DataFrame:
    """The completeness matrix of some profiles, counted up to now, also for what was never filled."""
    from market_assets.fill.matrix import matrix_of  # noqa: PLC0415 - a help text needs no polars

    return matrix_of(looking_store(), profiles, datetime.now(UTC))


def is_healthy(matrix: pl.DataFrame) -> bool:
    """Whether not one series of the completeness matrix lacks a bar."""
    return bool((matrix["health"] == "HEALTHY").all())


def print_matrix(matrix: pl.DataFrame) -> None:
    """Print the completeness matrix and what it comes to."""
    import polars as pl  # noqa: PLC0415 - a help text needs no polars

    if matrix.is_empty():
        OUT.print("Nothing is kept yet.")
        return
    order = sorted(matrix["timeframe"].unique(), key=length_of)
    table = Table(
        "profile",
        "symbol",
        *order,
        "health",
        "missing",
        "first bar",
        "last bar",
        title="completeness, % of the bars that must exist",
        title_justify="left",
    )
    for heading in (*order, "missing"):
        table.columns[[column.header for column in table.columns].index(heading)].justify = "right"
    colour = {"HEALTHY": "green", "DEGRADED": "yellow", "MISSING": "red"}
    for (profile, symbol), rows in matrix.group_by("profile", "symbol", maintain_order=True):
        cells = {row["timeframe"]: f"[{colour[row['health']]}]{percent(row)}[/]" for row in rows.iter_rows(named=True)}
        longest = rows.sort("expected", descending=True).row(0, named=True)
        worst = next(word for word in reversed(colour) if word in rows["health"])
        abandoned = f" ({longest['abandoned']:,} abandoned)" if longest["abandoned"] else ""
        table.add_row(
            escape(str(profile)),
            escape(str(symbol)),
            *(cells.get(one, "") for one in order),
            f"[{colour[worst]}]{worst}[/]",
            f"{longest['missing']:,}{abandoned}",
            minute(longest["first_ts"]),
            minute(longest["last_ts"]),
        )
    OUT.print(table)
    base = matrix.filter(pl.col("expected") == pl.col("expected").max().over("profile", "symbol"))
    counts = ("expected", "stored", "explained", "missing", "abandoned")
    expected, stored, explained, missing, abandoned = base.select(counts).sum().row(0)
    given_up = f", {abandoned:,} of them abandoned" if abandoned else ""
    OUT.print(
        f"{expected:,} bars must exist: {stored:,} are stored, {explained:,} are absent for a known reason, {missing:,} are missing"
        f"{given_up}. (Times are UTC; the shortest timeframe of each symbol is counted.)",
        highlight=False,
    )


def percent(row: dict[str, Any]) -> str:
    """How complete a series is, in per cent without the sign."""
    # Rounded down, so that 100 % means that not one bar is missing.
    return f"{int(row['completeness'] * 10_000) / 100:.2f}" if row["missing"] else "100"


def add_row(table: Table, *cells: str) -> None:
    """Add a row as it is written: what a source says may look like rich's markup."""
    table.add_row(*map(escape, cells))


def progress_bars(*, quiet: bool, what: str = "partitions") -> Progress:
    """A progress display on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=ERR, disable=quiet)


def print_json(frame: pl.DataFrame) -> None:
    """Print a frame as a JSON list of its rows."""
    print(json.dumps(frame.to_dicts(), default=plain, indent=1))  # noqa: T201 - the answer


def plain(value: object) -> object:
    """A time of the store (UTC, with or without its zone) as ISO text with its zone."""
    return f"{value.replace(tzinfo=None).isoformat()}Z" if isinstance(value, datetime) else str(value)


def minute(ts: datetime | None) -> str:
    """An instant to the minute, or a dash."""
    return f"{ts:%Y-%m-%d %H:%M}" if ts else "-"


def length_of(timeframe: str) -> timedelta:
    """How long a bar of a timeframe is."""
    from market_assets.market_time.timeframes import Timeframe  # noqa: PLC0415 - a help text needs no polars

    return Timeframe(timeframe).duration


def days_of(first: str | None, after: str | None) -> tuple[date | None, date | None]:
    """The days of the options --from and --to."""
    days = day_of("--from", first), day_of("--to", after)
    if days[0] and days[1] and days[1] < days[0]:
        raise typer.BadParameter(f"--to {after} lies before --from {first}")
    return days
