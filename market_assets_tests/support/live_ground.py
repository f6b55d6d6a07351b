"""A profile that is streamed from a practice vendor, with REST beside it, in a fast time."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import yaml

from market_assets.config.load import load_universe
from market_assets.config.sources import sources_of
from market_assets.live.session import StreamOptions, stream_profile
from market_assets.market.clock import machine, present
from market_assets.market.timeframes import Timeframe
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.stream_truth import Truth
from market_assets.practice.streams import PracticeStreams
from market_assets.practice.vendor import PracticeVendor
from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from market_assets.live.report import StreamReport
    from market_assets.practice.stream_faults import StreamFault

SPEED = 30
ORIGIN = datetime(2025, 3, 3, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def clock_text(origin: datetime = ORIGIN) -> str:
    """A clock that begins at an instant now and runs fast, as `MARKET_ASSETS_CLOCK` has it."""
    return f"{origin.isoformat()}@{machine().isoformat()}*{SPEED}"


class LiveGround:
    """A home, a universe with one profile `live`, and the vendor's two sides."""

    def __init__(
        self,
        folder: Path,
        market: Market,
        vendor: PracticeVendor,
        streams: PracticeStreams,
        symbols: Sequence[str],
    ) -> None:
        self._truth = Truth(market)
        self.home = folder / "home"
        self.vendor = vendor
        self.streams = streams
        self.path = folder / "universe.yaml"
        self.symbols = symbols
        self.store = Store(self.home, clock=present, patience=timedelta(seconds=30))
        self.stop = threading.Event()
        self.reports: list[StreamReport] = []
        self.keep()

    def keep(self, **profile: object) -> None:
        """Write the universe; keys of the profile take the place of the usual ones."""
        usual = {
            "kind": "CRYPTO",
            "start": "2025-03-03",
            "timeframes": {"fetch": ["1m"], "derive": ["5m"]},
            "sources": ["vendor"],
            "symbols": {symbol: {} for symbol in self.symbols},
            "stream": {"catch_up": "30m"},
        }
        source = {
            "type": "practice",
            "base_url": self.vendor.url,
            "stream_url": self.streams.url("binance"),
            "retries": 1,
        }
        universe = {"sources": {"vendor": source}, "profiles": {"live": usual | profile}}
        self.path.write_text(yaml.safe_dump(json.loads(json.dumps(universe))))
        self.universe = load_universe(self.path, environ={})
        self.profile = self.universe.profiles["live"]

    def set_faults(self, *faults: StreamFault) -> None:
        self.streams.set_faults(faults)

    def stream(
        self, until: Callable[[StreamReport], object], *, longest: float = 60, **options: object
    ) -> list[StreamReport]:
        """Stream until a report is as it should be; the reports until the session is over."""
        deadline = machine() + timedelta(seconds=longest)
        self.stop.clear()
        reports = []
        for report in stream_profile(
            self.store,
            lambda: sources_of(self.universe, self.profile),
            self.universe,
            self.profile,
            options=StreamOptions(**options),
            stop=self.stop,
        ):
            reports.append(report)
            if until(report):
                self.stop.set()
            if machine() > deadline:
                self.stop.set()
                raise AssertionError(f"it never came to be so: {reports[-3:]}")
        return reports

    def table(self, sql: str):
        with self.store.reading("testing") as view:
            return view.database.frame(sql)

    def rows(self) -> dict[tuple[str, datetime], tuple[float, ...]]:
        frame = self.table(
            "SELECT symbol, ts, open, high, low, close, volume FROM live.candles_1m ORDER BY ALL"
        )
        rows = [(row[0], row[1].replace(tzinfo=UTC), row[2:]) for row in frame.iter_rows()]
        stored = {(symbol, ts): values for symbol, ts, values in rows}
        assert len(stored) == len(rows), "a bar is stored twice"
        return stored

    def truth(self, symbol: str, ts: datetime) -> tuple[float, ...]:
        row = self._truth.final(symbol, Timeframe.M1, round(ts.timestamp() * 1000))
        return tuple(row[2:7])

    def wrong(self) -> dict[tuple[str, datetime], tuple[float, ...]]:
        """The stored bars that differ from the vendor's truth."""
        return {key: values for key, values in self.rows().items() if values != self.truth(*key)}

    def holes(self, first: datetime) -> list[tuple[str, datetime]]:
        """The bars from an instant to the newest stored one that are not stored."""
        rows = self.rows()
        holes = []
        for symbol in self.symbols:
            opens = {ts for name, ts in rows if name == symbol}
            last = max(opens)
            minutes = int((last - first) / MINUTE) + 1
            holes += [
                (symbol, first + number * MINUTE)
                for number in range(minutes)
                if first + number * MINUTE not in opens
            ]
        return holes


@contextmanager
def live_ground(folder: Path, *symbols: str) -> Iterator[LiveGround]:
    """A ground whose clock is the environment's."""
    market = Market(symbols={symbol: Instrument() for symbol in symbols})
    with PracticeVendor(market, present) as vendor, PracticeStreams(market) as streams:
        yield LiveGround(folder, market, vendor, streams, symbols)
