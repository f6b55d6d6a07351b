"""`ops.alerts`: the alerts that were sent or are still to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table

if TYPE_CHECKING:
    import polars as pl


class Alerts(Table):
    """Reads `ops.alerts`: the alerts that were sent or are still to be sent."""

    def of(self, *, everything: bool = False) -> pl.DataFrame:
        """The alerts that are not finished, newest first.

        Unfinished is a trouble that goes on, or one whose end is still to be reported.

        Args:
            everything: Give the finished alerts, too.

        Returns:
            All columns of `ops.alerts`.
        """
        return self._db.frame(
            """
            SELECT *
            FROM ops.alerts
            WHERE ? OR over_at IS NULL OR (told_at IS NOT NULL AND over_told_at IS NULL)
            ORDER BY opened_at DESC, profile, kind, subject
            """,
            everything,
        )


class AlertsWriter(Alerts):
    """Reads and writes `ops.alerts`: the alerts that were sent or are still to be sent."""

    def put(self, alerts: pl.DataFrame) -> None:
        """Add alerts, or replace those of the same alert_id: all columns of `ops.alerts`."""
        if alerts.is_empty():
            return
        with self._db.lent("new_alerts", alerts):
            self._db.execute(
                "DELETE FROM ops.alerts a USING new_alerts n WHERE a.alert_id = n.alert_id"
            )
            self._db.execute("INSERT INTO ops.alerts BY NAME SELECT * FROM new_alerts")
