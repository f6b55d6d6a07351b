"""What a trouble is: its kind, its level, what it is about and what is said of it. Pure.

Which facts make one is in `absence`, `judgement`, `streams` and `platform`; where the facts come
from, in `facts` and `census`; what follows from what, in `causes`; what a message says of one, in
`message`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from market_assets.market.partitions import Cadence, Partition

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

Key = tuple[str, str, str]
"""What tells one trouble from another: profile (empty for what concerns none), kind, subject."""

LINES = 10
"""How many lines of detail a trouble has at most; its count says how many there would be."""

CONSEQUENCES = "consequences, "
"""How the lines of detail begin that name what follows from a trouble."""

WIDTH = 240
"""How many characters of another program's text one line has at most."""


class Level(StrEnum):
    """How bad a trouble is."""

    WARNING = "WARNING"
    ERROR = "ERROR"


class Kind(StrEnum):
    """What sort of trouble it is."""

    GAP = "gap"
    ABANDONED = "abandoned"
    MISSING_SYMBOL = "missing_symbol"
    FAILED_CHECK = "failed_check"
    DISAGREEMENT = "disagreement"
    FAILED_PARTITIONS = "failed_partitions"
    FAILED_DAYS = "failed_days"
    ENRICHMENT = "enrichment"
    STALE = "stale"
    DEAD = "dead"
    CHANNEL = "channel"
    STORE = "store"
    STORE_CHANGED = "store_changed"
    VANISHED = "vanished"
    BACKLOG = "backlog"
    SOURCE_DOWN = "source_down"
    RESTART = "restart"
    UNIVERSE = "universe"
    CALENDAR = "calendar"
    STREAM = "stream"
    STREAM_REFUSED = "stream_refused"
    STREAM_BUSY = "stream_busy"
    RETENTION = "retention"


class Place(NamedTuple):
    """Days of a symbol that a trouble is about, from the first to the last, both included.

    An empty symbol is not known.
    """

    symbol: str
    first: date
    last: date


ALWAYS = (date.min, date.max)
"""All days, of a trouble that is not about some of them."""


@dataclass(frozen=True)
class Statement:
    """What is said of a trouble, when it is found and when it is reported.

    Its words and numbers stay the same while nothing happens: they contain no ages.

    Attributes:
        profile: The profile's name; empty where it concerns none.
        kind: What sort of trouble.
        subject: What it is about: an asset, a symbol, a sensor, a channel.
        level: How bad it is.
        summary: One sentence without a full stop: what is so.
        count: How many things it is about.
        details: The first LINES of these, worst or newest first.
        symbols: The symbols concerned, where it is about symbols: when the universe has none of
            them any more, it ends unsaid.
    """

    profile: str
    kind: Kind
    subject: str
    level: Level
    summary: str
    count: int
    details: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The trouble that it is about."""
        return self.profile, self.kind.value, self.subject


@dataclass(frozen=True)
class Trouble(Statement):
    """A condition that somebody must know of: what is said of it, and what its cause is found by.

    Attributes:
        places: Which days of which symbols, all of them; not told.
        derived: It is about something that is made of candles.
    """

    places: frozenset[Place] = frozenset()
    derived: bool = False


def partition_places(partitions: Iterable[str], cadence: Cadence) -> frozenset[Place]:
    """The days of partitions; what is no partition's key is left out."""
    places = set()
    for key in partitions:
        try:
            window = Partition.of_key(key, cadence).window
        except ValueError:
            continue
        places.add(Place("", window.start.date(), window.end.date() - timedelta(days=1)))
    return frozenset(places)


def symbols_in(frame: pl.DataFrame) -> tuple[str, ...]:
    """The symbols of a frame, each once, sorted."""
    return tuple(frame["symbol"].unique().sort())
