"""The gap ledger for people."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.scope import scope_of
from market_assets.market.gaps import priority
from market_assets.market.timeframes import TS, Window, literal
from market_assets.verdicts.evidence import MISSING, State
from market_assets.verdicts.ledger import askable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot, Store

GAP_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "first_ts": TS,
        "last_ts": TS,
        "bars": pl.Int64(),
        "priority": pl.String(),
        "status": pl.String(),
        "attempts": pl.Int32(),
        "asked_at": TS,
        "reason": pl.String(),
    }
)
"""A gap as `listed_gaps` gives it."""

_ALIKE = ("symbol", "status", "reason")


def listed_gaps(
    store: Store,
    profiles: Sequence[Profile],
    *,
    symbols: Sequence[str] | None,
    now: datetime,
    explained: bool,
) -> pl.DataFrame:
    """The gaps of the ledger, newest first.

    Each is whole, though the ledger cuts gaps at partitions.

    Args:
        store: Where the ledger is.
        profiles: Whose gaps.
        symbols: Only these; None for all.
        now: A gap's priority falls with its age.
        explained: Also those that are absent for a known reason.

    Returns:
        profile, symbol, timeframe, first_ts, last_ts (opens), bars, priority, status, attempts,
        asked_at, reason.
    """
    with store.reading("listing gaps") as view:
        ledger = view.gaps.of(symbols=symbols)
    frames = [pl.DataFrame(schema=GAP_SCHEMA)]
    for profile in profiles:
        for timeframe in profile.timeframes.fetch:
            rows = ledger.filter(
                pl.col("profile") == profile.name, pl.col("timeframe") == timeframe
            )
            rows = rows if explained else rows.filter(pl.col("status").is_in(MISSING))
            scope = scope_of(profile, timeframe, now)
            if scope.floor:
                rows = rows.filter(pl.col("first_ts") >= literal(scope.window.start))
            if rows.is_empty():
                continue
            whole = whole_gaps(rows, scope)
            ages = [
                now - (last.replace(tzinfo=UTC) + timeframe.duration) for last in whole["last_ts"]
            ]
            named = whole.with_columns(
                pl.Series("priority", [priority(age) for age in ages], pl.String),
                profile=pl.lit(profile.name),
                timeframe=pl.lit(str(timeframe)),
            )
            frames.append(named.select(GAP_SCHEMA.names()))
    return pl.concat(frames).sort("last_ts", "profile", "symbol", descending=[True, False, False])


def askable_bars(
    view: Snapshot,
    profiles: Sequence[Profile],
    windows: Mapping[str, Window],
    *,
    symbols: Sequence[str] | None,
) -> tuple[int, int]:
    """How many missing bars a backfill by hand asks for, and how many it does not.

    It does not ask for abandoned bars that sources have answered for.

    Args:
        view: The store, after a fill: all that it lacks is in the ledger.
        profiles: Whose bars.
        windows: Which days, by profile.
        symbols: Only these; None for all.
    """
    again = given_up = 0
    for profile in profiles:
        for timeframe in profile.timeframes.fetch:
            ledger = view.gaps.of(
                profile.candles(timeframe),
                symbols=symbols,
                window=windows[profile.name],
                who=True,
            )
            opened = ledger.filter(pl.col("status") == State.OPEN)
            abandoned = ledger.filter(pl.col("status") == State.ABANDONED)
            refused = _bars(askable(ledger))
            again += _bars(opened) + refused
            given_up += _bars(abandoned) - refused
    return again, given_up


def _bars(gaps: pl.DataFrame) -> int:
    return int(gaps["bars"].sum())


def bare_profiles(store: Store, profiles: Sequence[Profile]) -> list[str]:
    """The names of the profiles without any judged partition.

    What they lack is in no ledger.
    """
    with store.reading("looking for what was filled") as view:
        return [
            profile.name
            for profile in profiles
            if not any(
                view.partitions.keys(profile.candles(timeframe))
                for timeframe in profile.timeframes.fetch
            )
        ]


def whole_gaps(rows: pl.DataFrame, scope: Scope, *, alike: Sequence[str] = _ALIKE) -> pl.DataFrame:
    """Join what the ledger has cut at the partitions of one profile's timeframe.

    Args:
        rows: At least one; the columns that `join_neighbours` takes.
        scope: Whose rows.
        alike: What must be the same for two to be one; an error's words often name the page that
            was asked for.

    Returns:
        symbol, status, reason, first_ts, last_ts, attempts, asked_at, first_seen, bars.
    """
    span = Window.spanning(rows["first_ts"], rows["last_ts"] + scope.timeframe.duration)
    return join_neighbours(rows, scope.grid(span)["ts"], alike)


def join_neighbours(
    gaps: pl.DataFrame, grid: pl.Series, alike: Sequence[str] = _ALIKE
) -> pl.DataFrame:
    """Join rows of the ledger that follow each other on the calendar.

    Args:
        gaps: symbol, first_ts, last_ts, bars, status, attempts, first_seen, asked_at, reason.
        grid: The opens of every bar of the calendar between the first and the last, sorted.
        alike: The columns that must be the same.
    """
    placed = gaps.with_columns(
        first_place=grid.search_sorted(gaps["first_ts"]).cast(pl.Int64),
        last_place=grid.search_sorted(gaps["last_ts"]).cast(pl.Int64),
    ).sort("symbol", "first_ts")
    breaks = (pl.col("first_place") != pl.col("last_place").shift() + 1) | pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift()) for name in alike
    )
    return (
        placed.with_columns(whole=breaks.fill_null(value=True).cum_sum())
        .group_by("whole", maintain_order=True)
        .agg(
            pl.first("symbol", "status", "reason"),
            pl.min("first_ts", "first_seen"),
            pl.max("last_ts", "attempts", "asked_at"),
            pl.sum("bars"),
        )
        .drop("whole")
    )
