"""`ops.sessions` and `ops.calendars`: the calendar that a profile was judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.store.database import Table

if TYPE_CHECKING:
    import polars as pl


class Sessions(Table):
    """Reads `ops.sessions` and `ops.calendars`: the calendar that a profile was judged by."""

    def digest(self, profile: str) -> str | None:
        """The digest of the calendar that a profile was judged by; None where none was noted."""
        row = self._db.execute(
            "SELECT digest FROM ops.calendars WHERE profile = ?", [profile]
        ).fetchone()
        return row[0] if row else None

    def of(self, profile: str) -> pl.DataFrame:
        """The stretches of trading that a profile was judged by: session, open, close; sorted."""
        return self._db.frame(
            "SELECT session, open, close FROM ops.sessions WHERE profile = ? ORDER BY open", profile
        )


class SessionsWriter(Sessions):
    """Reads and writes `ops.sessions` and `ops.calendars`: the calendar of a profile."""

    def put(self, profile: str, digest: str, sessions: pl.DataFrame) -> None:
        """Note the calendar that a profile is judged by: session, open, close."""
        self._db.execute("DELETE FROM ops.sessions WHERE profile = ?", [profile])
        self._db.execute("DELETE FROM ops.calendars WHERE profile = ?", [profile])
        self._db.execute(
            "INSERT INTO ops.calendars VALUES (?, ?, ?)", [profile, digest, self._db.now]
        )
        with self._db.lent("sessions_now", sessions):
            self._db.execute(
                """
                INSERT INTO ops.sessions BY NAME
                SELECT ? AS profile, session, open, close
                FROM sessions_now
                """,
                [profile],
            )
