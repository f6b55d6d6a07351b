"""What the terminal says of a calendar that the bars contradict."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.expected.scope import scope_of
from market_assets.fill.fill import Fill
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.contract import build_source
from market_assets_tests.support.shell import KEY, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEEK = ("2024-11-04", "2024-11-05", "2024-11-06", "2024-11-08", "2024-11-11")
FEAST = "2024-11-09"


def hours(day: str, first: int, count: int) -> str:
    """Hours that begin so many minutes after midnight UTC."""
    start = datetime.fromisoformat(day) + timedelta(minutes=first)
    return "".join(
        f"{start + timedelta(hours=step):%Y-%m-%dT%H:%M:00Z},10,11,9,10,5\n"
        for step in range(count)
    )


@pytest.fixture
def india(tmp_path: Path) -> Iterator[Shell]:
    """A terminal after two fills of hours of Bombay.

    No source has one of 7 November, and one source has an hour of a Saturday.
    """
    with PracticeVendor(Market()) as vendor:
        shell = Shell(tmp_path, vendor)
        shell.universe.write_text(
            textwrap.dedent(
                """
                sources: {files: {type: archive, path: "{symbol}.csv"}}
                profiles:
                  india:
                    kind: EQUITY
                    calendar: XBOM
                    start: 2024-11-04
                    end: 2024-11-12
                    timeframes: {fetch: [1h]}
                    sources: [files]
                    symbols: {INFY: {}}
                    evidence: {confirmations: 1}
                """
            )
        )
        rows = "".join(hours(day, 225, 7) for day in WEEK) + hours(FEAST, 765, 1)
        (shell.universe.parent / "INFY.csv").write_text(
            "ts,open,high,low,close,volume\n" + "".join(sorted(rows.splitlines(keepends=True)))
        )
        universe = load_universe(environ={**shell.environment, "VENDOR_KEY": KEY})
        profile = universe.profiles["india"]
        source = build_source(
            "files", universe.sources["files"], base=shell.universe.parent, kind="equity"
        )
        for wait in (0, 2):
            now = datetime.now(UTC) - timedelta(hours=3 - wait)
            window = profile.window(now)
            list(
                Fill(
                    shell.store(),
                    {"files": source},
                    scope_of(profile, profile.base_timeframe, now),
                    window,
                )
            )
        yield shell


def test_status_names_the_days_and_stays_healthy(india: Shell) -> None:
    done = india.run("status")
    assert done.code == 0
    told = " ".join(done.err.split())
    assert (
        "may be wrong (1h, INFY): 1 bar with trades on 2024-11-09, "
        "where the calendar has no session" in told
    )
    assert (
        "may be wrong (1h, INFY): the calendar has a session on 2024-11-07, "
        "no source has a bar of it" in told
    )
    assert "calendar_changes" in told


def test_gaps_lists_the_closed_session_and_explains_its_bars(india: Shell) -> None:
    done = india.run("gaps", "--all", "--json")
    assert [(gap["status"], gap["bars"], gap["reason"]) for gap in done.json] == [
        ("closed", 7, "the calendar has a session here, no source has a bar")
    ]
    told = india.run("gaps", "--explain", "INFY", "2024-11-07T04:00")
    assert "Explained as closed: the calendar has a session here, no source has a bar." in told.out


def test_a_corrected_day_says_why_it_is_closed(india: Shell) -> None:
    changed = india.universe.read_text().replace(
        "symbols: {INFY: {}}",
        "symbols: {INFY: {}}\n"
        "    calendar_changes: [{date: 2024-11-07, close: true, reason: a storm}]",
    )
    india.universe.write_text(changed)
    told = india.run("gaps", "--explain", "INFY", "2024-11-07T06:00")
    assert "Of 2024-11-07: a storm." in told.out
    first, again = india.run("status"), india.run("status")
    assert (first.code, again.code) == (0, 0)
    assert "has changed on 2024-11-07: what was judged there is judged again" in first.err
    assert "2024-11-07" not in again.err
