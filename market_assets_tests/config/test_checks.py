"""Where parts of the file contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable

    Problems = Callable[..., list[str]]


# What is wrong with a file as a whole


def test_a_file_with_neither_sources_nor_profiles_lacks_both(problems: Problems) -> None:
    assert problems("repair: {}\n") == [
        "sources: is missing; write where candles come from, such as `binance: {}`",
        "profiles: is missing; write what to keep, as the packaged universe.yaml does",
    ]


# All at once


def test_what_is_wrong_does_not_make_what_refers_to_it_wrong(problems: Problems) -> None:
    assert problems(universe(sources="{binance: 5}")) == [
        "sources.binance: must be a mapping of keys and values, not 5 (line 1)"
    ]
    assert problems(universe(sources="[binance]")) == [
        "sources: must be a mapping of keys and values, not ['binance'] (line 1)"
    ]
    assert problems(universe("timeframes: {fetch: [1min], derive: [5m, 1w]}"))[1:] == []
    assert problems(universe("timeframes: {fetch: [1m], derive: [1day, 1w]}"))[1:] == []
    assert problems(universe("sources: binance")) == [
        "profiles.crypto.sources: must be a list: [binance] (line 8)"
    ]
