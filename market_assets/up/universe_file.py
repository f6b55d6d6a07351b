"""The universe file as the supervisor sees it: notices a change, keeps the last good copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.private import put_private

if TYPE_CHECKING:
    from pathlib import Path

COPY_FILE = "up.universe.yaml"
CANDIDATE_FILE = "up.universe.next.yaml"


class UniverseFile:
    """One universe file and its copy in the home folder; secrets stay `${NAME}` in both.

    Args:
        path: The file that a person edits.
        home: Where the copies are kept.
    """

    def __init__(self, path: Path, home: Path) -> None:
        self.path = path
        self.copy = home / COPY_FILE
        self.candidate = home / CANDIDATE_FILE
        self._stamp: tuple[int, ...] | None = None
        self._seen: tuple[int, ...] | None = None
        self._content: bytes | None = None

    def changed(self) -> bool:
        """Whether the file holds something else than when this was last true; true the first time.

        What it holds now is in `candidate` then. A file that is not there holds nothing. One that
        changes between two questions is still being written: the next question tells.

        Raises:
            OSError: The candidate cannot be written.
        """
        stamp, settled = self._look(), self._seen
        self._seen = stamp
        if stamp == self._stamp or (self._stamp is not None and stamp != settled):
            return False
        try:
            content = self.path.read_bytes()
        except OSError:
            content = b""
        self._stamp = stamp
        if content == self._content:
            return False
        self._content = content
        put_private(self.candidate, content)
        return True

    def keep(self) -> None:
        """Make the candidate the last good one.

        Raises:
            OSError: The home folder cannot be written.
        """
        self.candidate.replace(self.copy)

    def drop(self) -> None:
        """Forget a candidate that is no good.

        Raises:
            OSError: The home folder cannot be written.
        """
        self.candidate.unlink(missing_ok=True)

    def _look(self) -> tuple[int, ...]:
        try:
            status = self.path.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_size, status.st_mtime_ns
