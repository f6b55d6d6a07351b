"""The application: a router for each subject, behind the gate."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from market_assets.serve.gate import Gate
from market_assets.serve.models import ProblemDocument
from market_assets.serve.problems import register
from market_assets.serve.routes import (
    chart,
    events,
    gaps,
    health,
    heat,
    jobs,
    metrics,
    page,
    runs,
    status,
    tables,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from market_assets.serve.desk import Desk

READING = (
    status.router,
    heat.router,
    gaps.router,
    jobs.router,
    events.router,
    metrics.router,
    tables.router,
    chart.router,
)
"""What reads; a subject more is a router more."""

_DESCRIPTION = """
Candles of crypto, equities, futures and forex, what is absent of them and why. Answers show what
was committed when they were asked for; `Market-Assets-As-Of` says by when. An answer with an `ETag`
is asked for again with `If-None-Match`: 304 where nothing of it has changed.
"""


def build(desk: Desk) -> ASGIApp:
    """The application over a desk; without a token it has no route that starts anything.

    Args:
        desk: What all routes read by; it is closed when the application ends.
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        desk.close()

    app = FastAPI(
        title="market_assets",
        version=version("market-assets"),
        description=_DESCRIPTION.strip(),
        openapi_url="/v1/openapi.json",
        # Their scripts come from other hosts.
        docs_url=None,
        redoc_url=None,
        lifespan=living,
        redirect_slashes=False,
    )
    app.state.desk = desk
    register(app, desk.redact)
    app.get("/health", include_in_schema=False)(health.health)
    app.include_router(page.router)
    for router in (health.router, *READING):
        app.include_router(router, prefix="/v1")
    app.include_router(runs.reading, prefix="/v1")
    if desk.universe.serve.token is not None:
        app.include_router(runs.writing, prefix="/v1")
    _describe(app, with_token=desk.universe.serve.token is not None)
    return Gate(app, desk)


def _describe(app: FastAPI, *, with_token: bool) -> None:
    """Complete what FastAPI says of the application: problems, and who may ask."""
    usual = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = usual()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
            # What FastAPI would answer by itself, and does not here.
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            if with_token:
                scheme = {"type": "http", "scheme": "bearer"}
                document["components"]["securitySchemes"] = {"token": scheme}
                document["security"] = [{"token": []}]
                document["paths"]["/v1/health"]["get"]["security"] = []
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign] # FastAPI's own way to extend it
