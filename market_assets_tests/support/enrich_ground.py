"""A profile that is filled by hand, for what is made of candles."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.settings import EvidenceSettings, RepairSettings
from market_assets.enrich.derive import Derive
from market_assets.expected.scope import scope_of
from market_assets.expected.series import prepare
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import partition_key
from market_assets.market.timeframes import Timeframe, Window
from market_assets.verdicts.confirmation import ASKED_SCHEMA, advance
from market_assets.verdicts.ledger import LEDGER_SCHEMA, to_ledger

if TYPE_CHECKING:
    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.store import Store
    from market_assets.work.outcome import PartitionOutcome


at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

M1, M5, M15, H1, H4, D1, W1 = (
    Timeframe(name) for name in ("1m", "5m", "15m", "1h", "4h", "1d", "1w")
)

NAMES = ("open", "high", "low", "close")

CRYPTO_SINCE_JANUARY = "kind: CRYPTO\nstart: 2025-01-20"
EQUITY = "kind: EQUITY\nstart: 2025-03-03"
FUTURES = "kind: FUTURES\nstart: 2025-03-03"
FOREX = "kind: FOREX\nstart: 2025-03-03"


def days(first: str, after: str) -> Window:
    return Window.of_days(date.fromisoformat(first), date.fromisoformat(after))


def span(text: str) -> Window:
    """A window written as two instants: "2025-03-03 10:00..10:05".

    The later instant may be a time alone.
    """
    first, last = text.split("..")
    last = last if "-" in last else f"{first[:10]} {last}"
    return Window(at(first).replace(tzinfo=UTC), at(last).replace(tzinfo=UTC))


def priced(bars: pl.DataFrame, *, volume: float | None = 1.0, shift: float = 0.0) -> pl.DataFrame:
    """Candles for some bars, the prices of each its own."""
    price = (
        100
        + (pl.col("ts").to_physical() // 60_000_000) % 997
        + pl.col("symbol").str.len_chars()
        + shift
    )
    return bars.select(
        "symbol",
        "ts",
        open=price.cast(pl.Float64),
        high=price + 2.5,
        low=price - 2.5,
        close=price + 1.0,
        volume=pl.lit(volume, pl.Float64),
        source=pl.lit("binance"),
    )


class Market:
    """A profile whose bars are filled by hand: candles, gaps and judgement.

    The result is as a backfill would leave it.
    """

    def __init__(self, store: Store, profile: Profile, clock) -> None:
        self.store, self.profile, self.clock = store, profile, clock

    def scope(self, timeframe: Timeframe) -> Scope:
        """What must exist of a timeframe by now."""
        return scope_of(self.profile, timeframe, self.clock())

    def fill(
        self,
        window: Window,
        *,
        timeframe: Timeframe = M1,
        without: tuple[str, ...] = (),
        outages: tuple[str, ...] = (),
        volume: float | None = 1.0,
    ) -> None:
        name, symbols, now = self.profile.name, list(self.profile.symbols), self.clock.now
        bars = scope_of(self.profile, timeframe, now).bars(window)
        absent, confirmed = (
            pl.any_horizontal(pl.lit(value=False), *(span(one).holds() for one in ones))
            for ones in (without, outages)
        )
        state = (
            pl.when(confirmed)
            .then(pl.lit("outage"))
            .when(absent)
            .then(pl.lit("open"))
            .otherwise(pl.lit("stored"))
        )
        states = bars.select("symbol", "ts", state=state)
        part = partition_key(self.profile.partitions.of(timeframe))
        remembered = advance(
            states,
            ledger=LEDGER_SCHEMA.to_frame(),
            asked=ASKED_SCHEMA.to_frame(),
            now=now,
            refused=states.clear(),
            rules=EvidenceSettings(),
            budget=RepairSettings(),
        )
        counts = states.group_by(part, "symbol").agg(
            expected=pl.len(),
            **{
                column: (pl.col("state") == state).sum()
                for column, state in (
                    ("stored", "stored"),
                    ("explained", "outage"),
                    ("missing", "open"),
                )
            },
        )
        with self.store.writing("filling") as transaction:
            prepare(transaction, self.profile)
            candles = priced(states.filter(pl.col("state") == "stored"), volume=volume)
            transaction.candles.merge(Dataset.candles(name, timeframe), symbols, window, candles)
            transaction.gaps.put(
                Dataset.candles(name, timeframe), symbols, window, to_ledger(bars, remembered, part)
            )
            transaction.partitions.put(
                Dataset.candles(name, timeframe),
                counts.rename({"part": "partition"}).cast({"partition": pl.String}),
            )

    def derive(self, timeframe: Timeframe, window: Window | None = None) -> list[PartitionOutcome]:
        return list(
            Derive(
                self.store,
                self.scope(timeframe),
                window or days("2000-01-01", "2030-01-01"),
            )
        )

    def candles(self, timeframe: Timeframe) -> pl.DataFrame:
        with self.store.reading("looking") as view:
            everything = days("2000-01-01", "2030-01-01")
            return view.candles.of(
                Dataset.candles(self.profile.name, timeframe),
                list(self.profile.symbols),
                everything,
            ).sort("symbol", "ts")

    def made(self, timeframe: Timeframe, *columns: str) -> list[tuple]:
        return self.candles(timeframe).select(*(columns or ("ts", "bars", "bars_expected"))).rows()

    def matrix(self) -> dict[tuple[str, str], tuple]:
        with self.store.reading("looking") as view:
            rows = (
                view.completeness.matrix()
                .select(
                    "symbol", "timeframe", "expected", "stored", "explained", "missing", "health"
                )
                .rows()
            )
        return {row[:2]: row[2:] for row in rows}


def counted(outcomes: list[PartitionOutcome]) -> list[tuple]:
    """Partition, symbol, expected, stored, explained, missing."""
    return [
        (outcome.partition.key, own.symbol, own.expected, own.stored, own.explained, own.missing)
        for outcome in outcomes
        for own in outcome.counts
    ]
