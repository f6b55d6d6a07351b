"""Whether the process is there, and whether its answers are good."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from market_assets.alerts.troubles import Kind
from market_assets.errors import MarketAssetsError
from market_assets.serve.desk import AtDesk, written
from market_assets.serve.models import EVERYWHERE, Health, Readiness, problems

if TYPE_CHECKING:
    from market_assets.serve.desk import Desk

router = APIRouter(tags=["health"])

_STALE = (Kind.STALE, Kind.MISSING_SYMBOL, Kind.STREAM)
"""The alerts that say that newest bars are absent."""


@router.get("/health", summary="Whether the process is there", responses={200: {"model": Health}})
async def health() -> Response:
    """Answers as long as the process does; asks for no token, and reads nothing."""
    return JSONResponse({"status": "ok", "version": version("market-assets")})


@router.get(
    "/ready",
    summary="Whether the answers are good",
    responses={
        200: {"model": Readiness},
        **problems(*(status for status in EVERYWHERE if status != 503)),
        503: {"model": Readiness, "description": "Something of this is not so."},
    },
)
async def ready(request: Request, desk: AtDesk) -> Response:
    """The store can be read, Dagster's daemon is alive, and no symbol lacks its newest session.

    What is stale is known from the alerts sensor.
    """
    del request
    document = await desk.work(partial(_looked, desk))
    return Response(
        written(document), 200 if document["ready"] else 503, media_type="application/json"
    )


def _looked(desk: Desk) -> dict[str, Any]:
    reasons: list[str] = []
    as_of, is_fresh, is_readable = None, False, False
    try:
        with desk.store.edition("looking whether the store can be read") as (edition, view):
            as_of, is_readable = edition.as_of, True
            rows = view.alerts.of()
        stale = [
            f"{row['profile']}: {row['summary']}"
            for row in rows.iter_rows(named=True)
            if row["kind"] in _STALE and row["over_at"] is None
        ]
        is_fresh = not stale
        reasons += stale[:20]
    except MarketAssetsError as error:
        reasons.append(str(error))
    dead = _dead_daemons(desk)
    return {
        "ready": is_readable and is_fresh and not dead,
        "store": is_readable,
        "daemon": not dead,
        "fresh": is_fresh,
        "reasons": [desk.redact(reason) for reason in [*reasons, *dead]],
        "as_of": as_of,
    }


def _dead_daemons(desk: Desk) -> list[str]:
    if desk.platform is None:
        return ["Nobody asks Dagster: start this with `market-assets serve`."]
    try:
        daemons = desk.platform.daemons()
    except MarketAssetsError as error:
        return [str(error)]
    return [
        f"Dagster's daemon {name} is not alive." for name, alive in daemons.items() if not alive
    ]
