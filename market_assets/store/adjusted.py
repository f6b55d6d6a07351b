"""The SQL of corporate actions and of adjusted candles.

Holds the DDL of the action table, and of the views and the macros per day that adjust candles.
`enrich.actions.adjust` computes the same in polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.market.columns import EXTRAS, Extra
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store.schema import identifier, table_of, text_literal

if TYPE_CHECKING:
    from collections.abc import Iterable

ACTION_COLUMNS = ("symbol", "ex_date", "kind", "ratio", "amount", "currency", "detail", "source")
"""The columns of an action; the table has `recorded_at`, too."""


def action_table(profile: str) -> str:
    """The qualified name of a profile's table of corporate actions."""
    return f"{identifier(profile)}.corporate_actions"


def create_action_table(profile: str) -> str:
    """DDL of the table of corporate actions.

    What a row was before it changed is in `ops.action_revisions`.
    """
    return f"""
        CREATE SCHEMA IF NOT EXISTS {identifier(profile)};
        CREATE TABLE IF NOT EXISTS {action_table(profile)} (
            symbol VARCHAR NOT NULL,
            ex_date DATE NOT NULL,
            kind VARCHAR NOT NULL,
            ratio DOUBLE,
            amount DOUBLE,
            currency VARCHAR,
            detail VARCHAR,
            source VARCHAR NOT NULL,
            recorded_at TIMESTAMP NOT NULL
        );
        """


def create_adjusted(profile: str, timeframes: Iterable[Timeframe], zone: str) -> str:
    """DDL of the macros and views that adjust a profile's candles.

    The macros are `adjustments(as_of)` and `adjusted_<tf>(as_of)`; the views are
    `candles_<tf>_adjusted`, as of now. Each macro also takes `known_by`, a time in UTC: actions
    then count as they were recorded at that time.

    Args:
        profile: The profile's name; it keeps 1d candles, and its candle tables exist.
        timeframes: Its timeframes.
        zone: The exchange's time zone, in which every session lies within its date.
    """
    schema = identifier(profile)
    made = [
        (
            f"""
            CREATE OR REPLACE MACRO {schema}.adjustments(as_of, known_by := NULL)
            AS TABLE {_adjustments(profile)}
            """
        )
    ]
    # Weeks are made of adjusted days.
    for timeframe in sorted(timeframes, key=lambda member: member.duration):
        macro = f"{schema}.adjusted_{timeframe}"
        candles = Dataset.candles(profile, timeframe).name
        body = _weeks(schema) if timeframe is Timeframe.W1 else _adjusted(profile, timeframe, zone)
        made += [
            f"CREATE OR REPLACE MACRO {macro}(as_of, known_by := NULL) AS TABLE {body}",
            # Today's date in UTC, whatever zone a reader's session is set to.
            (
                f"""
                CREATE OR REPLACE VIEW {schema}.{candles}_adjusted AS
                FROM {macro}(make_timestamp(epoch_us(now()))::DATE)
                """
            ),
        ]
    return ";".join(made)


def _adjustments(profile: str) -> str:
    """SQL of symbol, ex_date, price_factor, volume_factor.

    `enrich.actions.adjust.adjustments` gives the same.
    """
    return f"""
    WITH known AS (
        SELECT symbol, ex_date, kind, ratio, amount
        FROM {action_table(profile)}
        WHERE known_by IS NULL OR recorded_at <= known_by::TIMESTAMP
        UNION ALL
        SELECT symbol, ex_date, kind, ratio, amount
        FROM ops.action_revisions
        WHERE profile = {text_literal(profile)}
          AND recorded_at <= known_by::TIMESTAMP
          AND replaced_at > known_by::TIMESTAMP
    ),
    closes AS (
        SELECT symbol, ts, close
        FROM {table_of(Dataset.candles(profile, Timeframe.D1))}
        WHERE ts <= as_of::DATE
    ),
    days AS (
        SELECT symbol, ex_date,
            coalesce(product(ratio) FILTER (WHERE kind = 'split'), 1.0) AS ratio,
            coalesce(sum(amount) FILTER (WHERE kind = 'dividend'), 0.0) AS amount
        FROM known
        JOIN (SELECT symbol, max(ts) AS last FROM closes GROUP BY symbol) USING (symbol)
        WHERE kind IN ('split', 'dividend')
          AND ex_date <= as_of::DATE
          AND ex_date <= last + INTERVAL 14 DAYS
        GROUP BY symbol, ex_date
    ),
    counted AS (
        SELECT *, product(ratio) OVER (PARTITION BY symbol ORDER BY ex_date) AS shares
        FROM days
    ),
    measured AS (
        SELECT a.symbol, a.ex_date, a.ratio, a.amount,
            a.amount * a.shares / coalesce(b.shares, 1.0) AS paid,
            c.close
        FROM counted a
            ASOF LEFT JOIN closes c ON c.symbol = a.symbol AND c.ts < a.ex_date
            ASOF LEFT JOIN counted b ON b.symbol = a.symbol AND b.ex_date <= c.ts
    ),
    factors AS (
        SELECT symbol, ex_date, ratio,
            CASE WHEN amount = 0 THEN 1.0 WHEN paid < close THEN 1 - paid / close END / ratio
                AS factor
        FROM measured
    )
    SELECT symbol, ex_date,
        CASE WHEN NOT bool_or(factor IS NULL) OVER later THEN product(factor) OVER later END
            AS price_factor,
        product(ratio) OVER later AS volume_factor
    FROM factors
    WINDOW later AS (PARTITION BY symbol ORDER BY ex_date DESC)
    """


def _adjusted(profile: str, timeframe: Timeframe, zone: str) -> str:
    """SQL of candles on the footing of a day.

    It gives only symbols whose actions a source has reported: see `enrich.actions.adjust.adjust`.
    """

    def begins(day: str) -> str:
        instant = f"({day})::TIMESTAMP"
        return (
            f"timezone('UTC', timezone({text_literal(zone)}, {instant}))"
            if timeframe.intraday
            else instant
        )

    # Joined by stretches, so that the candles stream; an ASOF join would sort them.
    return f"""
    WITH bounds AS (
        SELECT symbol, {begins("ex_date")} AS until, price_factor, volume_factor
        FROM {identifier(profile)}.adjustments(as_of, known_by := known_by)
        UNION ALL
        SELECT symbol, {begins("as_of::DATE + 1")}, 1.0, 1.0
        FROM ops.action_answers
        WHERE profile = {text_literal(profile)}
    ),
    stretches AS (
        SELECT *,
            lag(until, 1, '-infinity'::TIMESTAMP) OVER (PARTITION BY symbol ORDER BY until) AS since
        FROM bounds
    )
    SELECT
        c.symbol,
        c.ts,
        c.open * s.price_factor AS open,
        c.high * s.price_factor AS high,
        c.low * s.price_factor AS low,
        c.close * s.price_factor AS close,
        c.volume * s.volume_factor AS volume,
        {", ".join(f"{_footed(extra)} AS {extra.name}" for extra in EXTRAS)}
    FROM {table_of(Dataset.candles(profile, timeframe))} c
    JOIN stretches s ON s.symbol = c.symbol AND c.ts >= s.since AND c.ts < s.until
    """


def _weeks(schema: str) -> str:
    """SQL of weeks of adjusted days: see `enrich.actions.adjust.adjusted_weeks`."""

    def known(price: str) -> str:
        return f"CASE WHEN count(close) = count(*) THEN coalesce({price}, arg_max(close, ts)) END"

    traded = "FILTER (WHERE NOT quiet)"
    # `enrich.quiet` has the same.
    return f"""
    WITH days AS (
        SELECT *,
            coalesce(
                volume = 0 AND open = close AND high = low AND open = high
                AND close = coalesce(lag(close) OVER (PARTITION BY symbol ORDER BY ts), close),
                false
            ) AS quiet
        FROM {schema}.adjusted_1d(as_of, known_by := known_by)
    )
    SELECT symbol, date_trunc('week', ts) AS ts, {known(f"arg_min(open, ts) {traded}")} AS open,
        {known(f"max(high) {traded}")} AS high, {known(f"min(low) {traded}")} AS low,
        {known(f"arg_max(close, ts) {traded}")} AS close, sum(volume) AS volume,
        {", ".join(f"{_rolled(extra)} AS {extra.name}" for extra in EXTRAS)}
    FROM days GROUP BY symbol, date_trunc('week', ts)
    """


def _footed(extra: Extra) -> str:
    """An extra column of a candle on the footing of a day."""
    return f"c.{extra.name}" + (f" * s.{extra.factor}" if extra.factor else "")


def _rolled(extra: Extra) -> str:
    """An extra column of a week of adjusted days: see `columns.rolled`."""
    is_whole = f"count(*) FILTER (WHERE {extra.name} IS NULL AND volume IS DISTINCT FROM 0) = 0"
    if extra.roll == "sum":
        return f"CASE WHEN {is_whole} THEN sum({extra.name})::{extra.sql} END"
    mean = f"sum({extra.name} * volume) / sum(volume)"
    return f"CASE WHEN {is_whole} AND count(volume) = count(*) AND sum(volume) > 0 THEN {mean} END"
