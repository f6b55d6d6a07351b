"""How far a command has come.

Each kind of work has a live line, and a line that stays when the work is over.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from market_assets.cli.console import ERR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SAY_EVERY = 60
"""Seconds between two plain lines of a kind of work, where there is no terminal to draw on."""


@dataclass
class _Kind:
    """A kind of work over all profiles.

    Attributes:
        unit: What its pieces are called.
        total: How many there are.
        done: How many of them are done.
        past: How many of them are done or have failed.
        seconds: How long was worked on them, without the pauses for other kinds.
        since: When the work that is under way began; None while another kind is worked on.
        place: Of what the present work is.
        said_at: When a plain line was written last.
    """

    unit: str
    total: int = 0
    done: int = 0
    past: int = 0
    seconds: float = 0.0
    since: float | None = None
    place: str = ""
    said_at: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return self.past >= self.total

    @property
    def worked(self) -> float:
        """The seconds of work up to this instant."""
        return self.seconds + (0.0 if self.since is None else time.monotonic() - self.since)

    @property
    def count(self) -> str:
        return f"{self.done:,}/{self.total:,} {self.unit}"

    @property
    def rate(self) -> str:
        """How many pieces per second, or per minute where that says more.

        The text is empty before the first piece.
        """
        if not self.done or not self.worked:
            return ""
        speed = self.done / self.worked
        if speed < 1:
            return f"{speed * 60:,.1f}/min"
        return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:,.1f}/s"

    @property
    def left(self) -> str:
        """How long the rest takes at this speed.

        The text is empty before the first piece and after the last.
        """
        if not self.done or self.is_over:
            return ""
        return f"{_clock((self.total - self.done) * self.worked / self.done)} left"


class Progress:
    """The kinds of work of a command, which are announced before they begin.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Live | None = None
        self._kinds: dict[str, _Kind] = {}

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            self._live = Live(get_renderable=self._drawn, console=ERR, transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        for name, kind in self._kinds.items():
            # What was interrupted; the others have been told of.
            if kind.done and not kind.is_over:
                self._say(name, kind)

    def plan(self, name: str, pieces: int, unit: str = "partitions") -> None:
        """Announce so many pieces of a kind, besides those that were announced before."""
        self._kinds.setdefault(name, _Kind(unit)).total += pieces

    @contextmanager
    def work(self, name: str, place: str, pieces: int) -> Iterator[Callable[[], None]]:
        """Work on some pieces of a kind that was announced.

        Args:
            name: The kind.
            place: Of what they are.
            pieces: How many. Those that are not done at the end have failed.

        Yields:
            What to call for each piece that is done.
        """
        kind = self._kinds[name]
        kind.since, kind.place = time.monotonic(), place

        def advance() -> None:
            kind.done += 1
            if self._live is None and time.monotonic() - kind.said_at >= _SAY_EVERY:
                self._say(name, kind)

        try:
            yield advance
            kind.past += pieces
        finally:
            kind.seconds, kind.since, kind.place = kind.worked, None, ""
        if kind.is_over:
            self._say(name, kind)

    def place(self, name: str, place: str) -> None:
        """Say of what the work is that is under way."""
        self._kinds[name].place = place

    def _say(self, name: str, kind: _Kind) -> None:
        kind.said_at = time.monotonic()
        if not self._quiet:
            words = (f"{kind.count} in {_clock(kind.worked)}", kind.rate, kind.left)
            ERR.print(f"{name}: {', '.join(filter(None, words))}", highlight=False)

    def _drawn(self) -> Table:
        """The kinds that are not over; in a window of few rows the one that is worked on, alone."""
        kinds = {name: kind for name, kind in self._kinds.items() if not kind.is_over}
        if len(kinds) + 2 >= ERR.height:
            kinds = {name: kind for name, kind in kinds.items() if kind.since is not None}
        table = Table.grid(padding=(0, 1))
        for name, kind in kinds.items():
            bar = ProgressBar(total=max(kind.total, 1), completed=kind.done, width=12)
            place = Text(kind.place, style="dim", overflow="ellipsis", no_wrap=True)
            table.add_row(name, bar, kind.count, kind.rate, kind.left, place)
        return table


def _clock(seconds: float) -> str:
    """A length of time as a person reads it: 0:01:07."""
    return str(timedelta(seconds=round(seconds)))
