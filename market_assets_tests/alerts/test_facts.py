"""What the store says is a trouble, once it is so and until it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.alerts import Kind, Level, Watch
from market_assets.market.datasets import Dataset
from market_assets_tests.support.alerts_ground import universe_of
from market_assets_tests.support.alerts_ledger import H1, candles, hole, job, kinds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.alerts import Told
    from market_assets.config.universe import Universe
    from market_assets.store import Store
    from market_assets_tests.conftest import Clock
    from market_assets_tests.support.alerts_ground import Webhook


MINUTE = timedelta(minutes=1)


def test_a_gap_of_the_ledger_is_told_whole_though_it_is_cut_at_partitions(
    tmp_path: Path, store: Store, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    days = [("BTC", f"2025-02-{day:02d}", 24, "open") for day in range(10, 18)]
    hole(store, *days, ("ETH", "2025-02-10", 5, "outage"), seen="2025-03-01")
    (gap,) = [
        one for one in watch(universe_of(tmp_path, hook.url)).look().present if one.kind is Kind.GAP
    ]
    assert (gap.level, gap.count, gap.symbols) == (Level.ERROR, 1, ("BTC",))
    assert gap.details == ("BTC 2025-02-10 00:00Z to 2025-02-17 23:00Z, 192 bars: no answer",)
    assert "market-assets gaps kept lists them" in hook.bodies[0]


def test_a_symbol_without_a_bar_is_missing_once_its_sources_have_answered(
    tmp_path: Path, store: Store, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path))
    candles(store, "BTC", *(f"2025-02-10T{hour:02d}:00" for hour in range(24)))
    rows = [
        ("2025-02-10", "BTC", 24, 24),
        ("2025-02-10", "ETH", 24, 0),
        ("2025-02-11", "ETH", 24, 0),
    ]
    counts = pl.DataFrame(rows, schema=["partition", "symbol", "expected", "stored"], orient="row")
    with store.writing("a test") as transaction:
        named = counts.with_columns(
            explained=pl.lit(0), missing=pl.col("expected") - pl.col("stored")
        )
        transaction.partitions.put(Dataset.candles("kept", H1), named)
    assert kinds(looks.look()) == []
    hole(store, ("ETH", "2025-02-10", 48, "open"), seen="2025-03-01T12:00")
    present = [one for one in looks.look().present if one.kind is Kind.MISSING_SYMBOL]
    assert [(one.subject, one.level) for one in present] == [("ETH candles_1h", Level.ERROR)]
    assert (
        present[0].summary == "not one bar of ETH is stored, and its sources have none or refuse it"
    )


def test_a_fill_that_fails_day_after_day_is_a_trouble_until_one_succeeds(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path, end="2025-02-02"))
    seen = []
    for status in ("FAILED", "INCOMPLETE", "FAILED", "FAILED", "SUCCEEDED"):
        job(store, clock, "fill", status)
        clock.now += MINUTE
        job(store, clock, "fill", "CANCELLED")
        job(store, clock, "fill", "RUNNING")
        # The one day that is to be kept is never filled, which is a trouble of its own.
        seen.append([one for one in kinds(looks.look()) if one[0] != "backlog"])
        clock.now += timedelta(days=1)
    trouble = [("failed_days", "candles_1h")]
    assert seen == [[], [], trouble, trouble, []]


def test_the_newest_derivation_counts(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path, end="2025-02-02"))
    seen = []
    for status in ("SUCCEEDED", "FAILED", "RUNNING", "INCOMPLETE", "SUCCEEDED"):
        job(store, clock, "derive", status, "1d")
        job(store, clock, "derive", "FAILED", "1w")
        seen.append(kinds(looks.look()))
        clock.now += MINUTE
    trouble = [("enrichment", "candles_1d")]
    assert seen == [[], trouble, trouble, trouble, []]


def stale_symbols(told: Told) -> list[tuple[str, ...]]:
    return [one.symbols for one in told.present if one.kind is Kind.STALE]


def test_the_newest_session_is_stale_until_each_symbol_has_a_bar_of_it_or_a_reason(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path))
    # Nothing was ever filled: a new profile is given its time.
    assert stale_symbols(looks.look()) == []
    clock.now -= timedelta(hours=2)
    job(store, clock, "fill", "SUCCEEDED")
    clock.now += timedelta(hours=2)
    assert stale_symbols(looks.look()) == [("BTC", "ETH")]
    candles(store, "BTC", "2025-02-28T05:00")
    candles(store, "ETH", "2025-02-27T23:00", "2025-03-01T00:00")
    assert stale_symbols(looks.look()) == [("ETH",)]
    hole(store, ("ETH", "2025-02-28T00:00", 23, "outage"), seen="2025-03-01")
    assert stale_symbols(looks.look()) == [("ETH",)]
    hole(
        store, ("ETH", "2025-02-28T00:00", 23, "outage"), ("ETH", "2025-02-28T23:00", 1, "no_trade")
    )
    assert stale_symbols(looks.look()) == []
    # Two hours after its close the next session counts.
    clock.now = datetime(2025, 3, 2, 1, 59, tzinfo=UTC)
    assert stale_symbols(looks.look()) == []
    clock.now = datetime(2025, 3, 2, 2, 0, tzinfo=UTC)
    assert stale_symbols(looks.look()) == [("BTC",)]


@pytest.mark.parametrize(
    ("settings", "symbols"),
    [
        ({}, ("BTC", "ETH")),
        ({"end": "2025-03-02"}, ("BTC", "ETH")),
        ({"end": "2025-03-01"}, ()),
        ({"symbols": {"BTC": {"end": "2025-02-28"}, "ETH": {"start": "2025-03-01"}}}, ()),
        ({"kind": "EQUITY", "symbols": {"SPY": {}}}, ("SPY",)),
    ],
)
def test_only_what_goes_on_can_be_stale(
    tmp_path: Path,
    store: Store,
    clock: Clock,
    watch: Callable[[Universe], Watch],
    *,
    settings: dict[str, object],
    symbols: tuple[str, ...],
) -> None:
    job(store, replace(clock, now=clock.now - timedelta(days=9)), "fill", "SUCCEEDED")
    found = stale_symbols(watch(universe_of(tmp_path, **settings)).look())
    assert found == ([symbols] if symbols else [])


def test_over_a_weekend_the_newest_session_is_fridays(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path, kind="EQUITY", symbols={"SPY": {}}))
    job(store, replace(clock, now=clock.now - timedelta(days=9)), "fill", "SUCCEEDED")
    candles(store, "SPY", "2025-02-28T20:30")
    for hours in range(0, 54, 6):
        clock.now = datetime(2025, 3, 1, hours % 24, tzinfo=UTC) + timedelta(days=hours // 24)
        assert stale_symbols(looks.look()) == []
