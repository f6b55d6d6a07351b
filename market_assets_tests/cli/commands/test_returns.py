"""`market-assets returns`: how much is neutral and why.

The tests cover also the matrix with its mask as Parquet files.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.config.load import load_universe
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.expected.scope import scope_of
from market_assets_tests.support.enrich_ground import H1, Market, days
from market_assets_tests.support.shell import Done, in_a_process, in_this_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


UNIVERSE = """
sources: {practice: {}}
returns: {neutral_limit: 10%}
profiles:
  coins:
    kind: CRYPTO
    start: 2025-03-03
    end: 2025-03-06
    sources: [practice]
    symbols: {BTC: {}, ETH: {}}
    timeframes: {fetch: [1h], returns: [1h]}
"""


@pytest.fixture
def shell(tmp_path: Path, store, clock) -> Callable[..., Done]:
    """A terminal over three days of hours; a third of one symbol's last day is lost."""
    clock.now = datetime(2025, 3, 6, tzinfo=UTC)
    path = tmp_path / "universe.yaml"
    path.write_text(UNIVERSE)
    coins = Market(store, load_universe(path, environ={}).profiles["coins"], clock)
    coins.fill(days("2025-03-03", "2025-03-06"), timeframe=H1)
    with store.writing("losing a third of a day") as transaction:
        transaction.connection.execute(
            "DELETE FROM coins.candles_1h WHERE symbol = 'ETH' AND ts >= '2025-03-05 16:00'"
        )
    list(
        Returns(
            store,
            Alignment.of_profile(scope_of(coins.profile, H1, clock())),
            days("2025-03-01", "2025-04-01"),
        )
    )
    environment = {
        **os.environ,
        "MARKET_ASSETS_HOME": str(tmp_path / "home"),
        "MARKET_ASSETS_UNIVERSE": str(path),
    }
    return lambda *words, run=in_this_process: run(["returns", *words], environment)


def test_the_shares_are_shown_with_their_reasons_and_a_degraded_symbol_makes_the_exit_code_3(shell):
    shown = shell("coins", run=in_a_process)
    assert shown.code == 3
    assert "ETH" in shown.out
    assert "DEGRADED" in shown.out
    told = shell("coins", "--json")
    rows = {row["symbol"]: row for row in told.json["symbols"]}
    assert (rows["ETH"]["bars"], rows["ETH"]["neutral"], rows["ETH"]["open_gap"]) == (71, 8, 8)
    assert rows["BTC"]["no_previous"] == 1
    assert shell("coins", "--symbols", "BTC").code == 0
    assert shell("coins", "--to", "2025-03-05").code == 0


def test_the_matrix_and_its_mask_are_written_side_by_side(shell, tmp_path):
    target = tmp_path / "matrix.parquet"
    done = shell("coins", "--wide", "--value", "simple_return", "--out", str(target), "--json")
    assert done.json["written"] == [str(target), str(tmp_path / "matrix.mask.parquet")]
    matrix, mask = (pl.read_parquet(path) for path in done.json["written"])
    assert matrix.columns == mask.columns == ["ts", "BTC", "ETH"]
    assert matrix.shape == mask.shape == (72, 3)
    assert matrix.filter(mask["ETH"].is_not_null())["ETH"].abs().sum() == 0
    assert not list(tmp_path.glob(".*.new"))


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (("coin",), (2, "did you mean coins")),
        (("coins", "--timeframe", "1d"), (2, "no such timeframe of returns; there are 1h")),
        (("coins", "--symbols", "XRP"), (2, "XRP: no such symbol; there are BTC, ETH")),
        (("coins", "--value", "log"), (2, "log: no such column")),
        (("markets",), (1, "markets has no returns")),
        (("coins", "--wide", "--out", "nowhere/matrix.parquet"), (1, "cannot be written")),
    ],
)
def test_what_cannot_be_had_is_told_in_words_and_leaves_no_file(
    shell, words, end, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, told = end
    done = shell(*words)
    assert not list(tmp_path.glob("*.parquet"))
    assert done.code == code
    assert told in " ".join(done.err.replace("│", " ").split())
