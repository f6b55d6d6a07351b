"""`market-assets export`: what it says, what it ends with, and where it writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from market_assets_tests.support.export_ground import HOURS, MINUTES, Ground
from market_assets_tests.support.shell import Done, in_this_process

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(ground: Ground) -> Callable[..., Done]:
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(ground.home),
        "MARKET_ASSETS_UNIVERSE": str(ground.folder.with_name("universe.yaml")),
    }
    return lambda *arguments: in_this_process(["export", *arguments], environment)


def test_it_writes_all_tables_into_the_home_and_says_so(ground, run):
    done = run()
    assert done.code == 0
    assert MINUTES in done.out
    assert "14,400" in done.out
    ground.folder = ground.home / "lake"
    assert f"The files are in {ground.folder}." in done.out.replace("\n", "")
    assert all(ground.files(name) for name in ground.names)


def test_json_has_every_table_and_nothing_else_is_printed(ground, run):
    arguments = ("coins", "--timeframes", "1m, 4h", "--to", str(ground.folder), "--json")
    found = run(*arguments).json
    assert found["folder"] == str(ground.folder)
    assert [one["table"] for one in found["tables"]] == [MINUTES, HOURS, "coins.features_4h"]
    assert [one["written"] for one in found["tables"]] == [5, 2, 2]
    (ground.of(MINUTES) / next(iter(ground.files(MINUTES)))).write_bytes(b"")
    again = run(*arguments, "--verify").json["tables"]
    assert [(one["written"], len(one["damaged"])) for one in again] == [(1, 1), (0, 0), (0, 0)]


def test_the_universe_says_where_and_what(ground, run):
    path = ground.folder.with_name("universe.yaml")
    path.write_text(path.read_text() + "export: {folder: files, timeframes: [1d]}\n")
    found = run("--json").json
    assert found["folder"] == str(ground.home / "files")
    assert {one["table"] for one in found["tables"]} == {
        "coins.candles_1d",
        "coins.returns_1d",
        "markets.returns_1d",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["coin"], 2, "coin: no such profile; there are coins, markets; did you mean coins?"),
        (["--timeframes", "2m"], 2, "2m: no such timeframe"),
        (["coins", "--timeframes", "5m"], 3, "Nothing of this is stored yet"),
    ],
)
def test_a_wrong_use_says_what_is_wrong(run, arguments, code, words):
    done = run(*arguments)
    assert done.code == code
    assert words in " ".join((done.out + done.err).replace("│", " ").split())
