"""Reads files of others within bounds: bombs, pipes and endless lines are refused.

What the text of a file means is not known here.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import stat
import zipfile
import zlib
from typing import TYPE_CHECKING, Protocol

import polars as pl

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


MOST = 512 * 1024**2
"""Bytes that a file of text may have once it is unpacked, unless a setting says otherwise."""

BROKEN = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # a Parquet file with bytes changed inside it
    OSError,
    EOFError,
    RuntimeError,  # a zip with a password
    NotImplementedError,
    ValueError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What reading a file that is not what its name says can raise."""

_PACKED: Mapping[bytes, Callable[[Path], AbstractContextManager[_Readable]]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
"""What unpacks a file that begins so."""

_STRANGE = {
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it, as `zstd -d` does",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save it as CSV",
    b"PAR1": "a Parquet file: its name must end in .parquet",
    b"ARROW1": "an Arrow file: save it as Parquet",
    b"%PDF": "a PDF",
    b"SQLite": "a database",
}
"""What a file is that begins so, and is no table of text."""

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
"""What unpacking a member of a sound zip can raise; RuntimeError is a password."""

_CHUNK = 1024**2
_LONGEST_LINE = 64 * 1024
_BYTES_A_CELL = 8
"""polars keeps a cell in sixteen bytes: a text of commas would take that much for each byte."""

_BYTES_A_ROW = 48
_ROWS_A_BYTE = 4
"""No table of candles is packed into a quarter of a byte per row."""


def look(path: Path) -> os.stat_result:
    """Look at a file before it is opened.

    Raises:
        OSError: It is not there, or is a folder, a pipe, a socket or a device.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is a folder, a pipe or a device, and no file")
    return status


def digest_of(path: Path) -> str:
    """The beginning of a file's SHA-256, by which one that has only been touched is the same.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_csv(path: Path, *, most: int = MOST, header: bool = True) -> pl.DataFrame:
    """Read a CSV, a gzipped CSV, or the CSVs in a zip as one: every column as text.

    Args:
        path: Ends in .csv, .csv.gz or .zip.
        most: Bytes that it may have once it is unpacked.
        header: False where there is no line of names.

    Raises:
        BROKEN: It cannot be read, or is more than that.
    """
    tables = [
        pl.read_csv(text, has_header=header, infer_schema=False, glob=False)
        for _, text in texts(path, most)
    ]
    return pl.concat(tables)


def check_parquet(path: Path, *, most: int = MOST) -> None:
    """See by its footer that a Parquet file is no bomb, before any of its rows are read.

    Raises:
        BROKEN: It cannot be read, or has more rows than its bytes can hold.
    """
    size = look(path).st_size
    rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    if rows > max(most // _BYTES_A_ROW, _ROWS_A_BYTE * size):
        raise ValueError(
            f"it has {rows:,} rows in {size:,} bytes, more than max_file ({most:,}) allows"
        )


_JUNK = ("__macosx/", "._", ".ds_store", "thumbs.db")
_READMES = ("readme", "license", "licence", "disclaimer", "terms")


def texts(path: Path, most: int = MOST) -> Iterator[tuple[str, bytes]]:
    """Unpack a file of text, or each of those in a zip.

    Returns:
        What each text is called there, and its bytes; a plain file has no name.

    Raises:
        BROKEN: It cannot be unpacked, or is more than that; a member of a zip raises after the
            others.
    """
    size = look(path).st_size
    if size > most:
        raise ValueError(f"it has {size:,} bytes, more than max_file ({most:,})")
    # What a file is its first bytes say: many a program unpacks it on the way, and keeps the name.
    with path.open("rb") as file:
        start = file.read(8)
    unpack = next(
        (open_packed for sign, open_packed in _PACKED.items() if start.startswith(sign)), None
    )
    strange = next((what for sign, what in _STRANGE.items() if start.startswith(sign)), None)
    if strange is not None:
        raise ValueError(f"it is {strange}")
    if start.startswith(b"PK\x03\x04") or path.suffix.lower() == ".zip":
        damaged = []
        for name, text in _members(path, most):
            if isinstance(text, bytes):
                yield name, text
            else:
                damaged.append(text)
        if damaged:
            raise damaged[0]
    else:
        with unpack(path) if unpack is not None else path.open("rb") as text_file:
            yield "", b"".join(_chunks(text_file, most, most))


def damaged_in(path: Path, most: int = MOST) -> dict[str, str]:
    """The members of a zip that cannot be unpacked, each with the reason; none of a broken zip."""
    try:
        return {
            name: str(text) for name, text in _members(path, most) if not isinstance(text, bytes)
        }
    except BROKEN:
        return {}


def _members(path: Path, most: int) -> Iterator[tuple[str, bytes | Exception]]:
    """The texts in a zip, or why one cannot be unpacked."""
    left = most
    with zipfile.ZipFile(path) as pack:
        names = [name for name in sorted(pack.namelist()) if not _is_junk(name)]
        # Beside a .csv, a .txt describes it; alone it may hold the candles.
        members = [name for name in names if name.lower().endswith((".csv", ".tsv"))]
        members = members or [
            name for name in names if name.lower().endswith((".txt", ".prn", ".asc"))
        ]
        members = members or [name for name in names if "." not in name.rsplit("/", 1)[-1]]
        if "xl/workbook.xml" in names:
            raise zipfile.BadZipFile("it is an Excel workbook: save it as CSV")
        if not members:
            inside = ", ".join(names[:3]) or "nothing"
            raise zipfile.BadZipFile(f"there is no .csv in it, but {inside}")
        for name in members:
            try:
                with pack.open(name) as file:
                    text = b"".join(_chunks(file, left, most))
            except _DAMAGED as error:
                yield name, error
                continue
            left -= len(text)
            yield name, text


def _is_junk(name: str) -> bool:
    """Whether a member of a zip is what a machine or a vendor has put beside the data."""
    folded = name.casefold()
    last = folded.rsplit("/", 1)[-1]
    return folded.startswith(_JUNK[0]) or last.startswith((*_JUNK[1:], *_READMES)) or not last


def _chunks(file: _Readable, left: int, most: int) -> Iterator[bytes]:
    """Read a file to its end, unless there is no end of it."""
    size = cells = 0
    while chunk := file.read(_CHUNK):
        if size == 0 and len(chunk) > _LONGEST_LINE and b"\n" not in chunk[:_LONGEST_LINE]:
            raise ValueError(f"its first line has more than {_LONGEST_LINE:,} bytes")
        size += len(chunk)
        cells += chunk.count(b",") + chunk.count(b"\n")
        if size > left:
            raise ValueError(f"unpacked it has more than max_file ({most:,} bytes)")
        if cells > most // _BYTES_A_CELL:
            raise ValueError(f"it has more than {most // _BYTES_A_CELL:,} cells; raise max_file")
        yield chunk
