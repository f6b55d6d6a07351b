"""A file that is written anew without the room that is free in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date

import polars as pl
import pytest

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store, compact

FRAMES = [Timeframe.M1, Timeframe.H1, Timeframe.D1, Timeframe.W1]

KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from market_assets.store import Store, compact

compact.FREE_BYTES = 0
where = sys.argv[2]
if where == "written":
    compact._inventory = lambda *_: os._exit(9)
else:
    Path.replace = lambda *_: os._exit(9)
Store(Path(sys.argv[1]), clock=lambda: datetime.now(UTC)).compact()
"""


@pytest.fixture
def loose(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with everything in it, of which most has been deleted."""
    monkeypatch.setattr(compact, "FREE_BYTES", 0)
    with store.writing("testing") as transaction:
        for frame in FRAMES:
            transaction.candles.create(
                Dataset.candles("equity", frame), derived=frame is not Timeframe.M1
            )
        transaction.actions.create("equity", FRAMES, "America/New_York")
        transaction.features.create(Dataset.features("equity", Timeframe.H1), ["sma_10"])
        transaction.returns.create(Dataset.returns("equity", Timeframe.D1))
        transaction.connection.execute(
            """
            INSERT INTO equity.candles_1m
            SELECT 'SPY', ts, random(), 1, 1, 1, 1, 'x', NULL, NULL, NULL, NULL
            FROM range('2024-01-01'::TIMESTAMP, '2024-06-01'::TIMESTAMP, INTERVAL 1 MINUTE) r(ts)
            """
        )
        transaction.connection.execute(
            """
            INSERT INTO equity.candles_1d
            SELECT 'SPY', ts, 10, 10, 10, 10, 1, 'x', 1, 1, 10, 3, 0.5, 10
            FROM range('2024-01-01'::TIMESTAMP, '2024-06-01'::TIMESTAMP, INTERVAL 1 DAY) r(ts)
            """
        )
        answer = pl.DataFrame(
            [("SPY", date(2024, 5, 30), "split", 2.0, None, None, "", "x")],
            schema=["symbol", "ex_date", "kind", "ratio", "amount", "currency", "detail", "source"],
            orient="row",
        )
        transaction.actions.put("equity", {"SPY": "x"}, answer)
    with store.writing("testing") as transaction:
        transaction.connection.execute("DELETE FROM equity.candles_1m WHERE ts < '2024-05-31'")
    return store


def contents(store: Store) -> tuple[object, ...]:
    with store.reading("testing") as view:
        db = view.database
        ((database,),) = db.execute("SELECT current_database()").fetchall()
        return (
            compact._inventory(db, database),
            db.execute("SELECT * FROM equity.candles_1m ORDER BY ts").fetchall(),
            db.execute(
                "SELECT * FROM equity.adjusted_1d(DATE '2024-06-01') ORDER BY ts"
            ).fetchall(),
            db.execute("SELECT * FROM equity.candles_1m_adjusted ORDER BY ts").fetchall(),
            db.execute("SELECT * FROM ops.completeness").fetchall(),
            db.execute("SELECT * FROM ops.store").fetchall(),
        )


def test_a_compacted_file_is_shorter_and_holds_what_it_held(loose: Store) -> None:
    before, size = contents(loose), loose.path.stat().st_size
    assert before[2][0][2] == 5.0
    freed = loose.compact()
    assert freed > size / 3
    assert loose.path.stat().st_size == size - freed
    assert contents(loose) == before
    assert sorted(path.name for path in loose.path.parent.iterdir() if "duckdb." in path.name) == [
        "market.duckdb.lock",
        "market.duckdb.turn",
    ]
    assert loose.compact() == 0
    with loose.writing("testing") as transaction:
        transaction.connection.execute("DELETE FROM equity.candles_1d")


def test_nothing_is_compacted_without_room_or_without_need(
    loose: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(loose.path.parent)
    monkeypatch.setattr(compact.shutil, "disk_usage", lambda _: usage._replace(free=1024))
    before = contents(loose)
    assert loose.compact() == 0
    monkeypatch.undo()
    # Sixteen megabytes are not free.
    assert loose.compact() == 0
    assert contents(loose) == before


def test_a_copy_that_lacks_something_never_takes_the_place_of_the_file(
    loose: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(loose)
    inventory = compact._inventory
    monkeypatch.setattr(
        compact, "_inventory", lambda db, name: inventory(db, name)[name == "compacted" :]
    )
    with pytest.raises(StoreError, match="was not compacted"):
        loose.compact()
    monkeypatch.setattr(compact, "_inventory", inventory)
    assert contents(loose) == before


@pytest.mark.parametrize("where", ["written", "moved"])
def test_a_compaction_that_is_killed_leaves_the_file_and_the_next_one_clears_up(
    loose: Store, where: str
) -> None:
    before = contents(loose)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(loose.path.parent), where], check=False
    )
    assert killed.returncode == 9
    draft = loose.path.with_name("market.duckdb.compact")
    assert draft.exists()
    assert contents(loose) == before
    assert loose.compact() > 0
    assert contents(loose) == before
    assert not draft.exists()
