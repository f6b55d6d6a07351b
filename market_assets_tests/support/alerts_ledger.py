"""What a store must hold for a look to find something: gaps, jobs, candles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.alerts import alerts_in
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.verdicts.ledger import LEDGER_SCHEMA

if TYPE_CHECKING:
    from market_assets.alerts import Alert, Told
    from market_assets.store import Store
    from market_assets_tests.conftest import Clock


H1 = Timeframe.H1


def ledger(store: Store) -> list[Alert]:
    with store.reading("a test") as view:
        return alerts_in(view.alerts.of(everything=True))


def hole(
    store: Store,
    *rows: tuple[str, str, int, str],
    seen: str = "2025-02-01",
    reason: str = "no answer",
) -> None:
    """Make these the ledger of absences: symbol, first bar, bars, status."""
    frame = pl.DataFrame(
        [
            {
                "symbol": symbol,
                "first_ts": datetime.fromisoformat(first),
                "last_ts": datetime.fromisoformat(first) + timedelta(hours=bars - 1),
                "bars": bars,
                "status": status,
                "attempts": 2,
                "failures": 0,
                "confirmations": 0,
                "first_seen": datetime.fromisoformat(seen),
                "reason": reason,
            }
            for symbol, first, bars, status in rows
        ],
        schema=LEDGER_SCHEMA,
    )
    everything = Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    with store.writing("a test") as transaction:
        transaction.gaps.put(Dataset.candles("kept", H1), ["BTC", "ETH"], everything, frame)


def job(store: Store, clock: Clock, kind: str, status: str, timeframe: str = "1h") -> None:
    values: dict[str, Any] = {
        "job_id": f"{clock()}{kind}{status}{timeframe}",
        "kind": kind,
        "status": status,
    }
    with store.writing("a test") as transaction:
        transaction.connection.execute(
            """
            INSERT INTO ops.jobs BY NAME
            SELECT $job_id AS job_id, $kind AS kind, 'kept' AS profile, $timeframe AS timeframe,
                ['BTC'] AS symbols, $at AS start_ts, $at AS end_ts, $status AS status,
                1.0 AS progress, $at AS started_at
            """,
            {**values, "timeframe": timeframe, "at": clock().replace(tzinfo=None)},
        )


def candles(store: Store, symbol: str, *opens: str) -> None:
    rows = pl.DataFrame(
        {"symbol": symbol, "ts": [datetime.fromisoformat(one) for one in opens]},
        schema={"symbol": pl.String, "ts": TS},
    ).with_columns(
        *(pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close", "volume")),
        source=pl.lit("x"),
    )
    window = Window.spanning(rows["ts"], rows["ts"] + timedelta(hours=1))
    with store.writing("a test") as transaction:
        transaction.candles.create(Dataset.candles("kept", H1), derived=False)
        transaction.candles.merge(Dataset.candles("kept", H1), [symbol], window, rows)


def kinds(told: Told) -> list[tuple[str, str]]:
    return [(one.kind.value, one.subject) for one in told.present]
