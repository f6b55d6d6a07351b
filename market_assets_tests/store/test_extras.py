"""Extra columns of candles in the store: what fills, what revises, what an older home becomes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest

from market_assets.market.columns import EXTRA_NAMES, EXTRAS, FETCHED
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe
from market_assets.store import Store
from market_assets.store.schema import MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from market_assets.store import Merged

M1, M5 = Timeframe.M1, Timeframe.M5


@pytest.fixture
def merge(store: Store, minutes):
    """Merges one minute with extra columns, in a transaction of its own."""
    with store.writing("making the table") as transaction:
        transaction.candles.create(Dataset.candles("crypto", M1), derived=False)

    def commit(
        close: float = 1.0, volume: float | None = 5.0, source: str = "binance", **extras: float
    ) -> Merged:
        row = minutes.candles(("BTC", 0, close, volume), source=source)
        types = {name: pl.Int64 if name == "trades" else pl.Float64 for name in extras}
        row = row.with_columns(
            pl.lit(value, types[name]).alias(name) for name, value in extras.items()
        )
        with store.writing("merging") as transaction:
            return transaction.candles.merge(
                Dataset.candles("crypto", M1), ["BTC"], minutes.window(0, 10), row
            )

    return commit


@pytest.fixture
def stored(store: Store, minutes):
    """What is stored of that minute: its source and its extra columns that are not null."""

    def read() -> tuple[str, dict[str, float]]:
        with store.reading("looking") as view:
            (row,) = view.candles.rows(
                "crypto", "candles_1m", None, minutes.window(0, 10)
            ).to_dicts()
        return row["source"], {name: row[name] for name in EXTRA_NAMES if row[name] is not None}

    return read


@pytest.fixture
def revisions(store: Store):
    def read() -> list[dict[str, object]]:
        with store.writing("looking") as transaction:
            return (
                transaction.connection.sql("SELECT * FROM ops.revisions ORDER BY revised_at")
                .pl()
                .to_dicts()
            )

    return read


def test_the_same_again_changes_nothing(merge, stored, revisions):
    merge(trades=7, vwap=1.0)
    again = merge(trades=7, vwap=1.0)

    assert again.revised.is_empty()
    assert again.filled.is_empty()
    assert again.new.is_empty()
    assert stored() == ("binance", {"trades": 7, "vwap": 1.0})
    assert revisions() == []


def test_an_extra_that_comes_later_fills_a_null_and_is_no_revision(merge, stored, revisions):
    merge()
    filled = merge(trades=7, quote_volume=5.0)

    assert filled.revised.is_empty()
    assert len(filled.filled) == 1
    assert len(filled.rows) == 1
    assert stored() == ("binance", {"trades": 7, "quote_volume": 5.0})
    assert revisions() == []
    # And once it is there it is only the same again.
    assert merge(trades=7, quote_volume=5.0).filled.is_empty()


def test_an_answer_without_an_extra_takes_none_away(merge, stored, revisions):
    merge(trades=7)
    bare = merge()
    other = merge(vwap=1.0)

    assert bare.revised.is_empty()
    assert other.revised.is_empty()
    assert stored() == ("binance", {"trades": 7, "vwap": 1.0})
    assert revisions() == []


def test_another_value_of_the_same_source_is_a_revision_that_keeps_the_old_one(
    merge, stored, revisions, clock
):
    merge(trades=7, vwap=1.0)
    clock.now += timedelta(days=1)
    merged = merge(trades=8)

    assert len(merged.revised) == 1
    # What the new answer does not say is still so: the bar's values are the same.
    assert stored() == ("binance", {"trades": 8, "vwap": 1.0})
    (old,) = revisions()
    assert (old["trades"], old["vwap"], old["close"], old["revised_at"]) == (
        7,
        1.0,
        1.0,
        datetime(2025, 3, 2, 12),  # noqa: DTZ001 - as the store has it
    )


def test_another_source_never_overrules_an_extra_of_the_same_bar(merge, stored, revisions):
    merge(trades=7)
    for _ in range(2):
        merged = merge(source="binance_archive", trades=8, vwap=1.0)
        assert merged.revised.is_empty()
    merge(trades=7)

    assert stored() == ("binance", {"trades": 7, "vwap": 1.0})
    assert revisions() == []


def test_where_nobody_counts_a_volume_another_source_fills_nothing(merge, stored):
    merge(volume=None)
    merge(volume=None, source="oanda", trades=9)
    assert stored() == ("binance", {})

    merge(volume=None, trades=9)
    assert stored() == ("binance", {"trades": 9})


def test_a_revised_bar_has_the_extras_of_its_new_values_alone(merge, stored, revisions):
    merge(trades=7, vwap=1.0)
    merge(close=1.5, trades=9)

    assert stored() == ("binance", {"trades": 9})
    (old,) = revisions()
    assert (old["close"], old["trades"], old["vwap"]) == (1.0, 7, 1.0)
    merge(close=1.75)
    assert stored() == ("binance", {})


def test_what_was_derived_with_extras_is_another_without(store, minutes):
    row = minutes.candles(("BTC", 0, 1.0, 5.0)).with_columns(bars=5, bars_expected=5)
    keys = row.select("symbol", "ts")
    with store.writing("deriving") as transaction:
        transaction.candles.create(Dataset.candles("crypto", M5), derived=True)
        made = [row.with_columns(trades=pl.lit(7)), row.with_columns(trades=pl.lit(7)), row, row]
        changed = [
            len(transaction.candles.replace_derived(Dataset.candles("crypto", M5), keys, each))
            for each in made
        ]
        assert changed == [1, 0, 1, 0]
        assert transaction.candles.rows("crypto", "candles_5m", None, minutes.window(0, 10))[
            "trades"
        ].to_list() == [None]


_WITHOUT = 5
"""The last version of the store whose candles have no extra columns."""


def _older_home(folder: Path) -> Path:
    """A home of the version before extra columns, with a minute of candles and one revision."""
    folder.mkdir()
    with duckdb.connect(folder / "market.duckdb") as db:
        for script in MIGRATIONS[:_WITHOUT]:
            db.execute(script)
        db.execute(
            "INSERT INTO ops.store (version, changed_at) VALUES (?, TIMESTAMP '2025-01-01')",
            [_WITHOUT],
        )
        db.execute('CREATE SCHEMA "us-old"')
        columns = (
            "symbol VARCHAR NOT NULL, ts TIMESTAMP NOT NULL, open DOUBLE NOT NULL, "
            "high DOUBLE NOT NULL, "
            "low DOUBLE NOT NULL, close DOUBLE NOT NULL, volume DOUBLE, source VARCHAR NOT NULL"
        )
        made = f"{columns}, bars INTEGER NOT NULL, bars_expected INTEGER NOT NULL"
        for name, types in (("1m", columns), ("5m", made), ("mine", "symbol VARCHAR")):
            db.execute(f'CREATE TABLE "us-old".candles_{name} ({types})')
        db.execute(
            """INSERT INTO "us-old".candles_1m VALUES ('SPY', '2025-01-01', 1, 1, 1, 1, 5, 'x')"""
        )
        db.execute(
            """
            INSERT INTO "us-old".candles_5m
            VALUES ('SPY', '2025-01-01', 1, 1, 1, 1, 5, 'x', 1, 1)
            """
        )
        db.execute(
            """
            INSERT INTO ops.revisions
            VALUES ('us-old', 'SPY', '1m', '2025-01-01', 2, 2, 2, 2, 5, 'x', '2025-01-02')
            """
        )
    return folder


def test_an_older_home_gets_the_columns_and_keeps_what_it_has(tmp_path, clock, minutes):
    store = Store(_older_home(tmp_path / "old"), clock=clock)

    with store.writing("opening it") as transaction:
        kinds = transaction.connection.sql('SELECT * FROM "us-old".candles_5m').pl()
        assert kinds.columns[-6:] == ["bars", "bars_expected", *EXTRA_NAMES]
        assert transaction.connection.sql('SELECT * FROM "us-old".candles_mine').columns == [
            "symbol"
        ]
        old = transaction.connection.sql("SELECT close, trades, vwap FROM ops.revisions").fetchall()
        assert old == [(2.0, None, None)]
        bar = minutes.candles(("SPY", 0, 1.0, 5.0), source="x").with_columns(trades=pl.lit(3))
        merged = transaction.candles.merge(
            Dataset.candles("us-old", M1), ["SPY"], minutes.window(0, 5), bar
        )
        assert len(merged.filled) == 1
    with store.reading("looking") as view:
        rows = view.candles.rows("us-old", "candles_1m", None, minutes.window(0, 5))
    assert rows.select("close", "trades", "vwap").rows() == [(1.0, 3, None)]
    # A second opening finds nothing to do.
    assert Store(tmp_path / "old", clock=clock).size


def test_the_columns_of_an_older_and_a_new_home_are_the_same_and_say_what_they_hold(
    tmp_path, store, clock
):
    with store.writing("making them") as transaction:
        transaction.candles.create(Dataset.candles("us-old", M1), derived=False)
        transaction.candles.create(Dataset.candles("us-old", M5), derived=True)
    older = Store(_older_home(tmp_path / "old"), clock=clock)
    told = []
    for each in (store, older):
        with each.writing("looking") as transaction:
            told.append(
                transaction.connection.sql(
                    """
                    SELECT table_name, column_name, data_type, is_nullable, comment
                    FROM duckdb_columns()
                    WHERE schema_name = 'us-old'
                      AND table_name <> 'candles_mine'
                      AND column_name NOT LIKE 'bars%'
                    ORDER BY table_name, column_index
                    """
                ).fetchall()
            )
    assert told[0] == told[1]
    words = {name: comment for table, name, *_, comment in told[0] if table == "candles_1m"}
    assert words == {column.name: column.words for column in (*FETCHED, *EXTRAS)}


def test_a_store_that_an_older_version_has_left_to_readers_is_read_with_nulls(tmp_path, minutes):
    home = _older_home(tmp_path / "old")
    with duckdb.connect(home / "market.duckdb", read_only=True) as db:
        # A copy of it, as a reader has it.
        from market_assets.store.snapshot import Snapshot  # noqa: PLC0415

        view = Snapshot(db)
        rows = view.candles.rows("us-old", "candles_1m", None, minutes.window(0, 5))
        assert rows.columns == [column.name for column in (*FETCHED, *EXTRAS)]
        assert rows.schema["trades"] == pl.Int64
        assert view.candles.of(
            Dataset.candles("us-old", M1), ["SPY"], minutes.window(0, 5), extras=EXTRA_NAMES
        ).width == len(FETCHED)
        assert view.agreement.trust(
            Dataset.candles("us-old", M1), ["SPY"], minutes.window(0, 5)
        ).select("since", "quality").rows() == [(minutes.naive(0), "revised")]
    assert rows.schema["ts"] == TS
