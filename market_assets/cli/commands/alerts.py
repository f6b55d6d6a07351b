"""Shows what is wrong, and who was told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from market_assets.cli.console import ERR, INCOMPLETE, OUT, plain, print_json
from market_assets.cli.options import AsJson, Wide
from market_assets.cli.places import store_to_read, universe_here
from market_assets.cli.tables import Column, minute, print_table
from market_assets.errors import StoreError
from market_assets.home import home
from market_assets.imports import late_imports
from market_assets.market.clock import present

with late_imports():
    from market_assets.alerts import Outside, troubles, try_channels
    from market_assets.alerts.rows import frame_of


if TYPE_CHECKING:
    import polars as pl

    from market_assets.config.universe import Universe


def alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message through each channel instead.")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-store",
            help="Take the store that is there for the right one: "
            "no alert says any more that it was changed.",
        ),
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """List the troubles that the alerts sensor saw at its last look.

    Each is shown with whether somebody was told.
    """
    # A help text needs no polars.

    universe = universe_here(quiet=as_json)
    outside = Outside(home(), universe, present)
    if accept:
        OUT.print(
            "Accepted: the store that is there counts as the right one from now on."
            if outside.accept()
            else "No alert says that the store was changed."
        )
        raise typer.Exit(0)
    if test:
        tried = try_channels(universe)
        if as_json:
            print_json(tried)
        for name, error in {} if as_json else tried.items():
            OUT.print(
                f"{name}: {escape(error) or 'took the message'}", highlight=False, soft_wrap=True
            )
        if not tried:
            ERR.print("The universe names no channel: write their URLs under alerts: channels:.")
        raise typer.Exit(0 if tried and not any(tried.values()) else INCOMPLETE)
    # Of a store that cannot be opened it is known outside of it.
    rows = frame_of(outside.notes.alerts)
    try:
        with store_to_read() as store, store.reading("listing alerts") as view:
            rows = rows.vstack(view.alerts.of(everything=True).select(rows.columns))
    except StoreError:
        if rows.is_empty():
            raise
    if not outside.was_looked:
        ERR.print(
            "Nobody has looked yet: the alerts sensor looks while [bold]market-assets up[/] runs."
        )
    going_on = rows["over_at"].is_null()
    shown = rows if everything else rows.filter(going_on)
    if as_json:
        # The answer.
        print(universe.redact(json.dumps(shown.to_dicts(), default=plain, indent=1)))  # noqa: T201
    else:
        _print_alerts(shown, universe, wide=wide, was_looked=outside.was_looked)
    raise typer.Exit(INCOMPLETE if going_on.any() else 0)


def _print_alerts(rows: pl.DataFrame, universe: Universe, *, wide: bool, was_looked: bool) -> None:
    if rows.is_empty():
        # Where nobody has looked, nobody knows.
        if was_looked:
            OUT.print("No trouble.")
        return
    columns = [
        Column("level"),
        Column("since"),
        Column("what", prose=True),
        Column("told"),
        Column("over"),
    ]
    print_table(
        columns, [_alert_row(row, universe) for row in rows.iter_rows(named=True)], wide=wide
    )
    if not universe.alerts.channels:
        OUT.print("Nobody is told: the universe names no channel under alerts: channels:.")


def _alert_row(row: dict[str, Any], universe: Universe) -> list[str]:
    where = " ".join(part for part in (row["profile"], row["kind"], row["subject"]) if part)
    lines = [
        line
        for place, line in enumerate(row["details"])
        if place < 3 or line.startswith(troubles.CONSEQUENCES)
    ]
    words = [f"{where}:", row["summary"], *(f"  {line}" for line in lines)]
    delivery = row["error"] if row["error"] and not row["told_at"] else minute(row["told_at"])
    return [
        row["level"],
        minute(row["opened_at"]),
        universe.redact("\n".join(words)),
        universe.redact(delivery),
        minute(row["over_at"]),
    ]
