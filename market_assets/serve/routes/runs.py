"""Work that is started over HTTP, and runs to follow. Starting needs a token."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import Field, StrictBool

from market_assets.errors import PlatformError, ReadError
from market_assets.fill.options import FillOptions
from market_assets.market.instants import iso
from market_assets.market.timeframes import Window
from market_assets.reports.jobs import job_of_run
from market_assets.reports.question import FIRST, LAST
from market_assets.serve.desk import AtDesk, written
from market_assets.serve.models import EVERYWHERE, Progress, Runs, problems
from market_assets.serve.parameters import (
    Instant,
    Name,
    Parameters,
    profiles_named,
    symbols_named,
    window_of,
)
from market_assets.serve.plan import backfill_ranges, repair_ranges
from market_assets.work.run import Trigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.config.universe import Profile
    from market_assets.serve.desk import Desk
    from market_assets.serve.platform import Platform, Range

reading = APIRouter(tags=["runs"], responses=problems(404, *EVERYWHERE))
writing = APIRouter(tags=["runs"], responses=problems(400, 404, 409, *EVERYWHERE))

_MOST_RUNS = 50
"""Runs of one request: 50 years of days."""


class Work(Parameters):
    """What is to be filled."""

    profile: Name = Field(description="The profile.", examples=["crypto"])
    symbols: list[Name] = Field(
        default_factory=list,
        description="Only these symbols; all of the profile by default.",
        examples=[["BTCUSDT"]],
    )
    start: Instant = Field(
        default=FIRST,
        alias="from",
        description="The first day; the profile's start by default.",
        examples=["2025-01-01"],
    )
    end: Instant = Field(
        default=LAST,
        alias="to",
        description="The first day no longer filled; the profile's end, or now, by default.",
        examples=["2025-02-01"],
    )

    @property
    def window(self) -> Window:
        """The stretch of time: see `window_of`."""
        return window_of(self.start, self.end)


class Backfill(Work):
    """What a backfill fills."""

    refetch: StrictBool = Field(
        default=False, description="Ask also for what is stored or explained, to find revisions."
    )


class Repair(Work):
    """What a repair fills."""


@writing.post(
    "/backfills",
    summary="Fill a window",
    status_code=202,
    responses={202: {"model": Runs}},
)
async def backfill(desk: AtDesk, work: Backfill) -> Response:
    """Has Dagster fill every gap of a window, oldest first: what is stored is not asked for again.

    What is made of the candles follows by itself.
    """
    profile, names = _who(desk, work)
    ranges = backfill_ranges(profile, work.window, desk.clock())
    options = FillOptions(symbols=names, refetch=work.refetch)
    return await _launch(desk, ranges, options, Trigger.BACKFILL)


@writing.post(
    "/repairs",
    summary="Fill the gaps of a window",
    status_code=202,
    responses={202: {"model": Runs}},
)
async def repair(desk: AtDesk, work: Repair) -> Response:
    """Has Dagster fill the partitions of a window that lack a bar or were never filled.

    The newest come first. No run is launched where nothing is missing.
    """
    profile, names = _who(desk, work)

    def planned() -> list[Range]:
        with desk.store.reading("looking for gaps to repair") as view:
            return repair_ranges(view, profile, names, work.window, desk.clock())

    ranges = await desk.work(planned)
    options = FillOptions(symbols=names, newest_first=True)
    return await _launch(desk, ranges, options, Trigger.REPAIR)


@reading.get("/runs/{run_id}", summary="How a run is", responses={200: {"model": Progress}})
async def run(
    request: Request,
    desk: AtDesk,
    run_id: Annotated[str, Path(pattern="^[0-9a-f-]{36}$", description="The id of a run.")],
) -> Response:
    """Dagster's word for it, and how far its job is."""
    del request
    document = await desk.work(partial(_progress, desk, run_id))
    return Response(written(document), media_type="application/json")


def _who(desk: Desk, work: Work) -> tuple[Profile, list[str]]:
    (profile,) = profiles_named(desk.universe, [work.profile])
    return profile, symbols_named([profile], work.symbols)


async def _launch(
    desk: Desk, ranges: Sequence[Range], options: FillOptions, trigger: Trigger
) -> Response:
    if len(ranges) > _MOST_RUNS:
        raise ReadError(
            f"these are {len(ranges)} runs, and a request may start {_MOST_RUNS}: name fewer days",
            key="from",
        )
    platform = _platform(desk)

    def launched() -> list[dict[str, Any]]:
        return [_run(platform, part, platform.launch(part, options, trigger)) for part in ranges]

    runs = await desk.work(launched)
    return Response(written({"runs": runs}), 202, media_type="application/json")


def _run(platform: Platform, part: Range, run_id: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "profile": part.dataset.owner,
        "timeframe": str(part.dataset.timeframe),
        "first": part.first,
        "last": part.last,
        "follow": f"/v1/runs/{run_id}",
        "page": platform.page_of(run_id),
    }


def _progress(desk: Desk, run_id: str) -> dict[str, Any]:
    platform = _platform(desk)
    state = platform.run(run_id)
    job = job_of_run(desk.store, run_id)
    if state is None and job is None:
        raise ReadError(f"Dagster knows of no run {run_id}", key="run_id", absent=True)
    return {
        "run_id": run_id,
        "status": state.status if state else job and job["status"],
        "started_at": state and state.started_at and iso(state.started_at),
        "ended_at": state and state.ended_at and iso(state.ended_at),
        "progress": job and job["progress"],
        "job": job,
        "page": platform.page_of(run_id),
    }


def _platform(desk: Desk) -> Platform:
    if desk.platform is None:
        raise PlatformError("nobody asks Dagster: start this with `market-assets serve`")
    return desk.platform
