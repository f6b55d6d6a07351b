"""What a run that streams tells Dagster: an observation now and then, and few lines of a log.

A run of hours that told each commit would fill Dagster's files. So there is at most one observation
a minute, and one line of a log.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.defs.automation.observations import RunningVerdicts
from market_assets.defs.internals.adapter import log_and_forget
from market_assets.defs.keys import dataset_key
from market_assets.imports import late_imports
from market_assets.market.instants import clock_time, to_minute
from market_assets.words import lag_words

with late_imports():
    from market_assets.store.tables.streams import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile, Universe
    from market_assets.live.report import StreamReport

_USUALLY = timedelta(minutes=5)
"""How often an observation says how a stream is, while nothing happens to it."""

_SOONEST = timedelta(minutes=1)
"""How soon after an observation another one follows, because something has happened."""

_SHOWN = 20
"""Symbols that an observation has in its table: those that are worst off."""

_LISTED = 500
"""Symbols whose last bar an observation has."""

_NEWS = 10
"""Sentences of an observation."""

_LINES = timedelta(minutes=1)
"""How often a line of a log is taken."""


@dataclass
class StreamObserver:
    """Observes the asset of the candles that a run streams.

    It keeps no report, so that it is as large at the end of a run as at its begin.

    Args:
        context: Of the step that streams.
        universe: Says which words are secret.
        profile: What is streamed.
    """

    context: dg.OpExecutionContext
    universe: Universe
    profile: Profile
    _began_at: datetime | None = None
    _observed_at: datetime | None = None
    _judged_at: datetime | None = None
    _states: Mapping[str, str] = field(default_factory=dict)
    _news: deque[str] = field(default_factory=lambda: deque(maxlen=_NEWS))
    _untold: int = 0

    def __post_init__(self) -> None:
        self._key = dataset_key(self.profile.candles(self.profile.base_timeframe))
        self._verdicts = RunningVerdicts(self._key)

    def hear(self, report: StreamReport, lines: FewLines) -> None:
        """Take in a report, and observe if it is time.

        Args:
            report: The newest one.
            lines: The log, whose lines that were left out are counted.
        """
        self._began_at = self._began_at or report.at
        self._judge(report)
        for words in report.news:
            self._untold += len(self._news) == _NEWS
            self._news.append(f"{clock_time(report.at)} {words}")
        if not (report.is_last or self._is_due(report)):
            return
        log_and_forget(self.context, self._observation(report, lines))
        self._observed_at, self._states = report.at, report.states
        self._news.clear()
        self._untold = 0

    def _is_due(self, report: StreamReport) -> bool:
        if self._observed_at is None:
            # Before the first bar there is little to say.
            has_waited = self._began_at is not None and report.at - self._began_at >= _SOONEST
            return has_waited or report.stored_in_all > 0
        past = report.at - self._observed_at
        has_changed = bool(self._news) or report.states != self._states
        return past >= _USUALLY or (past >= _SOONEST and has_changed)

    def _judge(self, report: StreamReport) -> None:
        """Tell the verdicts on the running partition that have changed and stand, once a minute."""
        if self._judged_at is not None and report.at - self._judged_at < _SOONEST:
            return
        running = {
            outcome.partition.key
            for outcome in report.outcomes
            if outcome.partition.window.end > report.at
        }
        if running:
            self._judged_at = report.at
            self._verdicts.tell(self.context.instance, running, report.outcomes)

    def _observation(self, report: StreamReport, lines: FewLines) -> dg.AssetObservation:
        lag = lag_words(report.lag_p50, report.lag_p99)
        stored = f"{report.stored_in_all:,} bars stored"
        words = f"{report.counted_states}; {', '.join(filter(None, (stored, lag)))}"
        metadata: dict[str, Any] = {"streamed": report.stored_in_all}
        if report.lag_p50 is not None and report.lag_p99 is not None:
            metadata["lag_p50_seconds"] = round(report.lag_p50, 3)
            metadata["lag_p99_seconds"] = round(report.lag_p99, 3)
        metadata |= _symbols(report)
        metadata |= {
            "from_rest": report.caught_up,
            "revised": report.revised_in_all,
            "refused_rows": report.rejected_in_all,
            "reconnects": report.reconnects,
            "left_to_rest": report.left_to_rest,
            "waiting": report.waiting,
        }
        if self._news:
            metadata["news"] = dg.MetadataValue.md(self._news_text())
        if lines.left_out:
            metadata["log_lines_left_out"] = lines.left_out
        prefix = "The stream is over" if report.is_last else "The stream runs"
        return dg.AssetObservation(self._key, description=f"{prefix}: {words}.", metadata=metadata)

    def _news_text(self) -> str:
        before = [f"{self._untold:,} more before"] if self._untold else []
        # As text, whatever signs a vendor's words have.
        lines = [words.replace("`", "'") for words in [*before, *self._news]]
        return "\n".join(f"- `{self.universe.redact(line)}`" for line in lines)


def _symbols(report: StreamReport) -> dict[str, Any]:
    """A table of the symbols that are worst off, and the last bar of each symbol."""
    last = report.last_bar

    def rank(symbol: str) -> tuple[bool, bool, str, str]:
        is_live = report.states[symbol] == StreamState.LIVE
        at = f"{last[symbol]:%Y-%m-%d %H:%M}" if symbol in last else ""
        return is_live, bool(at), at, symbol

    order = sorted(report.states, key=rank)
    rows = [
        dg.TableRecord(
            {
                "symbol": symbol,
                "source": report.sources.get(symbol, "none"),
                # Dagster packs no enumeration of ours.
                "state": str(report.states[symbol]),
                "last bar": to_minute(last[symbol]) if symbol in last else "none",
                "why": report.words.get(symbol, ""),
            }
        )
        for symbol in order[:_SHOWN]
    ]
    metadata: dict[str, Any] = {"symbols": dg.MetadataValue.table(rows)} if rows else {}
    if len(order) > _SHOWN:
        bars = {name: f"{last[name]:%m-%d %H:%M}" for name in order[:_LISTED] if name in last}
        metadata["last_bars"] = dg.MetadataValue.json(bars)
        metadata["symbols_not_shown"] = len(order) - _SHOWN
    return metadata


class FewLines(logging.Handler):
    """Passes a line of a log on now and then, and counts the others.

    Args:
        handlers: Whom the lines are for.
        clock: Gives the present instant.

    Attributes:
        left_out: How many lines were not passed on.
    """

    def __init__(self, handlers: Sequence[logging.Handler], clock: Callable[[], datetime]) -> None:
        # What goes as it should is in the observations.
        super().__init__(logging.WARNING)
        self._handlers = handlers
        self._clock = clock
        self._passed_at: datetime | None = None
        self.left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        now = self._clock()
        if self._passed_at is not None and now - self._passed_at < _LINES:
            self.left_out += 1
            return
        self._passed_at = now
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.handle(record)


@contextmanager
def few_lines(clock: Callable[[], datetime], name: str = "market_assets") -> Iterator[FewLines]:
    """Let few lines of a logger through to its handlers while the block runs.

    Args:
        clock: Gives the present instant.
        name: The logger that Dagster captures.
    """
    logger = logging.getLogger(name)
    handlers = list(logger.handlers)
    lines = FewLines(handlers, clock)
    for handler in handlers:
        logger.removeHandler(handler)
    logger.addHandler(lines)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)
        for handler in handlers:
            logger.addHandler(handler)
