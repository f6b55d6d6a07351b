"""Old rows of the ledgers go, those that something rests on stay, and the file becomes smaller."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from market_assets.config.services import RetentionSettings

if TYPE_CHECKING:
    from market_assets.store import Store

NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)
SETTINGS = RetentionSettings()


def add_jobs(store: Store, *rows: tuple[str, str, str, str, str]) -> None:
    """Jobs by their name, kind, trigger, status and start."""
    with store.writing("testing") as transaction:
        for name, kind, trigger, status, started in rows:
            transaction.connection.execute(
                """
                INSERT INTO ops.jobs BY NAME
                SELECT ? AS job_id, ? AS kind, ? AS trigger, ? AS status,
                    ?::TIMESTAMP AS started_at, 'crypto' AS profile, '1m' AS timeframe,
                    [] AS symbols, started_at AS start_ts, started_at AS end_ts, 1.0 AS progress
                """,
                [name, kind, trigger, status, started],
            )


def column(store: Store, sql: str) -> set[str]:
    with store.writing("testing") as transaction:
        return {value for (value,) in transaction.connection.execute(sql).fetchall()}


def prune(
    store: Store, settings: RetentionSettings = SETTINGS, now: datetime = NOW
) -> dict[str, int]:
    with store.reading("testing") as view:
        announced = view.catalog.prunable(settings, now)
    with store.writing("testing") as transaction:
        removed = transaction.catalog.prune(settings, now)
    assert removed == announced
    assert all(each.bytes >= 0 for each in removed)
    return {each.table: each.rows for each in removed}


def test_of_the_jobs_the_newest_of_each_kind_and_the_last_update_of_each_day_stay(
    store: Store,
) -> None:
    add_jobs(
        store,
        ("first of all", "fill", "backfill", "SUCCEEDED", "2024-01-01 10:00"),
        ("old", "fill", "repair", "SUCCEEDED", "2024-02-01 10:00"),
        ("old, the newest that failed", "fill", "repair", "FAILED", "2024-02-02 10:00"),
        ("old, the newest derivation", "derive", "manual", "SUCCEEDED", "2024-02-03 10:00"),
        ("of the day before", "fill", "update", "SUCCEEDED", "2025-06-20 10:00"),
        ("last of the day before", "fill", "update", "SUCCEEDED", "2025-06-20 11:00"),
        ("a backfill of that day", "fill", "backfill", "SUCCEEDED", "2025-06-20 09:00"),
        ("goes on", "fill", "update", "RUNNING", "2024-06-20 08:00"),
        ("young", "fill", "update", "SUCCEEDED", "2025-06-30 10:00"),
        ("younger", "fill", "update", "SUCCEEDED", "2025-06-30 11:00"),
    )
    with store.reading("testing") as view:
        before = (
            view.jobs.last_derivations(),
            view.jobs.first(),
            view.jobs.last_fills(NOW - timedelta(days=13)),
        )
    assert prune(store) == {"jobs": 2}
    assert column(store, "SELECT job_id FROM ops.jobs") == {
        "first of all",
        "old, the newest that failed",
        "old, the newest derivation",
        "last of the day before",
        "a backfill of that day",
        "goes on",
        "young",
        "younger",
    }
    with store.reading("testing") as view:
        derivations, first, fills = (
            view.jobs.last_derivations(),
            view.jobs.first(),
            view.jobs.last_fills(NOW - timedelta(days=13)),
        )
    assert derivations.equals(before[0])
    assert first == before[1]
    assert fills.sort("day").equals(before[2].sort("day"))
    assert prune(store) == {}


def test_alerts_that_go_on_or_whose_end_is_not_told_stay(store: Store) -> None:
    old, older = "'2025-01-02'::TIMESTAMP", "'2025-01-01'::TIMESTAMP"
    with store.writing("testing") as transaction:
        for name, told, over, over_told in (
            ("goes on", older, "NULL", "NULL"),
            ("its end is to be told", older, old, "NULL"),
            ("over", older, old, old),
            ("never told", "NULL", old, "NULL"),
            ("over, young", older, "'2025-06-01'::TIMESTAMP", "'2025-06-01'::TIMESTAMP"),
        ):
            transaction.connection.execute(
                f"""
                INSERT INTO ops.alerts BY NAME
                SELECT '{name}' AS alert_id, 'crypto' AS profile, 'gap' AS kind, '' AS subject,
                    'ERROR' AS level, '' AS summary, 1 AS count, [] AS details, [] AS symbols,
                    {older} AS opened_at, {told} AS told_at, {over} AS over_at,
                    {over_told} AS over_told_at, 0 AS tries
                """
            )
    assert prune(store) == {"alerts": 2}
    assert column(store, "SELECT alert_id FROM ops.alerts") == {
        "goes on",
        "its end is to be told",
        "over, young",
    }


def test_revisions_are_kept_as_long_as_the_universe_says_or_forever(store: Store) -> None:
    with store.writing("testing") as transaction:
        for day in ("2001-01-01", "2025-01-01"):
            transaction.connection.execute(
                f"""
                INSERT INTO ops.revisions BY NAME
                SELECT 'crypto' AS profile, 'BTC' AS symbol, '1m' AS timeframe,
                    '{day}'::TIMESTAMP AS ts, '{day}'::TIMESTAMP AS revised_at
                """
            )
    assert prune(store, RetentionSettings(revisions=None)) == {}
    assert prune(store) == {"revisions": 1}


def test_rows_of_an_older_release_are_merged_and_nothing_else_is_known_than_before(
    store: Store,
) -> None:
    with store.writing("testing") as transaction:
        transaction.connection.execute(
            """
            INSERT INTO ops.coverage BY NAME
            SELECT 'crypto' AS profile, symbol, timeframe, 'kraken' AS source, ts AS start_ts,
                ts + INTERVAL 6 MINUTE AS end_ts, 6 AS bars, TRUE AS omits_quiet, ts AS answered_at
            FROM range('2025-01-01'::TIMESTAMP, '2025-01-02'::TIMESTAMP, INTERVAL 1 MINUTE) r(ts),
                unnest(['BTC', 'ETH']) s(symbol), unnest(['1m', '5m']) t(timeframe)
            """
        )
    assert prune(store) == {"coverage": 4 * 1440 - 4}
    with store.reading("testing") as view:
        (row,) = view.database.frame(
            "SELECT * FROM ops.coverage WHERE symbol = 'BTC' AND timeframe = '1m'"
        ).rows(named=True)
    day, minute = datetime(2025, 1, 1, tzinfo=UTC).replace(tzinfo=None), timedelta(minutes=1)
    assert (row["start_ts"], row["end_ts"], row["bars"]) == (day, day + 1445 * minute, 1445)
    assert (row["answered_from"], row["answered_at"]) == (day, day + 1439 * minute)
    assert prune(store) == {}
