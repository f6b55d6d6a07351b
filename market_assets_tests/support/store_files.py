"""The files in the folder of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def left(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but for the locks."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix not in {".lock", ".turn"}
    }


FULL_DISK = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.store import Store

candles = Dataset.candles("crypto", Timeframe.M1)
home, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
store = Store(home, clock=lambda: datetime.now(UTC))
day = Window.of_days(datetime(2025, 1, 1).date(), datetime(2025, 2, 1).date())
ts = pl.datetime_range(
    day.start, day.end, "1s", closed="left", time_zone=None, eager=True
).dt.replace_time_zone(None).cast(TS)
rows = ts.to_frame("ts").select(
    "ts", symbol=pl.lit("BTC"), source=pl.lit("binance"),
    **{
        name: pl.int_range(pl.len()).shuffle(seed=1).cast(pl.Float64)
        for name in ("open", "high", "low", "close", "volume")
    },
)
try:
    with store.writing("filling crypto 1m") as transaction:
        transaction.candles.merge(candles, ["BTC"], day, rows)
except StoreError as error:
    print(error)
"""
