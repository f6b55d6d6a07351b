"""The terminal as a user and a script have it: its commands, their output and their exit codes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import httpx
import pytest

from market_assets.defs.assets.completeness import completeness_key
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.shell import FAULTS, Done, Shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def until(condition: Callable[[], object]) -> None:
    """Ask again, a few times a second, until a process has got that far."""
    pause, end = threading.Event(), time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        pause.wait(0.1)


MARKET = {"kind": "crypto", "symbols": {"SPY": {"kind": "equity"}}}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A terminal of one test's own, and a vendor without faults."""
    with PracticeVendor(Market.model_validate(MARKET)) as vendor:
        yield Shell(tmp_path, vendor)


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, Done]]:
    """A terminal after a backfill that met some faults, and what that backfill said.

    No test changes it.
    """
    with PracticeVendor(Market.model_validate({**MARKET, "faults": FAULTS})) as vendor:
        shell = Shell(tmp_path_factory.mktemp("holed"), vendor)
        yield shell, shell.process("backfill")


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


def test_status_is_the_matrix_that_the_backfill_showed(holed: tuple[Shell, Done]) -> None:
    shell, backfill = holed
    table = shell.process("status")
    assert table.code == 3
    assert table.out.strip() in backfill.out
    assert table.err == ""
    done = shell.run("status", "equity", "--json")
    assert done.code == 0
    rows = {row["symbol"]: row for row in done.json}
    assert set(rows) == {"SPY", "THIN"}
    assert rows["THIN"] == {
        "profile": "equity",
        "symbol": "THIN",
        "timeframe": "1h",
        "expected": 14,
        "stored": 13,
        "explained": 1,
        "missing": 0,
        "completeness": 1.0,
        "first_ts": "2025-02-04T14:30:00Z",
        "last_ts": "2025-02-05T20:30:00Z",
        "health": "HEALTHY",
        "doubled": 0,
        "abandoned": 0,
    }


def test_completeness_has_its_page_after_the_first_backfill(
    holed: tuple[Shell, Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, _ = holed
    monkeypatch.setenv("DAGSTER_HOME", str(shell.home))
    missing = {}
    with dg.DagsterInstance.from_config(str(shell.home)) as instance:
        for profile in ("crypto", "equity"):
            event = instance.get_latest_materialization_event(completeness_key(profile))
            missing[profile] = (
                event.asset_materialization.metadata["bars_missing"].value if event else None
            )
    assert missing == {"crypto": 175, "equity": 0}


def test_gaps_are_whole_though_they_reach_over_partitions(holed: tuple[Shell, Done]) -> None:
    shell, _ = holed
    done = shell.process("gaps", "--json")
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


def test_jobs_tell_what_was_done_newest_first(holed: tuple[Shell, Done]) -> None:
    shell, _ = holed
    done = shell.process("jobs", "--json")
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


def test_where_series_begin_is_listed_and_forgotten(shell: Shell) -> None:
    began = datetime(2025, 2, 4, 9, tzinfo=UTC)
    with shell.store().writing("testing") as transaction:
        for profile, symbol in (
            ("crypto", "BTC"),
            ("crypto", "ETH"),
            ("equity", "SPY"),
            ("gone", "BTC"),
        ):
            transaction.genesis.put(
                Dataset.candles(profile, Timeframe.H1), symbol, began, "[vendor]"
            )
    done = shell.process("genesis", "--json")
    assert done.code == 0
    assert [(row["profile"], row["symbol"]) for row in done.json] == [
        ("crypto", "BTC"),
        ("crypto", "ETH"),
        ("equity", "SPY"),
    ]
    assert (done.json[0]["ts"], done.json[0]["source"]) == ("2025-02-04T09:00:00Z", "[vendor]")
    table = shell.run("genesis", "crypto")
    assert "2025-02-04 09:00 │ [vendor]" in table.out
    assert "SPY" not in table.out

    forgotten = shell.run("genesis", "--reset", "BTC")
    assert forgotten.code == 0
    assert "market-assets backfill crypto --symbols BTC" in forgotten.out
    assert [row["symbol"] for row in shell.run("genesis", "--json").json] == ["ETH", "SPY"]
    # A week of hours, where a moment before only six days and a half were expected.
    with shell.store().reading("testing") as view:
        expected = dict(
            view.completeness.matrix()
            .filter(timeframe="1h")
            .select("symbol", "expected")
            .iter_rows()
        )
    assert (expected["BTC"], expected["ETH"]) == (168, 135)
    assert shell.run("genesis", "--reset", "BTC").out.strip() == "No first bar is recorded."


def test_a_backfill_of_some_symbols_and_days_asks_for_these_alone(shell: Shell) -> None:
    done = shell.run(
        "backfill", "--symbols", "SPY", "--from", "2025-02-04", "--to", "2025-02-06", "--json"
    )
    assert {row["profile"] for row in done.json["completeness"]} == {"equity"}
    (entry,) = shell.asked()
    assert entry["symbol"] == "SPY"
    # From half past nine of the first day to the end of the second day's last bar, in milliseconds.
    assert (int(entry["startTime"]), int(entry["endTime"])) == (1738679400000, 1738790999999)


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
    idle = shell.process("repair", "crypto", "--dry-run", "--json")
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


def test_ctrl_c_stops_a_backfill_the_next_one_ends_with_0_and_a_third_asks_for_nothing(
    shell: Shell,
) -> None:
    # The first request of a symbol is a probe for its first bar; the vendor hangs on the second.
    delay = {"fault": "delay", "symbols": ["ETH"], "seconds": 600, "every": 2}
    shell.vendor.set_faults(Market.model_validate({"faults": [delay]}).faults)
    process = shell.start("backfill")
    until(lambda: process.poll() is not None or (shell.asked() and shell.counted("crypto")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    stopped = shell.checked(Done(process.returncode, out, err))
    assert stopped.code == 130
    assert "Stopped. What was committed is kept" in stopped.err
    assert "derive" not in stopped.err
    assert [job["status"] for job in shell.jobs()] == ["CANCELLED"]

    shell.vendor.set_faults([])
    done = shell.process("backfill", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["complete"] is True
    assert (done.json["failed_runs"], done.json["failures"], done.json["failed_partitions"]) == (
        [],
        [],
        0,
    )
    matrix = {(row["symbol"], row["timeframe"]): row for row in done.json["completeness"]}
    assert {row["health"] for row in matrix.values()} == {"HEALTHY"}
    assert matrix["ETH", "4h"]["stored"] == 42
    assert {entry["symbol"] for entry in shell.asked()} == {"BTC", "ETH", "SPY"}

    shell.vendor.log.clear()
    again = shell.run("backfill")
    assert again.code == 0
    assert shell.asked() == []
    # Progress is told where it does not disturb what is piped: a line for each kind of work, over
    # all profiles.
    derived, fetched = again.err.splitlines()
    assert fetched.startswith("fetch: 12/12 partitions in 0:")
    assert derived.startswith("derive: 8/8 partitions in 0:")
    assert "partitions" not in again.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["backfill", "cryptoo"], 1, "profiles.cryptoo: no such profile; there are crypto, equity"),
        (
            ["backfill", "--symbols", "BTC,XRP"],
            2,
            "XRP: no such symbol; there are BTC, ETH, SPY, THIN",
        ),
        (["genesis", "--reset", "XRP"], 2, "XRP: no such symbol"),
        (["backfill", "--from", "yesterday"], 2, "--from yesterday: write a day like 2024-01-31"),
        (
            ["backfill", "--from", "2025-02-05", "--to", "2025-02-04"],
            2,
            "--to 2025-02-04 lies before --from 2025-02-05",
        ),
    ],
)
def test_a_wrong_use_is_told_at_once_and_nothing_is_made(
    shell: Shell, arguments: list[str], code: int, said: str
) -> None:
    done = shell.run(*arguments)
    assert done.code == code
    assert said in " ".join(done.err.replace("│", " ").split())
    assert done.out == ""
    assert not shell.home.exists()


def test_a_broken_universe_is_told_as_it_is_written(shell: Shell) -> None:
    text = shell.universe.read_text().replace(
        "sources: [vendor]\n    symbols: {BTC", "symbols: {BTC"
    )
    shell.universe.write_text(text.replace("kind: EQUITY", "kind: EQUITIES"))
    done = shell.process("status")
    assert done.code == 1
    assert done.out == ""
    assert "2 problems" in done.err
    assert "write which to ask, such as [vendor]" in done.err
    assert "did you mean EQUITY?" in done.err.replace("'", "")
    assert not shell.home.exists()


def test_a_file_that_is_no_store_is_left_as_it_is(shell: Shell) -> None:
    shell.home.mkdir()
    (shell.home / "market.duckdb").write_text("my notes, not a database")
    done = shell.run("gaps", "--json")
    assert (done.code, done.out) == (1, "")
    assert "market.duckdb cannot be opened" in done.err
    assert (shell.home / "market.duckdb").read_text() == "my notes, not a database"


@pytest.mark.parametrize(
    ("arguments", "variables", "words", "modules"),
    [
        (["--version"], {}, "market-assets 0.", 0),
        (["stauts"], {}, "Did you mean 'status'?", 0),
        (["status", "-h"], {}, "--wide", 1),
        (["backfill", "--help"], {}, "--from", 1),
        (["--help"], {}, "practice-vendor", 11),
        (
            [],
            {"_MARKET_ASSETS_COMPLETE": "complete_bash", "COMP_WORDS": "x sta", "COMP_CWORD": "1"},
            "status",
            1,
        ),
        (
            [],
            {
                "_MARKET_ASSETS_COMPLETE": "complete_bash",
                "COMP_WORDS": "x status --w",
                "COMP_CWORD": "2",
            },
            "--wide",
            1,
        ),
    ],
    ids=["version", "did you mean", "status", "backfill", "help", "commands", "options"],
)
def test_what_is_no_work_comes_without_loading_what_only_the_work_needs(
    arguments: list[str], variables: dict[str, str], words: str, modules: int
) -> None:
    code = (
        "import sys; sys.argv = ['market-assets', *sys.argv[1:]]\n"
        "from market_assets.cli import main\n"
        "try: main()\n"
        "finally: print('\\n', *sorted("
        "{'dagster', 'duckdb', 'httpx', 'pandas', 'polars'} & set(sys.modules)), "
        "sum(name.startswith('market_assets.cli.commands.') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    *shown, loaded = done.stdout.splitlines()
    assert words in "\n".join([*shown, done.stderr])
    assert loaded.split() == [str(modules)]


@pytest.mark.parametrize(("columns", "widest"), [(None, 2000), ("60", 60)])
def test_a_table_in_a_pipe_is_whole_unless_somebody_sets_its_width(
    shell: Shell, columns: str | None, widest: int
) -> None:
    shell.environment.pop("COLUMNS", None)
    shell.environment |= {"COLUMNS": columns} if columns else {}
    lines = shell.process("sources").out.splitlines()
    assert max(map(len, lines)) <= widest
    assert columns or max(map(len, lines)) > 100


def test_the_practice_vendor_serves_until_it_is_stopped(
    shell: Shell, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    market = tmp_path / "market.yaml"
    market.write_text("symbols: {MINE: {price: 5}}\n")
    process = shell.start("practice-vendor", "--port", "0", "--market", str(market))
    request.addfinalizer(process.kill)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    answer = httpx.get(
        f"{url}/api/v3/klines", params={"symbol": "MINE", "interval": "1h", "limit": 3}
    )
    assert len(answer.json()) == 3
    assert answer.headers["X-Simulated"] == "true"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "Traceback" not in out + err

    market.write_text("symbols: [MINE]\n")
    refused = shell.run("practice-vendor", "--market", str(market))
    assert refused.code == 2
    assert "describes no market" in refused.err


def test_every_command_is_listed_with_what_it_does(shell: Shell) -> None:
    done = shell.process("--help")
    assert done.code == 0
    for command in ("up", "backfill", "status", "gaps", "jobs", "practice-vendor"):
        assert f"{command} " in done.out


def test_a_copy_for_other_programs_is_made_and_named(shell: Shell) -> None:
    none = shell.run("snapshot")
    assert none.code == 1
    assert "nothing was stored in this home yet" in none.err
    with shell.store().writing("preparing"):
        pass
    done = shell.run("snapshot", "--json")
    assert (done.code, done.json["path"]) == (0, str(shell.home / "published" / "market.duckdb"))
    assert done.json["bytes"] == (shell.home / "market.duckdb").stat().st_size
    assert str(shell.home / "published") in shell.run("snapshot").out
    parts = {part["name"]: part for part in shell.run("usage", "--json").json["parts"]}
    assert parts["copies"]["files"] >= 1
