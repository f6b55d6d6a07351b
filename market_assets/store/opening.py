"""Opening the file of a store, also while programs that do not know its lock have it open.

It says nothing of what is in the file.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb

from market_assets.errors import StoreBusyError, StoreError, first_line
from market_assets.store.engine import open_file
from market_assets.store.lock import TELL_AFTER, TELL_AGAIN
from market_assets.store.published import replace_by_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from pathlib import Path

    from market_assets.store.holders import Hindrance, Holders
    from market_assets.store.signals import HeldBack

log = logging.getLogger("market_assets.store")

_POLL = 0.02
READERS_PATIENCE, _COPIED_PER_SECOND = 5.0, 20e6
"""Seconds for which other programs may read the file before a writer goes on in a copy of it, and
one more per so many bytes: a program that opens it again and again causes no more writing."""


@dataclass
class _Wait:
    """One wait for programs that have the file open."""

    purpose: str
    path: Path
    patience: timedelta
    start: float = field(default_factory=time.monotonic)
    look_at: float = 0.0
    tell_at: float = TELL_AFTER
    hindrance: Hindrance | None = None
    failed: bool = False

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.start

    @property
    def told(self) -> bool:
        """Whether the log says that there was a wait."""
        return self.tell_at > TELL_AFTER


class Opener:
    """Opens the file of one store, and waits for other programs that have it open.

    Args:
        holders: Who they are.
        signals: Let through between two tries.
        clock: Gives the present instant (aware).
        patience: How long to wait where the caller does not say it.
        link: Where the copies for readers are, for those who read the file itself.
        waited: Told how many seconds each wait took, also one that was in vain.

    Attributes:
        verified: The file that was found to be a store of ours, by its inode; None where none was,
            or where it could not be opened, read or written since.
    """

    def __init__(
        self,
        holders: Holders,
        signals: HeldBack,
        *,
        clock: Callable[[], datetime],
        patience: timedelta,
        link: Path,
        waited: Callable[[float], None],
    ) -> None:
        self.verified: int | None = None
        self._holders = holders
        self._signals = signals
        self._clock = clock
        self._patience = patience
        self._link = link
        self._waited = waited

    def connect(
        self, path: Path, purpose: str, *, read_only: bool, patience: timedelta | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Connect, and wait while a program that does not know our lock has the file open.

        Raises:
            StoreBusyError: It had it open for longer than the patience.
            StoreError: The file cannot be opened.
        """
        wait = _Wait(purpose, path, self._patience if patience is None else patience)
        while True:
            try:
                connection = open_file(path, read_only=read_only)
            except duckdb.Error as error:
                hindrance = self._refused(wait, error)
                long = not read_only and self._have_read_for_long(wait, hindrance)
                if long and self._leave_to_readers(wait, hindrance):
                    # At once: a program that reads again and again may open the copy as well.
                    continue
                self._signals.deliver()
                time.sleep(_POLL)
            else:
                if wait.hindrance or not read_only:
                    self._holders.clear()
                if wait.hindrance:
                    self._waited(wait.seconds)
                if wait.told:
                    log.info("%s: got the store after %.1f s", purpose, wait.seconds)
                return connection

    def _refused(self, wait: _Wait, error: duckdb.Error) -> Hindrance:
        """The programs that have the file open, as long as it is worth waiting for them."""
        if "Could not set lock on file" not in str(error):
            self.verified = None
            raise StoreError(
                f"{wait.path} cannot be opened: {first_line(error)}. Give this user access to it, "
                "make room on its disk or move it away, or set MARKET_ASSETS_HOME to another "
                "folder. Nothing was changed."
            ) from error
        hindrance, waited = wait.hindrance, wait.seconds
        if hindrance is None or waited >= wait.look_at:
            hindrance = wait.hindrance = self._holders.look(str(error))
            wait.look_at = waited + TELL_AFTER
        if waited > wait.patience.total_seconds():
            self._waited(waited)
            raise StoreBusyError(
                f"{wait.purpose}: gave up after {waited:.0f} s, "
                f"another program has {wait.path} open ({hindrance}).",
                "Close it there and run this again: what was committed is kept.",
            ) from error
        if waited > wait.tell_at:
            words = "%s: waiting, another program has %s open (%s)"
            log.warning(words, wait.purpose, wait.path, hindrance)
            wait.tell_at = waited + TELL_AGAIN
        return hindrance

    def _have_read_for_long(self, wait: _Wait, hindrance: Hindrance) -> bool:
        """Whether other programs have had the file open for long enough."""
        since = (self._clock() - hindrance.since).total_seconds()
        enough = READERS_PATIENCE + wait.path.stat().st_size / _COPIED_PER_SECOND
        return max(wait.seconds, since) >= enough

    def _leave_to_readers(self, wait: _Wait, hindrance: Hindrance) -> bool:
        """Leave the file to the programs that read it, as it is now, and go on in a copy of it.

        Nothing is done where one of them may write to it, or where there is no room.

        Returns:
            Whether the file is now a copy that no program had open a moment ago.
        """
        try:
            replaced = replace_by_copy(wait.path.resolve())
        except OSError as error:
            if not wait.failed:
                log.warning("%s: %s cannot be copied: %s", wait.purpose, wait.path, error.strerror)
            wait.failed = True
            return False
        if replaced:
            log.warning(
                "%s: %s is left as it is to those who read it (%s), "
                "and the store goes on in a copy. "
                "To read without that, use market_assets.connect() or %s",
                wait.purpose,
                wait.path,
                hindrance,
                self._link,
            )
        return replaced
