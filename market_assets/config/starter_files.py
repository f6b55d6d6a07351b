"""A folder of files, looked at, as a part of a first universe."""

from __future__ import annotations

import glob
import os
import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from market_assets.config.kinds import Kind
from market_assets.config.starter_table import FILES, STARTERS
from market_assets.config.starters import Part, Wishes, made_of, split_timeframes, symbols_of
from market_assets.errors import SourceError, StarterError
from market_assets.market.calendars.sessions import load_calendar
from market_assets.sources.files.archive import ArchiveSettings, ArchiveSource
from market_assets.sources.files.inspect import Guess, inspect_file
from market_assets.words import listed

if TYPE_CHECKING:
    from market_assets.market.timeframes import Timeframe

_ENDINGS = (".parquet", ".csv", ".txt", ".tsv", ".gz", ".bz2", ".xz", ".zip")
_GOES_ON = timedelta(days=7)
"""Files that end longer ago are finished; the profile ends with them."""
_MOST = 500
"""The most symbols that are written: their files are all opened."""


def files_part(wishes: Wishes, *, base: Path, today: date) -> Part:
    """The profile and the source of a folder of files.

    The first file says how all are written; each symbol's files say from when on they have bars.

    Args:
        wishes: What is wanted, checked: the folder and the kind of what it holds.
        base: The folder of the universe's file, in which relative paths begin.
        today: The present day (UTC).

    Raises:
        StarterError: There is no file, none that can be read, or what it holds cannot be seen.
        CalendarError: There is no such calendar.
    """
    folder, kind = wishes.folder or base, wishes.kind or Kind.CRYPTO
    file = _first_file(folder)
    calendar = load_calendar(wishes.calendar or kind.calendar)
    try:
        guess = inspect_file(file, calendar=calendar)
    except SourceError as error:
        raise StarterError("--folder", str(error)) from None
    if guess.bars.is_empty():
        notes = "; ".join(guess.notes) or "no line of it is a candle"
        raise StarterError(
            "--folder",
            f"{file}: {notes}. market-assets inspect {file} shows more; "
            "docs/sources.md#files has the keys to write by hand",
        )
    fetch, derive = _timeframes(guess, wishes, kind, file)
    path = str(folder.absolute() / Path(guess.settings["path"]).name)
    settings = {**guess.settings, "path": path}
    symbols = _symbols(file, settings, guess, wishes, fetch)
    first, after = _days(settings, symbols, fetch, kind)
    return Part(
        starter=STARTERS[FILES],
        profile=kind.value.lower(),
        source=FILES,
        kind=kind,
        calendar=wishes.calendar,
        settings={**settings, "path": _written_path(path, base)},
        symbols=symbols,
        fetch=fetch,
        derive=derive,
        start=wishes.start or first,
        notes=(
            f"As {file.name} seems to be written; what is set here can be set otherwise.",
            *(note for note in guess.notes if note),
        ),
        end=after if after < today - _GOES_ON else None,
    )


def _first_file(folder: Path) -> Path:
    if not folder.is_dir():
        raise StarterError("--folder", f"{folder} is no folder; name one with files of candles")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    readable = [path for path in files if path.name.lower().endswith(_ENDINGS)]
    if readable:
        return readable[0]
    below = listed(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    raise StarterError(
        "--folder",
        f"{folder} holds no file that ends in {', '.join(_ENDINGS)} (folders in it: {below}); "
        "name the folder with the files",
    )


def _timeframes(
    guess: Guess, wishes: Wishes, kind: Kind, file: Path
) -> tuple[Timeframe, tuple[Timeframe, ...]]:
    if not wishes.timeframes:
        if guess.timeframe is None:
            raise StarterError(
                "--timeframes", f"{file} does not show how long its bars are; name it, such as 1m"
            )
        return guess.timeframe, made_of(guess.timeframe, kind)
    fetch, derive = split_timeframes(wishes.timeframes)
    if guess.timeframe not in {None, fetch}:
        raise StarterError(
            "--timeframes",
            f"{file} has bars of {guess.timeframe}, and the shortest one named is {fetch}; "
            f"name {guess.timeframe} too",
        )
    return fetch, derive


def _symbols(
    file: Path, settings: dict[str, object], guess: Guess, wishes: Wishes, fetch: Timeframe
) -> dict[str, str]:
    """The files' own name of each symbol: as the option says, in the file, or of the files."""
    if wishes.symbols:
        return symbols_of(wishes.symbols, str)
    if guess.symbols:
        names = _archive(settings, wishes.kind).symbols_in(file, fetch)
    else:
        names = _named_symbols(file.parent, Path(guess.settings["path"]).name, fetch)
    if not names:
        raise StarterError(
            "--symbols",
            f"the name {file.name} does not show whose candles it has; name the symbol",
        )
    if len(names) > _MOST:
        raise StarterError(
            "--symbols",
            f"{file.parent} has {len(names):,} symbols, and {_MOST} can be written at once; "
            "name those to keep",
        )
    return {re.sub(r"[\s/\\,]+", "_", name): name for name in names}


def _archive(settings: dict[str, object], kind: Kind | None) -> ArchiveSource:
    """The source that the files will be, where its path is absolute."""
    return ArchiveSource(
        FILES,
        ArchiveSettings.model_validate(settings),
        base=Path(str(settings["path"])).parent,
        kind=(kind or Kind.CRYPTO).value.lower(),
    )


def _named_symbols(folder: Path, pattern: str, fetch: Timeframe) -> list[str]:
    """The symbols in the names of a folder's files, sorted."""
    places = {
        "{symbol}": "(?P<symbol>.+?)",
        "{date}": ".+",
        "{timeframe}": re.escape(fetch.value),
    }
    parts = re.split(r"(\{\w+\})", pattern)
    expression = re.compile("".join(places.get(part, re.escape(part)) for part in parts))
    matches = (expression.fullmatch(path.name) for path in folder.iterdir())
    return sorted({match["symbol"] for match in matches if match and "symbol" in match.groupdict()})


def _days(
    settings: dict[str, object], symbols: dict[str, str], fetch: Timeframe, kind: Kind
) -> tuple[date, date]:
    """The day of the first bar of all files that can be read, and the day after the last one."""
    archive = _archive(settings, kind)
    windows, faults = [], []
    for vendor in symbols.values():
        try:
            windows.append(archive.answers_for(vendor, fetch))
        except SourceError as error:
            faults.append(str(error))
    windows = [window for window in windows if not window.empty]
    if not windows:
        raise StarterError("--folder", faults[0] if faults else "no file has a bar")
    last = max(window.end for window in windows) - timedelta(microseconds=1)
    return min(window.start for window in windows).date(), last.date() + timedelta(days=1)


def _written_path(path: str, base: Path) -> str:
    """A path as the universe's file has it: relative where it lies below its folder."""
    folder, name = os.path.split(path)
    inside = Path(folder).is_relative_to(base)
    place = Path(folder).relative_to(base) if inside else Path(folder)
    return str(Path(glob.escape(str(place))) / name)
