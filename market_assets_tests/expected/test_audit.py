"""An audit by partitions says what a look at each bar says, whatever somebody did by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from market_assets.expected import audit as audits
from market_assets.expected.audit import PARTS, audit_of
from market_assets.expected.scope import scope_of
from market_assets.expected.series import prepare
from market_assets.expected.states import states_of
from market_assets.market.timeframes import TS, Timeframe
from market_assets.store.database import naive
from market_assets.verdicts.evidence import EXPLAINED, State
from market_assets_tests.support.fill_ground import at, candles, every

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot, Store, Transaction
    from market_assets_tests.support.fill_ground import Ground

MARKETS = {
    "always open": """
        kind: CRYPTO
        start: 2025-02-26
        timeframes: {fetch: [1h]}
        symbols: {A: {}, NEW: {start: 2025-02-27}, OLD: {end: 2025-02-28}}
    """,
    "with halts": """
        kind: EQUITY
        start: 2020-03-06
        end: 2020-03-13
        timeframes: {fetch: [5m]}
        symbols: {A: {}, NEW: {start: 2020-03-10}, OLD: {end: 2020-03-11}}
    """,
    "with half a day": """
        kind: EQUITY
        start: 2024-11-27
        end: 2024-12-03
        timeframes: {fetch: [15m]}
        symbols: {A: {}, NEW: {start: 2024-11-29}, OLD: {end: 2024-11-30}}
    """,
    "of days": """
        kind: EQUITY
        start: 2024-11-11
        end: 2025-02-03
        timeframes: {fetch: [1d]}
        symbols: {A: {}, NEW: {start: 2024-12-29}, OLD: {end: 2025-01-31}}
    """,
}
NOW = at("2025-03-01T12:30")
NAMES = ("A", "NEW", "OLD")
HALF_A_MINUTE = timedelta(seconds=30)

share = st.floats(0, 0.999)
places = st.tuples(st.sampled_from(NAMES), share)
stretches = st.tuples(st.sampled_from(NAMES), share, st.integers(1, 12))
ledgers = st.lists(
    st.tuples(stretches, st.sampled_from(["open", "abandoned", "outage", "no_trade", "closed"])),
    max_size=6,
)


def slow(view: Snapshot, scope: Scope) -> pl.DataFrame:
    """The counts of each partition by a look at each bar."""
    states = states_of(view, scope, scope.extent)
    state = pl.col("state")
    counted = states.group_by("symbol", scope.part()).agg(
        expected=pl.len().cast(pl.Int64),
        stored=(state == State.STORED).sum().cast(pl.Int64),
        explained=state.is_in(EXPLAINED).sum().cast(pl.Int64),
        missing=state.is_in([State.OPEN, State.ABANDONED]).sum().cast(pl.Int64),
    )
    return counted.sort("symbol", "part")


class Hand:
    """Somebody who writes to the store by hand."""

    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        self._db = transaction.connection
        self._name = scope.profile.name
        self._timeframe = str(scope.timeframe)
        self._table = f"{self._name}.candles_{scope.timeframe}"
        self.bars = scope.bars(scope.extent)

    def clear(self) -> None:
        for table in (self._table, "ops.gaps", "ops.coverage", "ops.partitions"):
            self._db.execute(f"DELETE FROM {table}")

    def stretch(self, symbol: str, where: float, length: int) -> list[datetime]:
        """The opens of some bars of a symbol that follow each other."""
        opens = self.bars.filter(symbol=symbol)["ts"]
        return opens.slice(int(where * len(opens)), length).to_list()

    def store(self, rows: pl.DataFrame) -> None:
        rows = rows.select("symbol", "ts").with_columns(
            **dict.fromkeys(("open", "high", "low", "close"), pl.lit(1.0)), source=pl.lit("hand")
        )
        self._db.register("rows_by_hand", rows.to_arrow())
        self._db.execute(f"INSERT INTO {self._table} BY NAME SELECT * FROM rows_by_hand")
        self._db.unregister("rows_by_hand")

    def delete(self, symbol: str, opens: list[datetime]) -> None:
        self._db.execute(
            f"DELETE FROM {self._table} WHERE symbol = ? AND list_contains(?::TIMESTAMP[], ts)",
            [symbol, opens],
        )

    def note(self, statuses: dict[tuple[str, datetime], str]) -> None:
        """Put bars into the ledger, a row for each."""
        for (symbol, ts), status in statuses.items():
            self._db.execute(
                """
                INSERT INTO ops.gaps (profile, symbol, timeframe, first_ts, last_ts, bars, status,
                                      attempts, confirmations, first_seen, reason)
                VALUES (?, ?, ?, ?, ?, 1, ?, 1, 2, TIMESTAMP '2020-01-01', '')
                """,
                [self._name, symbol, self._timeframe, ts, ts, status],
            )

    def hear(self, symbol: str, opens: list[datetime]) -> None:
        """Note that a source which leaves quiet bars out has answered."""
        self._db.execute(
            """
            INSERT INTO ops.coverage (profile, symbol, timeframe, source, start_ts, end_ts, bars,
                                      omits_quiet, answered_at, answered_from)
            VALUES (?, ?, ?, 'hand', ?, ?::TIMESTAMP + INTERVAL 1 MICROSECOND, 5, TRUE,
                    TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-01')
            """,
            [self._name, symbol, self._timeframe, opens[0], opens[-1]],
        )


def foreign(scope: Scope, spots: list[tuple[str, float]]) -> pl.DataFrame:
    """Rows at times that the calendar has no bar for: within bars, at night, before the start."""
    start, end = (naive(edge) for edge in (scope.extent.start, scope.extent.end))
    length = end - start + timedelta(days=2)
    rows = [
        (
            symbol,
            start
            - timedelta(days=1)
            + timedelta(seconds=30 * int(where * length.total_seconds() / 30)),
        )
        for symbol, where in spots
    ]
    drawn = pl.DataFrame(rows, schema={"symbol": pl.String, "ts": TS}, orient="row")
    return drawn.join(scope.bars(scope.extent), on=["symbol", "ts"], how="anti")


@dataclass(frozen=True)
class Deeds:
    """What somebody did by hand: to what was judged, and after it."""

    absent: list[tuple[str, float, int]]
    ledger: list[tuple[tuple[str, float, int], str]]
    heard: list[tuple[str, float, int]]
    is_judged: bool
    deleted: list[tuple[str, float, int]]
    is_returned: bool
    doubled: list[tuple[str, float]] = field(default_factory=list)
    strange: list[tuple[str, float]] = field(default_factory=list)


deeds = st.builds(
    Deeds,
    absent=st.lists(stretches, max_size=6),
    ledger=ledgers,
    heard=st.lists(stretches, max_size=3),
    is_judged=st.booleans(),
    deleted=st.lists(stretches, max_size=3),
    is_returned=st.booleans(),
    doubled=st.lists(places, max_size=4),
    strange=st.lists(places, max_size=8),
)


def swapped(gone: float, back: float, **deeds: Any) -> Deeds:
    """A bar that was explained is stored now, and another one of its partition is not."""
    absent = [("A", back, 1)]
    done = Deeds(absent, [], [], is_judged=True, deleted=[("A", gone, 1)], is_returned=True)
    return replace(done, **deeds)


# By the ledger; by a halt, which is the second bar of the second day; a bar that is there twice;
# and a row that somebody has put half an hour after the first bar of all.
EXPLAINED_BY_THE_LEDGER = swapped(0.05, 0.0, ledger=[(("A", 0.0, 1), "outage")])
HALTED = swapped(85.5 / 390, 79.5 / 390)
TWICE = swapped(0.05, 0.0, absent=[], doubled=[("A", 0.0)])
HALF_AN_HOUR_LATE = swapped(0.0, 0.5, absent=[], strange=[("A", (24.5 + 1e-6) / (24 * 5.520833))])


@pytest.mark.parametrize("market", MARKETS)
@example(EXPLAINED_BY_THE_LEDGER)
@example(HALTED)
@example(TWICE)
@example(HALF_AN_HOUR_LATE)
@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(done=deeds)
def test_the_audit_says_what_a_look_at_each_bar_says(
    store: Store, profile: Callable[[str], Profile], market: str, done: Deeds
) -> None:
    kept = profile(MARKETS[market])
    scope = scope_of(kept, kept.base_timeframe, NOW)
    with store.writing("by hand") as transaction:
        prepare(transaction, kept)
        hand = Hand(transaction, scope)
        hand.clear()
        hand.store(hand.bars)
        lost = [(symbol, hand.stretch(symbol, where, bars)) for symbol, where, bars in done.absent]
        for symbol, opens in lost:
            hand.delete(symbol, opens)
        # A bar is in one row of the ledger at most.
        hand.note(
            {
                (symbol, ts): status
                for (symbol, where, bars), status in done.ledger
                for ts in hand.stretch(symbol, where, bars)
            }
        )
        if done.is_judged:
            counts = slow(transaction, scope).with_columns(partition=pl.col("part").dt.to_string())
            transaction.partitions.put(scope.dataset, counts.drop("part"), NOW)
        else:
            for symbol, where, bars in done.heard:
                hand.hear(symbol, hand.stretch(symbol, where, bars))

        # Since then somebody has put bars into the place of others.
        for symbol, where, bars in done.deleted:
            hand.delete(symbol, hand.stretch(symbol, where, bars))
        again = lost[:2] if done.is_returned else []
        back = [(symbol, ts) for symbol, opens in again for ts in opens]
        spots = [(symbol, hand.stretch(symbol, where, 1)) for symbol, where in done.doubled]
        twice = [(symbol, ts) for symbol, opens in spots for ts in opens]
        added = pl.DataFrame(back + twice, schema={"symbol": pl.String, "ts": TS}, orient="row")
        hand.store(added)
        hand.store(foreign(scope, done.strange))

        found = audit_of(transaction, scope, NOW)
        expected = slow(transaction, scope)

    parts = found.parts.sort("symbol", "part")
    assert parts.drop("is_judged").equals(expected)
    assert parts["is_judged"].all() or not done.is_judged
    totals = expected.group_by("symbol").agg(pl.exclude("part", "symbol").sum()).sort("symbol")
    assert found.series.sort("symbol").select(totals.columns).equals(totals)


def test_only_partitions_whose_counts_are_off_are_looked_at_bar_by_bar(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.keep("symbols: {BTC: {}, ETH: {}}")
    ground.fill()
    ground.lose("symbol = 'ETH' AND ts >= '2025-02-27 03:00' AND ts < '2025-02-27 05:00'")
    windows = []

    def noted(view, scope, window, **options):
        windows.append((scope.symbols, window.start.day))
        return states_of(view, scope, window, **options)

    monkeypatch.setattr(audits, "states_of", noted)
    with ground.store.writing("testing") as transaction:
        # Nothing can explain what nobody has answered for.
        assert audit_of(transaction, ground.scope(), NOW).parts["missing"].sum() == 2
        assert not windows
        hand = Hand(transaction, ground.scope())
        hand.note({("ETH", naive(at("2025-02-27T03:00"))): "outage"})
        assert audit_of(transaction, ground.scope(), NOW).parts["missing"].sum() == 1
    assert windows == [(["ETH"], 27)]


def test_a_bar_that_the_next_update_is_still_to_bring_is_not_called_for(ground: Ground) -> None:
    ground.keep("symbols: {BTC: {}}\nend: null")
    ground.fill()
    ground.wait(hours=3)
    with ground.store.reading("testing") as view:
        for hours, missing in ((0, 3), (2, 1), (3, 0)):
            until = ground.clock() - timedelta(hours=hours)
            assert audit_of(view, ground.scope(), until).parts["missing"].sum() == missing


def test_a_derived_bar_is_explained_as_it_was_judged_and_not_by_a_bar_beyond(
    empty_ground: Ground,
) -> None:
    ground = empty_ground
    opens = every(timedelta(hours=1), at("2025-02-26"), at("2025-02-27"))
    ground.add_archive("files", {"BTC": candles(opens)})
    ground.keep("symbols: {BTC: {}}\nend: 2025-02-27\ntimeframes: {fetch: [1h], derive: [4h]}")
    scope = ground.scope(Timeframe.H4)
    counts = pl.DataFrame(
        {
            "partition": ["2025-02-26"],
            "symbol": ["BTC"],
            "expected": [6],
            "stored": [3],
            "explained": [2],
            "missing": [1],
        }
    )
    bars = pl.DataFrame({"symbol": "BTC", "ts": [naive(ts) for ts in opens[::4]]})
    with ground.store.writing("testing") as transaction:
        prepare(transaction, ground.profile)
        transaction.partitions.put(scope.dataset, counts)
        for stored, explained in ((2, 2), (3, 2), (4, 1), (5, 0), (6, 0)):
            transaction.connection.execute("DELETE FROM kept.candles_4h")
            rows = bars.head(stored).with_columns(
                **dict.fromkeys(("open", "high", "low", "close"), pl.lit(1.0)),
                source=pl.lit("hand"),
                bars=pl.lit(4),
                bars_expected=pl.lit(4),
            )
            transaction.connection.register("rows_by_hand", rows.to_arrow())
            transaction.connection.execute(
                "INSERT INTO kept.candles_4h BY NAME SELECT * FROM rows_by_hand"
            )
            (row,) = audit_of(transaction, scope, NOW).parts.to_dicts()
            assert (row["stored"], row["explained"]) == (stored, explained)
            assert row["missing"] == 6 - stored - explained


def test_a_profile_that_has_not_begun_has_no_partitions(
    store: Store, profile: Callable[[str], Profile]
) -> None:
    kept = profile("kind: CRYPTO\nstart: 2030-01-01\ntimeframes: {fetch: [1h]}\nsymbols: {A: {}}")
    with store.reading("testing") as view:
        found = audit_of(view, scope_of(kept, Timeframe.H1, datetime(2025, 3, 1, tzinfo=UTC)), NOW)
    assert found.parts.equals(PARTS.to_frame())
    assert found.series["expected"].to_list() == [0]
