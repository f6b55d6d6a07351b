"""Which tables of a universe go to the lake, and what its `export` key may say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from market_assets.config.load import load_universe
from market_assets.errors import ExportError, UniverseError
from market_assets.export import tables_of
from market_assets.market.timeframes import Timeframe

if TYPE_CHECKING:
    from market_assets.config.universe import Universe

UNIVERSE = """
sources: {practice: {}, told: {type: action_files, path: "{symbol}.csv"}}
profiles:
  coins: {kind: CRYPTO, start: 2025-01-06, sources: [practice], symbols: {BTC: {}},
          timeframes: {fetch: [1m], derive: [30m, 1d, 1w], features: [30m]}}
  stocks: {kind: EQUITY, start: 2025-01-06, sources: [practice], actions: [told],
           symbols: {SPY: {}}, timeframes: {fetch: [1d], returns: [1d]}}
markets: {timeframes: [1d]}
"""


def load(tmp_path: Path, more: str = "") -> Universe:
    path = tmp_path / "universe.yaml"
    path.write_text(UNIVERSE + more)
    return load_universe(path, environ={})


def test_all_that_is_kept_has_a_table_and_a_period_that_keeps_its_files_small(tmp_path):
    found = {str(table): str(table.period) for table in tables_of(load(tmp_path))}
    assert found == {
        "coins.candles_1m": "day",
        "coins.candles_30m": "month",
        "coins.candles_1d": "year",
        "coins.candles_1w": "year",
        "coins.features_30m": "month",
        "stocks.candles_1d": "year",
        "stocks.returns_1d": "year",
        "stocks.corporate_actions": "ever",
        "markets.returns_1d": "year",
    }


def test_profiles_and_timeframes_can_be_named(tmp_path):
    universe = load(tmp_path)
    assert [str(table) for table in tables_of(universe, ["markets"])] == ["markets.returns_1d"]
    assert [str(table) for table in tables_of(universe, ["stocks", "coins"], ["1m"])] == [
        "stocks.corporate_actions",
        "coins.candles_1m",
    ]
    with pytest.raises(ExportError, match=r"stock: no such profile; did you mean stocks\?"):
        tables_of(universe, ["stock"])


def test_nothing_is_exported_by_itself_until_the_universe_says_so(tmp_path):
    assert load(tmp_path).export is None
    settings = load(tmp_path, "export:\n").export
    assert settings is not None
    assert (settings.folder_in(Path("/home")), settings.timeframes, settings.every) == (
        Path("/home/lake"),
        (),
        timedelta(minutes=15),
    )
    settings = load(
        tmp_path, "export: {folder: /elsewhere, timeframes: [1d, 1m], every: 1h}\n"
    ).export
    assert settings is not None
    assert (settings.folder_in(Path("/home")), settings.timeframes) == (
        Path("/elsewhere"),
        (Timeframe.M1, Timeframe.D1),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{folderr: x}", "export.folderr: is no key here; did you mean folder?"),
        ("{timeframes: [1d, 1d]}", "export.timeframes: 1d is written 2 times"),
        ("{timeframes: [4h]}", "export.timeframes: 4h is kept by no profile"),
        ("{every: 7m}", "export.every: divides neither an hour"),
        ('{folder: ""}', "export.folder: "),
        ("[lake]", "export: must be a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_key(tmp_path, text, problem):
    with pytest.raises(UniverseError) as error:
        load(tmp_path, f"export: {text}\n")
    assert any(line.startswith(problem) for line in error.value.problems), error.value.problems
