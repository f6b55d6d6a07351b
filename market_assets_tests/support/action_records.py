"""A universe whose corporate actions are asked of folders of files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.config.load import load_universe
from market_assets.config.sources import action_sources_of
from market_assets.enrich.actions.actions import record_actions
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window, midnight

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.enrich.actions.actions import ActionsOutcome
    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


NOW = datetime(2024, 7, 10, 12, tzinfo=UTC)

UNIVERSE = """
sources:
  archive: {{path: "{{symbol}}.csv"}}
  first: {{type: action_files, path: "first/{{symbol}}.csv"}}
  second: {{type: action_files, path: "second/{{symbol}}.csv"}}
profiles:
  us:
    kind: EQUITY
    start: 2024-06-03
    timeframes: {{fetch: [1d]}}
    sources: [archive]
    actions: [first, second]
    symbols: {{A: {{}}, B: {{}}}}
    {more}
"""


class Records:
    """A universe of two symbols, `A` and `B`, whose actions are asked of two folders of files."""

    def __init__(self, folder: Path, store: Store, clock: Clock, more: str = "") -> None:
        path = folder / "universe.yaml"
        path.write_text(UNIVERSE.format(more=more))
        self.folder, self.store, self.clock = folder, store, clock
        self.universe = load_universe(path, environ={})
        self.profile = self.universe.profiles["us"]

    def say(self, source: str, symbol: str, *lines: str) -> None:
        (self.folder / source).mkdir(exist_ok=True)
        (self.folder / source / f"{symbol}.csv").write_text(
            "\n".join(["ex_date,ratio,amount", *lines, ""])
        )

    def fall_silent(self, source: str, symbol: str) -> None:
        (self.folder / source / f"{symbol}.csv").unlink()

    def record(self, *symbols: str) -> ActionsOutcome:
        self.clock.now += timedelta(days=1)
        sources = action_sources_of(self.universe, self.profile)
        return record_actions(
            self.store, sources, self.profile, clock=self.clock, symbols=symbols or None
        )

    def recorded(self, symbol: str = "A") -> list[tuple[Any, ...]]:
        with self.store.reading("what is recorded") as view:
            rows = view.actions.of("us").filter(
                pl.col("symbol") == symbol, pl.col("replaced_at").is_null()
            )
        return [
            (f"{row['ex_date']}", row["ratio"] or row["amount"], row["source"])
            for row in rows.to_dicts()
        ]

    def candles(self, symbol: str, *bars: tuple[str, float, float]) -> None:
        """Daily candles: session, open and close."""
        rows = [
            (
                symbol,
                datetime.fromisoformat(day),
                open_,
                max(open_, close),
                min(open_, close),
                close,
                100.0,
                "raw",
            )
            for day, open_, close in bars
        ]
        columns = {
            "symbol": pl.String,
            "ts": TS,
            **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
            "source": pl.String,
        }
        window = Window(midnight(date(2024, 6, 1)), midnight(date(2024, 8, 1)))
        with self.store.writing("candles") as transaction:
            transaction.candles.create(Dataset.candles("us", Timeframe.D1), derived=False)
            transaction.candles.merge(
                Dataset.candles("us", Timeframe.D1),
                [symbol],
                window,
                pl.DataFrame(rows, schema=columns, orient="row"),
            )


def july_records(folder: Path, store: Store, clock: Clock) -> Records:
    """Records as of `NOW`, of which the second folder tells a dividend of `B`."""
    clock.now = NOW
    records = Records(folder, store, clock)
    records.say("second", "B", "2024-06-10,,0.5")
    return records
