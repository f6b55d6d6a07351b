"""`market-assets gaps`: what is missing, and the story of a single bar."""

from __future__ import annotations

import shutil
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
from market_assets_tests.support.shell import FAULTS, KEY, MARKET, Done, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


WEEK = ("2024-11-04", "2024-11-05", "2024-11-06", "2024-11-08", "2024-11-11")
FEAST = "2024-11-09"


def test_gaps_are_whole_though_they_reach_over_partitions(holed: tuple[Shell, Done]) -> None:
    shell, _ = holed
    done = shell.run("gaps", "--json")
    assert done.code == 3
    found = {gap["symbol"]: gap for gap in done.json}
    assert set(found) == {"BTC", "ETH"}
    gap = found["BTC"]
    assert (gap["first_ts"], gap["last_ts"], gap["bars"]) == (
        "2025-02-05T20:00:00Z",
        "2025-02-06T02:00:00Z",
        7,
    )
    assert (gap["profile"], gap["timeframe"], gap["status"], gap["attempts"]) == (
        "crypto",
        "1h",
        "open",
        1,
    )
    assert gap["priority"] == "LOW"
    assert found["ETH"]["bars"] == 168

    table = shell.run("gaps", "--limit", "1")
    assert table.code == 3
    assert "[/closed] [bold]no[/bold] ***" in table.out
    assert "1 more; --limit or --json shows them." in table.out


def test_gaps_of_a_home_in_which_nothing_was_filled_say_so(shell: Shell) -> None:
    done = shell.run("gaps", "crypto")
    assert done.code == 3
    assert "Nothing was filled yet of crypto" in done.out
    assert "No gaps." not in done.out
    assert shell.run("gaps", "--json").code == 3


def test_gaps_that_are_explained_are_listed_when_they_are_asked_for(
    holed: tuple[Shell, Done], tmp_path: Path
) -> None:
    source, _ = holed
    shell = Shell(tmp_path, source.vendor)
    shutil.copytree(source.home, shell.home)
    # As two answers an hour apart would have left it.
    with shell.store().writing("testing") as transaction:
        transaction.connection.execute("UPDATE ops.gaps SET status = 'outage' WHERE symbol = 'BTC'")
    assert {gap["symbol"] for gap in shell.run("gaps", "--json").json} == {"ETH"}
    done = shell.run("gaps", "--all", "--symbols", "BTC", "--json")
    assert done.code == 0
    assert [(gap["symbol"], gap["bars"], gap["status"]) for gap in done.json] == [
        ("BTC", 7, "outage")
    ]
    # What a source leaves out because nothing was traded was never a gap.
    assert shell.run("gaps", "equity", "--all").out.strip() == "No gaps."


def fill(shell: Shell, name: str, source: str, now: datetime) -> None:
    """Fill a profile's window from one source, as of a time."""
    universe = load_universe(environ={**shell.environment, "VENDOR_KEY": KEY})
    profile = universe.profiles[name]
    built = build_source(
        source,
        universe.sources[source],
        base=shell.universe.parent,
        kind=profile.kind.value.lower(),
    )
    list(
        Fill(
            shell.store(),
            {source: built},
            scope_of(profile, profile.base_timeframe, now),
            profile.window(now),
        )
    )


@pytest.fixture(scope="module")
def half_filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A terminal after a fill of the crypto profile; equity was never filled.

    The fill met a hole, and a vendor who refuses a symbol.

    ETH is in the equity profile too, on other days.
    """
    with PracticeVendor(Market.model_validate({**MARKET, "faults": FAULTS})) as vendor:
        shell = Shell(tmp_path_factory.mktemp("half_filled"), vendor)
        shell.universe.write_text(
            shell.universe.read_text().replace("{SPY: {},", "{SPY: {}, ETH: {},")
        )
        fill(shell, "crypto", "vendor", datetime.now(UTC))
        yield shell


def test_a_stored_bar_ends_with_0_and_tells_its_values(half_filled: Shell) -> None:
    done = half_filled.run("gaps", "--explain", "BTC", "2025-02-05T12:34")
    assert (done.code, done.err) == (0, "")
    first, verdict, *_ = done.out.splitlines()
    assert first == "crypto BTC 1h, 2025-02-05 12:00 to 2025-02-05 13:00 UTC: stored"
    assert verdict.startswith("Stored, from vendor: open ")
    assert "vendor answered for 2025-02-03 00:00..2025-02-10 00:00 UTC" in done.out


def test_a_missing_bar_ends_with_3_and_json_has_the_whole_story(half_filled: Shell) -> None:
    table = half_filled.run("gaps", "--explain", "BTC", "2025-02-06T01:59:59Z")
    assert table.code == 3
    assert "Missing, asked for once: vendor answered without it." in table.out
    assert "No repair asks for it before" in table.out
    # The same instant with another zone.
    done = half_filled.run("gaps", "--explain", "BTC", "2025-02-06T03:59:59+02:00", "--json")
    assert done.code == 3
    (story,) = done.json
    assert (story["profile"], story["symbol"], story["timeframe"], story["state"]) == (
        "crypto",
        "BTC",
        "1h",
        "open",
    )
    assert story["bar"] == {
        "ts": "2025-02-06T01:00:00Z",
        "opens_at": "2025-02-06T01:00:00Z",
        "closes_at": "2025-02-06T02:00:00Z",
    }
    assert (story["gap"]["attempts"], story["gap"]["first_ts"]) == (1, "2025-02-06T00:00:00Z")
    assert story["values"] is None
    assert all(event["at"].endswith("Z") for event in story["events"])


def test_what_the_vendor_said_is_told_as_it_came_but_for_the_secret(half_filled: Shell) -> None:
    done = half_filled.run("gaps", "crypto", "--explain", "ETH", "2025-02-06T01:00")
    assert done.code == 3
    assert "[/closed] [bold]no[/bold] ***" in done.out


def test_a_symbol_of_several_profiles_has_a_story_in_each(half_filled: Shell) -> None:
    both = half_filled.run("gaps", "--explain", "ETH", "2025-02-06T01:00", "--json")
    assert [(story["profile"], story["state"]) for story in both.json] == [
        ("crypto", "open"),
        ("equity", "market closed"),
    ]
    one = half_filled.run("gaps", "equity", "--explain", "ETH", "2025-02-06T15:00", "--json")
    assert one.code == 3
    assert [(story["profile"], story["verdict"]) for story in one.json] == [
        ("equity", "Missing: nobody has asked a source for it yet.")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--explain", "XRP", "2025-02-06"], "XRP: no such symbol; there are BTC, ETH, SPY, THIN"),
        (
            ["equity", "--explain", "BTC", "2025-02-06"],
            "BTC: no such symbol; there are ETH, SPY, THIN",
        ),
        (
            ["--explain", "BTC", "yesterday"],
            "--explain yesterday: write an instant like 2024-01-31T15:30Z",
        ),
    ],
)
def test_a_wrong_question_ends_with_2(half_filled: Shell, arguments: list[str], said: str) -> None:
    done = half_filled.run("gaps", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.replace("│", " ").split())


def test_status_and_gaps_tell_what_is_abandoned(half_filled: Shell) -> None:
    with half_filled.store().writing("testing") as transaction:
        transaction.connection.execute(
            "UPDATE ops.gaps SET status = 'abandoned' WHERE symbol = 'BTC'"
        )
    try:
        table = half_filled.run("status", "crypto")
        assert table.code == 3
        (row,) = [line.split("│") for line in table.out.splitlines() if "BTC" in line]
        assert [cell.strip() for cell in row[3:8]] == [
            "DEGRADED",
            "95.83",
            "7 (7 abandoned)",
            "2025-02-09 23:00",
            "2025-02-03 00:00",
        ]
        assert "175 are missing, 7 of them abandoned." in table.out
        # Nobody asks for it any more, and yet it is missing.
        listed = half_filled.run("gaps", "--symbols", "BTC", "--json")
        assert listed.code == 3
        assert {gap["status"] for gap in listed.json} == {"abandoned"}
    finally:
        with half_filled.store().writing("testing") as transaction:
            transaction.connection.execute(
                "UPDATE ops.gaps SET status = 'open' WHERE symbol = 'BTC'"
            )


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
        for wait in (0, 2):
            fill(shell, "india", "files", datetime.now(UTC) - timedelta(hours=3 - wait))
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
