"""What may be asked for: the parameters of the routes, read and checked in one place."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from market_assets.errors import ReadError
from market_assets.market.timeframes import Timeframe, Window
from market_assets.reports.question import FIRST, LAST
from market_assets.serve.formats import Format
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_assets.config.universe import Profile, Universe

MOST_ROWS = 100_000
"""Rows of a page."""

MOST_NAMES = 8_000
"""Characters of the names in a parameter."""

_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_ADVICE = "is no time; write 2025-01-31 or 2025-01-31T14:30:00Z"


def _instant(value: object) -> object:
    """An instant of an ISO text, in UTC and between FIRST and LAST; a day is its first instant."""
    if not isinstance(value, str):
        raise ValueError(_ADVICE)  # noqa: TRY004 - pydantic's
    # A plus sign that was not escaped arrives as a space.
    text = re.sub(r" (?=\d\d:?\d\d$)", "+", value) if value.count(":") > 1 else value
    if not _INSTANT.fullmatch(text):
        raise ValueError(_ADVICE)
    if text.startswith("0000"):
        return FIRST
    # A leap second is one that clocks here do not have.
    text = re.sub(r"(:\d\d):60", r"\1:59", text.upper())
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_ADVICE) from None
    try:
        zoned = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except OverflowError:
        zoned = FIRST if instant.year < FIRST.year else LAST
    return max(FIRST, min(LAST, zoned))


def _names(value: object) -> object:
    """Names that are separated by commas, or given in several parameters of one name."""
    given = value if isinstance(value, list) else [value]
    parts = [part for part in given if isinstance(part, str)]
    if len(parts) < len(given):
        raise ValueError("is no text")
    text = ",".join(parts)
    if len(text) > MOST_NAMES or not text.isascii() or not text.isprintable():
        raise ValueError(f"has more than {MOST_NAMES} characters, or others than ASCII's")
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


_DAY, _TIME = {"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}

Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"anyOf": [_TIME, _DAY], "examples": ["2025-01-31T14:30:00Z", "2025-01-31"]}),
]
"""A day, or an instant (UTC where it has no zone)."""

Name = Annotated[str, Field(min_length=1, max_length=100)]

Names = Annotated[
    list[str],
    BeforeValidator(_names),
    WithJsonSchema({"type": "string", "maxLength": MOST_NAMES, "pattern": "^[ -~]*$"}),
]
"""Names, separated by commas."""


def window_of(start: datetime, end: datetime) -> Window:
    """The stretch of time from `from` to `to`.

    Raises:
        ReadError: It ends before it begins.
    """
    if end < start:
        raise ReadError("to lies before from; swap them", key="to")
    return Window(start, end)


class Parameters(BaseModel):
    """Parameters of a request; others than these are refused by name."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Profiles(Parameters):
    """Which profiles."""

    profile: Names = Field(
        default_factory=list,
        description="Profiles, separated by commas; all of the universe by default.",
        examples=["crypto"],
    )


class Series(Parameters):
    """Which rows of a table, and how they are written."""

    profile: Name = Field(description="The profile.", examples=["crypto"])
    timeframe: Timeframe = Field(description="How long a bar is.", examples=["1h"])
    symbols: Names = Field(
        default_factory=list,
        description="Symbols, separated by commas; all of the profile by default.",
        examples=["BTCUSDT"],
    )
    columns: Names = Field(
        default_factory=list,
        description="Columns beside symbol and ts, separated by commas; all of them by default.",
        examples=["close,volume"],
    )
    format: Format | None = Field(
        default=None, description="How the rows are written; by default as `Accept` says, or JSON."
    )


class Stretch(Series):
    """The same for a stretch of time, in pages or as a whole."""

    start: Instant = Field(
        default=FIRST,
        alias="from",
        description="The first `ts` wanted: a day, or an instant (UTC where it has no zone).",
    )
    end: Instant = Field(default=LAST, alias="to", description="The first `ts` no longer wanted.")
    as_of: Instant | None = Field(
        default=None,
        description="Only bars that had closed by this instant. With `adjusted`, the splits and "
        "dividends up to that day.",
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=MOST_ROWS,
        description="Rows of a page; without it, all rows are sent.",
    )
    cursor: str | None = Field(
        default=None,
        max_length=400,
        pattern="^[A-Za-z0-9_-]+$",
        description="`next` of the page before, to go on behind it.",
    )

    @property
    def window(self) -> Window:
        """The stretch of time: see `window_of`."""
        return window_of(self.start, self.end)


class CandleStretch(Stretch):
    """The same of candles."""

    adjusted: bool = Field(
        default=False,
        description="Prices adjusted by the splits and dividends up to `as_of`, or today.",
    )
    quality: bool = Field(
        default=False,
        description="A column more, `quality`: disputed, revised, late, confirmed or single.",
    )


def profiles_named(universe: Universe, names: Iterable[str]) -> list[Profile]:
    """The profiles of some names; all of the universe where none is named.

    Raises:
        ReadError: The universe has no such profile.
    """
    wanted = list(names) or list(universe.profiles)
    unknown = [name for name in wanted if name not in universe.profiles]
    if unknown:
        raise ReadError(
            f"{unknown[0][:100]} is no profile{hint(unknown[0], universe.profiles)} "
            f"There are {listed(universe.profiles)}",
            key="profile",
            absent=True,
        )
    return [universe.profiles[name] for name in wanted]


def timeframe_kept(profile: Profile, wanted: Timeframe | None) -> Timeframe:
    """A timeframe of a profile's candles; its shortest fetched one where none is named.

    Raises:
        ReadError: The profile keeps no such candles.
    """
    if wanted is None:
        return profile.base_timeframe
    if wanted not in profile.timeframes.kept:
        kept = [str(timeframe) for timeframe in profile.timeframes.kept]
        raise ReadError(
            f"{profile.name} keeps no candles of {wanted}; it keeps {listed(kept)}",
            key="timeframe",
            absent=True,
        )
    return wanted


def symbols_named(
    profiles: Iterable[Profile], names: Iterable[str], key: str = "symbols"
) -> list[str]:
    """Some names, once each is known to be a symbol of one of some profiles.

    Raises:
        ReadError: None of them has such a symbol.
    """
    wanted = list(names)
    kept = sorted({symbol for profile in profiles for symbol in profile.symbols})
    unknown = [name for name in wanted if name not in kept]
    if unknown:
        raise ReadError(
            f"{unknown[0][:100]} is no symbol there{hint(unknown[0], kept)} "
            f"There are {listed(kept)}",
            key=key,
            absent=True,
        )
    return wanted
