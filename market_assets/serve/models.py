"""What the routes answer, as OpenAPI describes it."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from market_assets.serve.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from pydantic.config import JsonDict

_CANDLE: JsonDict = {
    "symbol": "BTCUSDT",
    "ts": "2025-01-31T14:00:00Z",
    "open": 104_500.0,
    "high": 104_900.5,
    "low": 104_310.0,
    "close": 104_722.1,
    "volume": 812.5,
    "source": "binance",
}


class ProblemDocument(BaseModel):
    """Why a request is not answered (RFC 9457)."""

    type: str
    title: str = Field(description="What kind of problem it is.")
    status: int = Field(description="The status of HTTP.")
    detail: str = Field(description="What was wrong with this request.")
    key: str | None = Field(description="The parameter at fault.")
    next: str | None = Field(description="What to do next.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Nothing of this is kept",
                    "status": 404,
                    "detail": "crypto has no BTCUSD; did you mean BTCUSDT?",
                    "key": "symbols",
                    "next": "GET /v1/symbols lists the symbols of each profile.",
                }
            ]
        }
    )


class Health(BaseModel):
    """That the process is there."""

    status: str
    version: str


class Readiness(BaseModel):
    """Whether the answers are good: status 503 where one of these is false."""

    ready: bool
    store: bool = Field(description="The store can be read.")
    daemon: bool = Field(description="Dagster's daemon is alive.")
    fresh: bool = Field(description="No symbol lacks its newest session.")
    reasons: list[str] = Field(description="What is wrong, a sentence each.")
    as_of: datetime | None = Field(description="By when what can be read was committed.")


class SeriesStatus(BaseModel):
    """How complete the candles of a symbol and timeframe are."""

    profile: str
    symbol: str
    timeframe: str
    expected: int
    stored: int
    explained: int
    missing: int
    abandoned: int
    doubled: int | None = None
    completeness: float | None = Field(description="0 to 1.")
    first_ts: datetime | None
    last_ts: datetime | None
    health: str = Field(description="HEALTHY, DEGRADED, MISSING or PENDING.")


class Status(BaseModel):
    """How complete what is kept is, as it was counted last."""

    complete: bool = Field(description="Nothing that is due is missing.")
    expected: int = Field(description="Bars of the shortest timeframe of each symbol.")
    stored: int
    explained: int
    missing: int
    never_filled: list[str] = Field(description="Profiles of which nothing was ever filled.")
    series: list[SeriesStatus]


class HeatRow(BaseModel):
    """How complete a symbol is, by stretch."""

    symbol: str
    shares: list[float | None] = Field(
        description="0 to 1, of the worst partition in each stretch; null where nothing is due."
    )
    never_filled: list[int] = Field(description="The places of stretches that were never filled.")


class Heat(BaseModel):
    """How complete each stretch of time is."""

    profile: str
    timeframe: str
    bucket: str = Field(description="How long a stretch is: day, week or month.")
    columns: list[date] = Field(description="The first day of each stretch.")
    left_out: int = Field(description="Symbols that are not listed, each as whole or wholer.")
    rows: list[HeatRow]


class Symbol(BaseModel):
    """A symbol that is kept."""

    symbol: str
    start: date
    end: date | None
    sources: list[str]
    first_ts: datetime | None = Field(description="Of its shortest fetched candles.")
    last_ts: datetime | None


class ProfileSymbols(BaseModel):
    """What a profile keeps."""

    profile: str
    kind: str
    calendar: str
    fetched: list[str]
    derived: list[str]
    features: list[str]
    returns: list[str]
    adjusted: bool = Field(description="Whether corporate actions are kept.")
    symbols: list[Symbol]


class Symbols(BaseModel):
    """What is kept."""

    profiles: list[ProfileSymbols]


class Gap(BaseModel):
    """Bars that are absent, one behind the other."""

    profile: str
    symbol: str
    timeframe: str
    first_ts: datetime
    last_ts: datetime = Field(description="The open of its last bar.")
    bars: int
    priority: str
    status: str
    attempts: int
    asked_at: datetime | None
    reason: str | None


class Gaps(BaseModel):
    """Gaps, newest first."""

    total: int = Field(description="How many there are, of which `limit` are listed.")
    never_filled: list[str] = Field(description="Profiles of which nothing was ever filled.")
    gaps: list[Gap]


class Stories(BaseModel):
    """The story of a bar, for each fetched timeframe that was asked for."""

    stories: list[dict[str, Any]]


class Jobs(BaseModel):
    """The audit document of the newest jobs."""

    timestamp: datetime
    symbols_processed: list[str]
    gaps_detected: list[dict[str, Any]]
    retry_results: dict[str, Any]
    summary: dict[str, Any]
    jobs: list[dict[str, Any]]


class Alert(BaseModel):
    """A trouble, and who was told."""

    model_config = ConfigDict(extra="allow")

    alert_id: str
    profile: str
    kind: str
    subject: str
    level: str
    summary: str
    opened_at: datetime
    told_at: datetime | None
    over_at: datetime | None


class Alerts(BaseModel):
    """The troubles that the alerts sensor saw at its last look."""

    looked: bool = Field(description="Whether anybody has looked yet.")
    alerts: list[Alert]


class FirstBar(BaseModel):
    """Where a series begins, as a source has named it last."""

    profile: str
    symbol: str
    timeframe: str
    ts: datetime
    source: str
    found_at: datetime


class Genesis(BaseModel):
    """Where series begin that begin later than the universe says."""

    genesis: list[FirstBar]


class Candle(BaseModel):
    """A candle. With `columns`, symbol, ts and the columns that were named."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_CANDLE]})

    symbol: str
    ts: datetime = Field(description="The bar's open, UTC.")
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    volume: float | None = None
    source: str | None = None


class Row(BaseModel):
    """A row of features or returns: symbol, ts, and the columns of the table."""

    model_config = ConfigDict(extra="allow")

    symbol: str
    ts: datetime


class Candles(BaseModel):
    """Candles, oldest first."""

    profile: str
    table: str
    data: list[Candle]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"profile": "crypto", "table": "candles_1h", "data": [_CANDLE], "next": None}
            ]
        }
    )


class Table(BaseModel):
    """Rows of features or returns, oldest first."""

    profile: str
    table: str
    data: list[Row]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


class Absence(BaseModel):
    """Neighbours among the bars of a chart that lack something for the same reason."""

    state: str = Field(
        description="open, abandoned, outage, closed, halted, no_trade, or removed by retention."
    )
    start: datetime = Field(description="The ts of the first bar of the chart.")
    end: datetime = Field(description="The ts of the last bar of the chart.")
    first_ts: datetime = Field(description="The open of the first absent bar of the base.")
    last_ts: datetime = Field(description="The open of the last absent bar of the base.")
    bars: int | None = Field(description="How many bars are absent; null where nobody has asked.")


class Mark(BaseModel):
    """What else is known of a bar of a chart."""

    ts: datetime = Field(description="The ts of the bar of the chart.")
    kind: str = Field(description="disputed, revised, late or genesis.")
    bars: int = Field(description="Of how many of the bars that it is made of.")


class ChartDocument(BaseModel):
    """A chart of one symbol: columns of the same length, and what lies over them."""

    profile: str
    symbol: str
    timeframe: str = Field(description="The shortest bars, as they were asked for.")
    level: str = Field(description="The bars of this answer: so long that they are not too many.")
    made_of: str | None = Field(
        description="The stored candles that those of this answer are made of; null where they are "
        "stored themselves."
    )
    base: str = Field(description="The fetched candles in whose bars absences are told.")
    adjusted: bool
    seconds: int = Field(description="The nominal length of a bar.")
    first_ts: datetime | None = Field(description="Where the stored candles begin.")
    last_ts: datetime | None = Field(description="The newest stored candle.")
    ts: list[datetime]
    open: list[float | None]
    high: list[float | None]
    low: list[float | None]
    close: list[float | None]
    volume: list[float | None]
    state: list[str | None] = Field(description="What of a bar is absent; null where nothing is.")
    absences: list[Absence] = Field(description="The newest 500, oldest first.")
    absence_count: int = Field(description="How many there are.")
    marks: list[Mark] = Field(description="The newest 500, oldest first.")
    mark_count: int = Field(description="How many there are.")
    feature_names: list[str] = Field(description="The features that are stored of this level.")
    features: dict[str, list[float | None]]


class Run(BaseModel):
    """A run that Dagster was given."""

    run_id: str
    profile: str
    timeframe: str
    first: str = Field(description="The key of its first partition.")
    last: str = Field(description="The key of its last partition.")
    follow: str = Field(description="Where to ask how it is.")
    page: str = Field(description="Its page in Dagster's UI.")


class Runs(BaseModel):
    """The runs that were launched; none where there is nothing to do."""

    runs: list[Run]


class Progress(BaseModel):
    """How a run is."""

    run_id: str
    status: str = Field(description="QUEUED, STARTED, SUCCESS, FAILURE, CANCELED, ...")
    started_at: datetime | None
    ended_at: datetime | None
    progress: float | None = Field(description="0 to 1; null before its job has begun.")
    job: dict[str, Any] | None = Field(description="The job of the run, as /v1/jobs has it.")
    page: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route other than the usual one, for OpenAPI."""
    words = {
        400: "The body is no JSON.",
        401: "A token is needed.",
        403: "The server has another name.",
        404: "Nothing of this is kept.",
        406: "There is no such form.",
        409: "The parameters contradict each other.",
        413: "The request is too long.",
        414: "The question is too long.",
        422: "A parameter is wrong.",
        500: "A fault of this program.",
        503: "The store is busy or cannot be read, or too much is asked for at a time.",
    }
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {status: {"description": words[status], "content": content} for status in statuses}


EVERYWHERE = (401, 403, 413, 414, 422, 500, 503)
"""The problems that any route may have."""
