"""A share with splits and dividends, and what is made of its candles."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.config.load import load_universe
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.expected.scope import scope_of
from market_assets.expected.series import calendar_of
from market_assets.market.datasets import Dataset
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets.work.publish import count_frame
from market_assets_tests.support.enrich_ground import D1, at, days

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.market.timeframes import Timeframe, Window
    from market_assets.store import Store
    from market_assets.work.making import Making
    from market_assets.work.outcome import PartitionOutcome
    from market_assets_tests.conftest import Clock


ALL = days("2020-06-01", "2020-11-01")
FRIDAY, MONDAY = at("2020-08-28"), at("2020-08-31")

UNIVERSE = """
sources: {{practice: {{}}, said: {{type: action_files, path: "{{symbol}}.csv"}}}}
markets: {{timeframes: [1d]}}
profiles:
  us:
    kind: EQUITY
    start: 2020-06-01
    end: 2020-11-01
    sources: [practice]
    timeframes: {{fetch: [1h, 1d], derive: [1w], features: [1d, 1w], returns: [1d, 1h, 1w]}}
    features: {{ema: [5], rsi: [5], atr: [5], obv: [5], volatility: [5]{features}}}
    {more}
    symbols: {{AAPL: {{}}}}
"""

ACTION = {
    "symbol": pl.String,
    "ex_date": pl.Date,
    "kind": pl.String,
    "ratio": pl.Float64,
    "amount": pl.Float64,
    "currency": pl.String,
    "detail": pl.String,
    "source": pl.String,
}


class Share:
    """A share whose raw prices fall to a quarter on 31 August, when one share became four."""

    def __init__(self, folder: Path, store: Store, clock: Clock) -> None:
        self.folder, self.store, self.clock = folder, store, clock
        clock.now = datetime(2020, 11, 2, tzinfo=UTC)

    def universe(self, more: str = "actions: [said]", features: str = "") -> None:
        path = self.folder / "universe.yaml"
        path.write_text(UNIVERSE.format(more=more, features=features))
        self.loaded = load_universe(path, environ={})
        self.profile = self.loaded.profiles["us"]

    def on_basis(self, basis: str) -> None:
        self.universe(f"actions: [said]\n    returns: {{basis: {basis}}}")

    def fill(self, timeframe: Timeframe) -> None:
        bars = calendar_of(self.profile).bars(timeframe, ALL)
        number = pl.int_range(pl.len()).cast(pl.Float64)
        whole = 400 + 40 * (number / 5).sin() + number / 10
        shares = pl.when(pl.col("session") >= MONDAY.date()).then(4.0).otherwise(1.0)
        rows = bars.select(
            "ts",
            symbol=pl.lit("AAPL"),
            open=(whole - 1) / shares,
            high=(whole + 4) / shares,
            low=(whole - 4) / shares,
            close=whole / shares,
            volume=(1000 + number) * shares,
            source=pl.lit("practice"),
        )
        if timeframe is D1:
            # As it was.
            known = {FRIDAY: 499.23, MONDAY: 129.04}
            close = pl.col("ts").replace_strict(
                known, default=pl.col("close"), return_dtype=pl.Float64
            )
            rows = rows.with_columns(close=close).with_columns(
                high=pl.max_horizontal("high", "close"), low=pl.min_horizontal("low", "close")
            )
        day = pl.col("ts").dt.date()
        part = day if timeframe.intraday else day.dt.month_start()
        judged = {
            f"{key}": (SymbolCounts("AAPL", expected=size, stored=size, explained=0, missing=0),)
            for key, size in rows.group_by(part=part).len().iter_rows()
        }
        derived = timeframe in self.profile.timeframes.derive
        with self.store.writing("filling") as transaction:
            transaction.candles.create(Dataset.candles("us", timeframe), derived=derived)
            if derived:
                made = rows.with_columns(bars=5, bars_expected=5)
                transaction.candles.replace_derived(
                    Dataset.candles("us", timeframe), rows.select("symbol", "ts"), made
                )
            else:
                transaction.candles.merge(Dataset.candles("us", timeframe), ["AAPL"], ALL, rows)
            transaction.partitions.put(
                Dataset.candles("us", timeframe), count_frame(judged), self.clock.now, changed={}
            )

    def say(self, *actions: tuple[str, str, float | None, float | None]) -> None:
        rows = [
            ("AAPL", date.fromisoformat(day), kind, ratio, amount, None, None, "said")
            for day, kind, ratio, amount in actions
        ]
        with self.store.writing("saying") as transaction:
            for timeframe in self.profile.timeframes.kept:
                derived = timeframe in self.profile.timeframes.derive
                transaction.candles.create(Dataset.candles("us", timeframe), derived=derived)
            transaction.actions.create("us", self.profile.timeframes.kept, "America/New_York")
            transaction.actions.put(
                "us", {"AAPL": "said"}, pl.DataFrame(rows, schema=ACTION, orient="row")
            )

    def make(
        self, work: type[Making], timeframe: Timeframe = D1, window: Window = ALL
    ) -> list[PartitionOutcome]:
        scope = scope_of(self.profile, timeframe, self.clock())
        made: Any = Alignment.of_profile(scope) if work is Returns else scope
        return list(work(self.store, made, window))

    def returns(self, timeframe: Timeframe = D1, name: str = "us") -> pl.DataFrame:
        with self.store.reading("looking") as view:
            return view.returns.of(Dataset.returns(name, timeframe), ALL)

    def features(self, timeframe: Timeframe = D1) -> pl.DataFrame:
        with self.store.reading("looking") as view:
            return view.features.of(Dataset.features("us", timeframe), ALL)

    def closes(self) -> dict[datetime, float]:
        with self.store.reading("looking") as view:
            return dict(
                view.candles.of(Dataset.candles("us", D1), ["AAPL"], ALL)
                .select("ts", "close")
                .rows()
            )


def row(frame: pl.DataFrame, ts: datetime) -> dict[str, Any]:
    return frame.row(by_predicate=pl.col("ts") == ts, named=True)
