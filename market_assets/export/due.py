"""Which files of a table there must be, and in which batches those that are not are read.

What a file is called, and what it holds, is in `market_assets/export/layout.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from market_assets.export.layout import (
    GROUP_ROWS,
    Period,
    Piece,
    Table,
    pieces_of,
)
from market_assets.export.manifest import FORMAT, Entry
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Window, to_micros

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.store import Snapshot


BATCH_ROWS = 500_000
"""About how many rows are read from the store at once, at most.

Nobody else can have the store for as long as such a read takes.
"""
NEVER = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
"""The window of a piece that has all rows, whenever they are of."""


@dataclass(frozen=True)
class Due:
    """A file that there must be if it has a row.

    Attributes:
        piece: What it holds.
        version: By what the store's rows are known until they change; None where nothing tells.
        rows: How many there may be.
    """

    piece: Piece
    version: str | None
    rows: int


def due_of(view: Snapshot, table: Table, columns: Mapping[str, str]) -> list[Due]:
    """The files that there must be, oldest first."""
    if table.period is Period.EVER:
        return [Due(Piece(NEVER, table.name, f"{table.name}.parquet"), None, 0)]
    # Other columns, or another way of writing them: every file is to be written again.
    layout = sha256(repr((FORMAT, GROUP_ROWS, list(columns.items()))).encode()).hexdigest()[:8]
    pieces: dict[Piece, tuple[datetime | None, int]] = {}
    for partition, changed_at, bars in view.partitions.changes(
        Dataset.labelled(table.owner, table.label)
    ).iter_rows():
        for piece in pieces_of(table, partition):
            before, rows = pieces.get(piece, (None, 0))
            pieces[piece] = (max(filter(None, (before, changed_at)), default=None), rows + bars)
    return [
        Due(piece, f"{layout}-{changed_at.isoformat() if changed_at else 'never'}", rows)
        for piece, (changed_at, rows) in sorted(pieces.items())
    ]


def is_stale(target: Due, entries: Mapping[str, Entry]) -> bool:
    """Whether a file is not as the store is now."""
    return target.piece.key not in entries or target.version != entries[target.piece.key].version


def batches_of(due: Sequence[Due], entries: Mapping[str, Entry]) -> list[list[Due]]:
    """The files that are to be written, in batches of neighbours that one read gets."""
    batches: list[list[Due]] = []
    rows, last = 0, None
    for at, target in enumerate(due):
        if not is_stale(target, entries):
            continue
        if last is None or at > last + 1 or rows + target.rows > BATCH_ROWS:
            batches.append([])
            rows = 0
        batches[-1].append(target)
        rows, last = rows + target.rows, at
    return batches


def split(rows: pl.DataFrame, batch: Sequence[Due]) -> list[pl.DataFrame]:
    """The rows of each file."""
    if len(batch) == 1:
        return [rows]
    rows = rows.sort("ts")
    starts = pl.Series([to_micros(target.piece.window.start) for target in batch]).cast(TS)
    bounds = [*rows["ts"].search_sorted(starts), rows.height]
    return [rows[first:after] for first, after in pairwise(bounds)]
