"""The columns of a file, brought into the shape of the package's own."""

# ruff: noqa: DTZ001 - a frame's times bear no zone

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.errors import SourceError
from market_assets.sources.contract import CANDLE_SCHEMA
from market_assets_tests.support.archives import archive, fetch

if TYPE_CHECKING:
    from pathlib import Path


MARCH_11 = datetime(2024, 3, 11)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_extra_columns_are_named_or_taken_by_our_names(tmp_path: Path, suffix: str) -> None:
    columns = {
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 7.0,
        "vwap": 1.25,
        "Turnover": 8.75,
        "n": 4,
    }
    bars = pl.DataFrame({"ts": [MARCH_11], **{name: [value] for name, value in columns.items()}})
    path = tmp_path / f"SPY.{suffix}"
    bars.write_parquet(path) if suffix == "parquet" else bars.write_csv(path)

    alone = fetch(archive(tmp_path, "{symbol}." + suffix))
    named = fetch(
        archive(tmp_path, "{symbol}." + suffix, columns={"quote_volume": "Turnover", "trades": "n"})
    )

    assert alone.drop(CANDLE_SCHEMA.names()).to_dicts() == [{"vwap": 1.25}]
    assert named.drop(CANDLE_SCHEMA.names()).to_dicts() == [
        {"quote_volume": 8.75, "trades": 4.0, "vwap": 1.25}
    ]
    with pytest.raises(SourceError, match="has no column 'N' for trades"):
        fetch(archive(tmp_path, "{symbol}." + suffix, columns={"trades": "N"}))


class TestNumbersAndStampsAsTheyAreWritten:
    @pytest.mark.parametrize(
        "dtype", [pl.Categorical, pl.Enum(["2024-03-11 00:00:00", "2024-03-11 00:01:00"])]
    )
    def test_categories_are_text(self, tmp_path, dtype):
        frame = pl.DataFrame({"ts": ["2024-03-11 00:00:00", "2024-03-11 00:01:00"]}).with_columns(
            pl.col("ts").cast(dtype),
            *(pl.lit(1.5).alias(name) for name in ("open", "high", "low", "close", "volume")),
        )
        frame.write_parquet(tmp_path / "SPY.parquet")

        assert fetch(archive(tmp_path, "{symbol}.parquet"))["ts"][1] == datetime(2024, 3, 11, 0, 1)
