"""The parts of the file as they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from market_assets.config.entries import Entries, ProfileEntry, Rules
from market_assets.config.yaml_file import keys_of
from market_assets.sources.contract import source_types
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable

    Problems = Callable[..., list[str]]


INSTALLED = ", ".join(source_types())


@pytest.mark.parametrize("part", [Entries, ProfileEntry])
def test_every_key_is_listed_once(part: type[Rules]) -> None:
    assert sorted(keys_of(part)) == sorted(part.model_fields)


def test_a_rule_of_the_file_is_one_of_each_profile() -> None:
    assert Rules.model_fields.keys() <= Entries.model_fields.keys() & ProfileEntry.model_fields


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            universe(top="profils: {}"),
            (
                "profils: is no key here; did you mean profiles? The keys are sources, profiles, "
                "repair, evidence, update, features, returns, markets, agreement, alerts, export, "
                "retention, limits, serve, calendar_changes (line 2)"
            ),
        ),
        (
            universe("calender: 24/7"),
            (
                "profiles.crypto.calender: is no key here; did you mean calendar? "
                "The keys are kind, calendar, start, end, timeframes, "
                "sources, mix_venues, actions, symbols, prices, checks, repair, evidence, "
                "update, stream, agreement, partitions, features, returns, retention "
                "and 1 more (line 8)"
            ),
        ),
        (
            universe(symbols="{BTCUSDT: {strat: 2024-01-01}}"),
            (
                "profiles.crypto.symbols.BTCUSDT.strat: is no key here; did you mean start? "
                "The keys are start, end, sources, mix_venues, actions (line 7)"
            ),
        ),
        (
            universe("checks: {jiter: 0.1}"),
            (
                "profiles.crypto.checks.jiter: is no key here; did you mean jitter? "
                "The keys are jitter, severity, failed_above, calendar, plausibility (line 8)"
            ),
        ),
        (
            universe(top="repair: {quickly: yes}"),
            (
                "repair.quickly: is no key here. The keys are every, max_fills, max_time, "
                "legacy_cutoff, max_attempts, backoff, give_up, backlog (line 2)"
            ),
        ),
        (
            universe().replace("CRYPTO", "Cripto"),
            (
                "profiles.crypto.kind: Cripto is not one of CRYPTO, EQUITY, FUTURES, FOREX; "
                "did you mean CRYPTO? (line 5)"
            ),
        ),
        (
            universe("timeframes: {fetch: [1m], derive: [5min]}"),
            (
                "profiles.crypto.timeframes.derive[0]: "
                "5min is not one of 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w; did you mean 5m? (line 8)"
            ),
        ),
        (
            universe("timeframes: {fetch: [1m, 3]}"),
            (
                "profiles.crypto.timeframes.fetch[1]: "
                "3 is not one of 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w. (line 8)"
            ),
        ),
        (
            universe("timeframes: {fetch: 1m}"),
            "profiles.crypto.timeframes.fetch: must be a list: [1m] (line 8)",
        ),
        (
            universe("timeframes: [1m]"),
            "profiles.crypto.timeframes: must be a mapping of keys and values, not ['1m'] (line 8)",
        ),
        (
            universe("calendar: xnys"),
            (
                "profiles.crypto.calendar: xnys is no calendar; did you mean XNYS? "
                "Any name of exchange_calendars or pandas_market_calendars will do; "
                "the presets are 24/7, XNYS, CME Globex Equity, FOREX (line 8)"
            ),
        ),
        (
            universe("sources: [binanse]"),
            (
                "profiles.crypto.sources[0]: binanse is no source of this file; "
                "did you mean binance? It has binance (line 8)"
            ),
        ),
        (
            universe(symbols="{BTCUSDT: {sources: [binance, {bnance: BTC}]}}"),
            (
                "profiles.crypto.symbols.BTCUSDT.sources[1]: "
                "bnance is no source of this file; did you mean binance? It has binance (line 7)"
            ),
        ),
        (
            universe("sources: [{binance: XBT}]"),
            (
                "profiles.crypto.sources: a source's own name, here XBT, belongs to a symbol; "
                "write binance alone (line 8)"
            ),
        ),
        (
            universe(symbols="{BTCUSDT: {sources: [{binance: A, other: B}]}}"),
            (
                "profiles.crypto.symbols.BTCUSDT.sources[0]: each item names one source: "
                "`- binance`, or `- binance: its own name for the symbol` (line 7)"
            ),
        ),
        (
            universe("sources: [binance, binance]"),
            "profiles.crypto.sources: binance is written 2 times (line 8)",
        ),
        (
            universe(sources="{binance: {}, mtgox: {}}"),
            f"sources.mtgox: mtgox is no type of source. Installed are {INSTALLED} (line 1)",
        ),
        (
            universe(sources="{binance: {type: Binanse}}"),
            (
                "sources.binance.type: Binanse is no type of source; did you mean binance? "
                f"Installed are {INSTALLED} (line 1)"
            ),
        ),
        (
            universe(symbols="{}"),
            (
                "profiles.crypto.symbols: is missing; write at least one, such as `BTCUSDT: "
                "{}` (line 7)"
            ),
        ),
        (
            universe(symbols="[BTCUSDT]"),
            (
                "profiles.crypto.symbols: must not be a list: write each symbol as a key, "
                "such as `BTCUSDT: {}` (line 7)"
            ),
        ),
        (
            universe().replace("    sources: [binance]", ""),
            (
                "profiles.crypto.sources: is missing, and BTCUSDT has none of its own; "
                "write which to ask, such as [binance] (line 4)"
            ),
        ),
        (
            universe().replace("    kind: CRYPTO", ""),
            (
                "profiles.crypto.kind: is missing; it is one of CRYPTO, EQUITY, FUTURES, "
                "FOREX (line 4)"
            ),
        ),
        (
            universe().replace("    start: 2024-01-01", ""),
            (
                "profiles.crypto.start: is missing; write the first day to keep, "
                "such as 2024-01-01 (line 4)"
            ),
        ),
        (
            universe("prices: {positive: maybe}"),
            "profiles.crypto.prices.positive: should be a valid boolean",
        ),
        (
            universe("checks: {jitter: 0.5}"),
            "profiles.crypto.checks.jitter: should be less than 0.5, not 0.5 (line 8)",
        ),
        (
            universe("checks: {severity: {CRITICL: ERROR}}"),
            (
                "profiles.crypto.checks.severity.CRITICL: "
                "CRITICL is not one of CRITICAL, HIGH, MEDIUM, LOW; did you mean CRITICAL? (line 8)"
            ),
        ),
        (
            universe("checks: {severity: {LOW: off}}"),
            "profiles.crypto.checks.severity.LOW: off is not one of ERROR, WARN. (line 8)",
        ),
        (
            universe("partitions: {daily: year}"),
            "profiles.crypto.partitions.daily: year is not one of day, month. (line 8)",
        ),
        (
            universe("repair: {max_attempts: 0}"),
            "profiles.crypto.repair.max_attempts: should be greater than or equal to 1",
        ),
    ],
)
def test_a_wrong_word_is_named_with_its_place_and_the_right_one(
    problems: Problems, text: str, problem: str
) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)
