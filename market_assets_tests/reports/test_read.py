"""`market_assets.read` gives frames of what is stored, and nothing that could not be known yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

import market_assets
from market_assets.config.load import load_universe
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.errors import ReadError
from market_assets.expected.scope import scope_of
from market_assets.market.columns import EXTRA_NAMES
from market_assets.market.timeframes import TS
from market_assets.store import Store
from market_assets_tests.conftest import Clock
from market_assets_tests.support.enrich_ground import D1, M5, Market, at, days

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.config.universe import Universe

UNIVERSE = """
sources: {practice: {}}
profiles:
  stocks:
    kind: EQUITY
    start: 2025-03-03
    sources: [practice]
    symbols: {SPY: {}, QQQ: {}}
    timeframes: {fetch: [1m], derive: [5m, 1d], returns: [5m]}
markets: {timeframes: [1d]}
"""


NOW = datetime(2025, 3, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a universe, and a home with a week of its minutes.

    The home has all that is made of them.
    """
    folder = tmp_path_factory.mktemp("made")
    clock = Clock(NOW)
    (folder / "universe.yaml").write_text(UNIVERSE)
    loaded = load_universe(folder / "universe.yaml", environ={})
    store = Store(folder / "home", clock=clock)
    stocks = Market(store, loaded.profiles["stocks"], clock)
    stocks.fill(days("2025-03-03", "2025-03-08"))
    for timeframe in (M5, D1):
        stocks.derive(timeframe)
    window = days("2025-03-01", "2025-04-01")
    list(Returns(store, Alignment.of_profile(scope_of(stocks.profile, M5, clock())), window))
    list(Returns(store, Alignment.of_markets(loaded, D1, clock()), window))
    return folder


@pytest.fixture
def universe(made: Path, tmp_path: Path, clock: Clock) -> Universe:
    """The universe in a folder of the test's own, whose home is the one of the fixture `store`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    clock.now = NOW
    return load_universe(tmp_path / "universe.yaml", environ={})


@pytest.fixture
def read(universe: Universe, tmp_path: Path):
    return lambda *names, **options: market_assets.read(
        *names, universe=universe, home=tmp_path / "home", **options
    )


def test_candles_come_sorted_by_symbol_and_time_in_utc_without_a_zone(read):
    found = read("stocks", "candles_1m")
    assert found.columns == [
        "symbol",
        "ts",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "source",
        *EXTRA_NAMES,
    ]
    assert found.schema["ts"] == TS
    assert len(found) == 2 * 5 * 390
    assert found.select("symbol", "ts").equals(found.select("symbol", "ts").sort("symbol", "ts"))


def test_a_window_and_symbols_can_be_named(read):
    found = read(
        "stocks",
        "candles_1m",
        symbols=["SPY"],
        start="2025-03-04",
        end=datetime(2025, 3, 4, 15, tzinfo=UTC),
    )
    assert found["symbol"].unique().to_list() == ["SPY"]
    assert (found["ts"].min(), found["ts"].max()) == (
        at("2025-03-04 14:30"),
        at("2025-03-04 14:59"),
    )
    assert read("stocks", "candles_1m", end=date(2025, 3, 3)).is_empty()


def test_as_of_leaves_out_what_had_not_closed(read):
    minutes = read("stocks", "candles_1m", as_of="2025-03-04T15:00:30Z")
    assert minutes["ts"].max() == at("2025-03-04 14:59")
    # A session's day closes at 21:00, not at midnight.
    assert read("stocks", "candles_1d", as_of="2025-03-04T20:59:59Z")["ts"].max() == at(
        "2025-03-03"
    )
    assert read("stocks", "candles_1d", as_of="2025-03-04T21:00Z")["ts"].max() == at("2025-03-04")
    assert read("markets", "returns_1d", as_of="2025-03-04T20:59Z")["ts"].max() == at("2025-03-03")
    assert read("stocks", "returns_5m", as_of="2025-03-01").is_empty()


def test_returns_can_be_spread_into_a_matrix_and_its_mask(read):
    values, mask = (
        read("stocks", "returns_5m", wide=column) for column in ("log_return", "neutral")
    )
    assert values.columns == mask.columns == ["ts", "QQQ", "SPY"]
    assert values.shape == mask.shape == (5 * 78, 3)
    assert values.null_count().sum_horizontal().item() == 0
    assert mask.drop("ts").row(0) == ("no_previous", "no_previous")
    across = read("markets", "returns_1d", wide="simple_return", symbols=["stocks.SPY"])
    assert across.columns == ["ts", "stocks.SPY"]


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        (("stock", "candles_1m"), {}, "did you mean stocks"),
        (("stocks", "bars"), {}, "write candles_1h"),
        (("stocks", "candles_2h"), {}, "write candles_1h"),
        (("stocks", "candles_1h"), {}, "it keeps candles of 1m, 5m, 1d"),
        (("stocks", "features_1d"), {}, "it keeps no features"),
        (("stocks", "candles_1m"), {"symbols": ["SPX"]}, "did you mean SPY"),
        (("stocks", "candles_1m"), {"start": "yesterday"}, "start: 'yesterday' is no time"),
        (("stocks", "candles_1m"), {"start": 20250303}, "start: 20250303 is no time"),
        (
            ("stocks", "candles_1m"),
            {"start": "2025-03-05", "end": "2025-03-04"},
            "lies before the start",
        ),
        (("stocks", "candles_1m"), {"wide": "closes"}, "did you mean close"),
        (("stocks", "candles_1m"), {"adjusted": True}, "has no corporate actions"),
        (("stocks", "returns_5m"), {"adjusted": True}, "candles can be adjusted"),
    ],
)
def test_what_does_not_exist_is_named_with_the_next_step(read, names, options, words):
    with pytest.raises(ReadError, match=words):
        read(*names, **options)


def test_the_day_that_adjusted_candles_are_as_of_is_that_of_the_instant_in_utc(
    read, universe, store
):
    split = pl.DataFrame(
        {
            "symbol": "SPY",
            "ex_date": date(2025, 3, 6),
            "kind": "split",
            "ratio": 2.0,
            "amount": None,
            "currency": None,
            "detail": None,
            "source": "files",
        }
    )
    with store.writing("recording a split") as transaction:
        transaction.actions.create(
            "stocks", universe.profiles["stocks"].timeframes.kept, "America/New_York"
        )
        transaction.actions.put("stocks", {"SPY": "files"}, split)
    raw = read("stocks", "candles_1d", symbols="SPY", end="2025-03-05")["close"]
    for as_of, factor in (("2025-03-06T09:00+14:00", 1.0), ("2025-03-06T09:00Z", 0.5)):
        found = read(
            "stocks", "candles_1d", symbols="SPY", end="2025-03-05", adjusted=True, as_of=as_of
        )["close"]
        assert found.to_list() == (raw * factor).to_list()


def test_a_symbol_and_a_home_may_be_given_as_texts(read, universe, tmp_path):
    whole = read("stocks", "candles_1m")
    found = market_assets.read(
        "stocks", "candles_1m", symbols="SPY", universe=universe, home=str(tmp_path / "home")
    )
    assert found.equals(whole.filter(whole["symbol"] == "SPY"))
    file = str(tmp_path / "universe.yaml")
    assert market_assets.read("stocks", "candles_1m", universe=file, home=tmp_path / "home").equals(
        whole
    )


def test_a_wide_frame_has_a_column_for_each_symbol_that_is_wanted_also_without_rows(read, store):
    with store.writing("losing a symbol") as transaction:
        transaction.connection.execute("DELETE FROM stocks.candles_1m WHERE symbol = 'QQQ'")
    found = read("stocks", "candles_1m", wide="close")
    assert found.columns == ["ts", "QQQ", "SPY"]
    assert found["QQQ"].null_count() == found.height > 0
    assert read("stocks", "candles_1m", wide="close", end="2025-03-01").schema == found.schema


def test_a_table_that_is_still_to_be_made_says_so(universe, tmp_path):
    with pytest.raises(
        ReadError, match=r"another.market\.duckdb does not exist: nothing was stored"
    ):
        market_assets.read("stocks", "candles_1m", universe=universe, home=tmp_path / "another")


def test_reading_needs_no_dagster_and_importing_the_package_no_polars():
    code = (
        "import sys, market_assets; assert 'polars' not in sys.modules; market_assets.read; "
        "assert 'dagster' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reading_candles_loads_no_dear_library(universe, tmp_path):
    dear = {"asyncio", "httpx", "numpy", "pandas", "pyarrow", "rich", "sqlalchemy", "typer"}
    code = (
        "import sys, market_assets;"
        "market_assets.read('stocks', 'candles_5m');"
        f"print(*{dear} & set(sys.modules))"
    )
    environment = {
        **os.environ,
        "MARKET_ASSETS_UNIVERSE": str(universe.path),
        "MARKET_ASSETS_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == []


def test_nothing_read_as_of_an_instant_changes_when_more_is_stored(read, universe, store, clock):
    before = read("stocks", "returns_5m", as_of="2025-03-05T16:00Z")
    with store.writing("losing what came later") as transaction:
        transaction.connection.execute(
            "DELETE FROM stocks.candles_5m WHERE ts >= '2025-03-05 16:00'"
        )
    list(
        Returns(
            store,
            Alignment.of_profile(scope_of(universe.profiles["stocks"], M5, clock())),
            days("2025-03-01", "2025-04-01"),
        )
    )
    assert read("stocks", "returns_5m", as_of="2025-03-05T16:00Z").equals(before)
    assert before.height == 2 * (2 * 78 + 18)
