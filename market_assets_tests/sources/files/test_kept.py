"""Rows of files that were read once.

They are kept while they are needed, and are dropped also where nobody closes them.
"""

from __future__ import annotations

import gc
import gzip
import warnings
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from market_assets.market.timeframes import TS
from market_assets.sources.files.kept import Keep
from market_assets_tests.support.file_fills import DAYS, HEAD, keep, minutes, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


ROWS = pl.DataFrame({"ts": [1, 2], "close": [10.0, None]}).with_columns(pl.col("ts").cast(TS))
(BATCH,) = ROWS.to_arrow().to_batches()


def test_what_was_put_is_given_back_from_its_place() -> None:
    keep = Keep()
    first, second = keep.put(BATCH), keep.put(BATCH.slice(1, 1))
    assert keep.get(*second, BATCH.schema).equals(ROWS.slice(1, 1))
    assert keep.get(*first, BATCH.schema).equals(ROWS)
    keep.close()
    with pytest.raises(ValueError, match="closed"):
        keep.get(*first, BATCH.schema)


@pytest.mark.parametrize("used", [True, False])
def test_what_nobody_closes_leaves_no_file_open(*, used: bool) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        keep = Keep()
        if used:
            keep.put(BATCH)
        del keep
        gc.collect()
    assert [str(one.message) for one in told if one.category is ResourceWarning] == []


class TestManySymbolsAFile:
    def test_each_file_is_read_once_whatever_their_number(self, ground, monkeypatch):
        # To count what it opens.
        from market_assets.sources.files import columns as archive_columns  # noqa: PLC0415

        symbols = [f"S{n}" for n in range(12)]
        for day in DAYS:
            rows = "".join(
                f"{symbol},{ts},1,2,0.5,{n},1\n"
                for ts in minutes(day, 30)
                for n, symbol in enumerate(symbols, 1)
                if n <= 2
            ) + "".join(
                f"{symbol},{ts},1,2,0.5,1.5,1\n"
                for ts in minutes(day, 30)
                for symbol in symbols[2:]
            )
            write(ground, f"{day}.csv.gz", gzip.compress(("ticker," + HEAD + rows).encode()))
        opened: list[str] = []
        texts: Callable[..., Any] = archive_columns.texts

        def counted(path: Path, most: int) -> Any:
            opened.append(path.name)
            return texts(path, most)

        monkeypatch.setattr(archive_columns, "texts", counted)
        keep(
            ground,
            "{date}.csv.gz",
            columns={"symbol": "ticker"},
            symbols="{" + ", ".join(f"{symbol}: {{}}" for symbol in symbols) + "}",
        )

        ground.fill()

        assert sorted(opened) == [f"{day}.csv.gz" for day in DAYS]
        assert ground.rows().height == 12 * 3 * 30
