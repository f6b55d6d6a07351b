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
    from market_assets.market.timer import Timer
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
        timer: The session's time.
        is_behind: Whether candles have changed since.
    """

    store: Store
    universe: Universe
    profile: Profile
    _: KW_ONLY
    stop: threading.Event
    timer: Timer
    is_behind: bool = False
    _making: Future[Updated] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._made_at = self.timer.seconds()

    def step(self, pool: ThreadPoolExecutor) -> list[str]:
        """Have what is behind made, if it is time.

        Args:
            pool: Where it is made.

        Returns:
            What could not be made the last time, a sentence each.
        """
        errors = self._errors()
        now = self.timer.seconds()
        is_due = now - self._made_at >= self.profile.stream.follow.total_seconds()
        if self._making is None and self.is_behind and is_due and not self.stop.is_set():
            self.is_behind, self._made_at = False, now
            self._making = pool.submit(self._made, self.timer.now())
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
