"""Says what of this machine and this home is in the way of the work."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from market_assets.cli.console import INCOMPLETE, OUT, harmless, print_json
from market_assets.cli.options import AsJson, Wide
from market_assets.cli.places import tell_places
from market_assets.cli.tables import Column, print_table
from market_assets.config.places import universe_path
from market_assets.home import home
from market_assets.imports import late_imports

with late_imports():
    from market_assets.defs.internals.database_files import database_files
    from market_assets.doctor.examination import examine
    from market_assets.doctor.findings import State, worst_of

if TYPE_CHECKING:
    from market_assets.doctor.findings import Finding

_COLOURS = {"ok": "green", "skip": "dim", "warn": "yellow", "fail": "bold red"}


def doctor(
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no source, and measure no clock.")
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Look at all that has to be right, and say what to do where it is not.

    Nothing is written. It ends with 0 where all is well, with 3 where something warns, and with 1
    where something fails.
    """
    folder = home()
    # The universe may be what is wrong: its path alone is named.
    places = {"home": str(folder), "universe": str(universe_path(must_exist=False))}
    if not as_json:
        tell_places(places)
    findings = examine(folder, os.environ, database_files(folder), offline=offline)
    worst = worst_of(findings)
    if as_json:
        checks = [asdict(finding) for finding in findings]
        print_json({**places, "state": worst, "checks": checks})
    else:
        _print(findings, wide=wide)
    raise typer.Exit({State.FAIL: 1, State.WARN: INCOMPLETE}.get(worst, 0))


def _print(findings: list[Finding], *, wide: bool) -> None:
    columns = [Column("check"), Column("state"), Column("what was seen", prose=True)]
    rows: list[list[str | Text]] = [
        [finding.subject, Text(finding.state, _COLOURS[finding.state]), finding.words]
        for finding in findings
    ]
    print_table(columns, rows, wide=wide, console=OUT)
    for finding in findings:
        if finding.step:
            line = Text(f"{finding.state} ", _COLOURS[finding.state])
            line.append(harmless(f"{finding.subject}: "), "bold")
            line.append(harmless(f"{finding.step}."))
            OUT.print(line, soft_wrap=True)
