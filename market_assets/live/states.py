"""How the stream of each symbol of a session is, and how that is noted in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from market_assets.store.database import naive
from market_assets.store.tables.streams import STATE_SCHEMA, STREAM_SCHEMA, StreamState
from market_assets.stream.health import Health
from market_assets.stream.stream import NewsKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from market_assets.live.choice import Choice
    from market_assets.live.pump import Gathered
    from market_assets.market.datasets import Dataset
    from market_assets.store import Transaction

_STATES = {
    NewsKind.CONNECTED: StreamState.LIVE,
    NewsKind.RECONNECTED: StreamState.LIVE,
    NewsKind.LOST: StreamState.LOST,
}
"""What the symbols of such news are from then on."""


@dataclass
class SymbolStream:
    """How one symbol's stream is. Instants are aware UTC.

    Attributes:
        source: The source that streams it; empty where none does.
        name: What the source calls it.
        since: Since when it is in its state.
        state: Its state.
        words: Why; empty where there is no reason to tell.
        connected_at: When it was connected last.
        released_at: When its bars no longer waited for REST, after it was connected.
        last_bar: The open of its newest stored bar.
    """

    source: str
    name: str
    since: datetime
    state: StreamState = StreamState.CONNECTING
    words: str = ""
    connected_at: datetime | None = None
    released_at: datetime | None = None
    last_bar: datetime | None = None
    past: list[tuple[StreamState, str, datetime, datetime]] = field(default_factory=list)
    """States that are over and not written yet, with words, begin and end."""

    @property
    def is_unserved(self) -> bool:
        """Whether no stream will bring a candle of it any more."""
        return self.state in {StreamState.REFUSED, StreamState.FAILED}

    def become(self, state: StreamState, at: datetime, words: str = "") -> None:
        """Be in a state from an instant on."""
        if state != self.state:
            if at > self.since:
                self.past.append((self.state, self.words, naive(self.since), naive(at)))
            self.since = at
        self.state, self.words = state, words


class SymbolStreams:
    """How the streams of a session's symbols are.

    Args:
        dataset: The candles that are streamed.
        choice: Which source streams which symbol.
        now: When the session begins, aware.
        redact: Takes secrets out of a vendor's words.
    """

    def __init__(
        self, dataset: Dataset, choice: Choice, now: datetime, redact: Callable[[str], str]
    ) -> None:
        self._dataset = dataset
        self._names = choice.symbols
        self._redact = redact
        self._served = {
            symbol: SymbolStream(source, name, now)
            for source, names in choice.symbols.items()
            for name, symbol in names.items()
        }
        self._noted = self._served | {
            symbol: SymbolStream("", symbol, now, StreamState.REST, words)
            for symbol, words in choice.rest.items()
        }
        """Also the symbols that no source streams."""
        self._health: dict[str, Health] = {}
        self._frames: dict[str, tuple[int, datetime | None]] = {}
        """By source, how many frames came, and when the last ones."""
        self._is_noted = False

    def __getitem__(self, symbol: str) -> SymbolStream:
        return self._served[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._served)

    @property
    def states(self) -> dict[str, StreamState]:
        """The state of each symbol that a source streams."""
        return {symbol: stream.state for symbol, stream in self._served.items()}

    @property
    def words(self) -> dict[str, str]:
        """Why a symbol is in its state, where there is a reason."""
        return {symbol: stream.words for symbol, stream in self._served.items() if stream.words}

    @property
    def last_bars(self) -> dict[str, datetime]:
        """The open of the newest stored bar of each symbol that has one."""
        return {
            symbol: stream.last_bar
            for symbol, stream in self._served.items()
            if stream.last_bar is not None
        }

    @property
    def reconnects(self) -> int:
        """Connections that broke and were opened again."""
        return sum(health.reconnects for health in self._health.values())

    @property
    def dropped(self) -> int:
        """Closed bars that the streams have dropped, because nobody fetched them in time."""
        return sum(health.dropped for health in self._health.values())

    def by_source(self, symbols: set[str]) -> dict[str, set[str]]:
        """What the sources call some symbols, by source."""
        names: dict[str, set[str]] = {}
        for symbol in symbols:
            stream = self._served[symbol]
            names.setdefault(stream.source, set()).add(stream.name)
        return names

    def hear(self, source: str, gathered: Gathered, now: datetime) -> set[str]:
        """Take in what the stream of a source has said beside bars.

        Returns:
            The symbols that it refuses from now on.
        """
        names = self._names[source]
        health = self._health[source] = gathered.health
        before, at = self._frames.get(source, (0, None))
        self._frames[source] = (health.frames, now if health.frames > before else at)

        for name in gathered.reconnected:
            stream = self._served[names[name]]
            stream.connected_at, stream.released_at = now, None
        # In their order: a connection may break and be there again within one look.
        for news in gathered.news:
            for name in news.symbols if news.kind in _STATES else ():
                state = _STATES[news.kind]
                reason = news.words if state is StreamState.LOST else ""
                self._served[names[name]].become(state, news.at, self._redact(reason))
        return self._judge(names, health, now)

    def _judge(self, names: Mapping[str, str], health: Health, now: datetime) -> set[str]:
        """Say of each symbol of a source whether it is silent or refused."""
        refused: set[str] = set()
        for name, symbol in names.items():
            stream = self._served[symbol]
            if name in health.refused:
                if stream.state != StreamState.REFUSED:
                    refused.add(symbol)
                words = self._redact(health.refused[name])
                stream.become(StreamState.REFUSED, now, words)
            elif name in health.silent and stream.state == StreamState.LIVE:
                stream.become(StreamState.SILENT, now, "there are frames, but no candle of it")
            elif name not in health.silent and stream.state == StreamState.SILENT:
                stream.become(StreamState.LIVE, now)
        return refused

    def fail(self, source: str, now: datetime, words: str) -> list[str]:
        """Note that the stream of a source has ended by itself; returns its symbols."""
        symbols = [*self._names[source].values()]
        for symbol in symbols:
            self._served[symbol].become(StreamState.FAILED, now, words)
        return symbols

    def end(self, now: datetime) -> None:
        """Note that the session is over."""
        for stream in self._noted.values():
            if stream.state != StreamState.FAILED:
                stream.become(StreamState.ENDED, now, "the session is over")

    def note(
        self,
        transaction: Transaction,
        now: datetime,
        *,
        newest: Mapping[str, datetime],
        of_session: tuple[float | None, float | None, int, datetime | None],
    ) -> None:
        """Write how the streams are; `forget_past` follows once this is committed.

        Args:
            transaction: What writes it.
            now: The present instant.
            newest: By symbol, the open of the newest bar that the same transaction stores.
            of_session: The last four columns of `STREAM_SCHEMA`.
        """
        if not self._is_noted:
            transaction.streams.retire(self._dataset, self._noted, now)
        place = (self._dataset.owner, self._dataset.label)
        rows = [
            (*place, symbol, *self._row(stream, newest.get(symbol), now), *of_session)
            for symbol, stream in self._noted.items()
        ]
        past = [
            (*place, symbol, stream.source, *state)
            for symbol, stream in self._noted.items()
            for state in stream.past
        ]
        transaction.streams.put(
            pl.DataFrame(rows, schema=STREAM_SCHEMA, orient="row"),
            pl.DataFrame(past, schema=STATE_SCHEMA, orient="row"),
        )

    def _row(
        self, stream: SymbolStream, newest: datetime | None, now: datetime
    ) -> tuple[object, ...]:
        last_bar = max(filter(None, (stream.last_bar, newest)), default=None)
        _, framed_at = self._frames.get(stream.source, (0, None))
        reconnects = self._health.get(stream.source, Health()).reconnects
        return (
            *(stream.source, stream.state, stream.words),
            *(naive(stream.since), stored(stream.connected_at)),
            *(stored(last_bar), stored(framed_at), reconnects, naive(now)),
        )

    def forget_past(self) -> None:
        """What was noted of the past is committed."""
        self._is_noted = True
        for stream in self._noted.values():
            stream.past.clear()


def stored(instant: datetime | None) -> datetime | None:
    """An instant as it is stored, None where there is none."""
    return None if instant is None else naive(instant)
