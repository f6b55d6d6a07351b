"""The schedules that keep the newest candles up to date, session by session.

Dagster reads the annotations of a schedule's resources at run time, so that this module does without postponed ones.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from market_assets.defs.adapter import range_tags
from market_assets.defs.completeness import completeness_key
from market_assets.defs.keys import PROFILE_TAG, TRIGGER_TAG, UPDATE, candles_key, op_config
from market_assets.defs.repair import PATIENCE, in_flight
from market_assets.defs.resources import Clock, StoreResource
from market_assets.errors import StoreError
from market_assets.fill.judge import partition_key
from market_assets.fill.series import calendar_of, partitions_of, series_of
from market_assets.market_time.partitions import Partition, hull
from market_assets.market_time.timeframes import Timeframe, Window, literal
from market_assets.quality.evidence import is_believable
from market_assets.store import Store
from market_assets.universe import Profile

_NEWEST = 3
"""So many of the newest partitions are an update's business; what is missing in older ones is a repair's."""

_LOOKS_AGAIN = 10
"""So many updates after a session's close its last bars are asked for again."""

_FIRST_OF_ALL = "10"
"""The priority of an update among queued runs: above any repair and backfill."""


def update_schedule(profile: Profile) -> dg.ScheduleDefinition:
    """The schedule that fills what a profile's newest sessions lack, on by default.

    Each tick looks for bars that have closed since their partition was judged last: a running session's, or the last ones of a
    session that has just closed. Where there are none, it starts no run.

    Args:
        profile: Whose fetched candles are updated.
    """

    @dg.schedule(
        name=f"update_{profile.name}",
        cron_schedule=cron_of(profile.update.every),
        execution_timezone="UTC",
        target=dg.AssetSelection.assets(*(candles_key(profile.name, each) for each in profile.timeframes.fetch)),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Fills the bars that have closed since the last update, asks again for the newest ones to find late revisions, and "
            "starts no run while the market is closed."
        ),
    )
    def update(
        context: dg.ScheduleEvaluationContext, store: StoreResource, clock: Clock
    ) -> dg.SkipReason | list[dg.RunRequest]:
        now = clock.now() - profile.update.settle
        requests: list[dg.RunRequest] = []
        told: list[str] = []
        for timeframe in profile.timeframes.fetch:
            try:
                due, newest = behind(store.store(clock, PATIENCE), profile, timeframe, now)
            except StoreError as error:
                told.append(f"{timeframe}: {error}")
                continue
            key = candles_key(profile.name, timeframe)
            if newest is None:
                told.append(f"{timeframe}: no bar has closed yet")
            elif not due:
                told.append(f"{timeframe}: nothing has closed since {newest:%Y-%m-%d %H:%MZ}")
            elif busy := in_flight(context.instance, key, [partition.key for partition in due]):
                told.append(f"{timeframe}: a run for {', '.join(sorted(busy))} is under way")
            else:
                requests.append(_request(profile, timeframe, due, newest))
        return requests or dg.SkipReason("; ".join(told))

    return update


def behind(
    store: Store, profile: Profile, timeframe: Timeframe, now: datetime
) -> tuple[list[Partition], datetime | None]:
    """The newest partitions in which a bar has closed since they were judged, oldest first, and when the newest bar closed.

    They reach back to the newest bars that are asked for again, also over a night or a weekend; and once more some time after a
    session's close, for its last bars are those that are revised most often.

    Raises:
        StoreError: The store stayed busy, or cannot be read.
    """
    calendar, window = calendar_of(profile), profile.window(now)
    # No market stays closed for a month.
    recent = window.intersect(Window(window.end - max(timedelta(days=31), 62 * timeframe.duration), window.end))
    if recent is None:
        return [], None
    partitions = partitions_of(profile, timeframe, series_of(profile, now), recent)
    if not partitions:
        return [], None
    bars = calendar.bars(timeframe, hull(partitions)).filter(pl.col("closes_at") <= literal(now))
    part = partition_key(profile.partitions.of(timeframe)).cast(pl.String)
    last = dict(bars.group_by(part).agg(pl.max("closes_at")).iter_rows())
    closes = {each: last[each.key].replace(tzinfo=UTC) for each in partitions if each.key in last}
    newest = list(closes)[-_NEWEST:]
    with store.reading(f"looking for what {profile.name} {timeframe} lacks") as view:
        noted = view.judged_at(profile.name, timeframe, [partition.key for partition in newest])
    judged = {key: at for key, at in noted.items() if is_believable(at, now)}

    def lacks(partition: Partition) -> bool:
        if partition.key not in judged:
            return True
        again = closes[partition] + _LOOKS_AGAIN * profile.update.every
        until = judged[partition.key]
        return bool(until < closes[partition] or until < again <= now)

    due = [partition for partition in newest if lacks(partition)]
    if due and profile.update.recheck:
        recheck = set(bars.tail(profile.update.recheck).select(part).to_series())
        due = [partition for partition in newest if partition in due or partition.key in recheck]
    return due, max(closes.values(), default=None)


def _request(profile: Profile, timeframe: Timeframe, due: list[Partition], newest: datetime) -> dg.RunRequest:
    key = candles_key(profile.name, timeframe)
    # What is made of these candles goes along, and saves a process each; what has other partitions follows by automation.
    along = [each for each in profile.timeframes.derive if each.intraday and profile.input_of(each) == timeframe]
    return dg.RunRequest(
        run_key=f"{key.to_user_string()}/{newest:%Y-%m-%dT%H:%M}",
        asset_selection=[key, *(candles_key(profile.name, each) for each in along), completeness_key(profile.name)],
        run_config=op_config([key], {"newest_first": True, "only_due": True, "recheck": profile.update.recheck}),
        tags={
            **range_tags(due[0].key, due[-1].key),
            TRIGGER_TAG: UPDATE,
            PROFILE_TAG: profile.name,
            "dagster/priority": _FIRST_OF_ALL,
        },
    )


def cron_of(every: timedelta) -> str:
    """The cron line of a setting such as `update.every`: whole minutes that divide an hour, or whole hours that divide a day."""
    minutes = int(every / timedelta(minutes=1))
    if minutes < 60:
        return f"*/{minutes} * * * *"
    return f"0 */{minutes // 60} * * *" if minutes < 1440 else "0 0 * * *"
