"""What is not judged again is as it would be judged: two stores, one judged whole each time."""

from __future__ import annotations

import copy
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from market_assets.config.load import load_universe
from market_assets.config.sources import sources_of
from market_assets.fill.memory import Memory
from market_assets.fill.streamed import Streamed, StreamedFill
from market_assets.market.timeframes import TS, Timeframe
from market_assets.store import Store
from market_assets.store.tables.candles import CandlesWriter
from market_assets.stream.stream import BAR_SCHEMA

DAY = datetime(2025, 3, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SYMBOLS = ("BTC", "ETH", "SOL")
TABLES = {
    "live.candles_1m": "symbol, ts",
    "ops.partitions": "partition, symbol",
    "ops.gaps": "symbol, first_ts",
    "ops.revisions": "symbol, ts, revised_at",
    "ops.refused": "symbol, partition, reason",
    "ops.repairs": "symbol, first_ts",
}


class Twin:
    """A store into which a stream writes; `is_forgetful` judges the whole partition each time."""

    def __init__(self, folder: Path, *, is_forgetful: bool) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        universe = {
            "sources": {"vendor": {"type": "practice", "base_url": "http://127.0.0.1:1"}},
            "profiles": {
                "live": {
                    "kind": "CRYPTO",
                    "start": "2025-03-02",
                    "timeframes": {"fetch": ["1m"]},
                    "sources": ["vendor"],
                    "symbols": {symbol: {} for symbol in SYMBOLS},
                }
            },
        }
        path = folder / "universe.yaml"
        path.write_text(yaml.safe_dump(universe))
        universe = load_universe(path, environ={})
        self.profile = universe.profiles["live"]
        self.sources = sources_of(universe, self.profile)
        self.now = DAY
        self.store = Store(folder, clock=lambda: self.now)
        self.is_forgetful = is_forgetful
        self.restart()

    def restart(self) -> None:
        self.memory = Memory()
        self.fill = StreamedFill(
            self.store, self.sources, self.profile, Timeframe.M1, memory=self.memory
        )

    def commit(self, bars: pl.DataFrame, now: datetime):
        self.now = now
        if self.is_forgetful:
            self.memory = Memory()
            self.fill._memory = self.memory
        return self.fill.commit([Streamed("vendor", bars)], now - timedelta(seconds=10))

    def execute(self, sql: str) -> None:
        with self.store.writing("disturbing") as transaction:
            transaction.connection.execute(sql)

    def tables(self) -> dict[str, pl.DataFrame]:
        with self.store.reading("looking") as view:
            return {
                name: view.database.frame(f"SELECT * FROM {name} ORDER BY {order}")
                for name, order in TABLES.items()
            }

    def copied(self, folder: Path) -> Twin:
        """Another one that has come just as far."""
        shutil.copytree(self.folder, folder)
        twin = Twin(folder, is_forgetful=self.is_forgetful)
        twin.now = self.now
        twin.memory = twin.fill._memory = copy.deepcopy(self.memory)
        twin.fill._ends = self.fill._ends.copy()
        return twin


def bars(rows: list[tuple[str, int, float]]) -> pl.DataFrame:
    """Bars by symbol, minute of the day and volume; a volume below zero cannot be."""
    last = {(symbol, minute): volume for symbol, minute, volume in rows}
    named = [
        (symbol, (DAY + minute * MINUTE).replace(tzinfo=None), 10.0, 12.0, 9.0, 11.0, volume)
        for (symbol, minute), volume in sorted(last.items())
    ]
    names = ("symbol", "ts", "open", "high", "low", "close", "volume")
    schema = dict.fromkeys(names, pl.Float64) | {"symbol": pl.String, "ts": TS}
    frame = pl.DataFrame(named, schema=schema, orient="row")
    return frame.with_columns(
        received_at=pl.col("ts") + MINUTE,
        is_revision=pl.lit(value=False),
        **{
            name: pl.lit(None).cast(kind)
            for name, kind in BAR_SCHEMA.items()
            if name not in {*names, "received_at", "is_revision"}
        },
    ).select(BAR_SCHEMA.names())


@pytest.fixture
def twin(tmp_path):
    return Twin(tmp_path / "home", is_forgetful=False)


def streamed(twin: Twin, first: int, last: int, *symbols: str):
    rows = [(s, minute, 1.0) for s in symbols or SYMBOLS for minute in range(first, last)]
    (outcome,) = twin.commit(bars(rows), DAY + last * MINUTE + timedelta(seconds=1))
    return outcome


def verdict(outcome, check: str):
    return next(verdict for verdict in outcome.verdicts if verdict.check == check)


def test_a_bar_is_judged_without_reading_the_day_again(twin, monkeypatch):
    for first in (0, 100, 200):
        streamed(twin, first, first + 100)
    since = []
    merge = CandlesWriter.merge

    def spied(self, dataset, symbols, window, incoming):
        since.append(window.start)
        return merge(self, dataset, symbols, window, incoming)

    monkeypatch.setattr(CandlesWriter, "merge", spied)
    outcome = streamed(twin, 300, 301)

    assert since == [DAY + 268 * MINUTE]
    assert outcome.rows == 903
    assert sum(count.stored for count in outcome.counts) == 903


def test_an_impossible_row_that_somebody_wrote_before_is_seen(twin):
    for first in (0, 100, 200):
        streamed(twin, first, first + 100)
    twin.execute("UPDATE live.candles_1m SET high = 1 WHERE ts = '2025-03-03 00:30'")

    outcome = streamed(twin, 300, 301)

    assert not verdict(outcome, "validity").passed


def test_a_row_that_somebody_removed_before_is_missing(twin):
    for first in (0, 100, 200):
        streamed(twin, first, first + 100)
    twin.execute("DELETE FROM live.candles_1m WHERE ts = '2025-03-03 00:30' AND symbol = 'ETH'")

    outcome = streamed(twin, 300, 301)

    assert sum(count.missing for count in outcome.counts) == 1


# Random arrivals ----------------------------------------------------------------------------------

AHEAD = st.tuples(
    st.just("ahead"),
    st.integers(1, 50),
    st.lists(st.integers(0, 60), max_size=8),
    st.sets(st.sampled_from(SYMBOLS), min_size=1),
)
"""So many new minutes of some symbols, without some of them."""

BACK = st.tuples(
    st.just("back"),
    st.integers(0, 130),
    st.sampled_from(SYMBOLS),
    st.sampled_from((1.0, 2.0, -1.0)),
)
"""A bar so many minutes before the newest: late, the same again, revised, or one that cannot be."""

REMOVED = st.tuples(st.just("removed"), st.integers(0, 130), st.sampled_from(SYMBOLS))
SPOILT = st.tuples(st.just("spoilt"), st.integers(0, 130), st.sampled_from(SYMBOLS))
DOUBLED = st.tuples(st.just("doubled"), st.integers(0, 130), st.sampled_from(SYMBOLS))
QUIET = st.tuples(
    st.just("quiet"), st.integers(-70, 300), st.integers(1, 90), st.sampled_from(SYMBOLS)
)
"""REST has answered for some minutes, and leaves quiet bars out."""

SETTLED = st.tuples(st.just("settled"), st.sampled_from(("outage", "abandoned")))
"""What is open is explained, or abandoned, by somebody else."""

EVE = st.tuples(st.just("eve"), st.integers(1, 45), st.sampled_from(SYMBOLS))
"""A bar so many minutes before the day is stored by somebody else."""

BEGUN = st.tuples(st.just("begun"), st.integers(-30, 60), st.sampled_from(SYMBOLS))
"""A symbol's genesis is recorded."""

RESTART = st.tuples(st.just("restart"))
STEPS = st.lists(
    st.one_of(AHEAD, AHEAD, BACK, REMOVED, SPOILT, DOUBLED, QUIET, SETTLED, EVE, BEGUN, RESTART),
    max_size=12,
)


def at(minute: int) -> str:
    return (DAY + minute * MINUTE).strftime("TIMESTAMP '%Y-%m-%d %H:%M:%S'")


class Course:
    """Steps that both twins take; what they come to is compared after each commit."""

    def __init__(self, twins: list[Twin]) -> None:
        self.twins = twins
        self.end = 0

    def copied(self, folder: Path) -> Course:
        course = Course([twin.copied(folder / twin.folder.name) for twin in self.twins])
        course.end = self.end
        return course

    def commit(self, rows: list[tuple[str, int, float]], minute: int) -> None:
        now = DAY + minute * MINUTE + timedelta(seconds=3 + len(rows) % 20)
        outcomes = [twin.commit(bars(rows), max(now, twin.now)) for twin in self.twins]
        assert outcomes[0] == outcomes[1]
        tables, others = (twin.tables() for twin in self.twins)
        for name, table in tables.items():
            assert table.equals(others[name]), name

    def execute(self, sql: str) -> None:
        for twin in self.twins:
            twin.execute(sql)

    def ahead(self, minutes: int, holes, symbols) -> None:
        rows = [
            (symbol, self.end + place, 1.0)
            for symbol in sorted(symbols)
            for place in range(minutes)
            if place not in holes or place == minutes - 1
        ]
        self.end += minutes
        self.commit(rows, self.end)

    def back(self, minutes: int, symbol: str, volume: float) -> None:
        self.commit([(symbol, max(self.end - 1 - minutes, 0), volume)], self.end)

    def removed(self, minutes: int, symbol: str) -> None:
        self.execute(f"DELETE FROM live.candles_1m WHERE {self.where(minutes, symbol)}")

    def spoilt(self, minutes: int, symbol: str) -> None:
        self.execute(f"UPDATE live.candles_1m SET low = 100 WHERE {self.where(minutes, symbol)}")

    def doubled(self, minutes: int, symbol: str) -> None:
        rows = f"SELECT * FROM live.candles_1m WHERE {self.where(minutes, symbol)}"
        self.execute(f"INSERT INTO live.candles_1m {rows}")

    def where(self, minutes: int, symbol: str) -> str:
        return f"ts = {at(self.end - minutes)} AND symbol = '{symbol}'"

    def quiet(self, first: int, minutes: int, symbol: str) -> None:
        self.execute(
            f"""
            INSERT INTO ops.coverage BY NAME
            SELECT 'live' AS profile, '{symbol}' AS symbol, '1m' AS timeframe,
                'vendor' AS source, {at(first)} AS start_ts, {at(first + minutes)} AS end_ts,
                9 AS bars, TRUE AS omits_quiet, {at(0)} AS answered_at
            """
        )

    def settled(self, status: str) -> None:
        self.execute(
            f"UPDATE ops.gaps SET status = '{status}', attempts = 9, confirmations = 9 "
            "WHERE status = 'open'"
        )

    def eve(self, minutes: int, symbol: str) -> None:
        self.execute(
            f"""
            INSERT INTO live.candles_1m BY NAME
            SELECT * REPLACE ({at(-minutes)} AS ts)
            FROM live.candles_1m
            WHERE {self.where(1, symbol)}
            """
        )

    def begun(self, minute: int, symbol: str) -> None:
        for twin in self.twins:
            with twin.store.writing("beginning") as transaction:
                dataset = twin.profile.candles(Timeframe.M1)
                transaction.genesis.put(dataset, symbol, DAY + minute * MINUTE, "vendor")

    def restart(self) -> None:
        for twin in self.twins:
            twin.restart()


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Course:
    """A day that is long enough for borders from the start."""
    folder = tmp_path_factory.mktemp("begun")
    course = Course([Twin(folder / str(place), is_forgetful=bool(place)) for place in range(2)])
    course.ahead(150, [0, 1, 2, 7, 8, 40, 41, 42, 90], SYMBOLS)
    return course


FILLED = [("ahead", 50, [], set(SYMBOLS)) for _ in range(4)]


@given(STEPS)
@example([*FILLED, ("quiet", 30, 30, "ETH"), ("ahead", 1, [], {"BTC"})])
@example([*FILLED, ("removed", 120, "ETH"), ("quiet", 60, 60, "ETH"), ("ahead", 1, [], {"BTC"})])
@example(
    [
        *FILLED,
        ("quiet", -70, 90, "ETH"),
        ("ahead", 1, [], {"BTC", "ETH"}),
        ("eve", 1, "ETH"),
        ("ahead", 1, [], {"BTC"}),
    ]
)
@example([*FILLED, ("begun", 60, "SOL"), ("ahead", 1, [], {"BTC"})])
@example([("spoilt", 111, "SOL"), ("spoilt", 25, "BTC"), ("ahead", 1, [], {"BTC"})])
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_it_is_judged_as_if_all_were_judged(begun, steps):
    with tempfile.TemporaryDirectory(dir=begun.twins[0].folder.parent) as name:
        course = begun.copied(Path(name))
        for kind, *values in steps:
            getattr(course, kind)(*values)
