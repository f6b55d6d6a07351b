"""What the terminal says of rows that were refused.

The tests cover also pages in place of answers, and what asks again.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from market_assets_tests.support.shell import Done

DAY = (
    "profiles: {kept: {kind: CRYPTO, start: 2025-02-26, end: 2025-02-27, timeframes: {fetch: "
    "[1h]}, symbols: {BTC: {}}, sources: [%s]}}\n"
)


@pytest.fixture(scope="module")
def vendor() -> Iterator[PracticeVendor]:
    with PracticeVendor(Market(kind="crypto")) as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path, vendor: PracticeVendor) -> Shell:
    return Shell(tmp_path, vendor)


def keep(shell: Shell, tmp_path: Path, sources: str, name: str) -> None:
    path = tmp_path / "refused.yaml"
    path.write_text(f"sources: {{{name}: {sources}}}\n" + DAY % name)
    shell.environment["MARKET_ASSETS_UNIVERSE"] = str(path)


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory, vendor) -> tuple[Shell, Done]:
    """A terminal after a backfill whose rows were refused, and what that backfill said."""
    folder = tmp_path_factory.mktemp("odd")
    shell = Shell(folder, vendor)
    rows = [f"2025-02-26 {hour:02}:00:00,{100 + hour},102,98,101,-1" for hour in range(24)]
    (folder / "BTC.csv").write_text("\n".join(["ts,open,high,low,close,volume", *rows]))
    keep(shell, folder, "{type: archive, path: '{symbol}.csv'}", "files")
    return shell, shell.run("backfill")


class TestRefusedRows:
    @pytest.fixture
    def odd(self, backfilled: tuple[Shell, Done]) -> Shell:
        return backfilled[0]

    def test_each_command_says_how_many_why_with_an_example_and_what_mends_it(
        self, odd: Shell, backfilled: tuple[Shell, Done]
    ) -> None:
        commands = {
            "backfill": backfilled[1],
            "status": odd.run("status"),
            "gaps": odd.run("gaps"),
            "explain": odd.run("gaps", "--explain", "BTC", "2025-02-26T00:00"),
            "jobs": odd.run("jobs"),
        }
        for name, done in commands.items():
            text = " ".join(done.out.split())
            assert "null_volume" in text, name
            assert "2025-02-26" in text, name
            assert "v=-1" in text, name
            assert "rows of files" in text, name

    def test_on_a_terminal_of_80_columns_no_line_is_longer(
        self, odd: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(odd.environment, "COLUMNS", "80")
        for command in ("status", "jobs"):
            lines = odd.process(command).out.splitlines()
            assert any(line.startswith("Refused") for line in lines), command
            assert max(map(len, lines)) <= 80, command

    def test_json_has_them_too(self, odd: Shell) -> None:
        (row,) = odd.run("backfill", "--json").json["refused"]
        assert (row["source"], row["symbol"], row["partitions"]) == ("files", ["BTC"], 1)
        assert row["rows"] >= 22
        (kind, *_) = odd.run("jobs", "--json").json["jobs"][-1]["detail"]["refused"]
        assert kind["rows"] >= 22

    def test_nothing_is_said_any_more_when_it_is_mended(
        self, backfilled: tuple[Shell, Done], tmp_path: Path
    ) -> None:
        folder = backfilled[0].home.parent
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        odd = Shell(tmp_path, backfilled[0].vendor)
        keep(odd, tmp_path, "{type: archive, path: '{symbol}.csv'}", "files")
        rows = [f"2025-02-26 {hour:02}:00:00,100,102,98,101,5" for hour in range(24)]
        (tmp_path / "BTC.csv").write_text("\n".join(["ts,open,high,low,close,volume", *rows]))
        done = odd.run("backfill")
        assert done.code == 0
        assert "Refused" not in done.out
        assert "Refused" not in odd.run("status").out


class TestWhatAsksAgain:
    def test_the_same_backfill_where_a_symbol_was_refused(
        self, shell: Shell, tmp_path: Path, vendor
    ) -> None:
        shell.environment["MARKET_ASSETS_REPAIR_MAX_ATTEMPTS"] = "2"
        keep(shell, tmp_path, f"{{type: practice, base_url: '{vendor.url}', retries: 0}}", "short")
        vendor.set_faults(
            Market.model_validate({"faults": [{"fault": "error", "status": 400}]}).faults
        )
        try:
            for _ in range(3):
                done = shell.run("backfill")
        finally:
            vendor.set_faults([])
        assert "abandoned" in shell.run("gaps").out
        assert "To ask for it again: the same command" in " ".join(done.out.split())
        assert shell.run("backfill").code == 0

    def test_not_the_same_backfill_where_the_rows_that_come_cannot_be_stored(
        self, shell: Shell, tmp_path: Path, vendor
    ) -> None:
        shell.environment["MARKET_ASSETS_REPAIR_MAX_ATTEMPTS"] = "2"
        keep(shell, tmp_path, f"{{type: practice, base_url: '{vendor.url}', retries: 0}}", "short")
        faults = [{"fault": "negative", "start": "2025-02-26T03:00Z", "end": "2025-02-26T05:00Z"}]
        vendor.set_faults(Market.model_validate({"faults": faults}).faults)
        try:
            for _ in range(3):
                done = shell.run("backfill")
            vendor.log.clear()
            shell.run("backfill")
            assert not vendor.log
        finally:
            vendor.set_faults([])
        words = " ".join(done.out.split())
        assert "The same command asks for nothing" in words
        assert "repair --abandoned asks once more for the 2 bars" in words
