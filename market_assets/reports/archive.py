"""Rows that retention has removed from the store and that the lake has, as a reader sees them.

The files are those of the exporter, known by `ops.pruned`. Each is read at once and whole: the
exporter may put another in its place at any time.
"""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import ReadError
from market_assets.market.partitions import Partition, partition_key
from market_assets.market.timeframes import TS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from market_assets.market.datasets import Dataset
    from market_assets.market.partitions import Cadence
    from market_assets.market.timeframes import Window
    from market_assets.store import Snapshot

_KEY = ["symbol", "ts"]
_DAY, _TICK = timedelta(days=1), timedelta(microseconds=1)


def with_archived(
    view: Snapshot,
    frame: pl.DataFrame,
    dataset: Dataset,
    *,
    lake: Path | None,
    cadence: Cadence,
    symbols: Sequence[str],
    window: Window,
) -> pl.DataFrame:
    """Rows of the store with those of a window that retention has removed and the lake has.

    What the store has again counts more than what was archived.

    Args:
        view: The store.
        frame: Its rows of the window.
        dataset: Of which dataset.
        lake: The lake's folder; None where the universe has none.
        cadence: How long the dataset's partitions are.
        symbols: Which symbols.
        window: Which rows, by their `ts`.

    Raises:
        ReadError: A file is not there, or cannot be read.
    """
    paths = view.pruned.archived(dataset, *keys_of(window, cadence))
    if not paths:
        return frame
    if lake is None:
        raise ReadError(
            _absent(dataset, next(iter(paths)), "the universe names no lake (`export`)")
        )
    absent = [path for path in paths if not (lake / path).exists()]
    if absent:
        raise ReadError(_absent(dataset, absent[0], f"it is not in {lake}"))

    rows = pl.concat(
        [_readable(dataset, lake, path, window) for path in paths], how="diagonal_relaxed"
    )
    removed = view.pruned.partitions(dataset).with_columns(part=pl.col("partition").str.to_date())
    archived = (
        rows.filter(pl.col("symbol").is_in(list(symbols)))
        .with_columns(partition_key(cadence))
        .join(removed, on=["part", "symbol"], how="semi")
        .drop("part")
    )
    # Mostly the store begins where the lake ends.
    again = frame.filter(pl.col("ts") <= archived["ts"].max())
    if not again.is_empty():
        archived = archived.join(again, on=_KEY, how="anti")
    columns = [name for name in archived.columns if name in frame.columns]
    return pl.concat([frame, archived.select(columns)], how="diagonal_relaxed")


def keys_of(window: Window, cadence: Cadence) -> tuple[str, str]:
    """Between which keys the partitions of a window lie: from the first on, before the second."""
    first = Partition.holding(window.start.date(), cadence).key
    # The end of a window may lie within a day.
    return first, (window.end + _DAY - _TICK).date().isoformat()


def read_archived(paths: Sequence[Path], window: Window) -> pl.DataFrame | None:
    """The rows of a window in some files of the lake, as the store had them.

    Returns:
        The columns of the store's table, times in UTC without a zone; None where there is no file.
    """
    frames = [_rows_of(path, window) for path in paths]
    return pl.concat(frames, how="diagonal_relaxed") if frames else None


def _readable(dataset: Dataset, lake: Path, path: str, window: Window) -> pl.DataFrame:
    try:
        return _rows_of(lake / path, window)
    except FileNotFoundError:
        # A moment ago it was there.
        raise ReadError(_absent(dataset, path, f"it is not in {lake}")) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ReadError(_absent(dataset, path, f"it cannot be read in {lake}: {error}")) from error


def _rows_of(path: Path, window: Window) -> pl.DataFrame:
    rows = pl.read_parquet(io.BytesIO(path.read_bytes()), hive_partitioning=False)
    zoned = pl.col(pl.Datetime("us", "UTC"))
    rows = rows.drop("date").with_columns(zoned.dt.replace_time_zone(None))
    return rows.cast({"ts": TS}).filter(window.holds())


def _absent(dataset: Dataset, path: str, why: str) -> str:
    return (
        f"{dataset.owner}.{dataset.name}: {path} of the lake holds a part of what you ask for, and "
        f"{why}. Bring it back, or name a start= after what retention has removed."
    )
