"""Real candles of one market, by source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from pathlib import Path

    Read = Callable[..., pl.DataFrame]


@pytest.fixture(scope="session")
def read(shared: Path) -> Read:
    """Real candles of one file, of some days perhaps."""

    def candles(
        name: str, first: date | None = None, last: date | None = None, symbol: str | None = None
    ) -> pl.DataFrame:
        rows = pl.scan_parquet(shared / "data" / f"{name}.parquet").with_columns(
            pl.col("volume").cast(pl.Float64)
        )
        day = pl.col("ts").dt.date()
        rows = rows if first is None else rows.filter(day.is_between(first, last or first))
        rows = rows if symbol is None else rows.filter(pl.col("symbol") == symbol)
        return rows.select("ts", "close", "volume").sort("ts").collect()

    return candles
