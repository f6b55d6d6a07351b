"""What a file seems to hold, as the terminal prints it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from market_assets.cli import app
from market_assets.errors import SourceError
from market_assets_tests.support.archives import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path


def test_the_terminal_prints_settings_to_paste(tmp_path: Path) -> None:
    (tmp_path / "EURUSD.csv").write_text(SAMPLES["histdata"][1])

    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "EURUSD.csv")])

    assert done.exit_code == 0
    assert "layout: histdata" in done.stdout
    assert "{symbol}.csv" in done.stdout
    printed = CliRunner().invoke(app, ["inspect", str(tmp_path / "EURUSD.csv"), "--json"]).stdout
    document = json.loads(printed)
    assert document["layout"] == "histdata"
    assert document["timeframe"] == "1m"


def test_probe_shows_the_settings_where_those_of_the_universe_do_not_read_the_file(
    tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "EURUSD.csv").write_text(SAMPLES["histdata"][1])
    (tmp_path / "universe.yaml").write_text(
        "sources: {files: {type: archive, path: '{symbol}.csv'}}\n"
        "profiles: {forex: {kind: FOREX, start: 2024-03-11, timeframes: {fetch: [1m]}, "
        "sources: [files], symbols: {EURUSD: {}}}}\n"
    )
    monkeypatch.setenv("MARKET_ASSETS_UNIVERSE", str(tmp_path / "universe.yaml"))
    monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "home"))

    done = CliRunner().invoke(app, ["probe", "files", "EURUSD"])

    assert done.exit_code != 0
    assert "layout: histdata" in done.stdout
    assert isinstance(done.exception, SourceError)
