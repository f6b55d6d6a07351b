"""Rows as JSON, CSV, Parquet or an Arrow stream: frames in, pieces of bytes out.

Each piece is made of one frame, so that an answer of any length takes the memory of a frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from market_assets.errors import ReadError
from market_assets.market.timeframes import TS

_ISO = "%Y-%m-%dT%H:%M:%SZ"


class Format(StrEnum):
    """How rows are written."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"

    @property
    def media_type(self) -> str:
        """Its name in HTTP."""
        return MEDIA_TYPES[self]


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}

_ANY = {"application/*": Format.JSON, "*/*": Format.JSON, "text/*": Format.CSV}


def format_wanted(name: Format | None, accept: str) -> Format:
    """The form that a request wants: by its parameter, else by its header.

    Args:
        name: The parameter `format`.
        accept: The header `Accept`; empty where there is none.

    Raises:
        ReadError: The header names none of the forms.
    """
    if name is not None:
        return name
    wanted: list[tuple[float, int, Format]] = []
    for place, part in enumerate(accept.split(",")[:20]):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        known_types = {media_type: form for form, media_type in MEDIA_TYPES.items()}
        form = known_types.get(media) or _ANY.get(media)
        weight = _weight(parameters)
        if form is not None and weight > 0:
            wanted.append((-weight, place, form))
    if wanted:
        return min(wanted)[2]
    if accept.strip():
        raise ReadError(
            f"Accept: {accept[:100]!r} names no form of an answer; "
            f"send one of {', '.join(MEDIA_TYPES.values())}, or format=csv",
            key="format",
        )
    return Format.JSON


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


Pieces = Iterator[bytes]
Encoder = Callable[[Iterable[pl.DataFrame], Mapping[str, Any], Callable[[], str | None]], Pieces]


def encoded(
    form: Format,
    frames: Iterable[pl.DataFrame],
    about: Mapping[str, Any],
    cursor: Callable[[], str | None],
) -> Pieces:
    """Frames as pieces of an answer.

    Args:
        form: How they are written.
        frames: At least one, with the same columns; times are UTC without a zone.
        about: What JSON says before the rows: of what they are.
        cursor: Asked when all frames are written: where the next page begins.
    """
    return _ENCODERS[form](frames, about, cursor)


def _json(
    frames: Iterable[pl.DataFrame], about: Mapping[str, Any], cursor: Callable[[], str | None]
) -> Pieces:
    head = json.dumps(dict(about))[:-1]
    yield f'{head}{", " if about else ""}"data": ['.encode()
    separator = b""
    for frame in frames:
        if frame.is_empty():
            continue
        # What is no number, as NaN, is null: JSON has no word for it.
        rows = frame.with_columns(_iso_times(frame)).write_json()
        yield separator + rows[1:-1].encode()
        separator = b","
    yield f'], "next": {json.dumps(cursor())}}}'.encode()


def _csv(
    frames: Iterable[pl.DataFrame], about: Mapping[str, Any], cursor: Callable[[], str | None]
) -> Pieces:
    del about, cursor
    with_names = True
    for frame in frames:
        yield frame.with_columns(_iso_times(frame)).write_csv(include_header=with_names).encode()
        with_names = False


def _parquet(
    frames: Iterable[pl.DataFrame], about: Mapping[str, Any], cursor: Callable[[], str | None]
) -> Pieces:
    del about, cursor
    return _written(frames, lambda sink, schema: pq.ParquetWriter(sink, schema, compression="zstd"))


def _arrow(
    frames: Iterable[pl.DataFrame], about: Mapping[str, Any], cursor: Callable[[], str | None]
) -> Pieces:
    del about, cursor
    return _written(frames, pa.ipc.new_stream)


def _written(frames: Iterable[pl.DataFrame], opened: Callable[[Any, pa.Schema], Any]) -> Pieces:
    sink, writer, schema = _Sink(), None, None
    for frame in frames:
        table = frame.with_columns(_zoned_times(frame)).to_arrow(
            compat_level=pl.CompatLevel.oldest()
        )
        if writer is None:
            schema = table.schema
            writer = opened(sink, schema)
        writer.write_table(table.cast(schema))
        yield sink.take()
    if writer is not None:
        writer.close()
    yield sink.take()


class _Sink:
    """A file that is written to and never read: what was written is taken away piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        self._length += len(self._pieces[-1])
        return len(self._pieces[-1])

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def tell(self) -> int:
        return self._length

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True


_ENCODERS: dict[Format, Encoder] = {
    Format.JSON: _json,
    Format.CSV: _csv,
    Format.PARQUET: _parquet,
    Format.ARROW: _arrow,
}


def _iso_times(frame: pl.DataFrame) -> list[pl.Expr]:
    return [pl.col(name).dt.strftime(_ISO) for name, dtype in frame.schema.items() if dtype == TS]


def _zoned_times(frame: pl.DataFrame) -> list[pl.Expr]:
    return [
        pl.col(name).dt.replace_time_zone("UTC")
        for name, dtype in frame.schema.items()
        if dtype == TS
    ]
