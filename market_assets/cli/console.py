"""What every command of the terminal uses: consoles, options, tables, and how values are written.

What only one command prints is in its module.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from market_assets.errors import MarketAssetsError, UniverseError
from market_assets.home import HOME_VARIABLE, home
from market_assets.imports import late_imports
from market_assets.market.clock import present
from market_assets.market.instants import bare_minute, iso
from market_assets.words import hint, listed

with late_imports():
    import polars as pl

    from market_assets.config.load import load_universe
    from market_assets.enrich.jumps import jumps_of
    from market_assets.market.timeframes import Timeframe
    from market_assets.reports.completeness import matrix_of
    from market_assets.store.looking import LookingStore
    from market_assets.store.store import Store
    from market_assets.work.refused import refused_rows


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from market_assets.config.universe import Profile, Universe

INCOMPLETE = 3
"""Exit code of a command that did its work and found something missing.

1 is an error, 2 a wrong use, 130 an interruption by Ctrl-C.
"""

_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that command a terminal, turn a text's direction, or cannot be seen or written."""

_UNBOUND = 100_000
_PROSE = 28
"""How many characters a column of sentences must have to be shown at all."""

_COLOURS = {"HEALTHY": "green", "DEGRADED": "yellow", "MISSING": "red"}
"""From the best to the worst; any other word of health is neither."""


def harmless(text: str) -> str:
    """A text that others wrote, as a terminal may show it.

    Characters that would act on the terminal are visible as escapes.
    """
    return _HARMFUL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class Terminal(Console):
    """A console on which no text that is printed can do more than be read."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own
        """Make a text of a string, as rich does, once it is harmless."""
        return super().render_str(harmless(text), **options)


def _width_of(stream: TextIO) -> int | None:
    """How wide the output may be; None where rich finds it out: a terminal's own, or COLUMNS.

    What goes to a file or a pipe is whole, unless somebody has set COLUMNS.
    """
    return None if stream.isatty() or os.environ.get("COLUMNS") else _UNBOUND


OUT = Terminal(width=_width_of(sys.stdout))
ERR = Terminal(stderr=True, width=_width_of(sys.stderr))

ProfileNames = Annotated[
    list[str] | None,
    typer.Argument(help="Profiles of the universe; all of them if none is named."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")
]
Symbols = Annotated[str | None, typer.Option(help="Only these symbols, separated by commas.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show all columns, however wide they are.")]


def universe_here(*, quiet: bool) -> Universe:
    """The universe that is meant, once it and the home folder are named on standard error.

    Args:
        quiet: Name nothing, as where JSON is asked for.
    """
    universe = load_universe()
    if not quiet:
        places = " ".join(f"{name} {path}" for name, path in places_of(universe).items())
        ERR.print(f"[dim]{escape(places)}[/]", highlight=False, soft_wrap=True)
    return universe


def places_of(universe: Universe) -> dict[str, str]:
    """The home folder and the universe's file, as an answer in JSON names them."""
    return {"home": str(home()), "universe": str(universe.path)}


def open_store() -> Store:
    """The store of the home folder, which is made if it is absent; its clock is the machine's."""
    return Store(home(), clock=present)


def has_store() -> bool:
    """Whether the home folder holds a store.

    Raises:
        MarketAssetsError: No home is named, and the folder where the command runs has none.
    """
    folder = home()
    if not os.environ.get(HOME_VARIABLE) and not folder.exists():
        raise MarketAssetsError(
            f"no home folder is named, and there is no {folder.name} in {Path.cwd()}. "
            f"Name yours with --home FOLDER or {HOME_VARIABLE}; "
            "market-assets backfill makes ./data here."
        )
    return (folder / "market.duckdb").exists()


def need_store() -> None:
    """Refuse a command that has nothing to say without a store.

    Raises:
        MarketAssetsError: There is none.
    """
    if not has_store():
        raise MarketAssetsError(f"{home()} holds no store yet: market-assets backfill makes it.")


@contextmanager
def store_to_read() -> Iterator[Store]:
    """The store of the home folder, for a command that only reads.

    Where there is no store, an empty one is read.

    While another program holds the store, its last copy is read, and it is said as of when.

    Raises:
        MarketAssetsError: No home is named, and the folder where the command runs has none.
    """

    def tell(words: str) -> None:
        ERR.print(f"[yellow]{escape(words)}[/]", highlight=False, soft_wrap=True)

    if has_store():
        yield LookingStore(home(), clock=present, tell=tell)
        return
    tell(f"{home()} holds no store yet: market-assets backfill makes it.")
    # Who counts what must exist writes it down: elsewhere, so that no home is made by looking.
    with TemporaryDirectory() as folder:
        yield LookingStore(Path(folder), clock=present, tell=tell)


def profiles_of(universe: Universe, names: list[str] | None) -> list[Profile]:
    """The profiles that were named, or all of them.

    Raises:
        UniverseError: One is not in the universe.
    """
    unknown = [name for name in names or [] if name not in universe.profiles]
    if unknown:
        raise UniverseError(
            universe.path,
            [
                f"profiles.{name}: no such profile; {choices(name, universe.profiles)}"
                for name in unknown
            ],
        )
    return [universe.profiles[name] for name in names or universe.profiles]


def symbols_of(profiles: list[Profile], given: str | None) -> list[str]:
    """The symbols of an option, each of which some profile has; empty where none was given."""
    names = [name.strip() for name in given.split(",") if name.strip()] if given else []
    symbols = sorted({name for profile in profiles for name in profile.symbols})
    if unknown := [name for name in names if name not in symbols]:
        raise wrong(f"{', '.join(unknown)}: no such symbol; {choices(unknown[0], symbols)}")
    return names


def orphans_in(holdings: pl.DataFrame, universe: Universe) -> list[tuple[str, int]]:
    """The schemas of a store that no profile of the universe has, each with its number of candles.

    Args:
        holdings: What `Catalog.holdings` gives.
        universe: What is to be kept.
    """
    kept = [*universe.profiles, universe.markets.name]
    candles = pl.col("rows").filter(pl.col("asset").str.starts_with("candles_")).sum()
    orphans = (
        holdings.filter(~pl.col("schema").is_in(kept))
        .group_by("schema", maintain_order=True)
        .agg(candles)
    )
    return list(orphans.iter_rows())


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


def matrix_now(profiles: list[Profile]) -> pl.DataFrame:
    """The completeness matrix of some profiles, counted up to now.

    It has also what was never filled.
    """
    with store_to_read() as store:
        return matrix_of(store, profiles, present())


def is_healthy(matrix: pl.DataFrame) -> bool:
    """Whether the completeness matrix has rows, and none that is due is missing or in doubt."""
    return not matrix.is_empty() and bool(matrix["health"].is_in(["HEALTHY", "PENDING"]).all())


def base_rows(matrix: pl.DataFrame) -> pl.DataFrame:
    """The rows of the shortest timeframe of each symbol."""
    lengths = {name: length_of(name) for name in matrix["timeframe"].unique()}
    length = pl.col("timeframe").replace_strict(lengths, return_dtype=pl.Duration)
    return matrix.filter(length == length.min().over("profile", "symbol"))


def print_matrix(matrix: pl.DataFrame, *, wide: bool = False, title: str = "") -> None:
    """Print the completeness matrix and what it comes to.

    Args:
        matrix: Its rows.
        wide: Show all columns.
        title: Of which time it is, where it is not all that is kept.
    """
    if matrix.is_empty():
        OUT.print("Nothing is kept yet.")
        return
    order = sorted(matrix["timeframe"].unique(), key=length_of)
    columns = [
        Column("profile"),
        Column("symbol"),
        Column("health"),
        Column("complete", right=True),
        Column("missing", right=True),
        Column("last bar"),
        Column("first bar"),
        *(Column(timeframe, right=True) for timeframe in order),
    ]
    rows = [
        _matrix_row(list(rows.iter_rows(named=True)), order)
        for _, rows in matrix.group_by("profile", "symbol", maintain_order=True)
    ]
    print_table(
        columns, rows, wide=wide, title=title or "completeness, % of the bars that must exist"
    )
    counts = ("expected", "stored", "explained", "missing", "abandoned")
    expected, stored, explained, missing, abandoned = base_rows(matrix).select(counts).sum().row(0)
    given_up = f", {abandoned:,} of them abandoned" if abandoned else ""
    OUT.print(
        f"{expected:,} bars must exist: {stored:,} are stored, "
        f"{explained:,} are absent for a known reason, {missing:,} are missing{given_up}. "
        "(Times are UTC; the shortest timeframe of each symbol is counted.)",
        highlight=False,
    )


def refused_now(
    profiles: Iterable[Profile], *, symbols: list[str] | None = None
) -> list[dict[str, Any]]:
    """The rows of the latest answers that cannot be stored, where bars are missing.

    The columns are those of `work.refused.refused_rows`.
    """
    if not has_store():
        return []
    with store_to_read() as store, store.reading("reading what was refused") as view:
        return refused_rows(view, [profile.name for profile in profiles], symbols=symbols)


def print_refused(rows: list[dict[str, Any]], *, limit: int = 5) -> None:
    """Say how many rows were refused, why, with an example and the setting that would mend it."""
    for row in rows[:limit]:
        OUT.print(
            f"[yellow]Refused[/] {escape(row['profile'])} {row['timeframe']}: "
            f"{escape(row['words'])}",
            highlight=False,
            soft_wrap=True,
        )
    if len(rows) > limit:
        OUT.print(f"{len(rows) - limit:,} more kinds of refused rows; --json has them all.")


def jumps_now(profiles: Iterable[Profile]) -> list[dict[str, Any]]:
    """The nights that look like a split of which nobody has told.

    Returns:
        Rows of profile, symbol, session, close_before and open.
    """
    if not has_store():
        return []
    rows: list[dict[str, Any]] = []
    with (
        store_to_read() as store,
        store.reading("looking for splits that nobody has told of") as view,
    ):
        for profile in profiles:
            jumps = jumps_of(view, profile, present()).sort(
                "session", "symbol", descending=[True, False]
            )
            rows += jumps.select(
                pl.lit(profile.name).alias("profile"),
                "symbol",
                pl.col("session").cast(pl.String),
                "close_before",
                "open",
            ).to_dicts()
    return rows


def print_jumps(rows: list[dict[str, Any]], *, limit: int = 5) -> None:
    """Name the nights that look like a split of which nobody has told, the newest first."""
    for row in rows[:limit]:
        ERR.print(
            f"[yellow]A split may be missing[/]: {escape(row['profile'])} {escape(row['symbol'])} "
            f"opened on {row['session']} at "
            f"{row['open']:g} after a close of {row['close_before']:g}, "
            "and no action is recorded: returns and features reach over it. "
            "Record it under [bold]actions[/], or write [bold]basis: "
            "raw[/] in returns and features if such moves are real.",
            highlight=False,
            soft_wrap=True,
        )
    if len(rows) > limit:
        ERR.print(f"{len(rows) - limit:,} more nights look like a split that is missing.")


def _matrix_row(rows: list[dict[str, Any]], order: list[str]) -> list[str | Text]:
    """A symbol's row: its shortest timeframe first, then all of them."""
    by_length = sorted(rows, key=lambda row: length_of(row["timeframe"]))
    base = by_length[0]
    # Where something must exist, what must not exist yet says nothing.
    rated = [row for row in by_length if row["expected"]] or by_length
    worst = max((_health(row) for row in rated), key=_badness)
    # Where the shortest candles are fine, the word alone would not say of which ones it speaks.
    timeframes = [row["timeframe"] for row in rated if _health(row) == worst]
    where = f" {' '.join(timeframes)}" if worst not in {"HEALTHY", _health(base)} else ""
    notes = [f"{base[name]:,} {name}" for name in ("abandoned", "doubled") if base.get(name)]
    note = f" ({', '.join(notes)})" if notes else ""
    cells = {row["timeframe"]: Text(percent(row), style=colour_of(_health(row))) for row in rows}
    return [
        base["profile"],
        base["symbol"],
        Text(worst + where, style=colour_of(worst)),
        cells[base["timeframe"]],
        f"{base['missing']:,}{note}",
        minute(base["last_ts"]),
        minute(base["first_ts"]),
        *(cells.get(timeframe, "") for timeframe in order),
    ]


def _health(row: dict[str, Any]) -> str:
    """The word of a series' health: never a good one for nothing."""
    return row["health"] if row["expected"] else "PENDING"


def _badness(health: str) -> float:
    """How bad a word of health is; one that is neither good nor bad is told before what is good."""
    return list(_COLOURS).index(health) if health in _COLOURS else 0.5


def colour_of(health: str) -> str:
    """The colour of a word of health."""
    return _COLOURS.get(health, "blue")


def percent(row: dict[str, Any]) -> str:
    """How complete a series is, in per cent without the sign.

    The result is a dash where nothing must exist yet.
    """
    if not row["expected"]:
        return "-"
    # Rounded down, so that 100 % means that not one bar is missing.
    return f"{int(row['completeness'] * 10_000) / 100:.2f}" if row["missing"] else "100"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: What stands above it.
        right: It holds numbers.
        prose: It holds sentences, which may be broken into lines; everything else stands whole in
            one.
    """

    heading: str
    right: bool = False
    prose: bool = False


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | Text]],
    *,
    wide: bool = False,
    title: str | None = None,
    console: Console | None = None,
) -> None:
    """Print a table with the columns that the terminal has room for.

    A line below says which columns are left out.

    Args:
        columns: The most important ones first.
        rows: One cell per column; what is written in a string is shown as it is, whatever it looks
            like.
        wide: Show all columns; lines that are longer than the terminal is wide are left to it.
        title: What stands above the table.
        console: Where it goes; standard output if not given.
    """
    console = console or OUT
    cells = [
        [Text(harmless(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows
    ]
    widths = [
        max([cell_len(column.heading), *(_width(row[place]) for row in cells)])
        for place, column in enumerate(columns)
    ]
    shown = len(columns) if wide else _columns_that_fit(columns, widths, console.width)
    # A name that is wider than all of the terminal goes on in the next line: nothing is cut.
    is_narrow = not wide and _needed(columns[:shown], widths) > console.width
    table = Table(title=title and escape(title), title_justify="left")
    for column in columns[:shown]:
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=wide or not (column.prose or is_narrow),
            overflow="fold",
        )
    for row in cells:
        table.add_row(*row[:shown])
    whole = sum(widths) + 3 * len(widths) + 1
    # A console takes no table that is wider than itself.
    target = Terminal(file=console.file, width=whole) if wide and whole > console.width else console
    target.print(table)
    if left_out := [column.heading for column in columns[shown:]]:
        console.print(f"[dim]--wide shows also: {', '.join(left_out)}[/]", highlight=False)


def _columns_that_fit(columns: Sequence[Column], widths: Sequence[int], room: int) -> int:
    """How many of the first columns a width has room for, at least two."""
    counts = range(len(columns), 2, -1)
    return next(
        (count for count in counts if _needed(columns[:count], widths) <= room),
        min(2, len(columns)),
    )


def _needed(columns: Sequence[Column], widths: Sequence[int]) -> int:
    """How wide a table of some columns is at least."""
    cells = [
        min(width, _PROSE) if column.prose else width
        for column, width in zip(columns, widths, strict=False)
    ]
    return sum(cells) + 3 * len(cells) + 1


def _width(cell: Text) -> int:
    return max((cell_len(line) for line in cell.plain.splitlines()), default=0)


def add_row(table: Table, *cells: str) -> None:
    """Add a row to a table as it is written: what a source says may look like rich's markup."""
    table.add_row(*map(escape, cells))


def print_json(answer: pl.DataFrame | dict[str, Any] | list[Any]) -> None:
    """Print an answer as JSON, a frame as the list of its rows."""
    plainly = answer if isinstance(answer, dict | list) else answer.to_dicts()
    print(json.dumps(plainly, default=plain, indent=1))  # noqa: T201 - the answer


def plain(value: object) -> object:
    """A time of the store (UTC, with or without its zone) as ISO text with its zone."""
    return iso(value) if isinstance(value, datetime) else str(value)


def minute(ts: datetime | None) -> str:
    """An instant to the minute, or a dash."""
    return bare_minute(ts) if ts else "-"


def number(value: float | None) -> str:
    """A price or a volume as a person reads it, or a dash."""
    return "-" if value is None else f"{value:,.10g}"


def length_of(timeframe: str) -> timedelta:
    """How long a bar of a timeframe is."""
    return Timeframe(timeframe).duration
