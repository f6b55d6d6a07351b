"""Where a command works: the home folder and the universe.

They are given by option, environment or folder. The tests cover also what is kept there.
"""

from __future__ import annotations

import json
import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.shell import Shell, in_this_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKET = {"kind": "crypto", "symbols": {"SPY": {"kind": "equity"}}}
HOLE = {
    "fault": "hole",
    "symbols": ["BTC"],
    "start": "2025-02-07T20:00Z",
    "end": "2025-02-08T03:00Z",
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, dict]]:
    """A terminal after a backfill of three of seven days, and what that backfill said.

    A hole lies after these days.
    """
    with PracticeVendor(Market.model_validate({**MARKET, "faults": [HOLE]})) as vendor:
        shell = Shell(tmp_path_factory.mktemp("filled"), vendor)
        done = shell.run(
            "backfill", "crypto", "--from", "2025-02-04", "--to", "2025-02-07", "--json"
        )
        assert done.code == 0
        yield shell, done.json


@pytest.mark.parametrize(
    "command", ["status", "gaps", "jobs", "genesis", "alerts", "list", "tail", "returns crypto"]
)
def test_a_command_that_reads_makes_no_folder(
    filled: tuple[Shell, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    shell, _ = filled
    monkeypatch.chdir(tmp_path)
    universe = {**shell.environment}
    if command.startswith("returns"):
        path = tmp_path / "universe.yaml"
        path.write_text(shell.universe.read_text().replace("derive: [4h, 1d]", "returns: [1h]"))
        universe["MARKET_ASSETS_UNIVERSE"] = str(path)
    del universe["MARKET_ASSETS_HOME"]
    lost = in_this_process(command.split(), universe)
    assert (lost.code, lost.out) == (1, "")
    assert f"no home folder is named, and there is no data in {tmp_path}" in lost.err

    empty = in_this_process([*command.split(), "--home", "elsewhere"], universe)
    assert (
        f"{tmp_path / 'elsewhere'} holds no store yet: market-assets backfill makes it."
        in empty.err
    )
    assert "No gaps." not in empty.out
    assert empty.code == {"status": 3, "gaps": 3, "tail": 3, "returns crypto": 1}.get(command, 0)
    assert {entry.name for entry in tmp_path.iterdir()} <= {"universe.yaml"}


def test_home_and_universe_are_named_by_options_before_or_after_the_command(
    filled: tuple[Shell, dict], tmp_path: Path
) -> None:
    shell, _ = filled
    wrong = {
        **shell.environment,
        "MARKET_ASSETS_HOME": str(tmp_path),
        "MARKET_ASSETS_UNIVERSE": "nowhere.yaml",
    }
    options = ["--home", str(shell.home), "--universe", str(shell.universe)]
    before, after = (
        in_this_process(words, wrong)
        for words in ([*options, "jobs", "--json"], ["jobs", "--json", *options])
    )
    assert (before.code, before.json["jobs"]) == (after.code, after.json["jobs"])
    assert before.json["home"] == after.json["home"] == str(shell.home)
    assert before.json["universe"] == str(shell.universe)
    assert not list(tmp_path.iterdir())

    shown = in_this_process(["jobs"], shell.environment)
    assert shown.err == f"home {shell.home} universe {shell.universe}\n"


def test_the_version_and_the_help_have_their_options(filled: tuple[Shell, dict]) -> None:
    shell, _ = filled
    assert shell.run("--version").out.startswith("market-assets 0.")
    text = shell.run("status", "-h").out
    assert all(option in text for option in ("--wide", "--home", "--universe"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["statsu"], 2, "Did you mean 'status'"),
        (["status", "cripto"], 1, "there are crypto, equity; did you mean crypto?"),
        (["gaps", "--symbols", "BTCC"], 2, "did you mean BTC?"),
        (["probe", "vendr", "BTC"], 2, "did you mean vendor?"),
        (["tail", "--timeframe", "1w"], 2, "--timeframe 1w: nobody keeps it; there are 1d, 1h, 4h"),
        (["backfill", "--days", "3", "--to", "2025-02-04"], 2, "leave --from and --to out"),
        (
            ["backfill", "crypto", "--days", "3"],
            2,
            "nothing of these days is kept: crypto keeps 2025-02-03 to 2025-02-10",
        ),
        (
            ["backfill", "--from", "2020-01-01", "--to", "2021-01-01"],
            2,
            "equity keeps 2025-02-03 to 2025-02-08",
        ),
    ],
)
def test_a_slip_is_answered_with_what_there_is(
    filled: tuple[Shell, dict], words: list[str], code: int, said: str
) -> None:
    shell, _ = filled
    done = shell.run(*words)
    assert (done.code, done.out) == (code, "")
    assert said in " ".join(done.err.replace("│", " ").split())


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


def test_validate_says_what_a_file_holds_and_what_is_wrong_with_it(
    filled: tuple[Shell, dict], tmp_path: Path
) -> None:
    shell, _ = filled
    good = shell.run("validate")
    assert (good.code, good.out.splitlines()[0]) == (0, f"valid: {shell.universe}")
    (crypto, equity) = shell.run("validate", "--json").json["profiles"]
    assert (crypto["fetch"], crypto["symbols"], equity["end"]) == (
        ["1h"],
        ["BTC", "ETH"],
        "2025-02-08",
    )

    path = tmp_path / "broken.yaml"
    path.write_text(shell.universe.read_text().replace("kind: EQUITY", "kind: EQUITIES"))
    assert shell.run("validate", str(path)).code == 1
    bad = shell.run("validate", str(path), "--json")
    assert (bad.code, bad.json["valid"], len(bad.json["problems"])) == (1, False, 1)


def test_list_shows_the_assets_the_symbols_and_what_no_profile_is_called(
    filled: tuple[Shell, dict],
) -> None:
    shell, _ = filled
    with shell.store().writing("testing") as transaction:
        transaction.candles.create(Dataset.candles("coins", Timeframe.H1), derived=False)
        transaction.connection.execute(
            "INSERT INTO coins.candles_1h SELECT * FROM crypto.candles_1h LIMIT 5"
        )
        transaction.genesis.put(
            Dataset.candles("coins", Timeframe.H1),
            "BTC",
            datetime(2025, 2, 3, tzinfo=UTC),
            "vendor",
        )
    held = shell.run("list", "--json").json
    assets = {(row["profile"], row["asset"]): row for row in held["assets"]}
    assert assets["crypto", "candles_1d"]["symbols"] == 2
    assert assets["equity", "candles_1h"]["rows"] == 0
    assert held["orphans"] == {"coins": 5}
    symbols = {(row["profile"], row["symbol"]): row for row in held["symbols"]}
    assert symbols["equity", "THIN"]["sources"] == ["quiet"]
    assert symbols["crypto", "BTC"]["first_ts"] is not None
    table = shell.run("list", "crypto").out
    assert "candles_4h" in table
    assert "coins" not in table

    told = shell.run("status", "--json")
    assert "The store also holds coins (5 candles), which no profile is called." in told.err
    assert "crypto is kept" in shell.run("forget", "crypto").err
    unknown = " ".join(shell.run("forget", "coin").err.replace("│", " ").split())
    assert "the store holds nothing of that name; there are coins; did you mean coins?" in unknown
    assert (
        "5 candles of coins and all that was noted of them would be removed: add --yes."
        in shell.run("forget", "coins").out
    )
    assert shell.run("forget", "coins", "--yes", "--json").json["removed"] is True
    with shell.store().reading("testing") as view:
        assert "coins" not in set(view.catalog.holdings()["schema"]) | set(
            view.genesis.all()["profile"]
        )
        assert not view.completeness.matrix().is_empty()
    assert shell.run("status", "--json").err == ""


def test_tail_shows_the_newest_bars_and_follows(filled: tuple[Shell, dict]) -> None:
    shell, _ = filled
    shown = shell.run("tail", "crypto", "--symbols", "BTC", "--lines", "3")
    assert [line.split()[:3] for line in shown.out.splitlines()][-1][2] == "BTC"
    process = shell.start("tail", "crypto", "--follow", "--lines", "2", "--json")
    lines = [process.stdout.readline() for _ in range(2)]
    assert ['"symbol": "BTC"' in lines[0], '"symbol": "ETH"' in lines[1]] == [True, True]
    with shell.store().writing("testing") as transaction:
        table = "crypto.candles_1h"
        transaction.connection.execute(
            f"""
            INSERT INTO {table}
            SELECT * REPLACE (ts + INTERVAL 1 DAY AS ts)
            FROM {table}
            WHERE symbol = 'BTC' AND ts = (SELECT max(ts) FROM {table})
            """
        )
    timer = threading.Timer(60, process.kill)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    assert datetime.fromisoformat(lines[0].split('"ts": "')[1][:20]) + timedelta(
        days=1
    ) == datetime.fromisoformat(line.split('"ts": "')[1][:20])
    with shell.store().writing("testing") as transaction:
        transaction.connection.execute(
            f"DELETE FROM {table} WHERE ts = (SELECT max(ts) FROM {table})"
        )
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "Stopped.\n")


def test_tail_shows_extra_columns_where_they_are_wanted(filled: tuple[Shell, dict]) -> None:
    shell, _ = filled
    plain, more = (
        shell.run("tail", "crypto", "--lines", "2", "--json", *wish) for wish in ((), ("--extras",))
    )
    bare, full = (json.loads(found.out.splitlines()[-1]) for found in (plain, more))
    assert [*full] == [*bare, "quote_volume", "trades", "taker_buy_volume", "vwap"]
    assert full["trades"] > 0
    assert full["vwap"] is None
    words = shell.run("tail", "crypto", "--lines", "1", "--extras").out.splitlines()
    assert words[0].split()[-4:] == ["quote_volume", "trades", "taker_buy_volume", "vwap"]
    assert words[1].split()[-1] == "-"
