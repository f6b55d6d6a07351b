"""What is kept, and how complete it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from market_assets.reports.completeness import base_rows, is_healthy
from market_assets.reports.gaps import bare_profiles
from market_assets.serve.desk import AtDesk
from market_assets.serve.models import EVERYWHERE, Status, Symbols, problems
from market_assets.serve.parameters import Profiles, profiles_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.config.universe import Profile
    from market_assets.serve.desk import Desk
    from market_assets.store import Snapshot

router = APIRouter(tags=["status"], responses=problems(404, *EVERYWHERE))

_COUNTS = ("expected", "stored", "explained", "missing")


@router.get(
    "/status",
    summary="How complete what is kept is",
    responses={200: {"model": Status}},
)
async def status(
    request: Request, desk: AtDesk, parameters: Annotated[Profiles, Query()]
) -> Response:
    """The completeness matrix: a row a symbol and timeframe, as it was counted last."""
    profiles = profiles_named(desk.universe, parameters.profile)
    return await desk.short(request, "reading the matrix", partial(_matrix, desk, profiles))


@router.get("/symbols", summary="What is kept", responses={200: {"model": Symbols}})
async def symbols(
    request: Request, desk: AtDesk, parameters: Annotated[Profiles, Query()]
) -> Response:
    """Each profile, with its timeframes and its symbols: their days, sources, and stored bars."""
    profiles = profiles_named(desk.universe, parameters.profile)
    return await desk.short(request, "listing symbols", partial(_symbols, desk, profiles))


def _matrix(desk: Desk, profiles: Sequence[Profile], view: Snapshot) -> dict[str, Any]:
    matrix = view.completeness.matrix()
    names = [profile.name for profile in profiles]
    bare = bare_profiles(desk.store, profiles)
    if matrix.is_empty():
        return {
            "complete": False,
            **dict.fromkeys(_COUNTS, 0),
            "never_filled": bare,
            "series": [],
        }
    rows = matrix.filter(pl.col("profile").is_in(names))
    return {
        "complete": is_healthy(rows) and not bare,
        **base_rows(rows).select(pl.col(_COUNTS).sum().cast(pl.Int64)).row(0, named=True),
        "never_filled": bare,
        "series": rows.to_dicts(),
    }


def _symbols(desk: Desk, profiles: Sequence[Profile], view: Snapshot) -> dict[str, Any]:
    return {"profiles": [_profile(desk, profile, view) for profile in profiles]}


def _profile(desk: Desk, profile: Profile, view: Snapshot) -> dict[str, Any]:
    frames = profile.timeframes
    extents = view.candles.extents(
        profile.candles(profile.base_timeframe), profile.window(desk.clock())
    )
    stored = {row["symbol"]: row for row in extents.iter_rows(named=True)}
    return {
        "profile": profile.name,
        "kind": profile.kind.value,
        "calendar": profile.calendar,
        "fetched": [str(timeframe) for timeframe in frames.fetch],
        "derived": [str(timeframe) for timeframe in frames.derive],
        "features": [str(timeframe) for timeframe in frames.features],
        "returns": [str(timeframe) for timeframe in frames.returns],
        "adjusted": profile.has_actions,
        "symbols": [
            {
                "symbol": symbol.name,
                "start": str(symbol.start),
                "end": symbol.end and str(symbol.end),
                "sources": [choice.source for choice in symbol.choices],
                "first_ts": stored.get(symbol.name, {}).get("first_ts"),
                "last_ts": stored.get(symbol.name, {}).get("last_ts"),
            }
            for symbol in profile.symbols.values()
        ],
    }
