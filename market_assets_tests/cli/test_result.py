"""What came of filling a selection: the exit code, what is missing, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Done, Shell


def test_a_backfill_with_holes_ends_with_3_and_says_what_is_missing_and_why(
    holed: tuple[Shell, Done],
) -> None:
    _, done = holed
    assert done.code == 3
    rows = [line.split("│") for line in done.out.splitlines() if line.startswith("│")]
    cells = {row[2].strip(): [cell.strip() for cell in row[3:-1]] for row in rows}
    # Health, the share of the shortest candles and what is missing
    # come before all that may be left out.
    assert cells["BTC"][:4] == ["DEGRADED", "95.83", "7", "2025-02-09 23:00"]
    assert cells["SPY"][:2] == ["HEALTHY", "100"]
    assert cells["ETH"][:3] == ["MISSING", "0.00", "168"]
    assert (
        "385 bars must exist: 209 are stored, 1 are absent for a known reason, 175 are missing."
        in done.out
    )
    assert "market-assets gaps" in done.out
    said = " ".join(done.err.split())
    assert "why it is not filled" in said
    # A day that lacks ETH alone counts as filled, and the matrix names what is missing of it.
    assert "2025-02-05" in said
    assert "2025-02-03" not in said
    # The vendor's words as they came, but for the key.
    assert "[/closed] [bold]no[/bold] ***" in said
    assert "4 of 24 bars are missing (BTC): 16.67 %" in said.replace(" │ │ │ │ ", " ")
    # A line of a log that was written in a run is as it is elsewhere.
    assert done.err.startswith("vendor could not name the first bar of ETH")


def test_a_backfill_of_some_days_is_judged_by_them_alone(filled: tuple[Shell, dict]) -> None:
    shell, answer = filled
    assert answer["complete"] is True
    matrix = {(row["symbol"], row["timeframe"]): row for row in answer["completeness"]}
    assert {key: row["expected"] for key, row in matrix.items()} == {
        (symbol, timeframe): bars
        for symbol in ("BTC", "ETH")
        for timeframe, bars in (("1h", 72), ("4h", 18), ("1d", 3))
    }
    assert {row["health"] for row in matrix.values()} == {"HEALTHY"}
    assert matrix["BTC", "1h"]["first_ts"] == "2025-02-04T00:00:00Z"
    # Four of seven days of two symbols.
    assert answer["missing_elsewhere"] == 2 * 4 * 24
    assert shell.run("status", "crypto").code == 3

    again = shell.run(
        "backfill", "crypto", "--from", "2025-02-01", "--to", "2025-02-07", "--symbols", "BTC"
    )
    assert again.code == 0
    assert "crypto keeps 2025-02-03 to 2025-02-10: the other days are left out." in again.err
    assert "completeness from 2025-02-01 to 2025-02-07" in again.out
    assert "ETH" not in again.out
    assert (
        "Beside what was asked for, 168 more bars are missing: market-assets status." in again.out
    )
