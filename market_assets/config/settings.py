"""The settings of a profile and of the platform, each with its default and its limits.

How a value is written stands in `values`, what several settings say together in `checks`.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    SkipValidation,
)

from market_assets.config.values import Day, Duration, Model, Share
from market_assets.market.gaps import Priority
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe


def _up_to(days: int) -> AfterValidator:
    def check(duration: timedelta) -> timedelta:
        if duration > timedelta(days=days):
            raise ValueError(f"is more than {days}d, after which Dagster deletes them by itself")
        return duration

    return AfterValidator(check)


def _rising(bounds: tuple[timedelta, timedelta]) -> tuple[timedelta, timedelta]:
    if bounds[0] > bounds[1]:
        raise ValueError(
            "the first wait must not be longer than the longest; "
            "write [first, longest], such as [1m, 1h]"
        )
    return bounds


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


class PriceRules(Model):
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
        return PRESETS[self]

    @property
    def has_extended_hours(self) -> bool:
        """Whether vendors give bars from before and after the sessions, as they do for stocks."""
        return self is Kind.EQUITY

    @property
    def prices(self) -> PriceRules:
        """The price rules of a profile that sets none."""
        forex = self is Kind.FOREX
        return PriceRules(
            positive=self is not Kind.FUTURES, volume_optional=forex, real_volume=not forex
        )


PRESETS = {
    Kind.CRYPTO: "24/7",
    Kind.EQUITY: "XNYS",
    Kind.FUTURES: "CME Globex Equity",
    Kind.FOREX: "FOREX",
}


class Severity(StrEnum):
    """What a failed check means for those downstream: ERROR blocks, WARN reports."""

    ERROR = "ERROR"
    WARN = "WARN"


_SEVERITY = {
    Priority.CRITICAL: Severity.ERROR,
    Priority.HIGH: Severity.ERROR,
    Priority.MEDIUM: Severity.WARN,
    Priority.LOW: Severity.WARN,
}


class CheckSettings(Model):
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


class RepairSettings(Model):
    """When gaps are repaired, and how hard.

    Each key can be set for this machine by `MARKET_ASSETS_REPAIR_<KEY>`.

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


class EvidenceSettings(Model):
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


class UpdateSettings(Model):
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


class AlertSettings(Model):
    """Who gets a message about troubles, and when.

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


class AgreementSettings(Model):
    """How many partitions are compared with other sources, and what counts as agreement.

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
            "the first window must be shorter than the second; "
            "write [fast, slow, signal], such as [12, 26, 9]"
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


class FeatureSettings(Model):
    """Which features are made of candles, and over how many bars.

    An empty list or `false` leaves a feature out. The columns are called after the features: `ema:
    [12]` is `ema_12`, `macd: [[12, 26, 9]]` is `macd_12_26_9`.

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


class ReturnSettings(Model):
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


class ExportSettings(Model):
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
        """The path of the folder, given the home folder."""
        return home / Path(self.folder).expanduser()


class RetentionSettings(Model):
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


class PartitionSettings(Model):
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


class Timeframes(Model):
    """The timeframes that a profile keeps, each list shortest first.

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
        """The timeframes that have candles: fetched ones first, then derived ones."""
        return (*self.fetch, *self.derive)
