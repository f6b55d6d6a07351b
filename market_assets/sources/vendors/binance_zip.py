"""What is in a zip of Binance's public archives, and in the .CHECKSUM file beside it. Pure.

Where they come from and how long they are kept is in `binance_cache`.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from io import BytesIO

import polars as pl

from market_assets.errors import SourceError, printable
from market_assets.sources.contract import CANDLE_SCHEMA, epoch_to_us
from market_assets.sources.transport.body import excerpt
from market_assets.sources.transport.refusals import page_in
from market_assets.sources.vendors.binance import EXTRA_PLACES

MOST_TEXT = 16 * 1024**2
"""Bytes that an archive may have, packed or not: more than twice as many as any has."""

_MOST_LINES = 2 * 31 * 1440
_LONGEST_LINE = 1000
"""What is more than twice as large as any archive is none."""

_NAMES = {
    **dict(enumerate(CANDLE_SCHEMA.names())),
    **{place: name for name, place in EXTRA_PLACES.items()},
}
"""What those of a line's twelve cells are that are read."""

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""How a member may be packed: the other methods unpack as much at once as they like."""

_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError)
"""What unpacking something that is no zip can raise; RuntimeError is a password."""

_SHOWN = 100


def unpack(body: bytes, member: str) -> pl.DataFrame:
    """Read the candles of an archive.

    Args:
        body: A zip.
        member: The file in it that has them; no other is looked at.

    Returns:
        A frame of CANDLE_SCHEMA, each number the double nearest to its decimal text. A cell that is
        no number, or no time, is null.

    Raises:
        SourceError: It is no zip, or damaged; the file is not in it, is too large, or holds no
            candles.
    """
    try:
        with zipfile.ZipFile(BytesIO(body)) as pack:
            entry = pack.getinfo(member)
            if entry.compress_type not in _METHODS or entry.file_size > MOST_TEXT:
                raise SourceError(
                    f"{member} has {entry.file_size:,} bytes, more than candles have, "
                    "or is packed oddly"
                )
            with pack.open(entry) as file:
                # However much is packed in it, no more is unpacked at once than is asked for.
                text = file.read(entry.file_size + 1)
    except KeyError as error:
        raise SourceError(f"there is no {member} in it") from error
    except _BROKEN as error:
        shown = "" if body.startswith(b"PK") else f": {_shown(body)}"
        raise SourceError(f"it is no zip, or damaged: {error}{shown}") from error
    return _table(text)


def _table(text: bytes) -> pl.DataFrame:
    """Read the lines of an archive."""
    if not text.strip():
        return CANDLE_SCHEMA.to_frame()
    strange = SourceError(f"its lines are not candles: {_shown(text)}")
    if not text[:1].isdigit():
        _, _, text = text.partition(b"\n")  # the names of the columns, in some archives
    if text.count(b"\n") > _MOST_LINES or len(text.partition(b"\n")[0]) > _LONGEST_LINE:
        raise strange
    cells = text.partition(b"\n")[0].count(b",") + 1
    names = {
        place: name for place, name in _NAMES.items() if place < max(cells, len(CANDLE_SCHEMA))
    }
    try:
        table = pl.read_csv(
            text,
            has_header=False,
            columns=[*names],
            schema_overrides={
                f"column_{place}": pl.Float64() if place else pl.Int64() for place in names
            },
            infer_schema=False,
            ignore_errors=True,
            truncate_ragged_lines=True,
            quote_char=None,
        )
    except pl.exceptions.PolarsError as error:
        raise strange from error
    table.columns = [*names.values()]
    if table["ts"].null_count() == len(table):
        raise strange
    return table.with_columns(epoch_to_us(pl.col("ts")))


def _shown(body: bytes) -> str:
    """The beginning of what came, and what it is where it is a web page."""
    start = body[:_LONGEST_LINE]
    page = page_in(start)
    if page is None:
        return repr(excerpt(start))
    written = printable(" ".join(start.decode("utf-8", "replace").split())[:_SHOWN])
    return f"{written!r}, {printable(str(page))}"


def digest_of(body: bytes) -> str:
    """The sha256 in a .CHECKSUM file, in the form of sha256sum."""
    match = re.match(rb"([0-9a-fA-F]{64})\b", body)
    if match is None:
        raise SourceError(f"the answer is no checksum: {_shown(body)}")
    return match[1].decode().lower()
