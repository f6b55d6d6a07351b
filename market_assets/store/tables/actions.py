"""Corporate actions: `<profile>.corporate_actions` and the two tables of their history.

`ops.action_revisions` has the rows that hold no more, `ops.action_answers` who reported a symbol's
actions, and when last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import polars as pl

from market_assets.store.adjusted import (
    ACTION_COLUMNS,
    action_table,
    create_action_table,
    create_adjusted,
)
from market_assets.store.database import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from market_assets.market.timeframes import Timeframe


@dataclass(frozen=True)
class ActionsMerged:
    """How the recorded corporate actions changed when sources had answered.

    Attributes:
        new: Actions that were not there before.
        changed: Actions whose values changed; their old rows are in ops.action_revisions.
        withdrawn: Actions that no source reports any more; their rows are there too.
        since: The oldest ex-date of a new, changed or withdrawn action; None where there is none.
    """

    new: int = 0
    changed: int = 0
    withdrawn: int = 0
    since: date | None = None


class Actions(Table):
    """Reads the corporate actions of a profile, their old rows, and which source reported them."""

    def of(self, profile: str) -> pl.DataFrame:
        """Every corporate action that was ever recorded, oldest first.

        It includes those that hold no more. The table must exist.

        Returns:
            symbol, ex_date, kind, ratio, amount, currency, detail, source, recorded_at, replaced_at
            (null while the action holds).
        """
        columns = ", ".join(ACTION_COLUMNS)
        return self._db.frame(
            f"""
            SELECT {columns}, recorded_at, NULL::TIMESTAMP AS replaced_at
            FROM {action_table(profile)}
            UNION ALL
            SELECT {columns}, recorded_at, replaced_at
            FROM ops.action_revisions
            WHERE profile = ?
            ORDER BY symbol, ex_date, kind, detail, recorded_at
            """,
            profile,
        )

    def answers(self, profile: str) -> pl.DataFrame:
        """Which source has reported each symbol's corporate actions, and when last.

        Returns:
            symbol, source, actions (how many), answered_at.
        """
        return self._db.frame(
            """
            SELECT symbol, source, actions, answered_at
            FROM ops.action_answers
            WHERE profile = ?
            ORDER BY symbol
            """,
            profile,
        )


class ActionsWriter(Actions):
    """Reads and writes the corporate actions of a profile, their old rows, and their sources."""

    def create(self, profile: str, timeframes: Sequence[Timeframe], zone: str) -> None:
        """Create the table of corporate actions, and the views and macros of adjusted candles.

        The table is created where it does not exist; the views and macros are always created again.

        Args:
            profile: The profile's name; its candle tables exist.
            timeframes: Those of the profile, 1d among them.
            zone: The exchange's time zone.
        """
        self._db.execute(create_action_table(profile))
        self._db.execute(create_adjusted(profile, timeframes, zone))

    def put(self, profile: str, answers: Mapping[str, str], actions: pl.DataFrame) -> ActionsMerged:
        """Record what sources say of some symbols' corporate actions.

        A row that they say no more, or otherwise, is kept in `ops.action_revisions`.

        Args:
            profile: The profile's name.
            answers: The source that has answered, by symbol.
            actions: All actions of these symbols: symbol, ex_date, kind, ratio, amount, currency,
                detail, source.
        """
        names, table, key = (
            ", ".join(ACTION_COLUMNS),
            action_table(profile),
            ["symbol", "ex_date", "kind"],
        )
        before = self._db.frame(
            f"SELECT rowid, * FROM {table} WHERE list_contains(?, symbol)", list(answers)
        )
        given = actions.select(ACTION_COLUMNS).match_to_schema(
            before.drop("rowid", "recorded_at").schema
        )
        # The second of two equal payments is told from the first by its number.
        same = [*ACTION_COLUMNS, "number"]
        before, actions = (
            frame.with_columns(number=pl.int_range(pl.len()).over(ACTION_COLUMNS))
            for frame in (before, given)
        )
        new = actions.join(before, on=same, how="anti", nulls_equal=True).sort(key)
        gone = before.join(actions, on=same, how="anti", nulls_equal=True)
        with self._db.lent("gone_actions", gone):
            self._db.execute(
                f"""
                INSERT INTO ops.action_revisions
                SELECT ?, {names}, recorded_at, ?
                FROM gone_actions
                """,
                [profile, self._db.now],
            )
            self._db.execute(f"DELETE FROM {table} t USING gone_actions g WHERE t.rowid = g.rowid")
        with self._db.lent("new_actions", new):
            self._db.execute(
                f"INSERT INTO {table} SELECT {names}, ? FROM new_actions", [self._db.now]
            )
        answer_counts = pl.DataFrame(
            list(answers.items()), schema={"symbol": pl.String, "source": pl.String}, orient="row"
        ).join(actions.group_by("symbol").agg(actions=pl.len()), on="symbol", how="left")
        with self._db.lent("answer_counts", answer_counts):
            self._db.execute(
                """
                DELETE FROM ops.action_answers a
                USING answer_counts t
                WHERE a.profile = ? AND a.symbol = t.symbol
                """,
                [profile],
            )
            self._db.execute(
                """
                INSERT INTO ops.action_answers
                SELECT ?, symbol, source, coalesce(actions, 0), ?
                FROM answer_counts
                """,
                [profile, self._db.now],
            )
        changed = gone.join(new, on=key, how="semi").height
        dates = pl.concat([new["ex_date"], gone["ex_date"]])
        return ActionsMerged(
            new=new.join(gone, on=key, how="anti").height,
            changed=changed,
            withdrawn=gone.height - changed,
            since=cast("date | None", dates.min()),
        )
