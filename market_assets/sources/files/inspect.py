"""A look at a file whose layout nobody has said.

The settings that would read it, guessed by its first lines.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from market_assets.errors import SourceError
from market_assets.imports import late_imports
from market_assets.market.timeframes import Timeframe
from market_assets.sources.contract import brief
from market_assets.sources.files.archive import ArchiveSettings, ArchiveSource
from market_assets.sources.files.layouts import LAYOUTS, guess_columns, guess_layout
from market_assets.sources.files.reading import BROKEN, MOST, texts
from market_assets.sources.files.tables import Table, read_table

with late_imports():
    import asyncio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.market.calendars.sessions import SessionCalendar

_LINES = 5_000
_ANY = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
_SUFFIXES = (
    ".parquet",
    *(text + pack for text in (".csv", ".txt", ".tsv") for pack in (".gz", ".bz2", ".xz", "")),
    ".zip",
)
_DATE = re.compile(
    r"(?<!\d)(?:19|20)\d\d(?:[-_.]?(?:0[1-9]|1[0-2])(?:[-_.]?(?:0[1-9]|[12]\d|3[01]))?)?(?!\d)"
)
_LENGTHS = {
    "{timeframe}": r"(?<![A-Za-z0-9])(?:1m|5m|15m|30m|1h|4h|1d|1w)(?![A-Za-z0-9])",
}


@dataclass
class Guess:
    """What a file seems to be.

    Attributes:
        layout: The layout that its first lines look like; None for none.
        settings: The keys of a source that reads it.
        timeframe: How long its bars seem to be; None where they have too few rows, or an odd
            length.
        symbols: The first symbols in it, where a column names them.
        bars: Its first bars as these settings read them: ts, open, high, low, close, volume.
        refused: How many of its first lines cannot be read, with one example per reason.
        notes: What a person has to decide, or to mind.
    """

    layout: str | None
    settings: dict[str, Any]
    timeframe: Timeframe | None = None
    symbols: list[str] = field(default_factory=list)
    bars: pl.DataFrame = field(default_factory=pl.DataFrame)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def yaml(self, name: str = "files") -> str:
        """The settings as they stand in a universe."""
        source = {"type": "archive", **self.settings}
        return yaml.safe_dump(
            {"sources": {name: source}}, sort_keys=False, allow_unicode=True, width=100
        )

    def document(self) -> dict[str, Any]:
        """All of it in plain values."""
        return {
            "layout": self.layout,
            "settings": {"type": "archive", **self.settings},
            "timeframe": self.timeframe,
            "symbols": self.symbols,
            "bars": self.bars.to_dicts(),
            "refused": self.refused,
            "notes": self.notes,
        }


def inspect_file(path: Path, *, calendar: SessionCalendar | None = None) -> Guess:
    """Guess the settings that read a file, by its first lines.

    Args:
        path: Parquet, or text, packed or not.
        calendar: The market's, where it is known: it shows times that are on another clock.

    Raises:
        SourceError: It is no file, or no table.
    """
    suffix = next((ending for ending in _SUFFIXES if path.name.lower().endswith(ending)), None)
    if suffix is None:
        raise SourceError(
            f"{path} is not called like a file that can be read: "
            f"it must end in {', '.join(_SUFFIXES)}",
            permanent=True,
        )
    try:
        with TemporaryDirectory() as folder:
            if suffix == ".parquet":
                head = Path(folder) / "head.parquet"
                rows = pl.scan_parquet(path, glob=False).head(_LINES).collect()
                rows.write_parquet(head)
                guess = _of_columns(rows.columns)
            else:
                head = Path(folder) / "head.csv"
                body = _first_lines(path)
                head.write_bytes(body)
                guess = _of_text(body)
            _try(guess, head, calendar)
    except BROKEN as error:
        raise SourceError(
            f"{path} cannot be read: {' '.join(str(error).split())[:200]}", permanent=True
        ) from error
    guess.settings = {"path": _pattern(path, suffix, guess), **guess.settings}
    return guess


def _first_lines(path: Path) -> bytes:
    _, body = next(iter(texts(path, MOST)))
    sixteen = body[:2] in {b"\xff\xfe", b"\xfe\xff"} or body[1:2] == b"\0"
    if sixteen:
        return body[: _LINES * 200]
    end = -1
    for _ in range(_LINES):
        after = body.find(b"\n", end + 1)
        if after < 0:
            return body
        end = after
    return body[: end + 1]


def _of_text(body: bytes) -> Guess:
    table = read_table(body, is_header=_looks_like_names)
    text = "\n".join(line for line in islice(_decoded(body).splitlines(), 20))
    layout = guess_layout(text)
    if layout is not None:
        return Guess(layout, {"layout": layout}, notes=[LAYOUTS[layout].note])
    if table.has_header:
        return _of_columns(table.rows.columns)
    return _of_cells(table)


def _decoded(body: bytes) -> str:
    for mark, name in (
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
        (b"\xef\xbb\xbf", "utf-8-sig"),
    ):
        if body.startswith(mark):
            return body.decode(name, "replace")
    return body.decode("utf-8", "replace")


def _looks_like_names(cells: Sequence[str]) -> bool:
    columns = guess_columns(cells)
    return {"open", "high", "low", "close"} <= columns.keys()


def _of_columns(names: list[str]) -> Guess:
    """Guess by the names of columns."""
    layout = guess_layout(",".join(names))
    if layout is not None:
        return Guess(layout, {"layout": layout}, notes=[LAYOUTS[layout].note])
    columns: Mapping[str, str] = {
        column: name for column, name in guess_columns(names).items() if column != name
    }
    settings: dict[str, Any] = {"columns": dict(columns)} if columns else {}
    zone = re.search(r"\((EET|CET|EST|MSK|[A-Z][a-z]+/\w+)\)", columns.get("ts", ""))
    if zone:
        settings["timezone"] = zone[1]
    return Guess(None, settings)


def _of_cells(table: Table) -> Guess:
    """Guess by the cells of a text without a header.

    They are a time, or a date and a time, and what follows.
    """
    first = [str(cell or "") for cell in table.rows.row(0)] if len(table.rows) else []
    settings: dict[str, Any] = {"header": False}
    apart = (
        len(first) > 5
        and re.fullmatch(r"\s*(\d{1,2}:\d\d(:\d\d)?|\d{6}|\d{4})\s*", first[1]) is not None
    )
    if apart and ":" not in first[1]:
        places = ("date", "time", "open", "high", "low", "close", "volume")
        settings["columns"] = {column: at for at, column in enumerate(places) if at < len(first)}
    note = (
        "there is no line of names: "
        "open, high, low, close and volume are taken to stand in this order"
    )
    return Guess(None, settings, notes=[note])


def _try(guess: Guess, head: Path, calendar: SessionCalendar | None) -> None:
    """Read the first lines with the settings, and add those that the reading asks for."""
    for _ in range(4):
        try:
            bars = _read(guess, head, Timeframe.M1, None)
        except SourceError as error:
            if not _mended(guess, str(error)):
                guess.notes.append(_plain(str(error), head))
                return
        else:
            break
    guess.timeframe = _length_of(bars)
    with suppress(SourceError):
        bars = _read(guess, head, guess.timeframe or Timeframe.M1, None)
    if calendar is not None:
        try:
            bars = _read(guess, head, guess.timeframe or Timeframe.M1, calendar)
        except SourceError as error:
            words = _plain(str(error), head)
            zone = re.search(r"set `timezone: ([\w/]+)`", words)
            close = "`stamps: close`, or `stamps: open`" in words
            guess.settings |= (
                {"timezone": zone[1]} if zone else {"stamps": "close"} if close else {}
            )
            guess.notes.append(words)
            with suppress(SourceError):
                bars = _read(guess, head, guess.timeframe or Timeframe.M1, calendar)
    if "refused" in bars.columns:
        bad = bars.filter(pl.col("refused").is_not_null())
        guess.refused = {
            f"{reason}: {rows.height:,}": str(rows["said"][0])
            for (reason,), rows in bad.group_by("refused")
        }
        bars = bars.filter(pl.col("refused").is_null()).drop("refused", "said")
    guess.bars = bars.head(5)
    if guess.layout in {"mt4", "mt5"} and not {"clock", "timezone"} & guess.settings.keys():
        guess.settings["clock"] = "New York + 7h"
        guess.notes.append(
            "clock is a guess, that of most brokers: compare a bar with one that you know"
        )


def _read(
    guess: Guess, head: Path, timeframe: Timeframe, calendar: SessionCalendar | None
) -> pl.DataFrame:
    """The first bars of the file, of its first symbol where it has several."""
    named = (
        guess.layout is not None
        and "symbol" in LAYOUTS[guess.layout].names
        and guess.layout != "stooq"
    )
    path = head.name if named else "{symbol}" + head.suffix
    settings = ArchiveSettings.model_validate({"path": path, **guess.settings})
    source = ArchiveSource("files", settings, base=head.parent, kind="equity")
    symbol = "head"
    if named:
        guess.symbols = source.symbols_in(head, timeframe)[:5]
        symbol = guess.symbols[0] if guess.symbols else ""
    if calendar is not None:
        brief(source, calendar, {symbol})

    async def read() -> pl.DataFrame:
        async with source:
            return await source.fetch(symbol, timeframe, *_ANY)

    return asyncio.run(read())


def _mended(guess: Guess, words: str) -> bool:
    """Add a setting that an error asks for, and that there is no choice about."""
    if "price_scale" in words and "price_scale" not in guess.settings:
        guess.settings["price_scale"] = 1e-9
        guess.notes.append("its prices look like whole billionths: price_scale is a guess")
        return True
    if "can be read two ways" in words and "format" not in guess.settings:
        guess.settings["format"] = "%m/%d/%Y"
        guess.notes.append(
            "its dates can be read two ways: format is a guess; "
            "set %d/%m/%Y where the day stands first"
        )
        return True
    return False


def _plain(words: str, head: Path) -> str:
    return words.replace(f"source files: {head} ", "it ").replace(str(head), "the file")


def _length_of(bars: pl.DataFrame) -> Timeframe | None:
    steps = bars["ts"].drop_nulls().unique().sort().diff().drop_nulls()
    if steps.is_empty():
        return None
    usual = steps.mode().min()
    return next((timeframe for timeframe in Timeframe if timeframe.duration == usual), None)


def _pattern(path: Path, suffix: str, guess: Guess) -> str:
    """The path with what changes from file to file in braces."""
    name = path.name[: -len(suffix)]
    name = _DATE.sub("{date}", name)
    for brace, pattern in _LENGTHS.items():
        name = re.sub(pattern, brace, name, count=1)
    if guess.symbols:
        return str(path.parent / (name + path.name[-len(suffix) :]))
    word = re.search(r"(?<![{A-Za-z])[A-Za-z][A-Za-z0-9.&-]*(?![A-Za-z0-9}])", name)
    name = name[: word.start()] + "{symbol}" + name[word.end() :] if word else "{symbol}"
    return str(path.parent / (name + path.name[-len(suffix) :]))
