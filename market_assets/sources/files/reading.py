"""Reads files of others without being drowned by them: bombs, pipes, endless lines."""

from __future__ import annotations

import gzip
import hashlib
import stat
import zipfile
import zlib
from typing import TYPE_CHECKING, Protocol

import polars as pl

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
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
)
"""What reading a file that is not what its name says can raise."""

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
    """Unpack a file of text, or each of those in a zip, with what it is called there; a plain one has no name.

    Raises:
        BROKEN: It cannot be unpacked, or is more than that.
    """
    size = look(path).st_size
    if size > most:
        raise ValueError(f"it has {size:,} bytes, more than max_file ({most:,})")
    if path.suffix == ".zip":
        yield from _members(path, most)
    elif path.suffix == ".gz":
        with gzip.open(path) as unpacked:
            yield "", b"".join(_chunks(unpacked, most, most))
    else:
        with path.open("rb") as plain:
            yield "", b"".join(_chunks(plain, most, most))


def _members(path: Path, most: int) -> Iterator[tuple[str, bytes]]:
    left = most
    with zipfile.ZipFile(path) as pack:
        names = [name for name in sorted(pack.namelist()) if not _is_junk(name)]
        # Beside a .csv a .txt tells of it; alone it may be it.
        members = [name for name in names if name.lower().endswith((".csv", ".tsv"))]
        members = members or [
            name for name in names if name.lower().endswith((".txt", ".prn", ".asc"))
        ]
        if not members:
            raise zipfile.BadZipFile("there is no .csv in it")
        for name in members:
            with pack.open(name) as file:
                text = b"".join(_chunks(file, left, most))
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
