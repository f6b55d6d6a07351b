"""The store for who only looks at it and is not to wait for it."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb

from market_assets.errors import StoreBusyError
from market_assets.store.store import Snapshot, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path


class LookingStore(Store):
    """Reads the newest state where it can be had within seconds, else the last copy for readers.

    Args:
        home: The folder that holds `market.duckdb`.
        clock: Gives the present instant (aware).
        tell: Called with a sentence when it is a copy that is read: as of when, and why.
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

    @contextmanager
    def reading(self, purpose: str) -> Iterator[Snapshot]:
        """Open the store to read, or the last copy of it.

        Raises:
            StoreBusyError: The store stayed busy, and there is no copy of it.
            StoreError: The file is no store of ours, or is newer than this program.
        """
        with ExitStack() as stack:
            try:
                view = stack.enter_context(super().reading(purpose))
            except StoreBusyError:
                copy = self._published.newest()
                if copy is None:
                    raise
                self._tell(
                    f"as of {copy.as_of:%Y-%m-%d %H:%M:%S} UTC, because the store is held by {self._lock.holder()}"
                )
                connection = duckdb.connect(copy.path, read_only=True)
                view = Snapshot(stack.enter_context(closing(connection)))
            yield view
