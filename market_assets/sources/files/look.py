"""A look at the files of a symbol: which of them reach into a window, without a look at each again.

A page of a few days would look at a thousand files otherwise, as would the next page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from market_assets.imports import late_imports
from market_assets.sources.files.paths import File

with late_imports():
    import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from market_assets.market.timeframes import Window
    from market_assets.sources.files.kept import Span

    Reached = tuple[File, Span | None]


@dataclass(frozen=True)
class Look:
    """The files of a symbol as they were when they were looked at, none of them broken.

    Attributes:
        files: Each with what it reaches.
        spans: The first and the last open of each, in microseconds; an empty span without a row.
        folders: The folders that they lie in, each with when it was changed last; a new file
            changes it.
    """

    files: Sequence[Reached]
    spans: np.ndarray
    folders: dict[Path, int]

    @classmethod
    def of(cls, files: Sequence[Reached], base: Path) -> Self:
        """Note some files that were just looked at, which lie below a folder."""
        folders = {parent for file, _ in files for parent in file.path.parents}
        below = {folder for folder in folders if folder.is_relative_to(base)}
        below |= {file.path.parent for file, _ in files}
        spans = [(0, -1) if span is None else span[:2] for _, span in files]
        return cls(
            files,
            np.array(spans, dtype=np.int64).reshape(-1, 2),
            {folder: folder.stat().st_mtime_ns for folder in below},
        )

    def near(self, window: Window) -> list[Reached] | None:
        """The files that reach into a window.

        None where they must all be looked at again: none reaches into it, one that does has changed
        or a folder has; or one is a zip, of which a part may be lost that lies elsewhere.
        """
        start, end = window.micros
        places = np.flatnonzero((self.spans[:, 0] < end) & (self.spans[:, 1] >= start))
        near = [self.files[int(place)] for place in places]
        if not near or any(file.path.suffix.lower() == ".zip" for file, _ in self.files):
            return None
        try:
            is_same = all(File.at(file.path) == file for file, _ in near) and all(
                folder.stat().st_mtime_ns == changed for folder, changed in self.folders.items()
            )
        except OSError:
            return None
        return near if is_same else None
