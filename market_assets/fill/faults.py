"""What is wrong with candles: rows that were refused, and stored ones that cannot be."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from market_assets.fill.tallies import by_partition
from market_assets.market.calendars.bounds import CLOSURE, SESSION_REACH
from market_assets.market.partitions import Partition, hull
from market_assets.market.timeframes import Window
from market_assets.verdicts.clean import CANDLE, FAULTS, Reason, price_faults
from market_assets.verdicts.doubt import off_calendar
from market_assets.verdicts.plausibility import RECENT, implausible
from market_assets.verdicts.validity import Reject, validity
from market_assets.verdicts.verdicts import SAMPLE, Verdict
from market_assets.work.refused import refused_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.expected.scope import Scope
    from market_assets.fill.answers import Answer
    from market_assets.store import Transaction

_PAST = timedelta(days=45)
"""How far back reaches the past that a symbol's bars are measured by.

It holds twenty sessions, with all holidays.
"""


def note_off_calendar(
    transaction: Transaction,
    scope: Scope,
    rejects: pl.DataFrame,
    partitions: Sequence[Partition],
) -> dict[str, list[dict[str, Any]]]:
    """Record the rows that the calendar refused.

    A day without a session is no partition: the next partition shows its bars, or the last one of
    all.

    Returns:
        By key of the partition that shows them, rows of OFF_CALENDAR_SCHEMA.
    """
    refused = rejects.filter(pl.col("reason") == Reason.CLOSED_MARKET)
    if refused.is_empty():
        return {}
    around = Window.spanning(refused["ts"], refused["ts"])
    inside = Window(around.start - CLOSURE, around.end + CLOSURE).intersect(scope.calendar.known)
    if inside is None:
        return {}

    if scope.timeframe.intraday:
        counted = off_calendar(refused, scope.calendar.spans(inside), scope.calendar.zone)
    else:
        # A day's time is its date, wherever the exchange is.
        days = scope.grid(inside)
        spans = days.select("session", open="ts", close=pl.col("ts") + scope.timeframe.duration)
        counted = off_calendar(refused, spans, ZoneInfo("UTC"))
    transaction.off_calendar.put(scope.dataset, counted)

    keys = sorted(partition.key for partition in partitions)
    near = hull(partitions)
    near = Window(near.start - SESSION_REACH, near.end + SESSION_REACH)
    shown: dict[str, list[dict[str, Any]]] = {}
    # Answers reach over more than is judged at once.
    for row in counted.filter(near.holds("first_ts")).iter_rows(named=True):
        row_key = Partition.holding(row["first_ts"].date(), scope.cadence).key
        shown_in = next((key for key in keys if key >= row_key), keys[-1])
        shown.setdefault(shown_in, []).append(row)
    return shown


def note_refused(
    transaction: Transaction,
    scope: Scope,
    rejects: pl.DataFrame,
    partitions: Sequence[Partition],
    answers: Sequence[Answer],
) -> pl.DataFrame:
    """Record which rows were refused, and why: a frame of REFUSED_SCHEMA."""
    keys = [partition.key for partition in partitions]
    refused = refused_frame(rejects, scope.part("asked").dt.to_string())
    refused = refused.filter(pl.col("partition").is_in(keys))
    symbols = sorted({answer.page.symbol for answer in answers if answer.spoken})
    if symbols:
        transaction.refused.put(scope.dataset, symbols, keys, refused)
    streamed = {answer.page.symbol for answer in answers if answer.is_stream}
    # A stream is no answer for the whole partition: what was refused before stays.
    transaction.refused.add(
        scope.dataset, refused.filter(pl.col("symbol").is_in(streamed - {*symbols}))
    )
    return refused


def violations(scope: Scope, rows: pl.DataFrame, window: Window, *, complete: bool) -> pl.DataFrame:
    """Stored candles that cannot be.

    They have impossible numbers, a time that is no bar of the series, or there are two for one bar.

    Args:
        scope: What may be there: the series from their start in the universe on.
        rows: The stored candles of a window.
        window: The window.
        complete: There is one row for each bar of the calendar, so that only the numbers can be
            wrong.

    Returns:
        symbol, ts, reason, values; sorted by these.
    """
    # A source's own rule about the open was applied when the row came in.
    faults = pl.any_horizontal(
        fault for _, fault in price_faults(scope.profile.prices, open_outside_range=True)
    )
    key = ["symbol", "ts"]
    wrong = [rows.filter(faults).with_columns(reason=pl.lit("impossible prices or volume"))]
    if not complete:
        doubled = rows.filter(pl.struct(key).is_duplicated())
        foreign = rows.join(scope.bars(window), on=key, how="anti")
        wrong += [
            doubled.with_columns(reason=pl.lit("two candles for one bar")),
            foreign.with_columns(reason=pl.lit("not a bar of this series")),
        ]
    values = pl.format("o={} h={} l={} c={} v={}", *CANDLE[1:])
    violated = pl.concat(wrong).select(*key, "reason", values=values)
    return violated.sort(violated.columns)


def implausible_bars(
    transaction: Transaction, scope: Scope, window: Window
) -> dict[str, list[dict[str, Any]]]:
    """The bars of a window that are likely wrong, by partition: rows of FINDING_SCHEMA.

    They are measured by some weeks before.
    """
    if not scope.profile.checks.plausibility:
        return {}
    timeframe, extent = scope.timeframe, scope.calendar.known
    past = max(_PAST, 2 * RECENT * timeframe.duration)
    whole = Window(max(extent.start, window.start - past), min(extent.end, window.end + CLOSURE))
    grid = scope.grid(whole).select("ts", "session", "opens_at")
    began = pl.col("opens_at").min().over("session") if timeframe.intraday else pl.col("ts")

    bars = transaction.candles.of(scope.dataset, scope.symbols, whole)
    bars = bars.unique(["symbol", "ts"]).join(grid.with_columns(opens=began), on="ts")
    findings = implausible(bars, timeframe, real_volume=scope.profile.prices.real_volume)
    findings = findings.filter(window.holds("first_ts"))
    return {
        key: rows.drop("part").to_dicts()
        for key, rows in by_partition(scope, findings, "first_ts").items()
    }


def judge_validity(
    violated: Sequence[Reject],
    refused: Sequence[Reject],
    outside: Sequence[Mapping[str, Any]],
    nulled: Mapping[str, int] | None = None,
) -> Verdict:
    """The verdict on a partition's candles, and on the rows that were refused for it."""
    faults: dict[str, int] = {}
    notes: dict[str, int] = {}
    for reject in refused:
        number = faults if reject.reason in FAULTS else notes
        number[reject.reason] = number.get(reject.reason, 0) + 1
    sample = [reject for reject in refused if reject.reason in FAULTS][:SAMPLE]
    return validity(violated, faults, sample, notes=notes, outside=outside, nulled=nulled)


def as_rejects(rows: pl.DataFrame | None) -> list[Reject]:
    """Rows (symbol, ts, reason, values) as verdicts take them."""
    if rows is None:
        return []
    fields = rows.select("symbol", "ts", "reason", "values").iter_rows()
    return [
        Reject(symbol, ts and ts.replace(tzinfo=UTC), reason, values)
        for symbol, ts, reason, values in fields
    ]
