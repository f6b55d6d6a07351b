"""How complete each stretch of time is: the figures of a heat map."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from market_assets.market.timeframes import Timeframe
from market_assets.pictures.heatmap import CellState
from market_assets.reports.completeness import audit_candles, heat_of
from market_assets.serve.desk import AtDesk
from market_assets.serve.models import EVERYWHERE, Heat, problems
from market_assets.serve.parameters import Name, Parameters, profiles_named, timeframe_kept

if TYPE_CHECKING:
    from datetime import datetime

    from market_assets.config.universe import Profile
    from market_assets.store import Snapshot

router = APIRouter(tags=["status"], responses=problems(404, *EVERYWHERE))

_LASTS = timedelta(seconds=10)
"""How long the figures are given again, if nothing is committed meanwhile."""


class HeatWanted(Parameters):
    """Of what."""

    profile: Name = Field(description="The profile.", examples=["crypto"])
    timeframe: Timeframe | None = Field(
        default=None, description="A timeframe; the shortest fetched one by default."
    )
    limit: int = Field(
        default=120, ge=1, le=1000, description="How many symbols at most: the worst ones."
    )


@router.get("/heat", summary="How complete each stretch is", responses={200: {"model": Heat}})
async def heat(
    request: Request, desk: AtDesk, parameters: Annotated[HeatWanted, Query()]
) -> Response:
    """A row a symbol, a column a day, week or month, and in each the share of its worst partition.

    So one hole is not averaged away. The figures are those of Dagster's page.
    """
    (profile,) = profiles_named(desk.universe, [parameters.profile])
    timeframe = timeframe_kept(profile, parameters.timeframe)
    make = partial(_heat, profile, timeframe, desk.clock(), parameters.limit)
    return await desk.short(request, f"reading how complete {profile.name} is", make, lasts=_LASTS)


def _heat(
    profile: Profile, timeframe: Timeframe, now: datetime, limit: int, view: Snapshot
) -> dict[str, Any]:
    cells, bucket = heat_of(audit_candles(view, profile, timeframe, now))
    columns = sorted(cells["bucket"].unique())
    shares = cells.group_by("symbol").agg(pl.mean("share")).sort("share", "symbol")
    shown = shares.head(limit)["symbol"].to_list()
    places = {column: place for place, column in enumerate(columns)}
    rows = {symbol: [None] * len(columns) for symbol in sorted(shown)}
    never: dict[str, list[int]] = {symbol: [] for symbol in rows}
    wanted = cells.filter(pl.col("symbol").is_in(shown))
    for symbol, stretch, share, state in wanted.select(
        "symbol", "bucket", "share", "state"
    ).iter_rows():
        rows[symbol][places[stretch]] = share
        if state == CellState.NEVER_FILLED:
            never[symbol].append(places[stretch])
    return {
        "profile": profile.name,
        "timeframe": str(timeframe),
        "bucket": bucket.value,
        "columns": columns,
        "left_out": len(shares) - len(shown),
        "rows": [
            {"symbol": symbol, "shares": values, "never_filled": never[symbol]}
            for symbol, values in rows.items()
        ],
    }
