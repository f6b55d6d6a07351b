"""What is absent and why, and the story of one bar."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from market_assets.market.timeframes import Timeframe
from market_assets.reports.gaps import bare_profiles, listed_gaps
from market_assets.reports.story import stories_of
from market_assets.serve.desk import AtDesk
from market_assets.serve.models import EVERYWHERE, Gaps, Stories, problems
from market_assets.serve.parameters import (
    Instant,
    Name,
    Names,
    Parameters,
    Profiles,
    profiles_named,
    symbols_named,
)

if TYPE_CHECKING:
    from market_assets.serve.desk import Desk
    from market_assets.store import Snapshot

router = APIRouter(tags=["gaps"], responses=problems(404, *EVERYWHERE))


class GapsWanted(Profiles):
    """Which gaps."""

    symbols: Names = Field(
        default_factory=list, description="Symbols, separated by commas; all by default."
    )
    explained: bool = Field(
        default=False, description="Also bars that are absent for a known reason."
    )
    limit: int = Field(default=100, ge=1, le=10_000, description="How many are listed at most.")


class BarWanted(Parameters):
    """Which bar."""

    profile: Name = Field(description="The profile.", examples=["crypto"])
    symbol: Name = Field(description="The symbol.", examples=["BTCUSDT"])
    ts: Instant = Field(description="Any instant of the bar.")
    timeframe: Timeframe | None = Field(
        default=None, description="A fetched timeframe; each of the profile by default."
    )


@router.get("/gaps", summary="What is absent, and why", responses={200: {"model": Gaps}})
async def gaps(
    request: Request, desk: AtDesk, parameters: Annotated[GapsWanted, Query()]
) -> Response:
    """The gaps that were found, newest first, each with what is known of it."""
    profiles = profiles_named(desk.universe, parameters.profile)
    names = symbols_named(profiles, parameters.symbols) or None

    def make(view: Snapshot) -> dict[str, Any]:
        del view
        listing = listed_gaps(
            desk.store, profiles, symbols=names, now=desk.clock(), explained=parameters.explained
        )
        return {
            "total": len(listing),
            "never_filled": bare_profiles(desk.store, profiles),
            "gaps": listing.head(parameters.limit).to_dicts(),
        }

    return await desk.short(request, "listing gaps", make)


@router.get("/gaps/explain", summary="The story of a bar", responses={200: {"model": Stories}})
async def explain(
    request: Request, desk: AtDesk, parameters: Annotated[BarWanted, Query()]
) -> Response:
    """Whether the bar must exist, what is known of it and from whom, and what happens next."""
    return await desk.short(request, "explaining a bar", partial(_stories, desk, parameters))


def _stories(desk: Desk, wanted: BarWanted, view: Snapshot) -> dict[str, Any]:
    (profile,) = profiles_named(desk.universe, [wanted.profile])
    (symbol,) = symbols_named([profile], [wanted.symbol], "symbol")
    timeframes = [wanted.timeframe] if wanted.timeframe else ()
    stories = stories_of(view, profile, symbol, wanted.ts, desk.clock(), timeframes=timeframes)
    return {"stories": [asdict(story) for story in stories]}
