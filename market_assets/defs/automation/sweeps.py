"""Which rows of Dagster's own SQLite files have had their time: one query for each kind.

- The newest materialization of each partition stays, the newest evaluation of each check of a
  partition, and the newest attempt of a partition that failed, with its run.
- The newest observation of a partition stays until the partition is filled: it says why it is red.
- What a run that goes on has written stays, and all that is younger than an hour.

The values that the queries name are made in `pruning`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sweep:
    """Rows of one table that have had their time.

    Attributes:
        part: The part of the home that they belong to.
        what: What they are, in the plural.
        table: Their table, of which the newest row always stays.
        body: An expression of how many bytes a row has.
        chosen: A query of their ids.
        also: Statements that remove what hangs on some of them, `{ids}` being a list of ids.
    """

    part: str
    what: str
    table: str
    body: str
    chosen: str
    also: tuple[str, ...] = ()


_EVENT_TAGS = ("DELETE FROM asset_event_tags WHERE event_id IN ({ids})",)

_MATERIALIZATIONS = Sweep(
    "events",
    "materializations",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM (
        SELECT id, partition, timestamp, tagged,
            row_number() OVER (PARTITION BY asset_key, partition ORDER BY id DESC) AS place,
            row_number() OVER (
                PARTITION BY asset_key, partition, tagged ORDER BY id DESC
            ) AS version
        FROM (
            SELECT id, asset_key, partition, timestamp, EXISTS (
                SELECT 1 FROM asset_event_tags t
                WHERE t.event_id = e.id AND t.key = 'dagster/data_version'
            ) AS tagged
            FROM event_logs e WHERE dagster_event_type = 'ASSET_MATERIALIZATION'
        )
    )
    WHERE place > 1 AND timestamp < :young AND NOT (tagged AND version = 1)
        AND (place > iif(partition IS NULL, :observations, :events) OR timestamp < :runs)
    """,
    _EVENT_TAGS,
)
"""The newest with a data version stays as well: Dagster compares the next one with it."""

_OBSERVATIONS = Sweep(
    "events",
    "observations",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM (
        SELECT id, asset_key, partition, timestamp,
            row_number() OVER (PARTITION BY asset_key ORDER BY id DESC) AS place,
            row_number() OVER (PARTITION BY asset_key, partition ORDER BY id DESC) AS own
        FROM event_logs WHERE dagster_event_type = 'ASSET_OBSERVATION'
    ) o
    WHERE place > 1 AND timestamp < :young
        AND (place > :observations OR (timestamp < :runs AND own > 1))
        AND (own > 1 OR partition IS NULL OR EXISTS (
            SELECT 1 FROM event_logs m
            WHERE m.asset_key = o.asset_key AND m.partition = o.partition
                AND m.dagster_event_type = 'ASSET_MATERIALIZATION' AND m.id > o.id
        ))
    """,
    _EVENT_TAGS,
)
"""The newest of a partition stays until the partition is filled: it says why that is red."""

_ATTEMPTS = Sweep(
    "events",
    "planned materializations",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM (
        SELECT id, run_id, timestamp,
            row_number() OVER (PARTITION BY asset_key ORDER BY id DESC) AS newest,
            row_number() OVER (PARTITION BY asset_key, partition ORDER BY id DESC) AS place,
            (
                SELECT max(m.id) FROM event_logs m
                WHERE m.asset_key = e.asset_key AND m.partition IS e.partition
                    AND m.dagster_event_type = 'ASSET_MATERIALIZATION'
            ) AS filled
        FROM event_logs e WHERE dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED'
    )
    WHERE newest > 1 AND timestamp < :young AND (place > 1 OR (filled > id AND timestamp < :runs))
        AND run_id NOT IN (SELECT value FROM json_each(:unfinished))
    """,
)
"""The newest attempt stays until it was filled: without it a failed partition would not be red."""

_COPIES = Sweep(
    "events",
    "copies of evaluations",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM event_logs
    WHERE dagster_event_type IN ('ASSET_CHECK_EVALUATION', 'ASSET_CHECK_EVALUATION_PLANNED')
        AND timestamp < :young AND run_id NOT IN (SELECT value FROM json_each(:unfinished))
    """,
)
"""Nobody reads them: the UI has evaluations from their own table, and from the log of their run."""

_STATES = Sweep(
    "events",
    "other events",
    "event_logs",
    "length(event)",
    """
    SELECT id FROM (
        SELECT id, run_id, timestamp, asset_key,
            row_number() OVER (
                PARTITION BY asset_key, dagster_event_type, partition ORDER BY id DESC
            ) AS place
        FROM event_logs WHERE dagster_event_type NOT IN (
            'ASSET_MATERIALIZATION', 'ASSET_OBSERVATION', 'ASSET_MATERIALIZATION_PLANNED',
            'ASSET_CHECK_EVALUATION', 'ASSET_CHECK_EVALUATION_PLANNED'
        )
    )
    WHERE timestamp < :runs AND (asset_key IS NULL OR place > 1)
        AND run_id NOT IN (SELECT value FROM json_each(:unfinished))
    """,
)

_EVALUATIONS = Sweep(
    "events",
    "check evaluations",
    "asset_check_executions",
    "length(evaluation_event)",
    """
    SELECT id FROM (
        SELECT id, run_id, partition, pending,
            coalesce(evaluation_event_timestamp, create_timestamp) AS timestamp,
            row_number() OVER (
                PARTITION BY asset_key, check_name, partition ORDER BY id DESC
            ) AS place,
            row_number() OVER (
                PARTITION BY asset_key, check_name, partition, pending ORDER BY id DESC
            ) AS own
        FROM (
            SELECT *, execution_status = 'PLANNED' OR evaluation_event_storage_id IS NULL AS pending
            FROM asset_check_executions
        )
    )
    WHERE place > 1 AND timestamp < :young AND NOT (NOT pending AND own = 1)
        AND (place > iif(partition IS NULL, :observations, :events) OR timestamp < :runs)
        AND run_id NOT IN (SELECT value FROM json_each(:unfinished))
    """,
)
"""The newest verdict stays beside the newest attempt, which may never have come to one."""

INDEX = (_MATERIALIZATIONS, _OBSERVATIONS, _ATTEMPTS, _COPIES, _STATES, _EVALUATIONS)

DETAILED = (
    (
        "details of materializations",
        "event_logs",
        "event",
        """
        SELECT id, event FROM event_logs
        WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND partition IS NOT NULL
            AND timestamp < :details AND {detailed}
        """,
    ),
    (
        "details of check evaluations",
        "asset_check_executions",
        "evaluation_event",
        """
        SELECT id, evaluation_event FROM asset_check_executions
        WHERE execution_status <> 'PLANNED' AND partition IS NOT NULL
            AND coalesce(evaluation_event_timestamp, create_timestamp) < :details AND {detailed}
        """,
    ),
)
"""Events that stay because they are the newest of their partition: what, table, column, query."""

_DETAIL_KINDS = ("Table", "Markdown", "Json")
HAS_DETAILS = " OR ".join(
    f"instr({{column}}, '\"{kind}MetadataEntryData\"') > 0" for kind in _DETAIL_KINDS
)

RUNLESS = Sweep(
    "events",
    "events without a run",
    "event_logs",
    "length(event)",
    "SELECT id FROM event_logs WHERE timestamp < :runs",
    _EVENT_TAGS,
)

TICKS = Sweep(
    "ticks",
    "ticks",
    "job_ticks",
    "length(tick_body)",
    """
    SELECT id FROM (
        SELECT id, status, timestamp, row_number() OVER (
            PARTITION BY coalesce(selector_id, job_origin_id) ORDER BY timestamp DESC, id DESC
        ) AS place
        FROM job_ticks
    )
    WHERE place > 2 AND timestamp < iif(status = 'SKIPPED', :ticks, :busy_ticks)
    """,
)
"""The last two stay, by which the daemon and the alerts know that an automation is alive."""

CONDITIONS = Sweep(
    "ticks",
    "evaluations of automation conditions",
    "asset_daemon_asset_evaluations",
    "length(asset_evaluation_body)",
    """
    SELECT id FROM (
        SELECT id, create_timestamp, row_number() OVER (
            PARTITION BY asset_key ORDER BY evaluation_id DESC, id DESC
        ) AS place
        FROM asset_daemon_asset_evaluations
    )
    WHERE place > 1 AND create_timestamp < :evaluations
    """,
)

BACKFILLS = Sweep(
    "runs",
    "backfills",
    "bulk_actions",
    "length(body)",
    """
    SELECT id FROM bulk_actions WHERE timestamp < :failed_runs
        AND status NOT IN ('REQUESTED', 'CANCELING', 'FAILING')
    """,
    (
        """
        DELETE FROM backfill_tags
        WHERE backfill_id IN (SELECT key FROM bulk_actions WHERE id IN ({ids}))
        """,
    ),
)

SNAPSHOTS = Sweep(
    "runs",
    "snapshots of jobs and plans",
    "snapshots",
    "length(snapshot_body)",
    """
    WITH kept AS (
        SELECT snapshot_id AS job, json_extract(run_body, '$.execution_plan_snapshot_id') AS plan
        FROM runs WHERE run_id NOT IN (SELECT value FROM json_each(:removed))
    )
    SELECT id FROM snapshots WHERE snapshot_id NOT IN (
        SELECT job FROM kept WHERE job IS NOT NULL
        UNION ALL SELECT plan FROM kept WHERE plan IS NOT NULL
        UNION ALL SELECT value FROM json_each(:parents)
    )
    """,
)

KEPT_JOBS = """
    SELECT DISTINCT snapshot_id FROM runs JOIN snapshots USING (snapshot_id)
    WHERE run_id NOT IN (SELECT value FROM json_each(:removed))
"""

# Runs that say why a partition or an asset is what it is: the newest attempts of partitions that
# were not filled since, checks that never came to a verdict with the materializations they are
# compared with, and the last run of each asset.
NEEDED = """
    WITH planned AS (
        SELECT asset_key, partition, run_id, max(id) AS id FROM event_logs
        WHERE dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED' GROUP BY asset_key, partition
    ),
    filled AS (
        SELECT asset_key, partition, run_id, max(id) AS id FROM event_logs
        WHERE dagster_event_type = 'ASSET_MATERIALIZATION' GROUP BY asset_key, partition
    ),
    checked AS (
        SELECT asset_key, check_name, partition, run_id, execution_status, max(id) AS id
        FROM asset_check_executions GROUP BY asset_key, check_name, partition
    )
    SELECT p.run_id FROM planned p LEFT JOIN filled f
        ON f.asset_key = p.asset_key AND f.partition IS p.partition
    WHERE f.id IS NULL OR f.id < p.id
    UNION
    SELECT run_id FROM checked WHERE execution_status = 'PLANNED'
    UNION
    SELECT f.run_id FROM checked c JOIN filled f
        ON f.asset_key = c.asset_key AND f.partition IS c.partition
    WHERE c.execution_status = 'PLANNED'
    UNION
    SELECT last_run_id FROM asset_keys
"""
