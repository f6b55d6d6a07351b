"""The completeness matrix as it is printed, and whether it says that all is well."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.text import Text

from market_assets.cli.console import OUT
from market_assets.cli.places import store_to_read
from market_assets.cli.tables import Column, minute, print_table
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.market.timeframes import Timeframe
    from market_assets.reports.completeness import base_rows, matrix_of


if TYPE_CHECKING:
    import polars as pl

    from market_assets.config.universe import Profile


_COLOURS = {"HEALTHY": "green", "DEGRADED": "yellow", "MISSING": "red"}
"""From the best to the worst; any other word of health is neither."""


def matrix_now(profiles: list[Profile]) -> pl.DataFrame:
    """The completeness matrix of some profiles, counted up to now.

    It has also what was never filled.
    """
    with store_to_read() as store:
        return matrix_of(store, profiles, present())


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
    order = sorted(matrix["timeframe"].unique(), key=_length_of)
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


def _matrix_row(rows: list[dict[str, Any]], order: list[str]) -> list[str | Text]:
    """A symbol's row: its shortest timeframe first, then all of them."""
    by_length = sorted(rows, key=lambda row: _length_of(row["timeframe"]))
    base = by_length[0]
    # Where something must exist, what must not exist yet says nothing.
    rated = [row for row in by_length if row["expected"]] or by_length
    worst = max((_health(row) for row in rated), key=_badness)
    # Where the shortest candles are fine, the word alone would not say which ones it means.
    timeframes = [row["timeframe"] for row in rated if _health(row) == worst]
    where = f" {' '.join(timeframes)}" if worst not in {"HEALTHY", _health(base)} else ""
    notes = [f"{base[name]:,} {name}" for name in ("abandoned", "doubled") if base.get(name)]
    note = f" ({', '.join(notes)})" if notes else ""
    cells = {row["timeframe"]: Text(_percent(row), style=colour_of(_health(row))) for row in rows}
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


def _percent(row: dict[str, Any]) -> str:
    """How complete a series is, in per cent without the sign.

    The result is a dash where nothing must exist yet.
    """
    if not row["expected"]:
        return "-"
    # Rounded down, so that 100 % means that not one bar is missing.
    return f"{int(row['completeness'] * 10_000) / 100:.2f}" if row["missing"] else "100"


def _length_of(timeframe: str) -> timedelta:
    """How long a bar of a timeframe is."""
    return Timeframe(timeframe).duration
