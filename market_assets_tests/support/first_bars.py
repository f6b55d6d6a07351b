"""First bars as the store has recorded them."""

from __future__ import annotations

from datetime import UTC, datetime


def recorded(ground) -> list[tuple[datetime, str]]:
    rows = ground.table("SELECT ts, source FROM ops.genesis ORDER BY found_at, rowid").rows()
    return [(ts.replace(tzinfo=UTC), source) for ts, source in rows]
