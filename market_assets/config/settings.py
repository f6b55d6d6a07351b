"""How a profile is kept: what is judged, repaired, updated, compared and partitioned.

Each setting has its default and its limits. How a value is written stands in `values`, what several
settings say together in `checks`; kinds of market are in `kinds`, features and returns in
`research`, and what the whole platform does in `services`.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
)

from market_assets.config.values import Day, Duration, Interval, Model, Share, TimeframeList
from market_assets.market.gaps import Priority
from market_assets.market.partitions import Cadence
from market_assets.market.timeframes import Timeframe


def _rising(bounds: tuple[timedelta, timedelta]) -> tuple[timedelta, timedelta]:
    if bounds[0] > bounds[1]:
        raise ValueError(
            "the first wait must not be longer than the longest; "
            "write [first, longest], such as [1m, 1h]"
        )
    return bounds


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

    every: Interval = timedelta(minutes=1)
    first_backfill: Duration = timedelta(days=365)
    recheck: int = Field(default=5, ge=0)
    settle: Duration = timedelta(seconds=10)


class StreamSettings(Model):
    """How the candles of a profile's shortest fetched timeframe are streamed.

    A stream only brings bars sooner: what is absent is still asked for over REST, by `update`.

    Attributes:
        enabled: Whether Dagster streams the profile, by a run that the sensor `stream_<profile>`
            keeps alive. `market-assets stream` streams it in any case.
        catch_up: How far back bars are asked for over REST when a stream is connected; what is
            older is left to a repair.
        total_timeout: After so long a stream ends by itself, and all that it gave is committed.
            In Dagster this is the length of a run, and the next one follows.
        idle: A connection without any frame for so long is dead; null is what suits the vendor.
        silent_bars: After so many bars without a candle of a symbol, although the connection
            lives, REST is asked for it.
        follow: How soon what is made of candles is made again: longer candles, features, returns.
        buffer: How many bars wait while the store is busy. Beyond that the oldest are left to REST.
    """

    enabled: bool = False
    catch_up: Duration = timedelta(minutes=180)
    total_timeout: Duration = timedelta(hours=4)
    idle: Duration | None = None
    silent_bars: int = Field(default=3, ge=1)
    follow: Duration = timedelta(seconds=30)
    buffer: int = Field(default=50_000, ge=1)


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

    fetch: TimeframeList = (Timeframe.M1,)
    derive: TimeframeList = ()
    features: TimeframeList = ()
    returns: TimeframeList = ()

    @property
    def kept(self) -> tuple[Timeframe, ...]:
        """The timeframes that have candles: fetched ones first, then derived ones."""
        return (*self.fetch, *self.derive)
