"""What a command is to fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Shell


def test_a_backfill_of_some_symbols_and_days_asks_for_these_alone(shell: Shell) -> None:
    done = shell.run(
        "backfill", "--symbols", "SPY", "--from", "2025-02-04", "--to", "2025-02-06", "--json"
    )
    assert {row["profile"] for row in done.json["completeness"]} == {"equity"}
    (entry,) = shell.asked()
    assert entry["symbol"] == "SPY"
    # From half past nine of the first day to the end of the second day's last bar, in milliseconds.
    assert (int(entry["startTime"]), int(entry["endTime"])) == (1738679400000, 1738790999999)
