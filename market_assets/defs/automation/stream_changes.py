"""Whether the universe says something else of a profile than a run of hours has begun with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from market_assets.config.load import load_universe
from market_assets.config.places import universe_path
from market_assets.errors import MarketAssetsError

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe

_EVERY = timedelta(minutes=1)
"""How often the file is read: that takes some milliseconds."""


@dataclass
class UniverseWatch:
    """Reads the universe again from time to time, for as long as a run goes on.

    Args:
        universe: What the run has begun with.
        profile: The profile that it works for.
    """

    universe: Universe
    profile: Profile
    _looked_at: datetime | None = None
    _differed: bool = False

    def has_changed(self, now: datetime) -> bool:
        """Whether two looks in a row found the profile or the sources changed, or the profile gone.

        By the second look a code server has taken the change over, so that the next run begins with
        it. A file with mistakes changes nothing.

        Args:
            now: The present instant, aware.
        """
        if self._looked_at is None:
            self._looked_at = now
        if now - self._looked_at < _EVERY:
            return False
        self._looked_at = now
        before, self._differed = self._differed, self._differs()
        return before and self._differed

    def _differs(self) -> bool:
        path = self.universe.path
        try:
            is_usual = universe_path(must_exist=False) == path
            # Without a path the copy is read that `market-assets up` keeps.
            universe = load_universe() if is_usual else load_universe(path)
        except MarketAssetsError:
            return False
        profile = universe.profiles.get(self.profile.name)
        return profile != self.profile or universe.sources != self.universe.sources
