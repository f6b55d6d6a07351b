"""A practice ground for fills.

It has a real store, loopback vendors and archives, the universe that joins them, and what a test
sees of it.
"""

from __future__ import annotations

import json
import textwrap
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from market_assets.config.load import load_universe
from market_assets.expected.scope import scope_of
from market_assets.expected.series import calendar_of
from market_assets.fill.fill import Fill
from market_assets.fill.options import FillOptions
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window, from_micros
from market_assets.practice.simulate import Instrument
from market_assets.sources.contract import build_source
from market_assets.work.run import BY_HAND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.practice.vendor import PracticeVendor
    from market_assets.sources.contract import Source
    from market_assets.store import Store
    from market_assets.verdicts.verdicts import SymbolCounts, Verdict
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run
    from market_assets_tests.conftest import Clock

QUICK = {"retries": 0, "backoff": 0, "timeout": 5, "total_timeout": 5, "max_elapsed": 5}
"""A source that gives up at once, so that what a fill makes of it can be seen."""

EARLY_GENESIS = datetime(2025, 2, 26, 20, tzinfo=UTC)
LATE_GENESIS = datetime(2025, 2, 27, 8, 30, tzinfo=UTC)
LAST_GENESIS = datetime(2025, 2, 28, tzinfo=UTC)

SYMBOLS = {
    "BTC": Instrument(),
    "ETH": Instrument(price=3000),
    "EARLY": Instrument(genesis=EARLY_GENESIS),
    "LATE": Instrument(genesis=LATE_GENESIS),
    "LAST": Instrument(genesis=LAST_GENESIS),
    "SPY": Instrument(kind="equity"),
    "ES": Instrument(kind="futures"),
    "EURUSD": Instrument(kind="forex"),
}


class Ground:
    """Everything a fill needs, and everything that can be seen of it afterwards.

    Its profile is called `kept`. Sources are built anew for each fill, as each run does it.
    """

    def __init__(self, folder: Path, store: Store, clock: Clock) -> None:
        self.folder = folder
        self.store = store
        self.clock = clock
        self.settings: dict[str, dict[str, object]] = {}
        self.profile: Profile
        self.sources: Mapping[str, Source] = {}

    def add_source(self, name: str, **settings: object) -> None:
        self.settings[name] = settings

    def add_vendor(self, name: str, vendor: PracticeVendor, **settings: object) -> None:
        self.add_source(name, **(QUICK | {"type": "practice", "base_url": vendor.url} | settings))

    def add_archive(
        self, name: str, frames: Mapping[str, pl.DataFrame], **settings: object
    ) -> None:
        """Write a Parquet file a symbol, and a source that reads them."""
        for symbol, frame in frames.items():
            path = self.folder / name / f"{symbol}.parquet"
            path.parent.mkdir(exist_ok=True)
            frame.write_parquet(path)
        self.add_source(
            name, **{"type": "archive", "path": f"{name}/{{symbol}}.parquet"} | settings
        )

    def keep(self, keys: str) -> None:
        """Write the universe: a profile of a few days of hours, but for the keys that are given."""
        usual = {
            "kind": "CRYPTO",
            "start": "2025-02-26",
            "end": "2025-03-01",
            "timeframes": {"fetch": ["1h"]},
            "sources": list(self.settings),
        }
        path = self.folder / "universe.yaml"
        profile = usual | yaml.safe_load(textwrap.dedent(keys))
        path.write_text(yaml.safe_dump({"sources": self.settings, "profiles": {"kept": profile}}))
        self.universe = load_universe(path, environ={})
        self.profile = self.universe.profiles["kept"]

    def begin(
        self,
        *,
        window: Window | None = None,
        timeframe: Timeframe | None = None,
        run: Run = BY_HAND,
        **options: Any,
    ) -> Fill:
        """Make a fill of the whole profile, or of a window, that has not begun yet."""
        if "sources" in options:
            self.sources = options.pop("sources")
        else:
            kind = self.profile.kind.value.lower()
            self.sources = {
                name: build_source(name, settings, base=self.folder, kind=kind)
                for name, settings in self.universe.sources.items()
            }
        return Fill(
            self.store,
            self.sources,
            self.scope(timeframe),
            window or self.profile.window(self.clock()),
            options=FillOptions(**options),
            run=run,
        )

    def fill(self, **options: Any) -> list[PartitionOutcome]:
        return list(self.begin(**options))

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.clock.now += timedelta(**time)

    def requests(self) -> int:
        """How much the sources were asked in the latest fill, archives included."""
        return sum(source.usage.requests for source in self.sources.values())

    def scope(self, timeframe: Timeframe | None = None) -> Scope:
        """What must exist by now of a timeframe, the shortest fetched one by default."""
        return scope_of(self.profile, timeframe or self.profile.base_timeframe, self.clock())

    def calendar(self) -> SessionCalendar:
        return calendar_of(self.profile)

    def rows(self, symbol: str | None = None, timeframe: Timeframe | None = None) -> pl.DataFrame:
        """What is stored, sorted."""
        timeframe = timeframe or self.profile.base_timeframe
        everything = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC))
        symbols = [symbol] if symbol else list(self.profile.symbols)
        with self.store.reading("testing") as view:
            return view.candles.of(Dataset.candles("kept", timeframe), symbols, everything).sort(
                "symbol", "ts"
            )

    def opens(self, symbol: str) -> list[datetime]:
        """The opens of what is stored of a symbol."""
        return [ts.replace(tzinfo=UTC) for ts in self.rows(symbol)["ts"]]

    def absent(self, symbol: str) -> list[datetime]:
        """The closed bars of the calendar since the profile's start that are not stored.

        They are counted by arithmetic of the test's own.
        """
        window = self.profile.symbols[symbol].window(self.clock())
        expected = self.calendar().expected(self.profile.base_timeframe, window, until=self.clock())
        stored = set(self.rows(symbol)["ts"])
        return [ts.replace(tzinfo=UTC) for ts in expected if ts not in stored]

    def complete(self) -> bool:
        """Whether every bar of every symbol is stored, and none twice."""
        stored = self.rows().select("symbol", "ts")
        expected = {
            symbol: len(
                self.calendar().expected(
                    self.profile.base_timeframe, one.window(self.clock()), until=self.clock()
                )
            )
            for symbol, one in self.profile.symbols.items()
        }
        return (
            dict(stored.unique().group_by("symbol").len().iter_rows()) == expected
            and stored.is_unique().all()
        )

    def table(self, sql: str) -> pl.DataFrame:
        """The rows of a query; the columns of time are UTC without a zone."""
        with self.store.reading("testing") as view:
            return view.database.frame(sql)

    def lose(self, condition: str) -> None:
        """Delete candles by hand."""
        with self.store.writing("testing") as transaction:
            transaction.connection.execute(
                f"DELETE FROM kept.candles_{self.profile.base_timeframe} WHERE {condition}"
            )

    def gaps(self) -> pl.DataFrame:
        return self.table(
            """
            SELECT symbol, first_ts, last_ts, bars, status, attempts, reason
            FROM ops.gaps
            ORDER BY ALL
            """
        )

    def job(self) -> dict[str, Any]:
        """The only job of the latest start, with its detail unpacked."""
        newest = self.table("SELECT * FROM ops.jobs ORDER BY rowid DESC LIMIT 1").row(0, named=True)
        return newest | {"detail": json.loads(newest["detail"] or "{}")}


def asked(vendor: PracticeVendor, symbol: str | None = None) -> list[Window]:
    """The windows that a vendor was asked for, oldest request first.

    The probes for a first bar are left out.
    """
    return [
        Window(_instant(entry["startTime"]), _instant(int(entry["endTime"]) + 1))
        for entry in vendor.log
        if entry["endTime"] is not None and symbol in {None, entry["symbol"]}
    ]


def _instant(milliseconds: str | int) -> datetime:
    return from_micros(1000 * int(milliseconds))


def verdict(outcome: PartitionOutcome, check: str) -> Verdict:
    return next(verdict for verdict in outcome.verdicts if verdict.check == check)


def counts(outcome: PartitionOutcome) -> dict[str, SymbolCounts]:
    return {own.symbol: own for own in outcome.counts}


def keys(outcomes: Sequence[PartitionOutcome]) -> list[str]:
    return [outcome.partition.key for outcome in outcomes]


def at(text: str) -> datetime:
    """An instant in UTC, such as 2025-02-26T12:00."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def candles(opens: Sequence[datetime]) -> pl.DataFrame:
    """Candles of an archive, each of its own values."""
    price = pl.int_range(pl.len()).cast(pl.Float64) + 100
    return pl.DataFrame(
        {"ts": [ts.replace(tzinfo=None) for ts in opens]}, schema={"ts": TS}
    ).with_columns(open=price, high=price + 2, low=price - 2, close=price + 1, volume=price / 10)


def every(step: timedelta, start: datetime, end: datetime) -> list[datetime]:
    """The instants from a start to before an end."""
    return [start + number * step for number in range(-((start - end) // step))]


def plain(symbols: Iterable[str]) -> str:
    """Symbols with nothing special about them, as YAML."""
    return json.dumps({symbol: {} for symbol in symbols})


def covered(windows: Iterable[Window], step: timedelta) -> list[datetime]:
    """The bars that some windows ask for."""
    return sorted(ts for window in windows for ts in every(step, window.start, window.end))


def filled_often(ground: Ground, times: int, **options: object) -> list[PartitionOutcome]:
    """The outcomes of the last of some fills, five hours apart."""
    for _ in range(times):
        outcomes = ground.fill(**options)
        ground.wait(hours=5)
    return outcomes
