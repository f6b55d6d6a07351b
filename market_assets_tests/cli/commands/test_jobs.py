"""`market-assets jobs`: what was done, for people and for scripts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from market_assets_tests.support.shell import Done, Shell


def test_jobs_tell_what_was_done_newest_first(holed: tuple[Shell, Done]) -> None:
    shell, _ = holed
    done = shell.run("jobs", "--json")
    assert done.code == 3
    audit = done.json
    assert datetime.fromisoformat(audit["timestamp"]) <= datetime.now(UTC)
    assert audit["symbols_processed"] == ["BTC", "ETH", "SPY", "THIN"]
    found = {
        (gap["symbol"], gap["status"]): (gap["gaps"], gap["bars"]) for gap in audit["gaps_detected"]
    }
    # The ledger's rows end where a partition does: two days of BTC's hole, seven of ETH.
    assert found == {("BTC", "open"): (2, 7), ("ETH", "open"): (7, 168)}
    summary = audit["summary"]
    assert (summary["jobs"], summary["succeeded"], summary["incomplete"], summary["running"]) == (
        4,
        2,
        2,
        0,
    )
    assert (summary["rows_new"], summary["missing_after"], summary["gaps_after"]) == (209, 175, 9)
    # The archive's reads of a file count among them.
    assert summary["requests"] >= len(shell.vendor.log)
    assert audit["retry_results"]["by_source"]["vendor"]["requests"] == len(shell.vendor.log)

    jobs = audit["jobs"]
    assert [
        (job["kind"], job["profile"], job["timeframe"], job["status"], job["trigger"])
        for job in jobs
    ] == [
        ("fill", "equity", "1h", "SUCCEEDED", "backfill"),
        ("derive", "crypto", "1d", "SUCCEEDED", "backfill"),
        ("derive", "crypto", "4h", "INCOMPLETE", "backfill"),
        ("fill", "crypto", "1h", "INCOMPLETE", "backfill"),
    ]
    detail = jobs[-1]["detail"]
    assert (detail["partitions_failed"], detail["missing_before"], detail["missing_after"]) == (
        2,
        336,
        175,
    )
    assert (detail["by_symbol"]["ETH"]["missing"], detail["by_symbol"]["BTC"]["new"]) == (168, 161)
    assert jobs[0]["started_at"].endswith("Z")


def test_jobs_are_a_table_for_people_and_may_be_fewer(holed: tuple[Shell, Done]) -> None:
    shell, _ = holed
    newest = shell.run("jobs", "--limit", "1")
    assert newest.code == 0
    assert "2025-02-03..2025-02-08" in newest.out
    assert newest.out.splitlines()[-1].startswith("1 job: 48 new rows, 0 bars repaired, ")
    (row,) = (
        line.split("│") for line in shell.run("jobs").out.splitlines() if "fill crypto 1h" in line
    )
    cells = [cell.strip() for cell in row[2:-1]]
    assert cells[:4] == ["fill crypto 1h", "INCOMPLETE", "161", "175"]
    assert cells[5:10] == ["2025-02-03..2025-02-10", "backfill", "100%", "336", "0"]
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    nothing = shell.run("jobs", "--since", tomorrow)
    assert (nothing.code, nothing.out.strip()) == (0, "No jobs.")
    assert (
        len(
            shell.run(
                "jobs", "--since", f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}", "--json"
            ).json["jobs"]
        )
        == 4
    )
