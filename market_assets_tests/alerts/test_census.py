"""Days that were never filled: a trouble when they do not become fewer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.alerts import Kind, Watch
from market_assets.market.datasets import Dataset
from market_assets_tests.support.alerts_ground import universe_of
from market_assets_tests.support.alerts_ledger import H1, job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from market_assets.config.universe import Universe
    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


def test_days_that_were_never_filled_are_a_trouble_once_they_have_not_become_fewer_for_a_day(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    universe = universe_of(tmp_path, start="2025-02-20", end="2025-02-24")

    def judge(*days: int) -> None:
        rows = [(f"2025-02-{day}", "BTC", 24, 0, 0, 24) for day in days]
        names = ["partition", "symbol", "expected", "stored", "explained", "missing"]
        with store.writing("a test") as transaction:
            transaction.partitions.put(
                Dataset.candles("kept", H1), pl.DataFrame(rows, schema=names, orient="row")
            )

    def seen() -> list[tuple[int, tuple[str, ...]]]:
        present = watch(universe).look().present
        return [(one.count, one.details) for one in present if one.kind is Kind.BACKLOG]

    job(store, clock, "fill", "SUCCEEDED")
    assert seen() == []
    clock.now += timedelta(hours=23)
    # Somebody is at it.
    judge(23)
    assert seen() == []
    clock.now += timedelta(hours=23)
    assert seen() == []
    clock.now += timedelta(hours=1)
    assert seen() == [(3, ("from 2025-02-20 to 2025-02-22",))]
    judge(20, 21, 22)
    assert seen() == []
