"""The store for a reader that must not wait for it."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb

from market_assets.errors import StoreBusyError
from market_assets.market.instants import with_zone
from market_assets.store.snapshot import Snapshot
from market_assets.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

_NEXT_TRY = 10.0
"""Seconds after which a busy store is tried again.

Until then all parts of one answer come from the same copy.
"""


class LookingStore(Store):
    """Reads the newest state where it can be had within seconds, else the last copy for readers.

    Args:
        home: The folder that holds `market.duckdb`.
        clock: Gives the present instant (aware).
        tell: Called with a sentence when a copy is read: as of when, and why.
        patience: How long a block waits for the newest state.
    """

    def __init__(
        self,
        home: Path,
        *,
        clock: Callable[[], datetime],
        tell: Callable[[str], None],
        patience: timedelta = timedelta(seconds=3),
    ) -> None:
        super().__init__(home, clock=clock, patience=patience)
        self._tell = tell
        self._copy_until = 0.0

    @contextmanager
    def reading(self, purpose: str) -> Iterator[Snapshot]:
        """Open the store to read, or the last copy of it.

        Raises:
            StoreBusyError: The store stayed busy, and there is no copy of it.
            StoreError: The file is no store of ours, or is newer than this program.
        """
        with ExitStack() as stack:
            view = self._newest(stack, purpose) or self._copied(stack)
            yield view

    def _newest(self, stack: ExitStack, purpose: str) -> Snapshot | None:
        """The newest state; None where it cannot be had soon, and there is a copy."""
        copy = self._published.newest()
        if copy and time.monotonic() < self._copy_until:
            return None
        try:
            return stack.enter_context(super().reading(purpose))
        except StoreBusyError:
            if copy is None:
                raise
            self._copy_until = time.monotonic() + _NEXT_TRY
            self._tell(
                f"as of {with_zone(copy.as_of)}, because the store is held by {self._lock.holder()}"
            )
            return None

    def _copied(self, stack: ExitStack) -> Snapshot:
        connection = duckdb.connect(self.link.resolve(), read_only=True)
        return Snapshot(stack.enter_context(closing(connection)))
