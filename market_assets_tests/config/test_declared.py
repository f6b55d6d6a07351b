"""What the types of sources declare, and which are another venue because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.config.universe import SourceSymbol, Universe
from market_assets.sources.contract import source_types, venue_of
from market_assets_tests.support.universe_text import TWO_VENUES, universe

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


def test_sources_of_another_venue_than_the_first_known_one_are_only_compared(load: Load) -> None:
    symbols = load(TWO_VENUES).profiles["crypto"].symbols

    def of(name: str) -> tuple[list[str], list[str]]:
        own = symbols[name]
        return [each.source for each in own.sources], [each.source for each in own.compared]

    assert of("BTCUSDT") == (["files", "one"], ["two"])
    assert of("ETHUSDT") == (["files", "one", "two"], [])
    assert of("LTCUSDT") == (["two", "files"], ["one"])
    assert symbols["BTCUSDT"].apart == (
        "two (elsewhere) is another venue than binance and is not asked: mix_venues: "
        "true would let it fill"
    )
    assert symbols["ETHUSDT"].apart == ""
    assert symbols["LTCUSDT"].choices[-1] == SourceSymbol(source="one", symbol="LTC")
    own = symbols["ETHUSDT"]
    assert [own.is_one_venue("one", other) for other in ("files", "one", "two")] == [
        True,
        True,
        False,
    ]


def test_venues_are_mixed_where_the_profile_says_so_unless_the_symbol_does_not(load: Load) -> None:
    text = TWO_VENUES.replace("start:", "mix_venues: true\n        start:").replace(
        "{mix_venues: true}", "{mix_venues: false}"
    )
    symbols = load(text).profiles["crypto"].symbols
    assert [len(symbols[name].sources) for name in ("BTCUSDT", "ETHUSDT", "LTCUSDT")] == [3, 2, 3]


def test_a_timeframe_that_only_another_venue_has_is_missing(problems: Problems) -> None:
    sources = "{coinbase: {}, two: {type: practice, venue: elsewhere}}"
    (found,) = problems(
        universe("sources: [coinbase, two]\ntimeframes: {fetch: [4h]}", sources=sources)
    )
    assert "4h is served by no source of BTCUSDT" in found
    assert (
        "two (elsewhere) is another venue than coinbase and is not asked: mix_venues: "
        "true would let it fill" in found
    )


@pytest.mark.parametrize(
    ("source", "settings", "kind", "venue"),
    [
        ("binance", {}, "crypto", "binance"),
        ("binance", {"market": "usdm"}, "crypto", "binance-usdm"),
        ("binance_archive", {}, "crypto", "binance"),
        ("bitfinex", {}, "crypto", "bitfinex"),
        ("coinbase", {}, "crypto", "coinbase"),
        ("kraken", {}, "crypto", "kraken"),
        ("bybit", {}, "crypto", "bybit"),
        ("bybit", {"category": "linear"}, "crypto", "bybit-linear"),
        ("polygon", {"key": "k"}, "equity", "us-consolidated"),
        ("polygon", {"key": "k"}, "crypto", "polygon"),
        ("alpaca", {"key": "k", "secret": "s"}, "equity", "us-consolidated"),
        ("alpaca", {"key": "k", "secret": "s", "feed": "iex"}, "equity", "iex"),
        ("oanda", {"key": "k"}, "forex", "oanda"),
        ("oanda", {"key": "k", "price": "bid"}, "forex", "oanda-bid"),
        ("practice", {}, "crypto", None),
        ("archive", {"path": "{symbol}.csv"}, "forex", None),
        ("archive", {"path": "{symbol}.csv", "venue": "mine"}, "forex", "mine"),
        ("kraken", {"venue": "mine"}, "crypto", "mine"),
    ],
)
def test_a_source_gives_the_prices_of_its_market_or_of_what_the_universe_says(
    source: str, settings: dict[str, object], kind: str, venue: str | None
) -> None:
    source_type = source_types()[source]
    assert venue_of(source_type, source_type.Settings.model_validate(settings), kind) == venue
