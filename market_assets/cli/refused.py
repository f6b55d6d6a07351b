"""Rows that sources gave and that cannot be stored, as commands name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from market_assets.cli.console import OUT
from market_assets.cli.places import has_store, store_to_read
from market_assets.imports import late_imports

with late_imports():
    from market_assets.work.refused import refused_rows


if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_assets.config.universe import Profile


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
        )
    if len(rows) > limit:
        OUT.print(f"{len(rows) - limit:,} more kinds of refused rows; --json has them all.")
