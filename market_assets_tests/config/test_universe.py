"""The universe, resolved: what a sound file gives."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market_assets.config.kinds import PriceRules
from market_assets.config.settings import Severity
from market_assets.config.universe import SourceSymbol, Universe
from market_assets.market.gaps import Priority
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.universe_text import universe

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


# What a sound file gives


def test_a_profile_overrides_the_presets_and_the_file_s_repair_key_by_key(load: Load) -> None:
    loaded = load(
        universe(
            """
            prices: {positive: false}
            checks: {jitter: 0.25, severity: {LOW: ERROR}}
            partitions: {intraday: month}
            repair: {max_attempts: 9, backoff: [90s, 2h], legacy_cutoff: null}
            timeframes: {fetch: [1d, 5m], derive: [1w, 1h]}
            calendar: XNYS
            """,
            top="repair: {max_attempts: 3, max_time: 365d, max_fills: 7}",
        )
    )
    profile = loaded.profiles["crypto"]
    assert profile.calendar == "XNYS"
    assert profile.prices == PriceRules(positive=False, volume_optional=False, real_volume=True)
    assert profile.checks.jitter == 0.25
    assert profile.checks.severity[Priority.LOW] is Severity.ERROR
    assert profile.checks.severity[Priority.MEDIUM] is Severity.WARN
    assert profile.partitions.of(Timeframe.M5) is Cadence.MONTH
    assert profile.repair.max_attempts == 9
    assert profile.repair.max_fills == 7
    assert profile.repair.max_time == timedelta(days=365)
    assert profile.repair.backoff == (timedelta(seconds=90), timedelta(hours=2))
    assert profile.repair.legacy_cutoff is None
    assert profile.base_timeframe is Timeframe.M5
    assert profile.timeframes.derive == (Timeframe.H1, Timeframe.W1)
    assert profile.input_of(Timeframe.H1) is Timeframe.M5
    assert profile.input_of(Timeframe.W1) is Timeframe.D1
    with pytest.raises(ValueError, match="crypto does not derive 1d"):
        profile.input_of(Timeframe.D1)


def test_a_symbol_inherits_what_it_does_not_say(load: Load) -> None:
    symbols = (
        load("""
        sources: {binance: {}, other: {type: binance}}
        profiles:
          crypto:
            kind: CRYPTO
            start: 2024-01-01
            end: 2025-06-01
            sources: [binance, other]
            symbols:
              BTCUSDT: {}
              LITUSDT: {end: 2025-01-31}
              ETHUSDT: {start: 2024-02-01, sources: [other, {binance: tETHUST}, {binance: ETHUSDT}]}
        """)
        .profiles["crypto"]
        .symbols
    )
    both = (
        SourceSymbol(source="binance", symbol="BTCUSDT"),
        SourceSymbol(source="other", symbol="BTCUSDT"),
    )
    assert symbols["BTCUSDT"].sources == both
    assert (symbols["BTCUSDT"].start, symbols["BTCUSDT"].end) == (
        date(2024, 1, 1),
        date(2025, 6, 1),
    )
    assert (symbols["LITUSDT"].start, symbols["LITUSDT"].end) == (
        date(2024, 1, 1),
        date(2025, 1, 31),
    )
    assert (symbols["ETHUSDT"].start, symbols["ETHUSDT"].end) == (
        date(2024, 2, 1),
        date(2025, 6, 1),
    )
    assert [(each.source, each.symbol) for each in symbols["ETHUSDT"].sources] == [
        ("other", "ETHUSDT"),
        ("binance", "tETHUST"),
        ("binance", "ETHUSDT"),
    ]


def test_a_window_ends_now_or_with_the_end_and_is_empty_before_the_start(load: Load) -> None:
    profile = load(
        universe("end: 2024-03-01", symbols="{BTCUSDT: {start: 2024-02-01, end: 2024-02-15}}")
    ).profiles["crypto"]
    symbol = profile.symbols["BTCUSDT"]
    now = datetime(2024, 2, 10, 12, 30, tzinfo=UTC)
    assert profile.window(now) == Window(datetime(2024, 1, 1, tzinfo=UTC), now)
    assert symbol.window(now) == Window(datetime(2024, 2, 1, tzinfo=UTC), now)
    later = datetime(2025, 1, 1, tzinfo=UTC)
    assert profile.window(later) == Window.of_days(date(2024, 1, 1), date(2024, 3, 1))
    assert symbol.window(later) == Window.of_days(date(2024, 2, 1), date(2024, 2, 15))
    assert profile.window(datetime(2023, 1, 1, tzinfo=UTC)) == Window.of_days(
        date(2024, 1, 1), date(2024, 1, 1)
    )
    endless = load(universe()).profiles["crypto"]
    assert endless.window(later) == Window.of_days(date(2024, 1, 1), date(2025, 1, 1))


def test_a_universe_cannot_be_changed_after_it_is_loaded(load: Load) -> None:
    loaded = load(universe())
    for part in (loaded, loaded.profiles["crypto"], loaded.profiles["crypto"].symbols["BTCUSDT"]):
        with pytest.raises(ValueError, match="frozen"):
            part.name = "other"


# Evidence, repair, updates, alerts


def test_bookkeeping_is_kept_for_a_while_unless_the_file_says_otherwise(load: Load) -> None:
    kept = load(universe()).retention
    assert (kept.runs, kept.failed_runs, kept.events) == (timedelta(days=14), timedelta(days=30), 5)
    assert kept.revisions == timedelta(days=1825)
    chosen = load(universe(top="retention: {runs: 36h, events: 2, revisions: null}")).retention
    assert (chosen.runs, chosen.events, chosen.revisions) == (timedelta(hours=36), 2, None)
    assert chosen.ticks == timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "ticks: 8d",
            "retention.ticks: is more than 7d, after which Dagster deletes them by itself",
        ),
        ("runs: 0d", "retention.runs: 0d is no time at all"),
        ("events: 0", "retention.events: should be greater than or equal to 1, not 0"),
        ("job: 3d", "retention.job: is no key here; did you mean jobs?"),
    ],
)
def test_a_retention_that_cannot_be_is_refused(problems: Problems, text: str, problem: str) -> None:
    (found,) = problems(universe(top=f"retention: {{{text}}}"))
    assert found.startswith(problem)
