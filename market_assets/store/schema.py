"""Every table of the store.

The tables of the schema `ops` are numbered migrations: a store of version N has had the first N
applied. The tables of a profile have their DDL below, and so has the view `ops.completeness`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.market.columns import DERIVED, EXTRAS, FETCHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from market_assets.market.columns import Column
    from market_assets.market.datasets import Dataset

MIGRATIONS = (
    """
    CREATE SCHEMA ops;
    CREATE TABLE ops.store (version INTEGER NOT NULL, changed_at TIMESTAMP NOT NULL);
    CREATE TABLE ops.series (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        derived BOOLEAN NOT NULL,
        expected BIGINT NOT NULL,
        counted_until TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.partitions (
        profile VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        partition VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        expected BIGINT NOT NULL,
        stored BIGINT NOT NULL,
        explained BIGINT NOT NULL,
        missing BIGINT NOT NULL,
        judged_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.gaps (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        first_ts TIMESTAMP NOT NULL,
        last_ts TIMESTAMP NOT NULL,
        bars BIGINT NOT NULL,
        status VARCHAR NOT NULL,
        attempts INTEGER NOT NULL,
        confirmations INTEGER NOT NULL,
        confirmed_at TIMESTAMP,
        first_seen TIMESTAMP NOT NULL,
        asked_at TIMESTAMP,
        reason VARCHAR NOT NULL
    );
    CREATE TABLE ops.coverage (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        start_ts TIMESTAMP NOT NULL,
        end_ts TIMESTAMP NOT NULL,
        bars BIGINT NOT NULL,
        omits_quiet BOOLEAN NOT NULL,
        answered_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.genesis (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        ts TIMESTAMP NOT NULL,
        source VARCHAR NOT NULL,
        found_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.revisions (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        ts TIMESTAMP NOT NULL,
        open DOUBLE,
        high DOUBLE,
        low DOUBLE,
        close DOUBLE,
        volume DOUBLE,
        source VARCHAR,
        revised_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.jobs (
        job_id VARCHAR NOT NULL,
        run_id VARCHAR,
        kind VARCHAR NOT NULL,
        profile VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        symbols VARCHAR[] NOT NULL,
        start_ts TIMESTAMP NOT NULL,
        end_ts TIMESTAMP NOT NULL,
        status VARCHAR NOT NULL,
        progress DOUBLE NOT NULL,
        started_at TIMESTAMP NOT NULL,
        ended_at TIMESTAMP,
        detail JSON
    );
    """,
    """
    ALTER TABLE ops.gaps ADD COLUMN failures INTEGER DEFAULT 0;
    CREATE TABLE ops.repairs (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        first_ts TIMESTAMP NOT NULL,
        last_ts TIMESTAMP NOT NULL,
        bars BIGINT NOT NULL,
        was VARCHAR NOT NULL,
        attempts INTEGER NOT NULL,
        first_seen TIMESTAMP NOT NULL,
        repaired_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.alerts (
        alert_id VARCHAR NOT NULL,
        profile VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        subject VARCHAR NOT NULL,
        level VARCHAR NOT NULL,
        summary VARCHAR NOT NULL,
        count BIGINT NOT NULL,
        details VARCHAR[] NOT NULL,
        symbols VARCHAR[] NOT NULL,
        opened_at TIMESTAMP NOT NULL,
        told_at TIMESTAMP,
        told_level VARCHAR,
        over_at TIMESTAMP,
        over_told_at TIMESTAMP,
        tries INTEGER NOT NULL,
        tried_at TIMESTAMP,
        error VARCHAR
    );
    ALTER TABLE ops.series ADD COLUMN start_ts TIMESTAMP;
    ALTER TABLE ops.series ADD COLUMN end_ts TIMESTAMP;
    ALTER TABLE ops.jobs ADD COLUMN trigger VARCHAR;
    ALTER TABLE ops.jobs ADD COLUMN host VARCHAR;
    ALTER TABLE ops.jobs ADD COLUMN process INTEGER;
    """,
    """
    CREATE TABLE ops.agreement (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        partition VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        other VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        compared BIGINT NOT NULL,
        only_ours BIGINT NOT NULL,
        only_theirs BIGINT NOT NULL,
        bars BIGINT NOT NULL,
        worst DOUBLE,
        first_ts TIMESTAMP,
        words VARCHAR NOT NULL,
        sample JSON NOT NULL,
        tolerance VARCHAR NOT NULL,
        until_ts TIMESTAMP NOT NULL,
        checked_at TIMESTAMP NOT NULL
    );
    CREATE VIEW ops.disagreements AS
        SELECT profile, symbol, timeframe, partition, kind, source, other, bars, worst, first_ts,
            words, checked_at
        FROM ops.agreement
        WHERE kind NOT IN ('agrees', 'not compared');
    ALTER TABLE ops.partitions ADD COLUMN changed_at TIMESTAMP;
    ALTER TABLE ops.partitions ADD COLUMN evidence VARCHAR;
    CREATE TABLE ops.action_answers (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        actions BIGINT NOT NULL,
        answered_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.action_revisions (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        ex_date DATE NOT NULL,
        kind VARCHAR NOT NULL,
        ratio DOUBLE,
        amount DOUBLE,
        currency VARCHAR,
        detail VARCHAR,
        source VARCHAR NOT NULL,
        recorded_at TIMESTAMP NOT NULL,
        replaced_at TIMESTAMP NOT NULL
    );
    """,
    """
    ALTER TABLE ops.partitions ADD COLUMN reported_at TIMESTAMP;
    ALTER TABLE ops.partitions ADD COLUMN made_of TIMESTAMP;
    UPDATE ops.partitions SET reported_at = changed_at;
    ALTER TABLE ops.coverage ADD COLUMN answered_from TIMESTAMP;
    ALTER TABLE ops.store ADD COLUMN store_id VARCHAR;
    ALTER TABLE ops.store ADD COLUMN commits BIGINT;
    ALTER TABLE ops.store ADD COLUMN committed_at TIMESTAMP;
    """,
    """
    CREATE TABLE ops.recipes (
        profile VARCHAR NOT NULL,
        dataset VARCHAR NOT NULL,
        recipe VARCHAR NOT NULL
    );
    ALTER TABLE ops.gaps ADD COLUMN witness VARCHAR;
    ALTER TABLE ops.gaps ADD COLUMN answered BOOLEAN;
    CREATE TABLE ops.horizons (
        profile VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        start_ts TIMESTAMP NOT NULL,
        bars BIGINT NOT NULL,
        words VARCHAR NOT NULL,
        learned_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.calendars (
        profile VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        changed_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.sessions (
        profile VARCHAR NOT NULL,
        session DATE NOT NULL,
        open TIMESTAMP NOT NULL,
        close TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.off_calendar (
        profile VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        day DATE NOT NULL,
        side VARCHAR NOT NULL,
        first_ts TIMESTAMP NOT NULL,
        last_ts TIMESTAMP NOT NULL,
        bars BIGINT NOT NULL,
        traded BIGINT NOT NULL,
        seen_at TIMESTAMP NOT NULL
    );
    CREATE TABLE ops.refused (
        profile VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        partition VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        rows BIGINT NOT NULL,
        example_ts TIMESTAMP,
        example VARCHAR,
        refused_at TIMESTAMP NOT NULL
    );
    """,
    # Older tables of candles get theirs in `add_extras`, which knows them.
    """
    ALTER TABLE ops.revisions ADD COLUMN quote_volume DOUBLE;
    ALTER TABLE ops.revisions ADD COLUMN trades BIGINT;
    ALTER TABLE ops.revisions ADD COLUMN taker_buy_volume DOUBLE;
    ALTER TABLE ops.revisions ADD COLUMN vwap DOUBLE;
    ALTER TABLE ops.agreement ADD COLUMN apart TIMESTAMP[];
    ALTER TABLE ops.agreement ADD COLUMN alone TIMESTAMP[];
    """,
    """
    CREATE TABLE ops.streams (
        profile VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        words VARCHAR NOT NULL,
        since TIMESTAMP NOT NULL,
        connected_at TIMESTAMP,
        last_bar_at TIMESTAMP,
        last_frame_at TIMESTAMP,
        reconnects BIGINT NOT NULL,
        noted_at TIMESTAMP NOT NULL
    );
    """,
    """
    ALTER TABLE ops.streams ADD COLUMN lag_p50 DOUBLE;
    ALTER TABLE ops.streams ADD COLUMN lag_p99 DOUBLE;
    ALTER TABLE ops.streams ADD COLUMN dropped BIGINT;
    ALTER TABLE ops.streams ADD COLUMN dropped_at TIMESTAMP;
    CREATE TABLE ops.stream_states (
        profile VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        words VARCHAR NOT NULL,
        since TIMESTAMP NOT NULL,
        ended_at TIMESTAMP NOT NULL
    );
    """,
    """
    CREATE TABLE ops.pruned (
        profile VARCHAR NOT NULL,
        timeframe VARCHAR NOT NULL,
        partition VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        rows BIGINT NOT NULL,
        retention VARCHAR NOT NULL,
        pruned_at TIMESTAMP NOT NULL,
        archived VARCHAR[]
    );
    """,
    """
    CREATE TABLE ops.spent (
        profile VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        requests BIGINT NOT NULL,
        retries BIGINT NOT NULL,
        waits DOUBLE NOT NULL,
        bytes BIGINT NOT NULL
    );
    """,
    """
    CREATE TABLE ops.waits (
        waits BIGINT NOT NULL,
        seconds DOUBLE NOT NULL
    );
    INSERT INTO ops.waits VALUES (0, 0);
    """,
)
"""Version N of the store is what the first N scripts make."""

VERSION = len(MIGRATIONS)

CANDLE_COLUMNS = tuple(column.name for column in FETCHED)
DERIVED_COLUMNS = tuple(column.name for column in DERIVED)


def identifier(name: str) -> str:
    """A name as DuckDB reads it whatever characters it holds."""
    return '"' + name.replace('"', '""') + '"'


def table_of(dataset: Dataset) -> str:
    """The qualified name of a dataset's table."""
    return f"{identifier(dataset.owner)}.{dataset.name}"


def create_candle_table(dataset: Dataset, *, derived: bool) -> str:
    """DDL of one candle table.

    It has no index, which would cost nine times the bytes and the time.
    """
    table = table_of(dataset)
    columns = (*(DERIVED if derived else FETCHED), *EXTRAS)
    types = (
        f"{column.name} {column.sql}{' NOT NULL' if column.required else ''}" for column in columns
    )
    return (
        f"CREATE SCHEMA IF NOT EXISTS {identifier(dataset.owner)};"
        f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(types)});" + _describe(table, columns)
    )


def add_extras(dataset: Dataset) -> str:
    """DDL of what a candle table of an older version lacks.

    These are the extra columns, null so far, and the descriptions of all columns.
    """
    table = table_of(dataset)
    added = (
        f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {extra.name} {extra.sql};"
        for extra in EXTRAS
    )
    return "".join(added) + _describe(table, (*FETCHED, *EXTRAS))


def _describe(table: str, columns: Iterable[Column]) -> str:
    return "".join(
        f"COMMENT ON COLUMN {table}.{column.name} IS {text_literal(column.words)};"
        for column in columns
    )


def create_returns_table(dataset: Dataset) -> str:
    """DDL of one table of aligned returns.

    `neutral` says why a return is 0.0 without having been measured.
    """
    return f"""
        CREATE SCHEMA IF NOT EXISTS {identifier(dataset.owner)};
        CREATE TABLE IF NOT EXISTS {table_of(dataset)} (
            symbol VARCHAR NOT NULL,
            ts TIMESTAMP NOT NULL,
            simple_return DOUBLE NOT NULL,
            log_return DOUBLE NOT NULL,
            bars INTEGER NOT NULL,
            neutral VARCHAR
        );
        """


def create_feature_table(dataset: Dataset, features: Sequence[str]) -> str:
    """DDL of one table of features, or of the columns that it lacks.

    A column that is no longer named stays, with its values.
    """
    table = table_of(dataset)
    return f"""
        CREATE SCHEMA IF NOT EXISTS {identifier(dataset.owner)};
        CREATE TABLE IF NOT EXISTS {table} (symbol VARCHAR NOT NULL, ts TIMESTAMP NOT NULL);
        """ + "".join(
        f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {identifier(name)} DOUBLE;"
        for name in features
    )


def text_literal(text: str) -> str:
    """A text as DuckDB reads it whatever characters it holds."""
    return "'" + text.replace("'", "''") + "'"
