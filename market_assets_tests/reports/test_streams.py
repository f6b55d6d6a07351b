"""How streams are said to be, now and at the time of a bar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.reports.bar import Bar
from market_assets.reports.streams import (
    judged_streams,
    standing_words,
    stream_columns,
    stream_events,
    stream_standings,
)
from market_assets.store.tables.streams import STATE_SCHEMA, STREAM_SCHEMA, StreamState
from market_assets_tests.support.alerts_ground import universe_of
from market_assets_tests.support.stream_rows import note_streams, stream_frame, stream_row

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.config.universe import Profile
    from market_assets.store import Store

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SINCE = datetime(2025, 3, 1, 12, 2, tzinfo=UTC)
NOW = SINCE + HOUR
LAGS = {"lag_p50": 0.42, "lag_p99": 0.91}


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return universe_of(tmp_path).profiles["kept"]


def row(
    symbol: str, state: str, since: datetime = SINCE, noted_at: datetime = NOW, **columns: object
) -> dict[str, object]:
    return stream_row("kept", symbol, state, since, noted_at, **(LAGS | columns))


class TestHowItIsNow:
    def words(self, store: Store, profile: Profile, *rows: dict[str, object]) -> list[str]:
        note_streams(store, *rows)
        with store.reading("testing") as view:
            return [
                standing_words(standing, NOW) for standing in stream_standings(view, [profile], NOW)
            ]

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            (
                [row("BTC", "live"), row("ETH", "live", SINCE + MINUTE)],
                "live since 12:02Z (2 symbols); lag p50 0.4 s, p99 0.9 s",
            ),
            (
                [row("BTC", "live"), row("ETH", "silent", SINCE + MINUTE)],
                (
                    "silent since 12:03Z (1 symbol); live since 12:02Z (1 symbol)"
                    "; lag p50 0.4 s, p99 0.9 s"
                ),
            ),
            (
                [row("BTC", "refused", lag_p50=None), row("ETH", "rest", lag_p50=None)],
                "refused: BTC; left to REST: ETH",
            ),
            ([row("BTC", "live", noted_at=NOW - 2 * MINUTE)], "killed: last sign 13:00Z"),
            (
                [row("BTC", "failed", SINCE - 20 * HOUR, words="no such address")],
                "ended by itself 2025-02-28 16:02Z: no such address",
            ),
            ([row("BTC", "ended", noted_at=SINCE)], "ended 12:02Z"),
        ],
    )
    def test_in_words(
        self, store: Store, profile: Profile, rows: list[dict[str, object]], words: str
    ) -> None:
        assert self.words(store, profile, *rows) == [words]

    def test_one_that_has_ended_long_ago_is_of_no_interest(
        self, store: Store, profile: Profile
    ) -> None:
        long_ago = NOW - 25 * HOUR
        rows = [row("BTC", "ended", long_ago), row("ETH", "live", long_ago, long_ago)]

        assert self.words(store, profile, *rows) == []

    def test_symbols_and_profiles_that_are_gone_are_of_no_interest(
        self, store: Store, profile: Profile
    ) -> None:
        rows = [row("GONE", "live"), row("BTC", "live") | {"profile": "other"}]

        assert self.words(store, profile, *rows) == []

    def test_where_none_was_used_a_matrix_stays_as_it_is(self, profile: Profile) -> None:
        matrix = pl.DataFrame(
            {"profile": ["kept"] * 2, "symbol": ["BTC", "ETH"], "timeframe": ["1h", "1h"]}
        )
        none = judged_streams(STREAM_SCHEMA.to_frame(), [profile], NOW)
        one = judged_streams(stream_frame(row("ETH", "live")), [profile], NOW)

        assert stream_columns(none, matrix).equals(matrix)
        assert stream_columns(one, matrix).drop("profile", "timeframe").rows() == [
            ("BTC", None, None, None, None, None),
            ("ETH", "live", "binance", SINCE.replace(tzinfo=None), "", 0.91),
        ]


class TestHowItWasAtABar:
    def events(
        self, store: Store, profile: Profile, opens_at: datetime, *present: dict[str, object]
    ) -> list[str]:
        states = [
            ("live", "", -60, 10),
            ("lost", "it broke", 10, 12),
            ("refused", "unknown", 12, 13),
            ("killed", "", 13, 20),
        ]
        rows = [
            {
                **row("BTC", state, SINCE + begin * MINUTE, words=words),
                "ended_at": (SINCE + end * MINUTE).replace(tzinfo=None),
            }
            for state, words, begin, end in states
        ]
        past = pl.DataFrame([{name: cell[name] for name in STATE_SCHEMA} for cell in rows])
        with store.writing("testing") as transaction:
            transaction.streams.put(
                stream_frame(*(present or [row("BTC", "live", SINCE + 20 * MINUTE)])),
                past.cast(dict(STATE_SCHEMA)),
            )
        dataset = profile.candles(profile.base_timeframe)
        bar = Bar(opens_at, opens_at, opens_at + MINUTE)
        with store.reading("testing") as view:
            events = stream_events(view, dataset, "BTC", bar, NOW)
        return [event.what for event in events]

    def test_what_was_so_while_it_was_open_and_just_after(
        self, store: Store, profile: Profile
    ) -> None:
        live = "the stream of binance was live from 2025-03-01 11:02:00Z to 2025-03-01 12:12:00Z"
        lost = (
            "the stream of binance was lost from 2025-03-01 12:12:00Z to 2025-03-01 12:14:00Z"
            ": it broke"
        )

        assert self.events(store, profile, SINCE + 9 * MINUTE) == [live, lost]

    def test_what_is_so_now(self, store: Store, profile: Profile) -> None:
        assert self.events(store, profile, SINCE + 30 * MINUTE) == [
            "the stream of binance was live since 2025-03-01 12:22:00Z"
        ]

    def test_refused_and_killed(self, store: Store, profile: Profile) -> None:
        refused = "2025-03-01 12:14:00Z to 2025-03-01 12:15:00Z: unknown"
        killed = "2025-03-01 12:15:00Z to 2025-03-01 12:22:00Z"

        assert self.events(store, profile, SINCE + 12.5 * MINUTE) == [
            f"binance refused to stream it from {refused}",
            f"no stream from {killed}: its process was gone without a word",
        ]

    def test_one_that_is_gone_now(self, store: Store, profile: Profile) -> None:
        row_of_dead = row("BTC", "live", SINCE + 20 * MINUTE, SINCE + 40 * MINUTE)

        assert self.events(store, profile, SINCE + 45 * MINUTE, row_of_dead) == [
            "no stream since 2025-03-01 12:42:00Z: its process was gone without a word"
        ]

    @pytest.mark.parametrize(("hours", "count"), [(1, 1), (30, 0)])
    def test_an_end_long_before_is_no_part_of_the_story(
        self, store: Store, profile: Profile, hours: int, count: int
    ) -> None:
        ended = row("BTC", "ended", SINCE + 20 * MINUTE, words="the session is over")

        events = self.events(store, profile, SINCE + hours * HOUR, ended)

        assert len(events) == count

    def test_every_state_has_its_words(self, store: Store, profile: Profile) -> None:
        for state in StreamState:
            (words,) = self.events(
                store, profile, SINCE + 30 * MINUTE, row("BTC", state, SINCE + 20 * MINUTE)
            )
            assert words.endswith("2025-03-01 12:22:00Z") or state is StreamState.KILLED
