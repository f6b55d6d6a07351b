"""Streams a profile: its candles are stored as they close, until its time is over or Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from market_assets.cli.completion import offer_profiles, offer_timeframes
from market_assets.cli.console import ERR, INCOMPLETE, OUT, harmless, plain
from market_assets.cli.garbage import give_memory_back, search_as_usual
from market_assets.cli.options import AsJson, Symbols, choices, profiles_of, symbols_of, wrong
from market_assets.cli.places import open_store, universe_here
from market_assets.imports import late_imports
from market_assets.market.durations import duration_of
from market_assets.market.instants import bare_minute, clock_time
from market_assets.words import lag_words, many

with late_imports():
    from market_assets.config.sources import sources_of
    from market_assets.live.session import StreamOptions, stream_profile
    from market_assets.live.stopping import stopping
    from market_assets.store.tables.streams import StreamState

if TYPE_CHECKING:
    from typing import Self

    from market_assets.config.universe import Profile
    from market_assets.live.report import StreamReport
    from market_assets.market.timeframes import Timeframe

_STOPPED = "Stopped. What was streamed is stored, and the same command goes on from there."
_TERMINATED = 143
"""Exit code after SIGTERM, as a shell has it."""

_NEWS = 5
"""Sentences below the live table."""


def stream(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="PROFILE", help="A profile of the universe.", autocompletion=offer_profiles
        ),
    ] = None,
    symbols: Symbols = None,
    timeframe: Annotated[
        str | None,
        typer.Option(
            help="Which fetched timeframe; the shortest if not given.",
            autocompletion=offer_timeframes,
        ),
    ] = None,
    length: Annotated[
        str | None,
        typer.Option(
            "--for",
            help="End after so long, such as 10m; the profile's total_timeout if not given.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store candles as they close, until the time is over or Ctrl-C.

    REST is asked for what the stream may have missed. JSON is an object a line.
    """
    search_as_usual()
    give_memory_back()
    universe = universe_here(quiet=as_json)
    profile = _profile_of(profiles_of(universe, [name] if name else None))
    options = StreamOptions(
        timeframe=_timeframe_of(profile, timeframe),
        symbols=symbols_of([profile], symbols),
        total=_length_of(length),
    )
    screen: _Screen = _Lines(as_json) if as_json or not OUT.is_terminal else _Drawn(profile.name)
    last: StreamReport | None = None
    with stopping(_STOPPED) as stop, screen:
        for report in stream_profile(
            open_store(),
            lambda: sources_of(universe, profile),
            universe,
            profile,
            options=options,
            stop=stop.event,
        ):
            screen.show(report)
            last = report
    if last is not None and not as_json:
        OUT.print(_counts(last), highlight=False, soft_wrap=True)
    if stop.number == signal.SIGINT:
        raise KeyboardInterrupt(_STOPPED)
    if stop.number is not None:
        raise typer.Exit(_TERMINATED)
    if last is not None and (last.waiting or StreamState.REFUSED in last.states.values()):
        raise typer.Exit(INCOMPLETE)


def _profile_of(profiles: list[Profile]) -> Profile:
    if len(profiles) == 1:
        return profiles[0]
    names = [profile.name for profile in profiles]
    raise wrong(f"PROFILE is missing: {choices('', names)}")


def _timeframe_of(profile: Profile, text: str | None) -> Timeframe | None:
    if text is None:
        return None
    fetched = {str(kept): kept for kept in profile.timeframes.fetch}
    if text not in fetched:
        raise wrong(
            f"--timeframe {text}: {profile.name} does not fetch it; {choices(text, list(fetched))}"
        )
    return fetched[text]


def _length_of(text: str | None) -> timedelta | None:
    if text is None:
        return None
    length = duration_of(text)
    if not length:
        raise wrong(f"--for {text}: write a number and its unit: 90s, 10m, 1h")
    return length


class _Screen:
    """Where reports are shown, as a context."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, report: StreamReport) -> None:
        """Show a report."""
        raise NotImplementedError


class _Lines(_Screen):
    """Plain lines, or an object of JSON a line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def show(self, report: StreamReport) -> None:
        """See `_Screen.show`."""
        if self._as_json:
            # The answer.
            print(json.dumps(_object(report), default=plain), flush=True)  # noqa: T201
            return
        at = clock_time(report.at)
        for words in report.news:
            OUT.print(f"{at} {harmless(words)}", highlight=False, markup=False, soft_wrap=True)
        if report.stored or report.revised:
            line = f"{at} {_stored(report.stored, report.revised)}, {_figures(report)}"
            OUT.print(line, highlight=False, markup=False, soft_wrap=True)
        sys.stdout.flush()


class _Drawn(_Screen):
    """A table that is drawn anew with each report."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._news: list[str] = []
        # What is logged goes above the table, and only the console that draws it can see to that.
        self._console = ERR if ERR.is_terminal else OUT
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, report: StreamReport) -> None:
        """See `_Screen.show`."""
        at = clock_time(report.at)
        self._news = [*self._news, *(f"{at} {words}" for words in report.news)][-_NEWS:]
        self._live.update(self._drawn(report), refresh=True)

    def _drawn(self, report: StreamReport) -> Group:
        table = Table(
            title=f"{self._title} {report.timeframe} at {clock_time(report.at)}",
            title_justify="left",
        )
        for heading in ("symbol", "source", "state", "last bar"):
            table.add_column(heading, no_wrap=True)
        table.add_column("why", overflow="ellipsis", no_wrap=True)

        below = Text("\n".join([_counts(report), *map(harmless, self._news)]))
        lines = len(below.wrap(self._console, self._console.width))
        room = max(self._console.height - lines - 7, 3)
        # What is not as it should be comes first, so that a short window shows it.
        order = sorted(
            report.states.items(), key=lambda item: (item[1] == StreamState.LIVE, item[0])
        )
        for symbol, state in order[:room]:
            last_bar = report.last_bar.get(symbol)
            table.add_row(
                Text(harmless(symbol)),
                Text(harmless(report.sources.get(symbol, "-"))),
                Text(state, style=_colour(state)),
                Text("-" if last_bar is None else bare_minute(last_bar)),
                Text(harmless(report.words.get(symbol, ""))),
            )
        if len(order) > room:
            states = Counter(state for _, state in order[room:])
            rest = ", ".join(f"{count} {state}" for state, count in states.items())
            table.add_row("...", "", rest, "", "")
        return Group(table, below)


def _colour(state: str) -> str:
    match state:
        case StreamState.LIVE:
            return "green"
        case StreamState.REFUSED | StreamState.FAILED:
            return "red"
        case StreamState.REST:
            return "dim"
        case _:
            # It is neither good nor bad.
            return "yellow"


def _counts(report: StreamReport) -> str:
    words = [f"{report.stored_in_all:,} bars stored"]
    words += [f"{report.caught_up:,} more from REST"] if report.caught_up else []
    words += [f"{report.revised_in_all:,} revised"] if report.revised_in_all else []
    words += [f"{report.rejected_in_all:,} refused"] if report.rejected_in_all else []
    return ", ".join([*words, _figures(report)])


def _stored(new: int, revised: int) -> str:
    words = f"{new:,} bars"
    return f"{words}, {revised:,} revised" if revised else words


def _figures(report: StreamReport) -> str:
    """How late bars are stored, and what went wrong."""
    lag = lag_words(report.lag_p50, report.lag_p99)
    words = [lag] if lag else []
    words += [many(report.reconnects, "reconnect")] if report.reconnects else []
    words += [f"{report.waiting:,} bars wait"] if report.waiting else []
    words += [f"{report.left_to_rest:,} left to REST"] if report.left_to_rest else []
    return ", ".join([*words, report.counted_states])


def _object(report: StreamReport) -> dict[str, object]:
    """A report as JSON has it; lags are in seconds."""
    return {
        "at": report.at,
        "timeframe": str(report.timeframe),
        "stored": report.stored,
        "revised": report.revised,
        "stored_in_all": report.stored_in_all,
        "revised_in_all": report.revised_in_all,
        "rejected_in_all": report.rejected_in_all,
        "caught_up": report.caught_up,
        "lag_p50": report.lag_p50,
        "lag_p99": report.lag_p99,
        "lags": [round(lag, 3) for lag in report.lags],
        "delays": [round(delay, 3) for delay in report.delays],
        "waits": [round(wait, 3) for wait in report.waits],
        "reconnects": report.reconnects,
        "left_to_rest": report.left_to_rest,
        "waiting": report.waiting,
        "symbols": [
            {
                "symbol": symbol,
                "source": report.sources.get(symbol),
                "state": state,
                "last_bar": report.last_bar.get(symbol),
                "why": report.words.get(symbol, ""),
            }
            for symbol, state in report.states.items()
        ],
        "news": list(report.news),
        "is_last": report.is_last,
    }
