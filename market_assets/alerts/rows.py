"""Alerts as rows of `ops.alerts`, and rows as alerts.

What an alert is stands in `ledger`; how rows are read and written, in `store/tables/alerts.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.alerts.ledger import (
    Alert,
)
from market_assets.alerts.troubles import (
    Kind,
    Level,
)
from market_assets.market.timeframes import TS
from market_assets.store.database import aware, naive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALERT_SCHEMA = pl.Schema(
    {
        "alert_id": pl.String(),
        "profile": pl.String(),
        "kind": pl.String(),
        "subject": pl.String(),
        "level": pl.String(),
        "summary": pl.String(),
        "count": pl.Int64(),
        "details": pl.List(pl.String()),
        "symbols": pl.List(pl.String()),
        "opened_at": TS,
        "told_at": TS,
        "told_level": pl.String(),
        "over_at": TS,
        "over_told_at": TS,
        "tries": pl.Int32(),
        "tried_at": TS,
        "error": pl.String(),
    }
)
"""The columns of `ops.alerts`."""


def alerts_in(frame: pl.DataFrame) -> list[Alert]:
    """The rows of `ops.alerts` as they are reckoned with."""
    return [alert_of(row) for row in frame.iter_rows(named=True)]


def alert_of(row: Mapping[str, Any]) -> Alert:
    """The alert of a row; instants may lack their zone, which is UTC."""
    values = {name: _aware(value) for name, value in row.items()}
    told_level = row["told_level"]
    return Alert(
        **{
            **values,
            "kind": Kind(row["kind"]),
            "level": Level(row["level"]),
            "told_level": None if told_level is None else Level(told_level),
            "details": tuple(row["details"]),
            "symbols": tuple(row["symbols"]),
        }
    )


def frame_of(alerts: Iterable[Alert]) -> pl.DataFrame:
    """Alerts as rows of `ops.alerts`."""
    rows = [[_plain(getattr(alert, name)) for name in ALERT_SCHEMA] for alert in alerts]
    return pl.DataFrame(rows, schema=ALERT_SCHEMA, orient="row")


def _aware(value: Any) -> Any:  # noqa: ANN401 - any column's
    return aware(value) if isinstance(value, datetime) else value


def _plain(value: Any) -> Any:  # noqa: ANN401 - any column's
    if isinstance(value, datetime):
        return naive(value)
    return list(value) if isinstance(value, tuple) else value
