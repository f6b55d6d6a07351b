"""`market-assets repair`: what it would do, and what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.practice.book import Market

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell


def test_repair_says_what_it_would_do_does_it_and_derives_and_asks_once_more_for_what_was_abandoned(
    shell: Shell,
) -> None:
    """A vendor that has a hole, and refuses one symbol at first."""
    hole = {
        "fault": "hole",
        "symbols": ["BTC"],
        "start": "2025-02-05T20:00Z",
        "end": "2025-02-06T03:00Z",
    }
    refusal = {
        "fault": "error",
        "symbols": ["ETH"],
        "status": 400,
        "code": -1121,
        "message": "Invalid symbol.",
    }
    shell.environment["MARKET_ASSETS_REPAIR_MAX_ATTEMPTS"] = "1"
    shell.vendor.set_faults(Market.model_validate({"faults": [hole, refusal]}).faults)
    first = shell.run("repair", "crypto")
    assert first.code == 3
    assert (
        "crypto 1h 7 of 7 partitions are in trouble; 2025-02-03..2025-02-09 is repaired (attempt 1)"
        in first.out
    )

    shell.vendor.set_faults(Market.model_validate({"faults": [hole]}).faults)
    shell.vendor.log.clear()
    idle = shell.run("repair", "crypto", "--dry-run", "--json")
    assert (idle.code, idle.json["repairs"], shell.asked()) == (3, 0, [])
    assert "5 left alone, abandoned" in idle.json["found"]["crypto 1h"]

    done = shell.run("repair", "crypto", "--abandoned", "--json")
    assert done.code == 3
    rows = {(row["symbol"], row["timeframe"]): row for row in done.json["completeness"]}
    assert [rows[symbol, "1h"]["missing"] for symbol in ("BTC", "ETH")] == [7, 0]
    assert rows["ETH", "4h"]["stored"] == 42
    # The hole was answered without the bars a moment ago, and is asked for again an hour later.
    assert {entry["symbol"] for entry in shell.asked()} == {"ETH"}
    assert {row["trigger"] for row in shell.jobs()} == {"repair"}
