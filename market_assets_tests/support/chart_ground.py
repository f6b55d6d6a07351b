"""A home with the minutes of a symbol, and holes in them, for what is drawn of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.load import load_universe
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.reports.chart import Chart, Wish, chart_of
from market_assets.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets_tests.conftest import Clock

START, END = datetime(2025, 2, 3, tzinfo=UTC), datetime(2025, 2, 10, tzinfo=UTC)
MINUTES = Dataset.candles("crypto", Timeframe.M1)

UNIVERSE = """
sources: {{practice: {{}}}}
profiles:
  crypto:
    kind: CRYPTO
    start: 2025-02-03
    end: 2025-02-10
    timeframes: {{fetch: [1m], derive: [1h], features: [1h]}}
    sources: [practice]
    symbols: {{BTC: {{}}}}
    {keys}
"""


def minute(text: str) -> datetime:
    """An instant of February 2025, such as 05T03:00."""
    return datetime.fromisoformat(f"2025-02-{text}").replace(tzinfo=UTC)


class ChartGround:
    """Seven days of minutes of BTC; each minute's close is its number. No longer candle is made."""

    def __init__(self, folder: Path, clock: Clock, keys: str = "") -> None:
        (folder / "universe.yaml").write_text(UNIVERSE.format(keys=keys))
        self.home = folder
        self.store = Store(folder, clock=clock)
        self.clock = clock
        self.universe = load_universe(folder / "universe.yaml", environ={})
        self.profile = self.universe.profiles["crypto"]

    def fill(self, *holes: tuple[str, str, str]) -> None:
        """Store the minutes without some holes: from, to (a minute that is there again), status."""
        rows = self.rows()
        gaps = []
        for start, end, status in holes:
            first, behind = minute(start), minute(end)
            hole = Window(first, behind)
            rows = rows.filter(~hole.holds())
            gaps.append(
                (first, behind - timedelta(minutes=1), (behind - first).seconds // 60, status)
            )
        days = [f"2025-02-{day:02}" for day in range(3, 10)]
        counts = pl.DataFrame({"partition": days}).with_columns(
            symbol=pl.lit("BTC"),
            expected=pl.lit(1440),
            stored=pl.lit(1440),
            explained=pl.lit(0),
            missing=pl.lit(0),
        )
        with self.store.writing("filling the ground") as transaction:
            transaction.candles.create(MINUTES, derived=False)
            transaction.candles.create(self.profile.candles(Timeframe.H1), derived=True)
            transaction.candles.merge(MINUTES, ["BTC"], Window(START, END), rows)
            transaction.partitions.put(MINUTES, counts)
            if gaps:
                transaction.gaps.put(MINUTES, ["BTC"], Window(START, END), _ledger(gaps))

    def rows(self) -> pl.DataFrame:
        """All minutes."""
        minutes = pl.datetime_range(START, END, "1m", closed="left", time_unit="us", eager=True)
        number = pl.int_range(pl.len()).cast(pl.Float64)
        return pl.DataFrame({"ts": minutes.dt.replace_time_zone(None)}).select(
            pl.lit("BTC").alias("symbol"),
            "ts",
            open=number + 0.5,
            high=number + 2,
            low=number - 2,
            close=number,
            volume=pl.lit(1.0),
            source=pl.lit("practice"),
        )

    def chart(
        self,
        timeframe: Timeframe = Timeframe.M1,
        start: datetime = START,
        end: datetime = END,
        most: int = 2_000,
    ) -> Chart:
        """What a chart of BTC shows."""
        wish = Wish(
            profile=self.profile,
            symbol="BTC",
            timeframe=timeframe,
            window=Window(start, end),
            most=most,
        )
        with self.store.reading("drawing") as view:
            return chart_of(view, wish, self.clock())


def _ledger(gaps: list[tuple[datetime, datetime, int, str]]) -> pl.DataFrame:
    times = dict.fromkeys(("first_ts", "last_ts", "confirmed_at", "first_seen", "asked_at"), TS)
    rows = [
        {
            "symbol": "BTC",
            "first_ts": first.replace(tzinfo=None),
            "last_ts": last.replace(tzinfo=None),
            "bars": bars,
            "status": status,
            "attempts": 1,
            "failures": 0,
            "confirmations": 0,
            "confirmed_at": None,
            "first_seen": first.replace(tzinfo=None),
            "asked_at": first.replace(tzinfo=None),
            "reason": "practice has answered without it",
        }
        for first, last, bars, status in gaps
    ]
    return pl.DataFrame(rows, schema_overrides=times)
