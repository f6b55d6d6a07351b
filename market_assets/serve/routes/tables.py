"""Candles, features and returns: rows as JSON, CSV, Parquet or an Arrow stream."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import polars as pl
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from market_assets.errors import ReadError
from market_assets.market.datasets import Dataset, Family
from market_assets.market.timeframes import midnight
from market_assets.reports.question import Question
from market_assets.serve.desk import AtDesk, Made
from market_assets.serve.formats import MEDIA_TYPES, Format, encoded, format_wanted
from market_assets.serve.models import EVERYWHERE, Candles, Table, problems
from market_assets.serve.parameters import CandleStretch, Series, Stretch
from market_assets.serve.rows import Cursor, Rows
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from market_assets.serve.desk import Desk
    from market_assets.store import Snapshot

router = APIRouter(tags=["tables"], responses=problems(404, 406, 409, *EVERYWHERE))


def _rows(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The usual answer, in each of its forms."""
    binary = {
        media_type: {"schema": {"type": "string", "format": "binary"}}
        for form, media_type in MEDIA_TYPES.items()
        if form is not Format.JSON
    }
    return {
        200: {
            "model": model,
            "content": binary,
            "description": "The rows, oldest first; times are ISO with Z, or UTC timestamps.",
        }
    }


@router.get("/candles", summary="Candles", responses=_rows(Candles))
async def candles(
    request: Request, desk: AtDesk, parameters: Annotated[CandleStretch, Query()]
) -> Response:
    """Candles of some symbols in a stretch of time, sorted by ts and symbol.

    Without `limit` all of them are sent, however many. With it, `next` and the header `Link` say
    where the next page begins.
    """
    today = desk.clock().date()
    # Today's footing is another one tomorrow.
    changes_daily = parameters.adjusted and parameters.as_of is None
    return await _answer(
        request,
        desk,
        parameters,
        Family.CANDLES,
        until=midnight(today + timedelta(days=1)) if changes_daily else None,
    )


@router.get("/features", summary="Features", responses=_rows(Table))
async def features(
    request: Request, desk: AtDesk, parameters: Annotated[Stretch, Query()]
) -> Response:
    """Features of some symbols in a stretch of time, as /candles gives candles."""
    return await _answer(request, desk, parameters, Family.FEATURES)


@router.get("/returns", summary="Aligned returns", responses=_rows(Table))
async def returns(
    request: Request, desk: AtDesk, parameters: Annotated[Stretch, Query()]
) -> Response:
    """Aligned returns, with a mask that says which are neutral and why.

    Their profile may be the matrix across profiles.
    """
    return await _answer(request, desk, parameters, Family.RETURNS)


@router.get("/candles/latest", summary="The newest candles", responses=_rows(Candles))
async def latest(
    request: Request, desk: AtDesk, parameters: Annotated[Series, Query()]
) -> Response:
    """The newest stored candle of each symbol, by symbol."""
    dataset = Dataset.candles(parameters.profile, parameters.timeframe)
    question = Question.about(desk.universe, dataset, parameters.symbols or None)
    form = format_wanted(parameters.format, request.headers.get("accept", ""))

    def make(view: Snapshot) -> Made:
        question.check_stored(view, desk.store.path)
        frame = view.served.latest(dataset, question.symbols)
        frame = _some(frame, dataset, parameters.columns)
        return Made(encoded(form, [frame], _about(dataset), lambda: None), form.media_type, _VARY)

    return await desk.answer(request, f"reading the newest of {dataset}", make, is_quick=True)


_VARY: Mapping[str, str] = {"Vary": "Accept"}


async def _answer(
    request: Request,
    desk: Desk,
    wanted: Stretch,
    family: Family,
    **options: Any,  # noqa: ANN401 - those of Desk.answer
) -> Response:
    dataset = Dataset(wanted.profile, family, wanted.timeframe)
    question = Question.about(
        desk.universe,
        dataset,
        wanted.symbols or None,
        until=wanted.as_of,
        adjusted=getattr(wanted, "adjusted", False),
        quality=getattr(wanted, "quality", False),
    )
    form = format_wanted(wanted.format, request.headers.get("accept", ""))
    after = None if wanted.cursor is None else Cursor.read(wanted.cursor)

    def make(view: Snapshot) -> Made:
        question.check_stored(view, desk.store.path)
        rows = Rows(
            question,
            view,
            desk.home,
            window=wanted.window,
            columns=wanted.columns,
            after=after,
            limit=wanted.limit,
        )
        if wanted.limit is None:
            _check_size(rows, desk.universe.serve.max_rows)
        pieces = encoded(form, rows.frames(), _about(dataset), partial(_next, rows))
        return Made(pieces, form.media_type, _VARY, partial(_links, request, rows))

    return await desk.answer(request, f"reading {dataset}", make, **options)


def _check_size(rows: Rows, most: int) -> None:
    count = rows.count()
    if count > most:
        raise ReadError(
            f"these are {count:,} rows, and serve.max_rows is {most:,}: "
            "name fewer symbols or days, or read pages with `limit` and `cursor`",
            key="limit",
        )


def _about(dataset: Dataset) -> dict[str, str]:
    return {"profile": dataset.owner, "table": dataset.name}


def _next(rows: Rows) -> str | None:
    return None if rows.next is None else str(rows.next)


def _links(request: Request, rows: Rows) -> Mapping[str, str]:
    """The header that leads to the next page, also where the form has no room for a cursor."""
    if rows.next is None:
        return {}
    pairs: Iterator[tuple[str, str]] = (
        (name, value) for name, value in request.query_params.multi_items() if name != "cursor"
    )
    query = urlencode([*pairs, ("cursor", str(rows.next))])
    return {"Link": f'<{request.url.path}?{query}>; rel="next"'}


def _some(frame: pl.DataFrame, dataset: Dataset, columns: list[str]) -> pl.DataFrame:
    """Some columns of a frame beside symbol and ts; all where none is named."""
    unknown = [name for name in columns if name not in frame.columns]
    if unknown:
        names = [name for name in frame.columns if name not in {"symbol", "ts"}]
        raise ReadError(
            f"columns: {dataset.owner}.{dataset.name} has no {unknown[0][:60]!r}"
            f"{hint(unknown[0], names)} It has {listed(names)}",
            key="columns",
            absent=True,
        )
    return frame.select(list(dict.fromkeys(("symbol", "ts", *columns)))) if columns else frame
