"""`ops.streams` and `ops.stream_states`: the newest that was noted of a series, and what was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from market_assets.config.services import RetentionSettings
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets.store.prune import prune_ledgers
from market_assets.store.tables.streams import STATE_SCHEMA, STREAM_SCHEMA

AT = datetime(2025, 3, 1, 12)  # noqa: DTZ001 - as the store holds it
MINUTE = timedelta(minutes=1)
CANDLES = Dataset.candles("crypto", Timeframe.M1)


def row(symbol: str, state: str, profile: str = "crypto", **columns: object) -> dict[str, object]:
    usual = {
        "profile": profile,
        "timeframe": "1m",
        "symbol": symbol,
        "source": "binance",
        "state": state,
        "words": "",
        "since": AT,
        "reconnects": 0,
        "noted_at": AT,
    }
    return usual | columns


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=STREAM_SCHEMA)


def past(symbol: str, state: str, begin: int, end: int) -> dict[str, object]:
    names = row(symbol, state, since=AT + begin * MINUTE, ended_at=AT + end * MINUTE)
    return {name: names[name] for name in STATE_SCHEMA}


def states(store, begin: int, end: int, symbol: str = "BTC") -> list[tuple[object, ...]]:
    """State, begin and end of what was so between two minutes."""
    start = AT.replace(tzinfo=UTC)
    with store.reading("testing") as view:
        rows = view.streams.states(
            CANDLES, symbol, Window(start + begin * MINUTE, start + end * MINUTE)
        )
    assert rows.schema == STATE_SCHEMA
    return [
        (state, (since - AT) // MINUTE, (ended_at - AT) // MINUTE)
        for state, since, ended_at in rows.select("state", "since", "ended_at").iter_rows()
    ]


def test_what_is_noted_takes_the_place_of_what_was_noted_of_the_same_series(store):
    with store.writing("testing") as transaction:
        transaction.streams.put(frame(row("BTC", "live"), row("ETH", "live")))
        transaction.streams.put(frame(row("BTC", "silent"), row("BTC", "live", "other")))
        transaction.streams.put(frame())

    with store.reading("testing") as view:
        streams = view.streams.all()

    assert streams.schema == STREAM_SCHEMA
    assert streams.select("profile", "symbol", "state").rows() == [
        ("crypto", "BTC", "silent"),
        ("crypto", "ETH", "live"),
        ("other", "BTC", "live"),
    ]


def test_what_was_so_meanwhile_is_kept(store):
    rows = [past("BTC", "live", 0, 3), past("BTC", "lost", 3, 5), past("ETH", "live", 0, 9)]
    with store.writing("testing") as transaction:
        transaction.streams.put(
            frame(row("BTC", "live", since=AT + 5 * MINUTE)),
            pl.DataFrame(rows, schema=STATE_SCHEMA),
        )

    assert states(store, 0, 10) == [("live", 0, 3), ("lost", 3, 5)]
    assert states(store, 4, 5) == [("lost", 3, 5)]
    assert states(store, 5, 9) == []


def test_of_an_earlier_session_is_kept_how_it_ended(store):
    with store.writing("testing") as transaction:
        transaction.streams.put(
            frame(
                row("BTC", "live", noted_at=AT + 2 * MINUTE),
                row("ETH", "ended", noted_at=AT + 2 * MINUTE),
                row("LTC", "live"),
            )
        )
        now = (AT + 7 * MINUTE).replace(tzinfo=UTC)
        transaction.streams.retire(CANDLES, ["BTC", "ETH"], now)

    assert states(store, 0, 10) == [("live", 0, 2), ("killed", 2, 7)]
    assert states(store, 0, 10, "ETH") == [("ended", 0, 7)]
    assert states(store, 0, 10, "LTC") == []


def test_old_states_are_removed_with_old_jobs_and_too_many_of_a_series(store):
    rows = [past("BTC", "lost", minute, minute + 1) for minute in range(1100)]
    rows.append(past("ETH", "lost", 0, 1))
    now = (AT + timedelta(days=2)).replace(tzinfo=UTC)
    with store.writing("testing") as transaction:
        transaction.streams.put(frame(), pl.DataFrame(rows, schema=STATE_SCHEMA))
        ages = [RetentionSettings(), RetentionSettings(jobs=timedelta(days=1))]
        removals = [
            prune_ledgers(transaction.connection, settings, now, dry_run=True) for settings in ages
        ]
        prune_ledgers(transaction.connection, RetentionSettings(), now, dry_run=False)

    assert [(found[0].table, found[0].rows) for found in removals] == [
        ("stream_states", 100),
        ("stream_states", 1101),
    ]
    assert states(store, 0, 101) == [("lost", 100, 101)]


def test_a_copy_of_an_earlier_version_has_no_streams(store):
    with store.writing("testing") as transaction:
        for column in ("lag_p50", "lag_p99", "dropped", "dropped_at"):
            transaction.connection.execute(f"ALTER TABLE ops.streams DROP COLUMN {column}")
        transaction.connection.execute("DROP TABLE ops.stream_states")
        assert transaction.streams.all().schema == STREAM_SCHEMA
        transaction.connection.execute("DROP TABLE ops.streams")

        assert transaction.streams.all().is_empty()
    assert states(store, 0, 10) == []
