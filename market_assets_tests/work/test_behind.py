"""What is behind its candles is made step by step, as updates do it.

Nothing is left out, and nothing is made for nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.enrich.made import made_of_profile
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets_tests.support.enrich_ground import D1, H1, H4, W1, days

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Profile
    from market_assets.work.making import Making
    from market_assets_tests.support.enrich_ground import Market

EVER = days("2000-01-01", "2030-01-01")


class Universe:
    """As much of a universe as a dataset of one profile asks for."""

    def __init__(self, profile: Profile) -> None:
        self.profiles = {profile.name: profile}


def works(kept: Market) -> list[Making]:
    universe = Universe(kept.profile)
    return [
        made.work(kept.store, universe, EVER, now=kept.clock())
        for made in made_of_profile(kept.profile)
    ]


def behind(kept: Market) -> dict[str, list[str]]:
    """The keys of what is behind, by dataset."""
    with kept.store.reading("looking") as view:
        found = {
            work.dataset.name: [partition.key for partition in work.behind(view)]
            for work in works(kept)
        }
    return {name: keys for name, keys in found.items() if keys}


def follow(kept: Market) -> None:
    """Make what says that it is behind, each dataset after what it is made of."""
    for work in works(kept):
        with kept.store.reading("looking") as view:
            work.partitions = work.behind(view)
        list(work)


def step(
    kept: Market,
    *,
    first: datetime,
    after: datetime,
    pace: timedelta,
    timeframe: Timeframe,
    since: Callable[[datetime], datetime],
) -> None:
    """Fill what has closed at each step, and make what is behind."""
    kept.clock.now = first
    while kept.clock.now <= after:
        kept.fill(Window(since(kept.clock.now), kept.clock.now), timeframe=timeframe)
        follow(kept)
        kept.clock.now += pace


def rows(
    kept: Market, timeframe: Timeframe
) -> tuple[list[datetime], list[datetime], list[datetime]]:
    """The `ts` of the candles, the features and the returns."""
    with kept.store.reading("looking") as view:
        candles = view.candles.of(
            Dataset.candles("kept", timeframe), list(kept.profile.symbols), EVER
        ).sort("ts")
        features = view.features.of(Dataset.features("kept", timeframe), EVER)
        returns = view.returns.of(Dataset.returns("kept", timeframe), EVER).sort("ts")
    return candles["ts"].to_list(), features["ts"].to_list(), returns["ts"].to_list()


@pytest.mark.parametrize("kind", ["FOREX", "FUTURES"])
def test_a_bar_that_closes_after_midnight_is_there_when_it_closes_and_so_is_what_is_made_of_it(
    market: Callable[..., Market], kind: str
) -> None:
    kept = market(
        f"kind: {kind}\nstart: 2025-03-02\nfeatures: {{sma: [2]}}",
        fetch="[1h]",
        derive="[4h], features: [4h], returns: [4h]",
        symbols="EURUSD: {}",
    )

    def since(now: datetime) -> datetime:
        midnight = now.replace(hour=0)
        return midnight if now.hour else midnight - timedelta(days=1)

    first = datetime(2025, 3, 5, 21, tzinfo=UTC)
    kept.clock.now = first
    kept.fill(days("2025-03-02", "2025-03-06"), timeframe=H1)
    follow(kept)
    step(
        kept,
        first=first,
        after=first + timedelta(hours=6),
        pace=timedelta(hours=1),
        timeframe=H1,
        since=since,
    )
    candles, features, returns = rows(kept, H4)
    opened = datetime(2025, 3, 5, 22 if kind == "FOREX" else 23, tzinfo=UTC).replace(tzinfo=None)
    assert opened in candles
    assert features == candles
    assert set(candles) <= set(returns)
    with kept.store.reading("looking") as view:
        judged = view.partitions.counts(Dataset.candles("kept", H4)).filter(partition="2025-03-05")
    assert (
        judged["expected"].item() == judged["stored"].item() == sum(ts.day == 5 for ts in candles)
    )
    kept.clock.now -= timedelta(hours=1)
    assert behind(kept) == {}


def test_a_week_over_the_turn_of_a_month_has_its_features(market: Callable[..., Market]) -> None:
    kept = market(
        "kind: CRYPTO\nstart: 2025-03-03\nfeatures: {sma: [2]}",
        fetch="[1d]",
        derive="[1w], features: [1w]",
        symbols="BTC: {}",
    )

    def since(now: datetime) -> datetime:
        return (now - timedelta(days=1)).replace(day=1)

    first = datetime(2025, 3, 29, tzinfo=UTC)
    kept.clock.now = first
    kept.fill(Window(datetime(2025, 3, 3, tzinfo=UTC), first), timeframe=D1)
    step(
        kept,
        first=first,
        after=first + timedelta(days=11),
        pace=timedelta(days=1),
        timeframe=D1,
        since=since,
    )
    with kept.store.reading("looking") as view:
        candles = (
            view.candles.of(Dataset.candles("kept", W1), ["BTC"], EVER).sort("ts")["ts"].to_list()
        )
        features = view.features.of(Dataset.features("kept", W1), EVER)["ts"].to_list()
    assert datetime(2025, 3, 31, tzinfo=UTC).replace(tzinfo=None) in candles
    assert features == candles


def test_a_day_that_is_revised_is_followed_at_once_and_not_when_the_next_week_closes(
    market: Callable[..., Market],
) -> None:
    kept = market("kind: CRYPTO\nstart: 2025-03-03", fetch="[1d]", derive="[1w]", symbols="BTC: {}")
    kept.clock.now = datetime(2025, 3, 11, tzinfo=UTC)
    kept.fill(Window(datetime(2025, 3, 3, tzinfo=UTC), kept.clock.now), timeframe=D1)
    follow(kept)
    assert behind(kept) == {}

    sunday = days("2025-03-09", "2025-03-10")
    with kept.store.writing("revising") as transaction:
        revised = transaction.candles.of(Dataset.candles("kept", D1), ["BTC"], sunday).with_columns(
            close=pl.lit(500.0), high=pl.lit(600.0)
        )
        transaction.candles.merge(Dataset.candles("kept", D1), ["BTC"], sunday, revised)
        counts = transaction.partitions.counts(Dataset.candles("kept", D1)).drop("judged_at")
        transaction.partitions.put(Dataset.candles("kept", D1), counts, changed=["2025-03-01"])
    assert behind(kept) == {"candles_1w": ["2025-03-01"]}
    follow(kept)
    assert behind(kept) == {}
    with kept.store.reading("looking") as view:
        assert view.candles.of(Dataset.candles("kept", W1), ["BTC"], EVER)["close"].item() == 500.0


def test_a_partition_without_a_bar_of_its_own_is_not_behind_forever(
    market: Callable[..., Market],
) -> None:
    kept = market(
        "kind: CRYPTO\nstart: 2025-03-03\nend: 2025-04-03",
        fetch="[1d]",
        derive="[1w]",
        symbols="BTC: {}",
    )
    kept.clock.now = datetime(2025, 6, 1, tzinfo=UTC)
    kept.fill(
        Window(datetime(2025, 3, 3, tzinfo=UTC), datetime(2025, 4, 3, tzinfo=UTC)), timeframe=D1
    )
    follow(kept)
    assert behind(kept) == {}
