"""Asks REST for what a stream may have missed, and for what it gave last, to compare it.

When that is due, and which bars wait for it, is in `session`.
"""

from __future__ import annotations

import logging
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.errors import MarketAssetsError, error_words, reason_of
from market_assets.expected.scope import scope_of
from market_assets.expected.states import states_of
from market_assets.fill.fill import Fill
from market_assets.fill.options import FillOptions
from market_assets.market.timeframes import Window
from market_assets.sources.contract import omits_quiet
from market_assets.store.database import newest_opens
from market_assets.verdicts.evidence import State

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.expected.scope import Scope
    from market_assets.fill.memory import Memory
    from market_assets.market.timeframes import Timeframe
    from market_assets.sources.contract import Source
    from market_assets.store import Store
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run

    Build = Callable[[], Mapping[str, Source]]
    """Builds the sources that the profile names anew, by name."""

log = logging.getLogger("market_assets.live")

_OVERLAP = 3
"""Stored bars before the last one that REST is asked for again, to compare them, beside those of
`update.recheck`: a session that was killed had still to compare what REST gave it."""

_ASKING = timedelta(seconds=20)
"""After so long a catch-up asks for nothing more: the next one goes on."""


@dataclass(frozen=True)
class CaughtUp:
    """What became of asking REST.

    Attributes:
        symbols: Of which symbols.
        new: Bars that were not there before.
        revised: Bars whose values were others.
        lacking: The symbols that still lack bars.
        newest: By symbol, the open of its newest stored bar (UTC).
        words: What went wrong; empty where nothing did.
    """

    symbols: frozenset[str]
    new: int = 0
    revised: int = 0
    lacking: frozenset[str] = frozenset()
    newest: Mapping[str, datetime] = field(default_factory=dict)
    words: str = ""


@dataclass
class CatchUp:
    """Asks REST for symbols of a profile that is streamed; may be called in any thread.

    Attributes:
        store: Where candles and ledgers are kept.
        build: Builds the sources that the profile names anew.
        universe: Which datasets there are, and which words are secret.
        profile: Whose candles.
        timeframe: Its timeframe that is streamed.
        run: Who has asked for it.
        stop: Set when what is under way is to end.
        memory: What was judged before.
    """

    store: Store
    build: Build
    universe: Universe
    profile: Profile
    timeframe: Timeframe
    _: KW_ONLY
    run: Run
    stop: threading.Event
    memory: Memory
    _fill: Fill | None = field(default=None, init=False)

    def hurry(self) -> None:
        """Have what is under way end with what REST has given until now."""
        fill = self._fill
        if fill is not None:
            fill.hurry()

    def ask(self, last_bars: Mapping[str, datetime | None], now: datetime) -> CaughtUp:
        """Ask for what the last hours lack, and for what was stored last, to compare it.

        What goes wrong is said in the words of what it gives.

        Args:
            last_bars: The symbols to ask for, each with the open of its newest stored bar.
            now: The present instant, aware.
        """
        symbols = frozenset(last_bars)
        settled = now - self.profile.update.settle
        begin = now - self.profile.stream.catch_up
        step = self.timeframe.duration
        most = int(self.profile.stream.catch_up / step)
        overlap = _OVERLAP + self.profile.update.recheck
        recheck = max(
            most if last_bar is None else min(most, int((now - last_bar) / step) + overlap)
            for last_bar in last_bars.values()
        )
        scope = scope_of(self.profile, self.timeframe, settled)
        options = FillOptions(
            symbols=sorted(symbols),
            newest_first=True,
            only_due=True,
            recheck=recheck,
            since=begin,
            max_time=_ASKING,
        )
        window = Window(begin, settled)
        outcomes: list[PartitionOutcome] = []
        try:
            sources = self.build()
            fill = Fill(
                self.store, sources, scope, window, options, run=self.run, memory=self.memory
            )
            self._fill = fill
            if self.stop.is_set():
                fill.hurry()
            outcomes += fill
            states = self._states(scope.only(sorted(symbols)), window, sources)
        except MarketAssetsError as error:
            return CaughtUp(symbols, lacking=symbols, words=self.universe.redact(reason_of(error)))
        # A fault of this program costs the catch-up, and no streamed bar.
        except Exception as error:
            log.exception("REST could not be asked for what a stream lacks")
            return CaughtUp(symbols, lacking=symbols, words=error_words(error))
        return CaughtUp(
            symbols,
            new=sum(outcome.new for outcome in outcomes),
            revised=sum(outcome.revised for outcome in outcomes),
            lacking=frozenset(states.filter(pl.col("state") == State.OPEN)["symbol"].unique()),
            newest=newest_opens(states.filter(pl.col("state") == State.STORED)),
        )

    def _states(self, scope: Scope, window: Window, sources: Mapping[str, Source]) -> pl.DataFrame:
        """The state of each bar of a window: symbol, ts, state."""
        quiet = omits_quiet(sources)
        with self.store.reading(f"looking for what {scope} lacks") as view:
            series = scope.since(view.genesis.of(scope.dataset))
            return states_of(view, series, window, quiet=quiet)
