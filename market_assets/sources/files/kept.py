"""Rows of files that were read once, kept until their source is closed."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

import polars as pl

from market_assets.imports import late_imports

with late_imports():
    import pyarrow as pa

if TYPE_CHECKING:
    from market_assets.market.timeframes import Window

_IN_MEMORY = 64 * 1024**2
"""Bytes of rows that are kept in memory.

More go to a file that nobody sees, and that is gone when the process is.
"""

Span = tuple[int, int, bool]
"""The first and the last open of a file's believable rows, and whether its last row is one.

The opens are in microseconds.
"""


class Keep:
    """Rows that were read once, kept out of memory where there are many."""

    def __init__(self) -> None:
        # As long as the source.
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._size = 0
        self._lock = threading.Lock()
        # Also where nobody closes the source.
        self._end = weakref.finalize(self, self._file.close)

    def put(self, rows: pa.RecordBatch) -> tuple[int, int]:
        """Keep some rows; returns their place and size.

        Arrow alone writes and reads them: a query of polars takes ten times as long as a day of one
        symbol.
        """
        body = rows.serialize()
        with self._lock:
            place = self._size
            self._file.seek(place)
            self._file.write(body)
            self._size += body.size
        return place, body.size

    def get(self, place: int, size: int, schema: pa.Schema) -> pl.DataFrame:
        """The rows that are kept at a place, which have a schema."""
        with self._lock:
            self._file.seek(place)
            body = self._file.read(size)
        rows = pl.from_arrow(pa.ipc.read_record_batch(pa.py_buffer(body), schema))
        return rows if isinstance(rows, pl.DataFrame) else rows.to_frame()

    def close(self) -> None:
        """Forget all."""
        self._end()


@dataclass
class Part:
    """What a file has of one symbol.

    Attributes:
        schema: The columns of its rows.
        blocks: Where its rows are kept: place, bytes, and the first and last open of a block.
        span: See `Span`; None without a row.
        error: Why nobody can believe its rows.
        refused: Rows that cannot be read: ts (where they stand), refused (why), said (how they are
            written).
        keep: Where the blocks are.
        members: Of a zip, what each member reaches; None of one that cannot be read.
        unread: The stretches that lines leave unknown which cannot be read, each with its words.
    """

    keep: Keep
    schema: pa.Schema
    blocks: list[tuple[int, int, int, int]] = field(default_factory=list)
    span: Span | None = None
    error: str = ""
    refused: pl.DataFrame | None = None
    members: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    unread: list[tuple[Window, str]] = field(default_factory=list)


@dataclass
class Held:
    """What a file has, or why it has nothing.

    Attributes:
        parts: By symbol; by "" where the file is of one.
        symbols: All symbols in it.
        error: Why it cannot be read.
        damaged: The members of a zip that cannot be read, each with the reason.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    symbols: frozenset[str] = frozenset()
    error: str = ""
    damaged: dict[str, str] = field(default_factory=dict)
