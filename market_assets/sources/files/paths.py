"""The files that an archive's path means: where they are, and what their names say of them.

What is in a file is not known here; how one is opened within bounds stands in `reading`.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from market_assets.errors import SourceError
from market_assets.sources.files.reach import period_in
from market_assets.sources.files.reading import look
from market_assets.sources.files.stamps import StampError

if TYPE_CHECKING:
    from market_assets.market.timeframes import Timeframe, Window
    from market_assets.sources.files.clocks import Clock


@dataclass(frozen=True)
class File:
    """A file as it was when it was looked at; changed, it is another one.

    Attributes:
        path: Where it is.
        changed: When it was changed last, in nanoseconds since 1970.
        size: Its bytes.
    """

    path: Path
    changed: int
    size: int

    @classmethod
    def at(cls, path: Path) -> File:
        """The file that is at a path now.

        Raises:
            OSError: There is none, or it is no regular file.
        """
        status = look(path)
        return cls(path, status.st_mtime_ns, status.st_size)


@dataclass(frozen=True)
class Paths:
    """The path of an archive.

    Attributes:
        source: The source's name, for messages.
        pattern: The path as the settings have it, with its words in braces.
        base: The folder that it begins in.
        kind: The kind of the profile, in lower case.
        clock: Whose days the names mean.
    """

    source: str
    pattern: str
    base: Path
    kind: str
    clock: Clock

    def matches(self, symbol: str, timeframe: Timeframe) -> list[Path]:
        """The files of a symbol, sorted; those of all symbols where it is `*`."""
        words = {
            "{profile}": self.kind,
            "{symbol}": symbol,
            "{timeframe}": timeframe.value,
            "{minutes}": str(timeframe.duration // timedelta(minutes=1)),
            "{date}": "*",
        }
        given = re.sub(r"\{\w+\}", lambda match: words[match.group()], self.pattern)
        pattern = str(Path(glob.escape(str(self.base))) / given)
        # Unlike Path.glob it takes a pattern that climbs or is absolute.
        return [_path_of(path) for path in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207

    def nothing_found(
        self, symbol: str, timeframe: Timeframe, what: str, names: list[str]
    ) -> SourceError:
        """The error of a symbol that has no file, or no row, with the names that are near it."""
        near = get_close_matches(symbol, names, n=3, cutoff=0.3)
        hint = (
            f"near it are {', '.join(near)}"
            if near
            else f"{len(names)} others are there, none with a name like it"
        )
        return SourceError(
            f"source {self.source}: {symbol} {timeframe}: {what} (profile is {self.kind}); {hint}. "
            "Correct the path, or the symbol's name at this source",
            permanent=True,
        )

    def period_of(self, path: Path, symbol: str) -> Window | None:
        """The days that a file's name says, or else the folders that it lies in.

        None where they say none.
        """
        within = (
            path.relative_to(self.base).as_posix() if path.is_relative_to(self.base) else path.name
        )
        periods = (self.days_in(text, symbol) for text in (path.name, within))
        return next((period for period in periods if period is not None), None)

    def days_in(self, name: str, symbol: str) -> Window | None:
        """The days that a name says, apart from the symbol in it; None where it says none."""
        return period_in(name.replace(symbol, " "), self.clock)


@lru_cache(maxsize=100_000)
def _path_of(text: str) -> Path:
    """The same path each time, which knows its hash: each page asks for all files."""
    return Path(text)


def unreadable(source: str, path: Path, error: BaseException) -> SourceError:
    """The error of a file that cannot be read, with what is wrong in it."""
    reason = " ".join(str(error)[:2_000].split())[: 500 if isinstance(error, StampError) else 200]
    return SourceError(
        f"source {source}: {path} cannot be read: {reason}. "
        "Replace the file, or correct the source's settings",
        permanent=True,
    )
