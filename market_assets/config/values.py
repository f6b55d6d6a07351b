"""How values of the file are written: days, durations, shares, timeframes.

Also what all parts of the file have in common. The settings that use these values stand in
`settings`.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from market_assets.config.yaml_file import shown
from market_assets.market.durations import Age, age_of, duration_of
from market_assets.market.timeframes import Timeframe


def empty_if_none(value: object) -> object:
    """A key without a value, such as `BTCUSDT:`, stands for all defaults."""
    return {} if value is None else value


class Model(BaseModel):
    """A part of the universe; a key without a value, such as `BTCUSDT:`, is all defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    KEYS: ClassVar[str] = ""
    """Its keys in the order in which they are listed, where that is not the order of the fields."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_all_defaults(cls, value: object) -> object:
        return empty_if_none(value)


def _day(value: object) -> date:
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not in the calendar") from None
    raise ValueError(f"{shown(value)} is no day; write it like 2024-01-31")


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    duration = duration_of(value) if isinstance(value, str) else None
    if duration is None:
        raise ValueError(
            f"{shown(value)} is no duration; write a number and its unit: 90s, 10m, 1h, 365d"
        )
    if not duration:
        raise ValueError(f"{shown(value)} is no time at all; write a longer one, such as 1s")
    return duration


_SHORTEST = 7
"""Days. Updates, streams and checks still work on what is younger."""


def _age(value: object) -> Age:
    if isinstance(value, Age):
        return value
    age = age_of(value) if isinstance(value, str) else None
    if age is None:
        raise ValueError(f"{shown(value)} is no age; write 2y, 90d, 26w or forever")
    if age.days < _SHORTEST:
        raise ValueError(f"{shown(value)} is less than {_SHORTEST}d, in which bars still change")
    return age


def _kept(value: object) -> Age | None:
    # What is written without a value is nothing that may lead to a loss.
    return None if value in {"forever", None} else _age(value)


def _share(value: object) -> object:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
    if isinstance(value, str) and match is None:
        raise ValueError(f"{shown(value)} is no share; write it like 0.1% or 0.001")
    return float(match[1]) / 100 if match else value


Day = Annotated[date, BeforeValidator(_day)]

Duration = Annotated[timedelta, BeforeValidator(_duration)]

Share = Annotated[float, BeforeValidator(_share)]

Kept = Annotated[Age | None, PlainValidator(_kept)]
"""How long something is kept; None is forever."""


def _cadence(every: timedelta) -> timedelta:
    minutes = every / timedelta(minutes=1)
    if not (
        minutes.is_integer() and (60 % minutes == 0 or (minutes % 60 == 0 and 1440 % minutes == 0))
    ):
        raise ValueError(
            "divides neither an hour into whole minutes nor a day into whole hours; "
            "write 1m, 5m, 15m, 1h or 4h"
        )
    return every


def _shortest_first(timeframes: tuple[Timeframe, ...]) -> tuple[Timeframe, ...]:
    return tuple(sorted(timeframes, key=lambda timeframe: timeframe.duration))


Interval = Annotated[Duration, AfterValidator(_cadence)]
"""How often something happens: whole minutes that divide an hour, or whole hours of a day."""

TimeframeList = Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)]
"""Timeframes, shortest first, in whatever order they are written."""


def text(value: object) -> str:
    """A string as it is, for a field that may hold a secret.

    Pydantic's own check would lose what a `Secret` shows itself as.
    """
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value
