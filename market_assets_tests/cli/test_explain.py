"""`market-assets gaps --explain` and what `status` says of abandoned bars, over a real home."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.expected.scope import scope_of
from market_assets.fill.fill import Fill
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.contract import build_source
from market_assets_tests.support.shell import FAULTS, KEY, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKET = {"kind": "crypto", "symbols": {"SPY": {"kind": "equity"}}}


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A terminal after a fill of the crypto profile; equity was never filled.

    The fill met a hole, and a vendor who refuses a symbol.

    ETH is in the equity profile too, on other days.
    """
    with PracticeVendor(Market.model_validate({**MARKET, "faults": FAULTS})) as vendor:
        shell = Shell(tmp_path_factory.mktemp("holed"), vendor)
        shell.universe.write_text(
            shell.universe.read_text().replace("{SPY: {},", "{SPY: {}, ETH: {},")
        )
        universe = load_universe(environ={**shell.environment, "VENDOR_KEY": KEY})
        profile = universe.profiles["crypto"]
        source = build_source(
            "vendor", universe.sources["vendor"], base=shell.universe.parent, kind="crypto"
        )
        now = datetime.now(UTC)
        list(
            Fill(
                shell.store(),
                {"vendor": source},
                scope_of(profile, profile.base_timeframe, now),
                profile.window(now),
            )
        )
        yield shell


def test_a_stored_bar_ends_with_0_and_tells_its_values(holed: Shell) -> None:
    done = holed.process("gaps", "--explain", "BTC", "2025-02-05T12:34")
    assert (done.code, done.err) == (0, "")
    first, verdict, *_ = done.out.splitlines()
    assert first == "crypto BTC 1h, 2025-02-05 12:00 to 2025-02-05 13:00 UTC: stored"
    assert verdict.startswith("Stored, from vendor: open ")
    assert "vendor answered for 2025-02-03 00:00..2025-02-10 00:00 UTC" in done.out


def test_a_missing_bar_ends_with_3_and_json_has_the_whole_story(holed: Shell) -> None:
    table = holed.run("gaps", "--explain", "BTC", "2025-02-06T01:59:59Z")
    assert table.code == 3
    assert "Missing, asked for once: vendor answered without it." in table.out
    assert "No repair asks for it before" in table.out
    # The same instant with another zone.
    done = holed.run("gaps", "--explain", "BTC", "2025-02-06T03:59:59+02:00", "--json")
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


def test_what_the_vendor_said_is_told_as_it_came_but_for_the_secret(holed: Shell) -> None:
    done = holed.run("gaps", "crypto", "--explain", "ETH", "2025-02-06T01:00")
    assert done.code == 3
    assert "[/closed] [bold]no[/bold] ***" in done.out


def test_a_symbol_of_several_profiles_has_a_story_in_each(holed: Shell) -> None:
    both = holed.run("gaps", "--explain", "ETH", "2025-02-06T01:00", "--json")
    assert [(story["profile"], story["state"]) for story in both.json] == [
        ("crypto", "open"),
        ("equity", "market closed"),
    ]
    one = holed.run("gaps", "equity", "--explain", "ETH", "2025-02-06T15:00", "--json")
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
def test_a_wrong_question_ends_with_2(holed: Shell, arguments: list[str], said: str) -> None:
    done = holed.run("gaps", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.replace("│", " ").split())


def test_status_and_gaps_tell_what_is_abandoned(holed: Shell) -> None:
    with holed.store().writing("testing") as transaction:
        transaction.connection.execute(
            "UPDATE ops.gaps SET status = 'abandoned' WHERE symbol = 'BTC'"
        )
    try:
        table = holed.run("status", "crypto")
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
        listed = holed.run("gaps", "--symbols", "BTC", "--json")
        assert listed.code == 3
        assert {gap["status"] for gap in listed.json} == {"abandoned"}
    finally:
        with holed.store().writing("testing") as transaction:
            transaction.connection.execute(
                "UPDATE ops.gaps SET status = 'open' WHERE symbol = 'BTC'"
            )
