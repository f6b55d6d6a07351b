"""What is made of candles while they are streamed: again at most every `stream.follow`."""

from __future__ import annotations

import logging
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

from market_assets.expected.counts import count_profile
from market_assets.live.update import follow_profile

if TYPE_CHECKING:
    import threading
    from concurrent.futures import Future, ThreadPoolExecutor
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.live.update import Updated
    from market_assets.store import Store

log = logging.getLogger("market_assets.live")


@dataclass
class FollowUp:
    """Has longer candles, features and returns made again while a profile is streamed.

    Attributes:
        store: Where all is kept.
        universe: Which datasets there are.
        profile: Whose candles.
        stop: Set when nothing more is to be made.
        made_at: When something was made last.
        is_behind: Whether candles have changed since.
    """

    store: Store
    universe: Universe
    profile: Profile
    _: KW_ONLY
    stop: threading.Event
    made_at: datetime
    is_behind: bool = False
    _making: Future[Updated] | None = field(default=None, init=False)

    def step(self, pool: ThreadPoolExecutor, now: datetime) -> list[str]:
        """Have what is behind made, if it is time.

        Args:
            pool: Where it is made.
            now: The present instant.

        Returns:
            What could not be made the last time, a sentence each.
        """
        errors = self._errors()
        is_due = now - self.made_at >= self.profile.stream.follow
        if self._making is None and self.is_behind and is_due and not self.stop.is_set():
            self.is_behind, self.made_at = False, now
            self._making = pool.submit(self._made, now)
        return errors

    def _errors(self) -> list[str]:
        if self._making is None or not self._making.done():
            return []
        making, self._making = self._making, None
        fault = making.exception()
        if fault is not None:
            log.warning("what follows from candles could not be made: %s", fault)
            self.is_behind = True
            return []
        return making.result().errors

    def _made(self, now: datetime) -> Updated:
        settled = now - self.profile.update.settle
        count_profile(self.store, self.profile, settled)
        return follow_profile(
            self.store, self.universe, self.profile, now=settled, is_over=self.stop.is_set
        )
