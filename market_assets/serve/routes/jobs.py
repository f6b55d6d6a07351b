"""What was done: jobs, alerts, and the first bars that sources have named."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from market_assets.alerts import Outside
from market_assets.alerts.rows import frame_of
from market_assets.reports.jobs import audit_of
from market_assets.serve.desk import AtDesk, written
from market_assets.serve.models import EVERYWHERE, Alerts, Genesis, Jobs, problems
from market_assets.serve.parameters import (
    Instant,
    Parameters,
    Profiles,
    profiles_named,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.config.universe import Profile
    from market_assets.serve.desk import Desk
    from market_assets.store import Snapshot

router = APIRouter(tags=["jobs"], responses=problems(404, *EVERYWHERE))


class JobsWanted(Parameters):
    """Which jobs."""

    limit: int = Field(default=20, ge=1, le=1000, description="How many of the newest at most.")
    since: Instant | None = Field(
        default=None, description="Only those that started at this instant or later."
    )


class AlertsWanted(Parameters):
    """Which alerts."""

    everything: bool = Field(default=False, alias="all", description="Also those that are over.")


@router.get("/jobs", summary="What was done", responses={200: {"model": Jobs}})
async def jobs(
    request: Request, desk: AtDesk, parameters: Annotated[JobsWanted, Query()]
) -> Response:
    """Each fill and each derivation, newest first: rows, repairs, requests, what is missing."""

    def make(view: Snapshot) -> dict[str, Any]:
        del view
        return audit_of(
            desk.store, limit=parameters.limit, since=parameters.since, now=desk.clock()
        )

    return await desk.short(request, "listing jobs", make)


@router.get("/alerts", summary="What is wrong", responses={200: {"model": Alerts}})
async def alerts(
    request: Request, desk: AtDesk, parameters: Annotated[AlertsWanted, Query()]
) -> Response:
    """The troubles that the alerts sensor saw at its last look, and whether somebody was told."""
    return await desk.short(
        request, "listing alerts", partial(_alerts, desk, everything=parameters.everything)
    )


@router.get("/genesis", summary="Where series begin", responses={200: {"model": Genesis}})
async def genesis(
    request: Request, desk: AtDesk, parameters: Annotated[Profiles, Query()]
) -> Response:
    """The first bar of each series that begins later than the universe says, and who named it."""
    profiles = profiles_named(desk.universe, parameters.profile)
    return await desk.short(request, "listing first bars", partial(_genesis, profiles))


def _alerts(desk: Desk, view: Snapshot, *, everything: bool) -> dict[str, Any]:
    outside = Outside(desk.home, desk.universe, desk.clock)
    # Of a store that could not be opened it is known outside of it.
    rows = frame_of(outside.notes.alerts)
    rows = rows.vstack(view.alerts.of(everything=True).select(rows.columns))
    if not everything:
        rows = rows.filter(pl.col("over_at").is_null())
    document = {"looked": outside.was_looked, "alerts": rows.to_dicts()}
    safe: dict[str, Any] = json.loads(desk.universe.redact(written(document).decode()))
    return safe


def _genesis(profiles: Sequence[Profile], view: Snapshot) -> dict[str, Any]:
    names = [profile.name for profile in profiles]
    return {"genesis": view.genesis.all().filter(pl.col("profile").is_in(names)).to_dicts()}
