"""The name under which the dagster.yaml of homes of earlier releases looks for its storages."""

from market_assets.defs.internals.event_log import (
    HomeRunStorage,
    HomeScheduleStorage,
    PooledSqliteEventLogStorage,
)

__all__ = ["HomeRunStorage", "HomeScheduleStorage", "PooledSqliteEventLogStorage"]
