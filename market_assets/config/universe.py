"""What to keep: the universe file's profiles, symbols, timeframes, sources and budgets, checked and resolved.

`load_universe` reads the YAML once and either returns a `Universe` in which nothing is left to look
up (each symbol knows its dates and its sources, each profile its calendar and rules), or raises one
`UniverseError` that lists everything wrong.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SkipValidation,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticKnownError

from market_assets.config.places import COPY_VARIABLE, PACKAGED, UNIVERSE_VARIABLE, universe_path
from market_assets.config.yaml_file import Document, Place, add_faults, nearest, read_yaml, shown
from market_assets.errors import CalendarError, SourceError, UniverseError
from market_assets.home import HOME_VARIABLE, home
from market_assets.market.calendars.changes import Change, Stretch, stretch_of, wall
from market_assets.market.clock import present
from market_assets.market.gaps import Priority
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.notifier import load_apprise
from market_assets.practice.ground import moved
from market_assets.secrets import redact
from market_assets.words import hint, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

    from market_assets.sources.contract import Traits

REPAIR_VARIABLE = "MARKET_ASSETS_REPAIR_"

__all__ = ["HOME_VARIABLE", "PACKAGED", "UNIVERSE_VARIABLE", "Universe", "home", "load_universe"]

_SQL_WORDS = """
all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default
deferrable desc describe distinct do else end except false fetch for foreign from group having in initially intersect
into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider placing primary
qualify references returning select show some summarize symmetric table then to trailing true union unique unpivot
using variadic when where window with
"""
_SCHEMAS = {
    "information_schema", "main", "market", "memory", "ops", "pg_catalog", "platform", "system", "temp",
}  # fmt: skip
RESERVED_NAMES = _SCHEMAS | set(_SQL_WORDS.split())
"""Names that no profile can have: schemas and catalogs of the store, the group of the assets that
are about the platform itself, and words that SQL would have to quote."""


def _empty_if_none(value: object) -> object:
    return {} if value is None else value


class _Model(BaseModel):
    """A part of the universe; a key without a value, such as `BTCUSDT:`, is all defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_all_defaults(cls, value: object) -> object:
        return _empty_if_none(value)


def _day(value: object) -> date:
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not in the calendar") from None
    raise ValueError(f"{shown(value)} is no day; write it like 2024-01-31")


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([smhdw])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"{shown(value)} is no duration; write a number and its unit: 90s, 10m, 1h, 365d"
        )
    duration = timedelta(**{_UNITS[match[2]]: float(match[1])})
    if not duration:
        raise ValueError(f"{shown(value)} is no time at all; write a longer one, such as 1s")
    return duration


def _up_to(days: int) -> AfterValidator:
    def check(duration: timedelta) -> timedelta:
        if duration > timedelta(days=days):
            raise ValueError(f"is more than {days}d, after which Dagster deletes them by itself")
        return duration

    return AfterValidator(check)


def _rising(bounds: tuple[timedelta, timedelta]) -> tuple[timedelta, timedelta]:
    if bounds[0] > bounds[1]:
        raise ValueError(
            "the first wait must not be longer than the longest; write [first, longest], "
            "such as [1m, 1h]"
        )
    return bounds


def _cadence(every: timedelta) -> timedelta:
    minutes = every / timedelta(minutes=1)
    if not (
        minutes.is_integer() and (60 % minutes == 0 or (minutes % 60 == 0 and 1440 % minutes == 0))
    ):
        raise ValueError(
            "divides neither an hour into whole minutes nor a day into whole hours; write 1m, 5m, "
            "15m, 1h or 4h"
        )
    return every


def _share(value: object) -> object:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
    if isinstance(value, str) and match is None:
        raise ValueError(f"{shown(value)} is no share; write it like 0.1% or 0.001")
    return float(match[1]) / 100 if match else value


def _shortest_first(timeframes: tuple[Timeframe, ...]) -> tuple[Timeframe, ...]:
    return tuple(sorted(timeframes, key=lambda timeframe: timeframe.duration))


Day = Annotated[date, BeforeValidator(_day)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Share = Annotated[float, BeforeValidator(_share)]


class PriceRules(_Model):
    """What a price and a volume may be.

    Attributes:
        positive: Prices must be above zero; a future may settle at zero or below it.
        volume_optional: A null volume is fine.
        real_volume: The volume counts what was traded; False where it counts price changes, or
            nothing.
    """

    positive: bool = True
    volume_optional: bool = False
    real_volume: bool = True


class Kind(StrEnum):
    """The kind of market a profile keeps; it presets the calendar and the price rules."""

    CRYPTO = "CRYPTO"
    EQUITY = "EQUITY"
    FUTURES = "FUTURES"
    FOREX = "FOREX"

    @property
    def calendar(self) -> str:
        """The calendar of a profile that names none."""
        return _CALENDARS[self]

    @property
    def has_extended_hours(self) -> bool:
        """Whether vendors give bars of hours before and after the sessions, as they do of stocks."""
        return self is Kind.EQUITY

    @property
    def prices(self) -> PriceRules:
        """The price rules of a profile that sets none."""
        forex = self is Kind.FOREX
        return PriceRules(
            positive=self is not Kind.FUTURES, volume_optional=forex, real_volume=not forex
        )


_CALENDARS = {
    Kind.CRYPTO: "24/7",
    Kind.EQUITY: "XNYS",
    Kind.FUTURES: "CME Globex Equity",
    Kind.FOREX: "FOREX",
}


class Severity(StrEnum):
    """What a failed check means for those downstream: ERROR blocks, WARN tells."""

    ERROR = "ERROR"
    WARN = "WARN"


_SEVERITY = {
    Priority.CRITICAL: Severity.ERROR,
    Priority.HIGH: Severity.ERROR,
    Priority.MEDIUM: Severity.WARN,
    Priority.LOW: Severity.WARN,
}


class CheckSettings(_Model):
    """How strictly a profile's candles are judged.

    Attributes:
        jitter: The share of the timeframe within which a bar that opens off the grid is moved onto
            it.
        severity: ERROR or WARN of the continuity check, by the priority of an open gap: CRITICAL
            (younger than 24 h), HIGH (7 d), MEDIUM (30 d), LOW.
        failed_above: A partition is red when more than this share of its bars is missing, such as
            5% or 0.05. A symbol that has nothing at all does not count while half of them have
            something; its check fails by its name.
        calendar: Whether the calendar is doubted where the bars contradict it.
        plausibility: Whether bars that are possible and likely wrong are looked for: spikes, frozen
            prices, volume that collapses.
    """

    jitter: float = Field(default=0.1, ge=0, lt=0.5)
    severity: Annotated[
        dict[Priority, Severity], AfterValidator(lambda given: _SEVERITY | given)
    ] = _SEVERITY
    failed_above: Share = Field(default=0.05, ge=0, le=1)
    calendar: bool = True
    plausibility: bool = False


class RepairSettings(_Model):
    """When and how hard gaps are repaired. Each key can be set for this machine by `MARKET_ASSETS_REPAIR_<KEY>`.

    Attributes:
        every: How often failed, faulty and absent partitions are looked for.
        max_fills: Requests in one repair run.
        max_time: How long one repair run may take.
        legacy_cutoff: Gaps before this day are asked for until they were answered once, and then
            abandoned; null treats them like any other.
        max_attempts: Tries for one gap, answered without it, before it is abandoned.
        backoff: The wait after a gap's first failed try, and the longest wait that doubling it
            leads to.
        give_up: A gap that could not be asked for in all this time and `max_attempts` tries,
            because its sources failed, is abandoned.
        backlog: With so many repair runs waiting or under way, no more gaps are looked for.
    """

    every: Duration = timedelta(hours=1)
    max_fills: int = Field(default=50, ge=1)
    max_time: Duration = timedelta(minutes=10)
    legacy_cutoff: Day | None = date(2010, 1, 1)
    max_attempts: int = Field(default=5, ge=1)
    backoff: Annotated[tuple[Duration, Duration], AfterValidator(_rising)] = (
        timedelta(minutes=1),
        timedelta(hours=1),
    )
    give_up: Duration = timedelta(days=30)
    backlog: int = Field(default=50, ge=1)


class EvidenceSettings(_Model):
    """When an absence counts as explained.

    Attributes:
        confirmations: How often all sources must have answered without the bar.
        apart: How far apart in time two answers must lie to count as two.
        quiet_limit: The longest silence that a source which leaves quiet bars out can explain by
            itself. A longer one is as likely a recorder that was off, and has to be confirmed like
            any other hole.
    """

    confirmations: int = Field(default=2, ge=1)
    apart: Duration = timedelta(hours=1)
    quiet_limit: Duration = timedelta(hours=1)

    def quiet_bars(self, timeframe: Timeframe) -> int:
        """The quiet limit as a number of bars, at least one."""
        return max(1, self.quiet_limit // timeframe.duration)


class UpdateSettings(_Model):
    """How the newest candles are kept up to date.

    Attributes:
        every: How often the running session is filled; whole minutes that divide an hour, or whole
            hours that divide a day.
        first_backfill: How far back partitions that were never filled are filled without being
            asked to.
        recheck: How many of the newest closed bars are asked for again, to catch late revisions.
        settle: How long a bar must have been closed before it is expected.
    """

    every: Annotated[Duration, AfterValidator(_cadence)] = timedelta(minutes=1)
    first_backfill: Duration = timedelta(days=365)
    recheck: int = Field(default=5, ge=0)
    settle: Duration = timedelta(seconds=10)


class AlertSettings(_Model):
    """Who is told of troubles, and when.

    Attributes:
        channels: Apprise URLs, such as `mailto://...`, `slack://...`, `tgram://...` or
            `json://...`.
        every: How often troubles are looked for.
        gap_warning: A gap that long, or open for that long, is worth a warning.
        gap_error: A gap that long, or open for that long, is an error.
        failed_days: Days in a row on which a backfill failed that make a trouble.
        stale_after: How long after its close the newest session may be without a bar.
    """

    channels: tuple[SkipValidation[str], ...] = Field(default=(), repr=False, exclude=True)
    every: Duration = timedelta(minutes=1)
    gap_warning: Duration = timedelta(days=1)
    gap_error: Duration = timedelta(days=7)
    failed_days: int = Field(default=3, ge=1)
    stale_after: Duration = timedelta(hours=2)


class AgreementSettings(_Model):
    """How many of a symbol's partitions are compared with its other sources, and what counts as agreement.

    Attributes:
        sample: The share of the partitions of each symbol and timeframe that are compared, always
            the same ones; 0 compares none.
        close: How far two closes may lie apart, as a share of ours.
        volume: How far two volumes of one venue may lie apart, as a share of the larger one; null
            compares none. Those of two venues never are: they count different trades.
        every: How often a partition is compared while its bars are still coming, and how soon a
            comparison that failed is tried again.
    """

    sample: Share = Field(default=0.0, ge=0, le=1)
    close: Share = Field(default=0.001, gt=0, lt=1)
    volume: Share | None = Field(default=0.01, gt=0, lt=1)
    every: Duration = timedelta(hours=1)


def _unequal(windows: tuple[object, ...]) -> tuple[object, ...]:
    for window, times in Counter(windows).items():
        if times > 1:
            text = list(window) if isinstance(window, tuple) else window
            raise ValueError(f"{text} is written {times} times")
    return windows


def _fast_first(windows: tuple[int, int, int]) -> tuple[int, int, int]:
    if windows[0] >= windows[1]:
        raise ValueError(
            "the first window must be shorter than the second; write [fast, slow, signal], "
            "such as [12, 26, 9]"
        )
    return windows


_Bars = Annotated[int, Field(ge=2, le=5000)]
_Windows = Annotated[tuple[_Bars, ...], AfterValidator(_unequal)]
_Steps = Annotated[tuple[Annotated[int, Field(ge=1, le=5000)], ...], AfterValidator(_unequal)]
_Bands = Annotated[
    tuple[tuple[_Bars, Annotated[float, Field(gt=0, le=100)]], ...], AfterValidator(_unequal)
]
_Crossings = Annotated[
    tuple[Annotated[tuple[_Bars, _Bars, _Bars], AfterValidator(_fast_first)], ...],
    AfterValidator(_unequal),
]


class Basis(StrEnum):
    """On which prices returns and features are made.

    A bar's values use the splits and dividends with an ex-date up to its own day, and stand on the
    footing of that day: what happens later changes none of them.
    """

    ADJUSTED = "adjusted"
    """Splits, and dividends as a share of the close before them, as adjusted candles have them."""

    RAW = "raw"
    """As they were traded."""

    TOTAL_RETURN = "total_return"
    """Splits, and dividends as money that is paid at the first bar of their ex-date."""


class FeatureSettings(_Model):
    """Which features are made of candles, and over how many bars; an empty list or `false` leaves one out.

    The columns are called after them: `ema: [12]` is `ema_12`, `macd: [[12, 26, 9]]` is
    `macd_12_26_9`.

    Attributes:
        simple_return: Close over the close n bars before, less 1.
        log_return: The logarithm of that ratio.
        overnight_return: A session's first open over the last session's close, less 1.
        intraday_return: What is left of the one-bar return without that.
        volatility: Root of the mean square of the last n log returns, per bar.
        parkinson: Volatility per bar by the range of high and low.
        garman_klass: Volatility per bar by range, open and close.
        atr: Average true range.
        rsi: Relative strength index.
        macd: Difference of two EMAs, its own EMA (signal) and what lies between: [fast, slow,
            signal].
        bb: Bollinger bands: [window, deviations].
        sma: Simple moving average of the close.
        ema: Exponential moving average of the close.
        adx: Average directional index.
        obv: Change of the on-balance volume over n bars.
        mfi: Money flow index.
        vwap: Average price weighted by volume since the session's first bar; none from 1d on.
        zscore: Close less its mean over n bars, in standard deviations.
        volume_ratio: Volume over its mean of n bars.
        drawdown: Close over the highest close of n bars, less 1.
    """

    simple_return: _Steps = (1,)
    log_return: _Steps = (1,)
    overnight_return: bool = True
    intraday_return: bool = True
    volatility: _Windows = (10, 20, 60)
    parkinson: _Windows = (20,)
    garman_klass: _Windows = (20,)
    atr: _Windows = (14,)
    rsi: _Windows = (14,)
    macd: _Crossings = ((12, 26, 9),)
    bb: _Bands = ((20, 2.0),)
    sma: _Windows = (10, 20, 50)
    ema: _Windows = (12, 26, 50)
    adx: _Windows = (14,)
    obv: _Windows = (20,)
    mfi: _Windows = (14,)
    vwap: bool = True
    zscore: _Windows = (20,)
    volume_ratio: _Windows = (20,)
    drawdown: _Windows = (60,)


class FeaturesEntry(FeatureSettings):
    """The features of a profile, and what they are made on.

    Attributes:
        basis: The prices that they are made on: adjusted, raw or total_return; by default adjusted
            ones where corporate actions are kept, else raw ones.
    """

    basis: Basis | None = None


class ReturnSettings(_Model):
    """What is asked of aligned returns.

    Attributes:
        basis: The prices that they are made on: adjusted, raw or total_return; by default adjusted
            ones where corporate actions are kept, else raw ones.
        neutral_limit: The share of a symbol's bars in a partition that may be neutral, because
            nothing traded or something is missing. A symbol above it is degraded.
    """

    basis: Basis | None = None
    neutral_limit: Share = Field(default=0.2, ge=0, le=1)


class MarketsSettings(ReturnSettings):
    """One matrix of returns across profiles.

    Attributes:
        name: Its asset key prefix and DuckDB schema.
        profiles: Whose symbols are in it; empty for all that keep the timeframe.
        timeframes: The timeframes that have a matrix; none by default.
        calendar: Its times: `union` for those of any profile's calendar, `intersection` for those
            that all calendars have.
    """

    name: str = "markets"
    profiles: tuple[str, ...] = ()
    timeframes: Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)] = ()
    calendar: Literal["union", "intersection"] = "union"


class ExportSettings(_Model):
    """What is kept as Parquet files besides, for other programs.

    Attributes:
        folder: Where the files are; a path that is not absolute begins in the home folder.
        timeframes: The timeframes that are exported; empty for all that are kept.
        every: How often changes are exported; whole minutes that divide an hour, or whole hours
            that divide a day.
    """

    folder: str = Field(default="lake", min_length=1)
    timeframes: Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)] = ()
    every: Annotated[Duration, AfterValidator(_cadence)] = timedelta(minutes=15)

    def folder_in(self, home: Path) -> Path:
        """The folder of a home."""
        return home / Path(self.folder).expanduser()


class RetentionSettings(_Model):
    """How long bookkeeping is kept; candles and what is known of them are not part of it.

    What the present state of a partition, a check, an asset or a profile rests on stays, however
    old it is.

    Attributes:
        runs: Dagster's runs that did not fail, with their logs and files.
        failed_runs: Dagster's runs that failed, and its backfills.
        ticks: Ticks of sensors and schedules that found nothing to do.
        busy_ticks: Ticks that started a run or failed.
        evaluations: What Dagster notes of automation conditions each time that it looks.
        events: How many of the newest materializations of each partition, and of the newest
            evaluations of each check of a partition, are kept while they are younger than `runs`.
        details: Tables and documents on the page of a partition and of a check; its numbers stay.
        observations: How many of the newest observations of each asset are kept, and of the newest
            materializations of an asset without partitions.
        update_jobs: Rows of `ops.jobs` of live updates; the last of each day is kept longer.
        jobs: Rows of `ops.jobs`.
        alerts: Alerts that are over.
        revisions: What bars were before they changed, and which absences were filled; null keeps
            them forever.
        logs: Log files of the home folder.
        caches: Archives that a source has downloaded, and leftovers of what was broken off.
    """

    runs: Duration = timedelta(days=14)
    failed_runs: Duration = timedelta(days=30)
    ticks: Annotated[Duration, _up_to(7)] = timedelta(days=1)
    busy_ticks: Annotated[Duration, _up_to(30)] = timedelta(days=7)
    evaluations: Annotated[Duration, _up_to(30)] = timedelta(days=1)
    events: int = Field(default=5, ge=1)
    details: Duration = timedelta(days=90)
    observations: int = Field(default=100, ge=1)
    update_jobs: Duration = timedelta(days=2)
    jobs: Duration = timedelta(days=90)
    alerts: Duration = timedelta(days=90)
    revisions: Duration | None = timedelta(days=1825)
    logs: Duration = timedelta(days=14)
    caches: Duration = timedelta(days=30)


class PartitionSettings(_Model):
    """How long the partitions of a profile are: `day` or `month`.

    Attributes:
        intraday: Of timeframes below 1d: a UTC day or a UTC month.
        daily: Of 1d and 1w.
    """

    intraday: Cadence = Cadence.DAY
    daily: Cadence = Cadence.MONTH

    def of(self, timeframe: Timeframe) -> Cadence:
        """How long the partitions of a timeframe are."""
        return self.intraday if timeframe.intraday else self.daily


def _wall(value: object) -> timedelta:
    # YAML reads 13:30 without quotation marks as a number of minutes.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 24 * 60:
        return timedelta(minutes=value)
    if isinstance(value, str):
        return wall(value)
    raise ValueError(f"{shown(value)} is no time of day; write it like 09:30")


def _stretches(value: object) -> tuple[Stretch, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{shown(value)} are no hours; write them like 09:30-12:00, 13:00-16:00")
    return tuple(sorted(stretch_of(text) for text in texts))


def _true_or_wall(value: object) -> bool | timedelta:
    return True if value is True else _wall(value)


def _opening(value: object) -> bool | timedelta | tuple[Stretch, ...]:
    return (
        _stretches(value)
        if isinstance(value, list) or (isinstance(value, str) and "-" in value)
        else _true_or_wall(value)
    )


def _zone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{shown(value)} is no time zone; write it like Asia/Hong_Kong") from None


class CalendarChange(_Model):
    """What is known better of a calendar: one day, or the sessions up to another day.

    Attributes:
        date: The session's date.
        to: The last session's date, where it is for several days; those without a session stay so.
        close: True for no session, or the time at which it closes.
        open: True for a session with the usual hours, the time at which it opens, or the hours of a
            session that the calendar lacks.
        hours: All hours of the session, such as `09:30-12:00, 13:00-16:00`; a stretch that ends at
            or before its start begins on the evening before.
        zone: Whose clock these times are; the exchange's own by default.
        reason: Why; it is shown with what it changes.
    """

    date: Day
    to: Day | None = None
    close: Annotated[Any, PlainValidator(_true_or_wall)] = None
    open: Annotated[Any, PlainValidator(_opening)] = None
    hours: Annotated[Any, PlainValidator(_stretches)] = None
    zone: Annotated[str, PlainValidator(_zone)] | None = None
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_one_change(self) -> Self:
        if self.to is not None and self.to < self.date:
            raise ValueError(f"to: {self.to} is before the date, {self.date}")
        given = [key for key in ("close", "open", "hours") if getattr(self, key) is not None]
        if not given:
            raise ValueError(
                "says nothing: write `close: true`, `close: 12:00`, `open: 10:00` or `hours: "
                "09:30-12:00`"
            )
        alone = (
            "hours" in given
            or self.close is True
            or self.open is True
            or isinstance(self.open, tuple)
        )
        if alone and len(given) > 1:
            raise ValueError(
                f"{listed(given)} contradict each other; write one of them, or all `hours`"
            )
        if self.open is True and self.to is not None and self.to > self.date:
            raise ValueError(
                "open: true is for one day; write an entry for each that has a session"
            )
        return self

    def repeats(self, other: CalendarChange) -> bool:
        """Whether another entry speaks of the same days and the same ends of them."""
        if (self.date, self.to or self.date) != (other.date, other.to or other.date):
            return False
        ends = {
            isinstance(each.open, timedelta) or isinstance(each.close, timedelta)
            for each in (self, other)
        }
        apart = (self.open is None, self.close is None) == (other.close is None, other.open is None)
        return not (ends == {True} and apart)

    @property
    def change(self) -> Change:
        """What calendars are changed by."""
        hours = self.open if isinstance(self.open, tuple) else self.hours
        return Change(
            self.date,
            self.to or self.date,
            self.reason,
            hours=() if self.close is True else hours,
            opens=self.open if isinstance(self.open, timedelta) else None,
            closes=self.close if isinstance(self.close, timedelta) else None,
            as_before=self.open is True,
            zone=None if self.zone is None else ZoneInfo(self.zone),
        )


class Timeframes(_Model):
    """The timeframes a profile keeps, shortest first: those asked of a source, and those made from them.

    Attributes:
        fetch: Asked of a source.
        derive: Made of the shortest fetched one; weeks are made of days.
        features: The fetched and derived ones that have features.
        returns: The fetched and derived ones that have aligned returns.
    """

    fetch: Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)] = (Timeframe.M1,)
    derive: Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)] = ()
    features: Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)] = ()
    returns: Annotated[tuple[Timeframe, ...], AfterValidator(_shortest_first)] = ()

    @property
    def kept(self) -> tuple[Timeframe, ...]:
        """Those of which there are candles."""
        return (*self.fetch, *self.derive)


class SourceSymbol(_Model):
    """A source that is asked for a symbol, and the source's own name for it."""

    source: str
    symbol: SkipValidation[str]


class Symbol(_Model):
    """One instrument of a profile: from 00:00 UTC of `start` to 00:00 UTC of `end`, which no longer belongs to it.

    Attributes:
        name: What the universe calls it.
        start: Its first day.
        end: The day after its last, if there is one.
        sources: Whom to ask for its candles, in order of preference.
        compared: Sources of another venue: they give no candles, but what they have can be compared
            with what is stored.
        apart: Why these give none, and what would let them, as the end of a sentence; empty where
            there are none.
        venues: Whose prices its sources give, of those of which that is known.
        actions: Whom to ask for its corporate actions, in order of preference.
    """

    name: str
    start: date
    end: date | None
    sources: tuple[SourceSymbol, ...]
    compared: tuple[SourceSymbol, ...] = ()
    apart: str = ""
    venues: dict[str, str] = {}
    actions: tuple[SourceSymbol, ...] = ()

    @property
    def choices(self) -> tuple[SourceSymbol, ...]:
        """All its sources: those that give its candles, then those that are only compared."""
        return (*self.sources, *self.compared)

    def is_one_venue(self, source: str, other: str) -> bool:
        """Whether nothing says that two of its sources are different venues."""
        return len({self.venues[name] for name in (source, other) if name in self.venues}) < 2

    def window(self, now: datetime) -> Window:
        """The stretch of time up to `now` in which its candles are kept; empty before it starts."""
        return _window(self.start, self.end, now)


class Profile(_Model):
    """A group of symbols that share calendar, timeframes and rules: an asset key prefix and a DuckDB schema."""

    name: str
    kind: Kind
    calendar: str
    start: date
    end: date | None
    timeframes: Timeframes
    symbols: dict[str, Symbol]
    prices: PriceRules
    checks: CheckSettings
    repair: RepairSettings
    evidence: EvidenceSettings
    update: UpdateSettings
    agreement: AgreementSettings
    partitions: PartitionSettings
    features: FeaturesEntry
    returns: ReturnSettings
    calendar_changes: tuple[CalendarChange, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is known better of the calendar, as calendars are changed by."""
        return tuple(each.change for each in self.calendar_changes)

    @property
    def compares(self) -> bool:
        """Whether some partitions are compared with another source."""
        return self.agreement.sample > 0 and any(
            len(symbol.choices) > 1 for symbol in self.symbols.values()
        )

    @property
    def has_actions(self) -> bool:
        """Whether corporate actions are kept; then each symbol has a source of them."""
        return any(symbol.actions for symbol in self.symbols.values())

    def basis_of(self, settings: FeaturesEntry | ReturnSettings) -> Basis:
        """The prices that returns or features are made on: a profile without corporate actions has raw ones alone."""
        if not self.has_actions:
            return Basis.RAW
        return settings.basis or Basis.ADJUSTED

    @property
    def base_timeframe(self) -> Timeframe:
        """The shortest fetched timeframe."""
        return self.timeframes.fetch[0]

    def window(self, now: datetime) -> Window:
        """From 00:00 UTC of the first day to 00:00 UTC of `end`, or to `now` while that is earlier; empty before it starts."""
        return _window(self.start, self.end, now)

    def input_of(self, timeframe: Timeframe) -> Timeframe:
        """The timeframe that a derived one is made of: weeks of days, everything else of the shortest fetched.

        Raises:
            ValueError: The profile does not derive that timeframe.
        """
        if timeframe not in self.timeframes.derive:
            raise ValueError(f"profile {self.name} does not derive {timeframe}")
        return Timeframe.D1 if timeframe is Timeframe.W1 else self.base_timeframe


def _window(start: date, end: date | None, now: datetime) -> Window:
    first = midnight(start)
    return Window(first, max(first, now if end is None else min(midnight(end), now)))


class Universe(_Model):
    """Everything that is to be kept.

    Attributes:
        path: The file it was read from; the paths in a source's settings are relative to its
            folder.
        sources: The settings of each source, secrets filled in: shown with their `${NAME}` and left
            out of dumps.
        profiles: By name, in the order of the file.
        alerts: Who is told of troubles.
        markets: The matrix of returns across profiles.
        export: What is kept as Parquet files besides; None where nothing is.
        retention: How long bookkeeping is kept.
        limits: The server that the sources' limits are kept on for all machines that use it;
            neither shown nor dumped. Without one, a file is used by the processes of this one.
        secrets: The `${NAME}` that each filled-in value stands for; neither shown nor dumped.
    """

    path: Path
    sources: dict[str, dict[str, object]] = Field(exclude=True)
    profiles: dict[str, Profile]
    alerts: AlertSettings
    markets: MarketsSettings = MarketsSettings()
    export: ExportSettings | None = None
    retention: RetentionSettings = RetentionSettings()
    limits: SkipValidation[str] | None = Field(default=None, exclude=True, repr=False)
    secrets: dict[str, str] = Field(exclude=True, repr=False)

    def in_markets(self, timeframe: Timeframe) -> list[Profile]:
        """The profiles whose symbols are in the matrix of returns across profiles."""
        names = self.markets.profiles or self.profiles
        return [
            self.profiles[name]
            for name in names
            if timeframe in self.profiles[name].timeframes.kept
        ]

    def redact(self, text: str) -> str:
        """The text with every secret of the universe replaced by its `${NAME}`: for logs, errors and metadata."""
        return redact(text, self.secrets)


def load_universe(path: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Universe:
    """Read and check a universe file.

    Args:
        path: The file; without it the one that `MARKET_ASSETS_UNIVERSE` names, without that the
            practice universe: as the home keeps it, or as of today where the home does not keep it
            yet. Of these the copy is read if `MARKET_ASSETS_UNIVERSE_COPY` names one.
        environ: Where these variables and the secrets of the file are taken from.

    Raises:
        UniverseError: The file cannot be read, or holds mistakes; it lists them all.
    """
    copy = environ.get(COPY_VARIABLE) if path is None else None
    given = path is not None
    path = universe_path(path, environ, must_exist=copy is None)
    prepare = str if copy or given or path != PACKAGED else _as_of_today
    document = read_yaml(Path(copy) if copy else path, environ, prepare)
    entries = _read_entries(document)
    declared = _check_all(entries, document)
    here, misset = _repair_here(environ)
    if problems := [*document.problems(), *misset]:
        raise UniverseError(path, problems)
    profiles = [
        _resolve_profile(name, entry, entries, declared, here)
        for name, entry in entries.profiles.items()
    ]
    return Universe(
        path=path,
        sources=entries.sources,
        profiles={profile.name: profile for profile in profiles if profile},
        alerts=entries.alerts,
        markets=entries.markets,
        export=entries.export,
        retention=entries.retention,
        limits=entries.limits,
        secrets=document.secrets,
    )


def _as_of_today(text: str) -> str:
    return moved(text, present().date())


def _known_calendar(name: str) -> str:
    if name in _CALENDARS.values():
        return name
    # The calendar libraries take a second to import: only a file that goes beyond the presets pays
    # for it.
    from market_assets.market.calendars.sessions import calendar_names  # noqa: PLC0415

    known = calendar_names()
    if name not in known:
        raise ValueError(
            f"{name} is no calendar{hint(name, known)} Any name of exchange_calendars or "
            "pandas_market_calendars will do;"
            f" the presets are {listed(_CALENDARS.values())}"
        )
    return name


def _text(value: object) -> str:
    """A string as it is: pydantic's own check would lose what a `Secret` shows itself as."""
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value


def _one_source(value: object) -> object:
    return {value: ""} if isinstance(value, str) else value


def _known_source(choice: dict[str, str], info: ValidationInfo) -> tuple[str, str]:
    if len(choice) != 1:
        raise ValueError(
            "each item names one source: `- binance`, or `- binance: its own name for the symbol`"
        )
    (source, own_name), known = *choice.items(), info.context
    if known and source not in known:
        raise ValueError(
            f"{source} is no source of this file{hint(source, known)} It has {listed(known)}"
        )
    return source, own_name


Choice = Annotated[
    dict[str, Annotated[str, PlainValidator(_text)]],
    BeforeValidator(_one_source),
    AfterValidator(_known_source),
]
"""A source and, where it has another one, its own name for the symbol (empty if not)."""


def _no_list(value: object) -> object:
    if isinstance(value, list):
        raise ValueError("must not be a list: write each symbol as a key, such as `BTCUSDT: {}`")  # noqa: TRY004  # pydantic's
    return _empty_if_none(value)


class _SymbolEntry(_Model):
    """One symbol of a profile; `{}` is all defaults.

    Attributes:
        start: Its first day (UTC); the profile's by default.
        end: The first day that is no longer kept (UTC); the profile's by default.
        sources: Its own sources, in order of preference, each with the source's own name for it
            where that is another one: `sources: [{binance: ETHUSDT}, {archive: eth}]`.
        mix_venues: As in a profile; the profile's by default.
        actions: Whom to ask for its splits and dividends; the profile's by default.
    """

    start: Day | None = None
    end: Day | None = None
    sources: tuple[Choice, ...] = ()
    mix_venues: bool | None = None
    actions: tuple[Choice, ...] = ()


class _ProfileEntry(_Model):
    """A group of symbols that share calendar, timeframes and rules.

    Its name becomes an asset key prefix, an asset group and a DuckDB schema.

    Attributes:
        kind: CRYPTO, EQUITY, FUTURES or FOREX; presets the calendar and the price rules. Required.
        calendar: Any name of exchange_calendars or pandas_market_calendars, or a preset: `24/7`,
            `XNYS`, `CME Globex Equity`, `FOREX`. By default the one of the kind.
        start: The first day (UTC). Required.
        end: The first day that is no longer kept (UTC); without it the profile goes on.
        timeframes: Of 1m 5m 15m 30m 1h 4h 1d 1w, which ones are fetched and which ones are made.
        sources: The sources in order of preference. The next one is asked for the bars that the one
            before failed to give.
        mix_venues: True lets sources of another venue fill.
        actions: Whom to ask for splits and dividends, in order of preference; for EQUITY that keeps
            1d.
        symbols: The symbols by name.
        prices: What a price may be, where the preset of the kind is not right.
        checks: How strictly candles are judged.
        repair: When and how hard gaps are repaired.
        evidence: When an absence is explained.
        update: How the newest candles are kept.
        agreement: How sources are compared.
        partitions: How long a partition is.
        features: Which features, over how many bars; a full set by default.
        returns: What is asked of aligned returns.
        calendar_changes: What is known better of the calendar, by date and with a reason.
    """

    kind: Kind | None = None
    calendar: Annotated[str, AfterValidator(_known_calendar)] | None = None
    start: Day | None = None
    end: Day | None = None
    timeframes: Timeframes = Timeframes()
    sources: tuple[Choice, ...] = ()
    mix_venues: bool = False
    actions: tuple[Choice, ...] = ()
    symbols: Annotated[dict[str, _SymbolEntry], BeforeValidator(_no_list)] = {}
    prices: PriceRules = PriceRules()
    checks: CheckSettings = CheckSettings()
    repair: RepairSettings = RepairSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    update: UpdateSettings = UpdateSettings()
    agreement: AgreementSettings = AgreementSettings()
    partitions: PartitionSettings = PartitionSettings()
    features: FeaturesEntry = FeaturesEntry()
    returns: ReturnSettings = ReturnSettings()
    calendar_changes: tuple[CalendarChange, ...] = ()


class _Entries(_Model):
    """The file as it is written, each part valid by itself; nothing is inherited yet and nothing is required.

    Attributes:
        sources: The settings of each source, by a name of your choice; its `type` is that name
            unless it says otherwise.
        profiles: What is kept, by name.
        repair: When and how hard gaps are repaired.
        evidence: When an absence is explained.
        update: How the newest candles are kept.
        features: Which features, over how many bars; a full set by default.
        returns: What is asked of aligned returns.
        markets: One matrix of returns across profiles.
        agreement: How sources are compared.
        alerts: Who is told of troubles, and when.
        export: Switches the lake of Parquet files on; `{}` is all defaults.
        retention: How long bookkeeping is kept.
        limits: A Redis or PostgreSQL server on which all machines that use it keep one limit for
            each vendor's address and key: `redis://user:password@host:6379/0` or
            `postgresql://...`, best as `${LIMITS_URL}`. It needs the extra `redis` or `postgres`.
            Without it the processes of one home folder share a file.
        calendar_changes: What is known better of a calendar, by calendar; for all profiles that
            have it.
    """

    sources: Annotated[
        dict[str, Annotated[dict[str, object], BeforeValidator(_empty_if_none)]],
        BeforeValidator(_empty_if_none),
    ] = {}
    profiles: Annotated[dict[str, _ProfileEntry], BeforeValidator(_empty_if_none)] = {}
    repair: RepairSettings = RepairSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    update: UpdateSettings = UpdateSettings()
    features: FeaturesEntry = FeaturesEntry()
    returns: ReturnSettings = ReturnSettings()
    markets: MarketsSettings = MarketsSettings()
    agreement: AgreementSettings = AgreementSettings()
    alerts: AlertSettings = AlertSettings()
    export: Annotated[ExportSettings | None, BeforeValidator(_empty_if_none)] = None
    retention: RetentionSettings = RetentionSettings()
    limits: Annotated[str, PlainValidator(_text)] | None = None
    calendar_changes: Annotated[
        dict[Annotated[str, AfterValidator(_known_calendar)], tuple[CalendarChange, ...]],
        BeforeValidator(_empty_if_none),
    ] = {}

    def changes_of(self, profile: _ProfileEntry) -> tuple[CalendarChange, ...]:
        """What is known better of a profile's calendar: for all that have it, then for the profile alone."""
        calendar = profile.calendar or (profile.kind.calendar if profile.kind else "")
        return (*self.calendar_changes.get(calendar, ()), *profile.calendar_changes)


def _read_entries(document: Document) -> _Entries:
    """The parts of the document that are valid by themselves; what is not becomes problems and is left out."""
    data = document.data
    if not isinstance(data, dict):
        if not document.faulty(()):
            what = "is empty" if data is None else "must be a mapping"
            document.add(
                (), f"{what}: write `sources:` and `profiles:`, as the packaged universe.yaml does"
            )
        return _Entries()
    named = data.get("sources")
    sources = list(named) if isinstance(named, dict) else []
    faults = _faults(data, sources)
    add_faults(document, (), faults, _Entries)
    while faults:
        # What is left out may leave something incomplete behind, a list too short perhaps: that
        # goes too, unmentioned.
        data = _without(data, {nearest(data, fault["loc"]) for fault in faults})
        faults = _faults(data, sources)
    return _Entries.model_validate(data, context=sources)


def _faults(data: dict[str, object], sources: list[str]) -> list[ErrorDetails]:
    try:
        _Entries.model_validate(data, context=sources)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


# It gives back what it is given, cut.
def _without(value: Any, places: set[Place], at: Place = ()) -> Any:  # noqa: ANN401
    """The data without what stands at the places."""
    if isinstance(value, dict):
        kept = {key: (*at, key) for key in value if (*at, key) not in places}
        return {key: _without(value[key], places, place) for key, place in kept.items()}
    if isinstance(value, list):
        return [
            _without(item, places, (*at, index))
            for index, item in enumerate(value)
            if (*at, index) not in places
        ]
    return value


Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Declared:
    """What the types of the sources say of them, by source.

    Attributes:
        traits: Of the sources whose type declares them.
        venues: By kind of profile whose prices a source gives, None where nobody knows.
        telling: The sources that can be asked for corporate actions.
    """

    telling: set[str] = field(default_factory=set)
    traits: dict[str, Traits] = field(default_factory=dict)
    venues: dict[str, dict[str, str | None]] = field(default_factory=dict)

    def venues_of(self, profile: _ProfileEntry, symbol: _SymbolEntry) -> dict[str, str]:
        """The venues of a symbol's sources, in the sources' order, of those that are known."""
        kind = (profile.kind or "").lower()
        venues = {
            source: self.venues.get(source, {}).get(kind)
            for source, _ in symbol.sources or profile.sources
        }
        return {source: venue for source, venue in venues.items() if venue is not None}

    def parted(self, profile: _ProfileEntry, symbol: _SymbolEntry) -> tuple[Choices, Choices, str]:
        """The sources of a symbol that give its candles, those that are another venue, and why these give none."""
        choices = tuple((source, own) for source, own in symbol.sources or profile.sources)
        if profile.mix_venues if symbol.mix_venues is None else symbol.mix_venues:
            return choices, (), ""
        venues = self.venues_of(profile, symbol)
        first = next(iter(venues.values()), None)
        others = tuple(choice for choice in choices if venues.get(choice[0], first) != first)
        if not others:
            return choices, (), ""
        names = [
            source if venues[source] == source else f"{source} ({venues[source]})"
            for source, _ in others
        ]
        are, is_, it = (
            ("are other venues", "are", "them") if others[1:] else ("is another venue", "is", "it")
        )
        apart = (
            f"{listed(names)} {are} than {first} and {is_} not asked: mix_venues: "
            f"true would let {it} fill"
        )
        return tuple(choice for choice in choices if choice not in others), others, apart


def _check_sources(entries: _Entries, document: Document) -> _Declared:
    """Check each source's settings against its type, and say what the types declare."""
    # Source types bring HTTP clients and other packages' code along, which a reader of `home` has
    # no use for.
    from market_assets.sources.actions import gives_actions  # noqa: PLC0415
    from market_assets.sources.contract import (  # noqa: PLC0415
        KINDS,
        source_types,
        traits_of,
        venue_of,
    )

    types = source_types()
    installed = list(types)
    declared = _Declared()
    for name, settings in entries.sources.items():
        place = ("sources", name)
        _check_name(name, place, document)
        wanted = str(settings.get("type") or name)
        if wanted not in installed:
            at = (*place, "type") if "type" in settings else place
            document.add(
                at,
                f"{shown(wanted)} is no type of source{hint(wanted, installed)} Installed are "
                f"{listed(installed)}",
            )
            continue
        try:
            source_type = types[wanted]
        # Another package's code runs here: its bug is this file's problem.
        except Exception as error:  # noqa: BLE001
            document.add(place, f"the source type {wanted} cannot be loaded: {error!r}")
            continue
        try:
            checked = source_type.Settings.model_validate(settings)
            declared.venues[name] = {kind: venue_of(source_type, checked, kind) for kind in KINDS}
            if (traits := traits_of(source_type, checked)) is not None:
                declared.traits[name] = traits
        except ValidationError as error:
            add_faults(document, place, error.errors(include_url=False), source_type.Settings)
        except SourceError as error:
            document.add(place, str(error))
        except Exception as error:  # noqa: BLE001  # as above
            document.add(place, f"the source type {wanted} cannot say what it has: {error!r}")
        if gives_actions(source_type):
            declared.telling.add(name)
    return declared


def _check_limits(url: str | None, document: Document) -> None:
    if url is not None and not document.faulty(("limits",)):
        # Few have one.
        from market_assets.sources.transport.shared_limit import check_limits_url  # noqa: PLC0415

        try:
            check_limits_url(url)
        except ValueError as error:
            document.add(("limits",), str(error))


def _resolve_profile(
    name: str, entry: _ProfileEntry, entries: _Entries, declared: _Declared, here: RepairSettings
) -> Profile | None:
    """The profile with everything inherited and preset, and what is set for this machine; None without the keys that nothing can be made of."""
    if entry.kind is None or entry.start is None:
        return None
    symbols = {}
    for each, symbol in entry.symbols.items():
        asked, others, apart = declared.parted(entry, symbol)
        symbols[each] = Symbol(
            name=each,
            start=symbol.start or entry.start,
            end=symbol.end or entry.end,
            sources=tuple(SourceSymbol(source=source, symbol=own or each) for source, own in asked),
            compared=tuple(
                SourceSymbol(source=source, symbol=own or each) for source, own in others
            ),
            apart=apart,
            venues=declared.venues_of(entry, symbol),
            actions=_actions_of(each, symbol, entry),
        )
    return Profile(
        name=name,
        kind=entry.kind,
        calendar=entry.calendar or entry.kind.calendar,
        start=entry.start,
        end=entry.end,
        timeframes=entry.timeframes,
        symbols=symbols,
        prices=_overlay(entry.kind.prices, entry.prices),
        checks=entry.checks,
        repair=_overlay(_overlay(entries.repair, entry.repair), here),
        evidence=_overlay(entries.evidence, entry.evidence),
        update=_overlay(entries.update, entry.update),
        agreement=_overlay(entries.agreement, entry.agreement),
        partitions=entry.partitions,
        features=_overlay(entries.features, entry.features),
        returns=_overlay(entries.returns, entry.returns),
        calendar_changes=entries.changes_of(entry),
    )


def _actions_of(
    name: str, symbol: _SymbolEntry, profile: _ProfileEntry
) -> tuple[SourceSymbol, ...]:
    """Whom to ask for a symbol's corporate actions: a source knows it by the name under which it gives candles."""
    names = {source: own or name for source, own in symbol.sources or profile.sources}
    return tuple(
        SourceSymbol(source=source, symbol=own or names.get(source, name))
        for source, own in symbol.actions or profile.actions
    )


Part = TypeVar("Part", bound=_Model)


def _overlay(below: Part, above: Part) -> Part:
    """One part of the universe with the keys that were written in another."""
    return below.model_copy(update={key: getattr(above, key) for key in above.model_fields_set})


def _repair_here(environ: Mapping[str, str]) -> tuple[RepairSettings, list[str]]:
    """The repair settings that the environment sets, written as in the file, and what is wrong with them."""
    names = {REPAIR_VARIABLE + key.upper(): key for key in RepairSettings.model_fields}
    given = {key: environ[name] for name, key in names.items() if environ.get(name)}
    strange = sorted(
        name for name in environ if name.startswith(REPAIR_VARIABLE) and name not in names
    )
    problems = [
        f"{name}: is no setting{hint(name, names)} There are {listed(names)}" for name in strange
    ]
    try:
        return RepairSettings.model_validate(
            {key: yaml.safe_load(text) for key, text in given.items()}
        ), problems
    except yaml.YAMLError as error:
        return RepairSettings(), [*problems, f"{REPAIR_VARIABLE}...: cannot be read: {error}"]
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        named = [
            f"{REPAIR_VARIABLE}{str(fault['loc'][0]).upper()}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in wrong
        ]
        return RepairSettings(), [*problems, *named]


def _check_all(entries: _Entries, document: Document) -> _Declared:
    """Check what the parts say together, and give what the sources declare."""
    if document.faulty(()):
        return _Declared()
    for key, found, advice in (
        (
            "sources",
            entries.sources,
            "is missing; write where candles come from, such as `binance: {}`",
        ),
        (
            "profiles",
            entries.profiles,
            "is missing; write what to keep, as the packaged universe.yaml does",
        ),
    ):
        if not found and not document.faulty_within((key,)):
            document.add((key,), advice)
    declared = _check_sources(entries, document)
    _check_limits(entries.limits, document)
    _check_markets(entries, document)
    _check_export(entries, document)
    _check_channels(entries.alerts, document)
    kept = {
        entry.calendar or (entry.kind and entry.kind.calendar)
        for entry in entries.profiles.values()
    }
    for calendar in entries.calendar_changes:
        if calendar not in kept:
            document.add(
                ("calendar_changes", calendar),
                f"is the calendar of no profile; they have {listed(sorted(filter(None, kept)))}",
            )
    for name, entry in entries.profiles.items():
        _check_profile(name, entry, entries, declared, document)
    return declared


def _check_profile(
    name: str,
    entry: _ProfileEntry,
    entries: _Entries,
    declared: _Declared,
    document: Document,
) -> None:
    """Check what a profile's keys say together; each by itself is valid, and those that are not have been left out."""
    place: Place = ("profiles", name)
    _check_profile_name(name, entries, document)
    for key, found, advice in (
        ("kind", entry.kind, f"is missing; it is one of {listed(Kind)}"),
        ("start", entry.start, "is missing; write the first day to keep, such as 2024-01-01"),
        ("symbols", entry.symbols, "is missing; write at least one, such as `BTCUSDT: {}`"),
    ):
        if not found and not document.faulty_within((*place, key)):
            document.add((*place, key), advice)
    if entry.start and entry.end and entry.end <= entry.start:
        document.add(
            (*place, "end"), f"{entry.end} is not after the start, {entry.start}: no day is left"
        )
    _check_timeframes((*place, "timeframes"), entry.timeframes, document)
    _check_repeats((*place, "sources"), entry.sources, document)
    for source, own in entry.sources:
        if own:
            advice = (
                f"a source's own name, here {shown(own)}, belongs to a symbol; write {source} alone"
            )
            document.add((*place, "sources"), advice)
    for each, symbol in entry.symbols.items():
        at = (*place, "symbols", each)
        _check_name(each, at, document)
        _check_symbol_dates(at, symbol, entry, document)
        _check_repeats((*at, "sources"), symbol.sources, document)
    _check_asked(place, entry, entries, declared, document)
    _check_kind(place, entry, declared.traits, document)
    _check_actions(place, entry, declared, document)
    _check_calendar(place, entry, entries, document)


def _check_calendar(
    place: Place, profile: _ProfileEntry, entries: _Entries, document: Document
) -> None:
    """What is known better of a calendar can be done to it."""
    changes = entries.changes_of(profile)
    calendar = profile.calendar or (profile.kind.calendar if profile.kind else None)
    if not changes or calendar is None or document.faulty_within((*place, "calendar")):
        return
    own, shared = (*place, "calendar_changes"), ("calendar_changes", calendar)
    for at, entries_of in (
        (own, profile.calendar_changes),
        (shared, entries.calendar_changes.get(calendar, ())),
    ):
        for index, each in enumerate(entries_of):
            if not document.faulty((*at, index)) and any(
                each.repeats(before) for before in entries_of[:index]
            ):
                document.add(
                    (*at, index),
                    f"says what an entry before says of {each.date} too; "
                    "keep the one that is right",
                )
    # Takes a second.
    from market_assets.market.calendars.sessions import load_calendar  # noqa: PLC0415

    try:
        load_calendar(calendar, tuple(each.change for each in changes))
    except CalendarError as error:
        at = (
            (*place, "calendar_changes")
            if profile.calendar_changes
            else ("calendar_changes", calendar)
        )
        document.add(at, str(error))


def _check_name(name: str, place: Place, document: Document) -> None:
    """Names of symbols and sources end up in paths, lists and keys."""
    if not re.fullmatch(r"[^\s/\\,]+", name) or name in {".", ".."}:
        advice = "is no usable name: leave out slashes, commas and spaces"
        if place[0] == "profiles":
            advice += " (a source may have its own name for it: `sources: [{binance: ...}]`)"
        document.add(place, advice)


def _check_profile_name(name: str, entries: _Entries, document: Document) -> None:
    place = ("profiles", name)
    lower = name.lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        valid = re.sub(r"\W", "_", lower, flags=re.ASCII)
        if lower != name and lower in entries.profiles:
            document.add(
                place, f"differs from {lower} only in upper and lower case; choose another name"
            )
        else:
            example = f", such as {valid}" if re.fullmatch(r"[a-z]\w*", valid) else ""
            document.add(
                place,
                "is no usable name: write a lower-case letter, then letters, "
                f"digits and underscores{example}",
            )
    elif name in RESERVED_NAMES:
        document.add(
            place, "is a name that DuckDB or this project keeps for itself; choose another"
        )


def _check_markets(entries: _Entries, document: Document) -> None:
    """The matrix across profiles has a name of its own, and each profile that it names keeps its timeframes."""
    markets, place = entries.markets, ("markets",)
    if markets.name in entries.profiles or not re.fullmatch(r"[a-z][a-z0-9_]*", markets.name):
        document.add(
            (*place, "name"),
            f"{shown(markets.name)} is no free name: write lower-case letters, "
            "and no profile's name",
        )
    elif markets.name in RESERVED_NAMES:
        document.add(
            (*place, "name"),
            "is a name that DuckDB or this project keeps for itself; choose another",
        )
    _check_repeats((*place, "profiles"), markets.profiles, document)
    _check_repeats((*place, "timeframes"), markets.timeframes, document)
    for name in markets.profiles:
        if name not in entries.profiles:
            advice = (
                f"{shown(name)} is no profile{hint(name, entries.profiles)} There are "
                f"{listed(entries.profiles)}"
            )
            document.add((*place, "profiles"), advice)
    for timeframe in markets.timeframes:
        keepers = [
            name
            for name, profile in entries.profiles.items()
            if timeframe in profile.timeframes.kept
        ]
        lacking = [
            name for name in markets.profiles if name in entries.profiles and name not in keepers
        ]
        if lacking or not keepers:
            advice = (
                f"{timeframe} is not kept by {listed(lacking or entries.profiles)}; "
                "add it to its fetched or derived timeframes"
            )
            document.add((*place, "timeframes"), advice)


def _check_export(entries: _Entries, document: Document) -> None:
    place = ("export", "timeframes")
    wanted = entries.export.timeframes if entries.export else ()
    _check_repeats(place, wanted, document)
    for timeframe in wanted:
        if not any(timeframe in profile.timeframes.kept for profile in entries.profiles.values()):
            document.add(
                place,
                f"{timeframe} is kept by no profile; add it to the fetched or derived timeframes "
                "of one",
            )


def _check_channels(alerts: AlertSettings, document: Document) -> None:
    """Each channel is a URL that apprise can send to; none is shown: any part may be a secret."""
    if not alerts.channels:
        return
    apprise = load_apprise()
    advice = (
        "is no URL of a service that apprise knows, or lacks a part: write one as in "
        "https://appriseit.com/services, such as mailto://user:password@example.org or "
        "json://host/path"
    )
    for place, url in enumerate(alerts.channels):
        # As it comes from YAML: a number may stand where a URL should.
        service = (
            apprise.Apprise.instantiate(str(url), suppress_exceptions=True)
            if "://" in str(url)
            else None
        )
        if service is None:
            document.add(("alerts", "channels", place), advice)


def _check_symbol_dates(
    place: Place, symbol: _SymbolEntry, profile: _ProfileEntry, document: Document
) -> None:
    """A symbol may begin later and end earlier than its profile.

    The other way round is refused and not cut off in silence: it asks for days that no partition of
    the profile holds.
    """
    start, end = (*place, "start"), (*place, "end")
    if symbol.start and profile.start and symbol.start < profile.start:
        advice = (
            f"{symbol.start} is before the profile's start, {profile.start}; move that one, "
            "or leave this one out"
        )
        document.add(start, advice)
    if symbol.start and profile.end and symbol.start >= profile.end:
        document.add(
            start, f"{symbol.start} is not before the profile's end, {profile.end}: no day is left"
        )
    if symbol.end and profile.end and symbol.end > profile.end:
        advice = (
            f"{symbol.end} is after the profile's end, {profile.end}; move that one, "
            "or leave this one out"
        )
        document.add(end, advice)
    if symbol.end and symbol.start and symbol.end <= symbol.start:
        document.add(end, f"{symbol.end} is not after the start, {symbol.start}: no day is left")
    elif symbol.end and profile.start and symbol.end <= profile.start:
        document.add(
            end, f"{symbol.end} is not after the profile's start, {profile.start}: no day is left"
        )


def _check_timeframes(place: Place, timeframes: Timeframes, document: Document) -> None:
    """Each timeframe divides every longer one, so that a derived one only has to be longer than what it is made of."""
    fetch, derive = (*place, "fetch"), (*place, "derive")
    _check_repeats(fetch, timeframes.fetch, document)
    _check_repeats(derive, timeframes.derive, document)
    unclear = document.faulty_within(derive)
    both = [
        timeframe for timeframe in dict.fromkeys(timeframes.fetch) if timeframe in timeframes.derive
    ]
    for timeframe in both:
        document.add(derive, f"{timeframe} is fetched as well; keep it in one of the two lists")
    if document.faulty_within(fetch):
        return
    if not timeframes.fetch:
        document.add(fetch, "is empty; name what the sources are asked for, such as [1m]")
        return
    base = timeframes.fetch[0]
    for timeframe in timeframes.derive:
        if timeframe not in both and timeframe.duration < base.duration:
            document.add(
                derive,
                f"{timeframe} cannot be made of {base}, the shortest fetched one; "
                "fetch a shorter one",
            )
    days = {*timeframes.fetch, *timeframes.derive}
    if Timeframe.W1 in timeframes.derive and Timeframe.D1 not in days and not unclear:
        document.add(derive, "1w is made of 1d, which is neither fetched nor derived; add 1d")
    for key in ("features", "returns"):
        wanted = getattr(timeframes, key)
        _check_repeats((*place, key), wanted, document)
        for timeframe in wanted if not unclear else ():
            if timeframe not in days:
                document.add(
                    (*place, key),
                    f"{timeframe} is neither fetched nor derived; add it to one of the two lists",
                )


def _check_repeats(place: Place, values: Iterable[object], document: Document) -> None:
    for value, times in Counter(values).items():
        if times > 1:
            text = ": ".join(part for part in value if part) if isinstance(value, tuple) else value
            document.add(place, f"{text} is written {times} times")


def _check_asked(
    place: Place,
    profile: _ProfileEntry,
    entries: _Entries,
    declared: _Declared,
    document: Document,
) -> None:
    """Every symbol has a source, and for each fetched timeframe one that serves it."""
    parted = {
        name: declared.parted(profile, symbol)
        for name, symbol in profile.symbols.items()
        if not document.faulty_within((*place, "symbols", name, "sources"))
    }
    if document.faulty_within((*place, "sources")) or not entries.sources:
        return
    asked = {name: [source for source, _ in own] for name, (own, _, _) in parted.items()}
    if orphans := [name for name, sources in asked.items() if not sources]:
        advice = (
            f"is missing, and {listed(orphans)} has none of its own; write which to ask, "
            f"such as [{next(iter(entries.sources))}]"
        )
        document.add((*place, "sources"), advice)
    kind = (profile.kind or "").lower()
    served = {source: traits.timeframes_for(kind) for source, traits in declared.traits.items()}
    every = frozenset(Timeframe)
    for timeframe in profile.timeframes.fetch:
        unserved = [
            name
            for name, sources in asked.items()
            if sources and not any(timeframe in served.get(source, every) for source in sources)
        ]
        if unserved:
            offers = {
                each for name in unserved for source in asked[name] for each in served[source]
            }
            offered = listed(timeframe for timeframe in Timeframe if timeframe in offers)
            apart = dict.fromkeys(why for name in unserved if (why := parted[name][2]))
            advice = "; ".join(
                [
                    (
                        f"{timeframe} is served by no source of {listed(unserved)}; "
                        f"they have {offered}"
                    ),
                    *apart,
                ]
            )
            document.add((*place, "timeframes", "fetch"), advice)


def _check_kind(
    place: Place, profile: _ProfileEntry, traits: Mapping[str, Traits], document: Document
) -> None:
    """No source is asked for a kind of market that it does not have."""
    lists = {(*place, "sources"): profile.sources}
    lists |= {
        (*place, "symbols", name, "sources"): symbol.sources
        for name, symbol in profile.symbols.items()
    }
    for at, choices in lists.items():
        for source in dict.fromkeys(source for source, _ in choices):
            declared = traits.get(source)
            if declared and profile.kind and profile.kind.lower() not in declared.kinds:
                kinds = listed(kind for kind in Kind if kind.lower() in declared.kinds)
                document.add(
                    at,
                    f"{source} serves {kinds}, and this profile is {profile.kind}; "
                    "choose another source",
                )


def _check_basis(place: Place, profile: _ProfileEntry, document: Document) -> None:
    """Without corporate actions a profile itself asks for no prices that are adjusted by them."""
    for key, settings in (("features", profile.features), ("returns", profile.returns)):
        if settings.basis not in {None, Basis.RAW}:
            document.add(
                (*place, key, "basis"),
                f"{settings.basis} needs corporate actions: name a source of them under "
                "`actions`, or write raw",
            )


def _check_actions(
    place: Place, profile: _ProfileEntry, declared: _Declared, document: Document
) -> None:
    """Where corporate actions are kept, every symbol has a source of them, and raw candles that they can be applied to."""
    lists = {(*place, "actions"): profile.actions}
    lists |= {
        (*place, "symbols", name, "actions"): symbol.actions
        for name, symbol in profile.symbols.items()
    }
    if not any(lists.values()):
        _check_basis(place, profile, document)
    if not any(lists.values()) or document.faulty_within((*place, "actions")):
        return
    if profile.kind is not Kind.EQUITY:
        document.add(
            (*place, "actions"),
            f"corporate actions are kept of EQUITY, and this profile is {profile.kind}; "
            "leave them out",
        )
        return
    for at, choices in lists.items():
        _check_repeats(at, choices, document)
        for source, _ in choices:
            if source in declared.venues and source not in declared.telling:
                able = (
                    f"of this file, {listed(sorted(declared.telling))} can"
                    if declared.telling
                    else "polygon, yahoo and action_files can"
                )
                document.add(at, f"{source} cannot be asked for corporate actions; {able}")
    if Timeframe.D1 not in profile.timeframes.kept:
        document.add(
            (*place, "timeframes"),
            "1d is missing: a dividend is measured by the close of the day before; "
            "fetch or derive it",
        )
    if orphans := [
        name for name, symbol in profile.symbols.items() if not (symbol.actions or profile.actions)
    ]:
        document.add(
            (*place, "actions"),
            f"is missing, and {listed(orphans)} has none of its own; write which to ask, "
            "such as [polygon]",
        )
    asked = {
        source
        for symbol in profile.symbols.values()
        for source, _ in symbol.sources or profile.sources
    }
    for source in sorted(
        asked & {name for name, traits in declared.traits.items() if traits.split_adjusted}
    ):
        advice = (
            f"the candles of {source} are divided by every split already; "
            "take them from another source, or leave actions out"
        )
        document.add((*place, "actions"), advice)
