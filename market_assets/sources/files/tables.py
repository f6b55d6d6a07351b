"""Text as vendors write it, made a table.

Encodings, separators, lines above the header, lines that are broken. A line that cannot be read
costs itself and is reported with its number; what is no table at all is a `ValueError`. Nothing is
known here of stamps and candles except that a number is no header. How the text of a cell becomes
a number stands in `numbers`.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass, field
from itertools import islice
from statistics import mode
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SEPARATORS = ("\t", ";", "|", ",")
_HEAD = 40
"""Lines in which a header is looked for, and by which the separator is found."""

_MARKS = {
    **dict.fromkeys("\u2018\u2019\u02bc\u00b4", "'"),
    **dict.fromkeys("\u2005\u2006\u2007\u2008\u2009\u200a", "\u202f"),
    "\u2212": "-",
}
"""Signs in numbers that are written in several ways: apostrophes, narrow blanks, a minus."""

_SIGN_LINE = re.compile(r'^"?sep=.?"?$', re.IGNORECASE)
"""The first line of a text that Excel has written with another separator than it expects."""

_WITH_ZEROS = re.compile(rb"[^\n]*\x00[^\n]*")
_MOST_BAD = 10_000
"""Lines with bytes of zero that are counted."""

_BLANKS = re.compile(rb"[ \t]+")
_AT_AN_END = re.compile(rb"(?m)^ | $")

_LONGEST_LINE = 64 * 1024
_EXCERPT = 80
_FEWEST = 5
"""Cells in a line of candles at least: a time and four prices."""


@dataclass(frozen=True)
class BadLine:
    """A line that was left out.

    Attributes:
        number: Its number in the file, from 1.
        text: How it begins.
        reason: Why.
    """

    number: int
    text: str
    reason: str


@dataclass
class Table:
    """The lines of a text as columns of text.

    Attributes:
        rows: A column of text each; called as the header says, or column_1 and so on.
        has_header: There was a line of names.
        numbers: The number of each row's line in the file (Int64), from 1.
        bad: Lines that are not among the rows.
    """

    rows: pl.DataFrame
    has_header: bool
    numbers: pl.Series
    bad: list[BadLine] = field(default_factory=list)


def read_table(
    body: bytes,
    *,
    is_header: Callable[[Sequence[str]], bool],
    separator: str | None = None,
    encoding: str | None = None,
) -> Table:
    """Read a text.

    Args:
        body: Its bytes.
        is_header: Whether some cells are the names of its columns.
        separator: What stands between two cells; None to find it.
        encoding: How its letters are written; None to find it.

    Raises:
        ValueError: It is no table: empty, a page of HTML, or not in that encoding.
    """
    body, bad = _plain(body, encoding)
    _require_table(body)
    head = [line.decode("utf-8", "replace") for line in islice(_lines(body), _HEAD)]
    sign = separator or _separator(head)
    if sign == " ":
        body = _AT_AN_END.sub(b"", _BLANKS.sub(b" ", body))
        head = [line.decode("utf-8", "replace") for line in islice(_lines(body), _HEAD)]
    rows_of_head = [
        [] if _SIGN_LINE.match(line) else _cells(line.removeprefix("#"), sign) for line in head
    ]
    place = _place_of_names(head, rows_of_head, is_header)
    names = None if place is None else rows_of_head[place]
    first = _first_row(rows_of_head) if place is None else _after_names(rows_of_head, place)
    columns = _columns(names, rows_of_head[first:])
    rows, numbers, more = _rows(body, first, sign, columns)
    return Table(rows, names is not None, numbers, bad + more)


def _require_table(body: bytes) -> None:
    """Refuse what is no table by its first bytes."""
    start = body[:512].lstrip().lower()
    if not start:
        raise ValueError("it is empty")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ValueError(f"it is a page of HTML or XML and no table: {_excerpt(body)!r}")
    if start.startswith((b"{", b"[{", b"[[")):
        raise ValueError(f"it is JSON and no table: {_excerpt(body)!r}")


def _columns(names: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> list[str]:
    """The names of the columns, each once: those of the header, or column_1 and so on.

    Args:
        names: The cells of the header; None where there is none.
        rows: The first rows.

    Raises:
        ValueError: The rows have fewer cells than the header has names.
    """
    widths = [len(cells) for cells in rows if len(cells) >= _FEWEST]
    if names is None:
        width = mode(widths) if widths else len(rows[0])
        return [f"column_{at + 1}" for at in range(width)]
    width = len(names)
    if widths and min(widths) > width and all(not "".join(cells[width:]) for cells in rows):
        # A separator stands behind the last cell of each line, except in the header.
        names = [*names, *[""] * (min(widths) - width)]
        width = len(names)
    if widths and max(widths) < width:
        raise ValueError(f"its lines have {max(widths)} cells, and its header has {width} names")
    return _unique(names)


def _plain(body: bytes, encoding: str | None) -> tuple[bytes, list[BadLine]]:
    """The text in UTF-8, with line feeds and the usual signs in numbers; and the lines with NULs.

    A line with NULs is taken out of the text.
    """
    body = _in_utf8(body, encoding)
    if not body.isascii():
        for sign, plain in _MARKS.items():
            body = body.replace(sign.encode(), plain.encode())
    bad = []
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in body:
        # Whatever else such a line has, nobody knows what the zeros have taken the place of.
        for match in islice(_WITH_ZEROS.finditer(body), _MOST_BAD):
            number = body.count(b"\n", 0, match.start()) + 1
            zeros = match.group().count(b"\0")
            bad.append(
                BadLine(
                    number, _excerpt(match.group().replace(b"\0", b"")), f"{zeros:,} bytes of zero"
                )
            )
        body = _WITH_ZEROS.sub(b"", body)
    return body, bad


def _in_utf8(body: bytes, encoding: str | None) -> bytes:
    """The text in UTF-8, without a mark before it; what is neither UTF-8 nor UTF-16 is Western."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            body, encoding = body[len(mark) :], name
            break
    if encoding is None and len(body) > 3 and b"\0" in (body[:1], body[1:2]):
        encoding = (
            "utf-16-le"
            if body[1:4:2] == b"\0\0"
            else "utf-16-be"
            if body[0:4:2] == b"\0\0"
            else None
        )
    if encoding is not None and codecs.lookup(encoding).name not in {"utf-8", "ascii"}:
        return body.decode(encoding, "replace").encode()
    for name in ("utf-8", "cp1252"):
        try:
            return body.decode(name).encode()
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1").encode()


def _lines(body: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        yield body[start:end]
        start = end + 1


def _separator(head: Sequence[str]) -> str:
    """What parts the cells: the sign that most lines hold the same number of times.

    A line must hold it four times at least.
    """
    best, most = ",", 0
    for sign in _SEPARATORS:
        counts = [line.count(sign) for line in head if line.strip()]
        usual = [count for count in counts if count >= _FEWEST - 1]
        agreed = usual.count(mode(usual)) if usual else 0
        if agreed > most:
            best, most = sign, agreed
    if not most and any(len(line.split()) >= _FEWEST for line in head):
        return " "
    return best


def _cells(line: str, sign: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=sign), [])
    except csv.Error:
        cells = line.split(sign)
    return [cell.strip() for cell in cells]


def _first_row(rows: Sequence[Sequence[str]]) -> int:
    """The first line that may be one of candles, in a text without a header."""
    return next((at for at, cells in enumerate(rows) if len(cells) >= _FEWEST), 0)


def _place_of_names(
    head: Sequence[str], rows: Sequence[Sequence[str]], is_header: Callable[[Sequence[str]], bool]
) -> int | None:
    """The line that names the columns: one that is no remark, or else the last of the remarks."""
    remarks = [at for at, line in enumerate(head) if line.startswith("#")]
    places = (at for at in range(len(head)) if at not in remarks)
    return next((at for at in (*places, *reversed(remarks)) if is_header(rows[at])), None)


def _after_names(rows: Sequence[Sequence[str]], place: int) -> int:
    """The first line after the names of the columns, and after the further names of pandas."""
    first = place + 1
    while first < len(rows) and any(rows[first]) and not any(map(_may_be_of_a_row, rows[first])):
        first += 1
    return first


def _may_be_of_a_row(cell: str) -> bool:
    """Whether a cell is a time or a number, as no name is; `0700.HK` is a name."""
    return bool(re.match(r"[+-]?(\d{4}|[\d.,:]+$|\d+[-/.:])", cell)) and not re.search(
        r"\d\.[A-Z]", cell
    )


def _unique(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result


def _rows(
    body: bytes, first: int, sign: str, columns: Sequence[str]
) -> tuple[pl.DataFrame, pl.Series, list[BadLine]]:
    """The cells from a line on: all at once where every line is whole, else line by line."""
    start = 0
    for _ in range(first):
        end = body.find(b"\n", start)
        start = len(body) if end < 0 else end + 1
    blanks = body.startswith(b"\n", start) or b"\n\n" in body
    comments = body.startswith(b"#", start) or body.find(b"\n#", start) >= 0
    if (
        not (blanks or comments)
        and body.count(b'"', start) % 2 == 0
        and not _has_long_line(body, start)
    ):
        try:
            rows = _parse(body, sign, columns, skip=first)
        except pl.exceptions.PolarsError:
            pass
        else:
            return rows, pl.int_range(first + 1, first + 1 + len(rows), eager=True), []
    good, numbers, bad = [], [], []
    for number, line in enumerate(_lines(body[start:]), first + 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        reason = _fault(line, sign, len(columns))
        if reason:
            bad.append(BadLine(number, _excerpt(line), reason))
        else:
            good.append(line)
            numbers.append(number)
    rows = _parse(b"\n".join(good), sign, columns, ragged=True)
    return rows, pl.Series(numbers, dtype=pl.Int64), bad


def _has_long_line(body: bytes, start: int) -> bool:
    at = start
    while len(body) - at > _LONGEST_LINE:
        end = body.rfind(b"\n", at, at + _LONGEST_LINE)
        if end < 0:
            return True
        at = end + 1
    return False


def _fault(line: bytes, sign: str, width: int) -> str:
    if len(line) > _LONGEST_LINE:
        return f"a line of {len(line):,} bytes"
    if line.count(b'"') % 2:
        return "a quote that does not end"
    cells = _cells(line.decode("utf-8", "replace"), sign)
    if len(cells) > width and any(cells[width:]):
        return f"{len(cells)} cells in place of {width}"
    if len(cells) < min(width, _FEWEST):
        return f"{len(cells)} cells in place of {width}"
    return ""


def _parse(
    text: bytes, sign: str, columns: Sequence[str], *, skip: int = 0, ragged: bool = False
) -> pl.DataFrame:
    schema = dict.fromkeys(columns, pl.String)
    try:
        return _parsed(text, sign, schema, skip=skip, ragged=ragged)
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema=schema)


def _parsed(
    text: bytes, sign: str, schema: Mapping[str, type[pl.String]], *, skip: int, ragged: bool
) -> pl.DataFrame:
    return pl.read_csv(
        text,
        has_header=False,
        schema=schema,
        separator=sign,
        skip_lines=skip,
        truncate_ragged_lines=ragged,
        glob=False,
    )


def _excerpt(line: bytes) -> str:
    return " ".join(line[: _EXCERPT * 2].decode("utf-8", "replace").split())[:_EXCERPT]
