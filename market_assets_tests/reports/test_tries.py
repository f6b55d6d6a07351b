"""A try of each source: what it says where it answers, refuses, has nothing or lacks its key."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from market_assets.config.starter_table import STARTERS
from market_assets.config.starter_text import read_back, universe_text
from market_assets.config.starters import Wishes, part_of
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets.reports.tries import Try, try_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TODAY = date(2026, 12, 1)
MARKET = {
    "kind": "crypto",
    "symbols": {"BTCUSDT": {}, "NEW": {"genesis": "2099-01-01T00:00Z"}, "SHUT": {}},
    "faults": [{"fault": "error", "symbols": ["SHUT"], "status": 503, "message": "come later"}],
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home for the limits of the sources."""
    monkeypatch.setenv("MARKET_ASSETS_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def vendor() -> Iterator[PracticeVendor]:
    with PracticeVendor(Market.model_validate(MARKET)) as running:
        yield running


def tried(folder: Path, name: str, wishes: Wishes, environ: dict[str, str] | None = None) -> Try:
    path = folder / "universe.yaml"
    path.write_text(universe_text([part_of(STARTERS[name], wishes, TODAY)], TODAY))
    environ = environ or {}
    (result,) = try_sources(read_back(path, environ), environ, now=datetime.now(UTC))
    return result


@pytest.mark.parametrize("name", ["binance", "bybit"])
def test_a_source_that_answers_is_well_after_one_request(
    name: str, vendor: PracticeVendor, tmp_path: Path
) -> None:
    vendor.log.clear()

    result = tried(tmp_path, name, Wishes(symbols=("BTCUSDT",), base_url=vendor.url))

    assert (result.is_well, result.bars, result.symbol) == (True, 5, "BTCUSDT")
    assert result.words.startswith("5 bars, the last one of ")
    assert len(vendor.log) == 1


@pytest.mark.parametrize(
    ("symbol", "words", "advice"),
    [
        ("SHUT", "HTTP 503", "Ask again: market-assets probe binance SHUT"),
        ("NEW", "has no bar from", "See that binance has NEW"),
    ],
)
def test_a_source_that_does_not_give_bars_says_why_and_what_to_do(
    symbol: str,
    words: str,
    advice: str,
    vendor: PracticeVendor,
    tmp_path: Path,
) -> None:
    vendor.log.clear()

    result = tried(tmp_path, "binance", Wishes(symbols=(symbol,), base_url=vendor.url))

    assert not result.is_well
    assert words in result.words
    assert result.advice.startswith(advice)
    assert len(vendor.log) == 1


def test_a_source_without_its_key_is_not_asked(vendor: PracticeVendor, tmp_path: Path) -> None:
    vendor.log.clear()

    result = tried(
        tmp_path, "alpaca", Wishes(base_url=vendor.url), {"ALPACA_KEY": "tell-nobody-4711"}
    )

    assert result.words == "it was not asked: ALPACA_SECRET is not set"
    assert "export ALPACA_SECRET=..." in result.advice
    assert not vendor.log
