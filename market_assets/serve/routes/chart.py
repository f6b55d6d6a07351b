"""What a chart of one symbol shows, with so many bars as can be seen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from market_assets.errors import ReadError
from market_assets.market.columns import OHLCV
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.reports.chart import Wish, chart_of
from market_assets.reports.question import FIRST, LAST, Question
from market_assets.serve.desk import AtDesk
from market_assets.serve.models import EVERYWHERE, ChartDocument, problems
from market_assets.serve.parameters import Instant, Name, Names, Parameters, window_of

if TYPE_CHECKING:
    from market_assets.serve.desk import Desk
    from market_assets.store import Snapshot

router = APIRouter(tags=["chart"], responses=problems(404, 409, *EVERYWHERE))

_MOST_BARS = 5_000
_MOST_FEATURES = 8


class ChartWanted(Parameters):
    """Which chart."""

    profile: Name = Field(description="The profile.", examples=["crypto"])
    symbol: Name = Field(description="The symbol.", examples=["BTCUSDT"])
    timeframe: Timeframe = Field(
        description="The shortest bars: fetched or derived.", examples=["1h"]
    )
    start: Instant = Field(default=FIRST, alias="from", description="What is seen begins here.")
    end: Instant = Field(default=LAST, alias="to", description="What is seen ends before this.")
    bars: int = Field(
        default=2_000,
        ge=10,
        le=_MOST_BARS,
        description="How many bars at most, about: longer ones are shown where there are more.",
    )
    adjusted: bool = Field(
        default=False, description="Prices adjusted by the splits and dividends up to today."
    )
    features: Names = Field(
        default_factory=list,
        description=f"Features, separated by commas, at most {_MOST_FEATURES}.",
        examples=["rsi_14"],
    )


@router.get(
    "/chart",
    summary="The chart of a symbol",
    responses={200: {"model": ChartDocument}},
)
async def chart(
    request: Request, desk: AtDesk, parameters: Annotated[ChartWanted, Query()]
) -> Response:
    """Bars of a symbol with what is absent of them and why, whatever the length of the window.

    The bars are the shortest ones from `timeframe` on of which the window has no more than `bars`:
    stored ones, or made while they are read. Absent bars are in it, without a price. What retention
    has archived is shown as removed.
    """
    return await desk.short(request, "drawing a chart", partial(_chart, desk, parameters))


def _chart(desk: Desk, wanted: ChartWanted, view: Snapshot) -> dict[str, Any]:
    if len(wanted.features) > _MOST_FEATURES:
        raise ReadError(f"features: at most {_MOST_FEATURES} at a time", key="features")
    dataset = Dataset.candles(wanted.profile, wanted.timeframe)
    question = Question.about(desk.universe, dataset, [wanted.symbol], adjusted=wanted.adjusted)
    question.check_stored(view, desk.store.path)
    (profile,) = question.members
    now = desk.clock()
    wish = Wish(
        profile=profile,
        symbol=wanted.symbol,
        timeframe=wanted.timeframe,
        window=window_of(wanted.start, wanted.end),
        most=wanted.bars,
        features=wanted.features,
        day=now.date() if wanted.adjusted else None,
    )
    drawing = chart_of(view, wish, now)
    rows = drawing.rows
    shown = [name for name in wanted.features if name in rows.columns]
    return {
        "profile": profile.name,
        "symbol": wanted.symbol,
        "timeframe": str(wanted.timeframe),
        "level": str(drawing.level.timeframe),
        "made_of": drawing.level.made_of and str(drawing.level.made_of),
        "base": str(drawing.base),
        "adjusted": wanted.adjusted,
        "seconds": int(drawing.level.timeframe.duration.total_seconds()),
        "first_ts": drawing.extent and drawing.extent[0],
        "last_ts": drawing.extent and drawing.extent[1],
        **{name: rows[name].to_list() for name in ("ts", *OHLCV, "state")},
        "absences": drawing.stretches.to_dicts(),
        "absence_count": drawing.stretch_count,
        "marks": drawing.marks.to_dicts(),
        "mark_count": drawing.mark_count,
        "feature_names": drawing.features,
        "features": {name: rows[name].cast(pl.Float64).to_list() for name in shown},
    }
