"""The schedules that keep the newest candles up to date.

A tick fills and derives in its own process and writes to the store alone: a run, its process and
its events would cost a hundred times as much as the minute of candles. Dagster is told by one run
when a session is over, and by one observation per hour in between.

Dagster reads the annotations of a schedule's resources at run time, so that this module does
without postponed ones.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Lock

import dagster as dg

from market_assets.config.universe import Profile, Universe
from market_assets.defs.assets.completeness import completeness_key, completeness_now
from market_assets.defs.automation.observations import RunningVerdicts, observe
from market_assets.defs.automation.repair import in_flight
from market_assets.defs.fill_config import run_config_of
from market_assets.defs.internals.adapter import range_tags
from market_assets.defs.keys import (
    FIRST_OF_ALL,
    PROFILE_TAG,
    automatic,
    dataset_key,
    trigger_tag,
)
from market_assets.defs.resources import PATIENCE, Clock, Sources, StoreResource
from market_assets.errors import MarketAssetsError, StoreBusyError
from market_assets.expected.scope import Scope, scope_of
from market_assets.fill.options import FillOptions
from market_assets.imports import late_imports
from market_assets.market.clock import machine
from market_assets.market.timeframes import Timeframe, Window
from market_assets.work.run import Trigger

with late_imports():
    from market_assets.enrich.made import made_of_profile
    from market_assets.expected.newest import Standing, closes_within
    from market_assets.live.update import Updated, update_profile
    from market_assets.plan.repair import wait_after
    from market_assets.store import Store


_LONGEST_WAIT = timedelta(seconds=20)
"""How long a tick waits at most for the bar that has just closed to settle.

Dagster ends a tick after a minute.
"""

_AT_HAND = timedelta(seconds=30)
"""How late a tick comes at most after the minute that it is for."""

_COUNTED = timedelta(minutes=5)
"""How often the numbers of the completeness matrix are looked at."""

_OBSERVED = timedelta(hours=1)
"""How often an observation says how the running session is.

This is also the greatest age of the completeness asset.
"""


_guard = Lock()
_locks: dict[tuple[str, str], Lock] = {}
"""Who updates, by home and profile."""

_shown: dict[tuple[str, str], list[tuple[object, ...]]] = {}
"""The numbers of each completeness asset that this process has made last, by home and profile."""


_verdicts: dict[tuple[str, dg.AssetKey], RunningVerdicts] = {}
"""What was reported to Dagster about the sessions that run, by home and asset."""


def update_schedule(universe: Universe, profile: Profile) -> dg.ScheduleDefinition:
    """The schedule that fills what a profile's newest sessions lack, on by default.

    Args:
        universe: What is kept.
        profile: Whose fetched candles are updated, with all that is made of them.
    """

    @dg.schedule(
        name=f"update_{profile.name}",
        cron_schedule=_cron_of(profile.update.every),
        execution_timezone="UTC",
        # Dagster wants assets of one partitioning here; a report names its own.
        target=dg.AssetSelection.assets(dataset_key(profile.candles(profile.base_timeframe))),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Fills the bars that have closed, asks again for the newest ones "
            "to find late revisions, and makes what is made of them: in the tick itself, "
            "without a run. When a session is over, a run reports its partition and its checks."
        ),
    )
    def update(
        context: dg.ScheduleEvaluationContext,
        store: StoreResource,
        sources: dg.ResourceParam[Sources],
        clock: Clock,
    ) -> dg.SkipReason | list[dg.RunRequest]:
        slot = clock.now()
        settle = profile.update.settle
        if closes_within(profile, Window(slot - _AT_HAND, slot)):
            # The bar that closed on this minute is taken now, and not a minute later.
            clock.wait(min(settle, _LONGEST_WAIT))
        now = clock.now() - settle
        kept = store.store(clock, PATIENCE)

        def busy(timeframe: Timeframe, keys: Sequence[str]) -> frozenset[str]:
            return in_flight(context.instance, dataset_key(profile.candles(timeframe)), keys)

        try:
            with _alone(kept, profile):
                updated = update_profile(
                    kept, sources.build(profile), universe, profile, now=now, busy=busy
                )
        except MarketAssetsError as error:
            # A store that is busy is no fault of the schedule: the next tick goes on.
            return dg.SkipReason(universe.redact(f"nothing was updated: {error}"))

        requests = [
            request
            for timeframe, newest in updated.newest.items()
            for request in _reports(context.instance, scope_of(profile, timeframe, now), newest)
        ]
        faults = [
            *updated.errors,
            *_tried(
                lambda: _observe(context.instance, kept, profile, updated, slot=slot, clock=clock)
            ),
            *_tried(kept.renew_copy),
        ]
        return requests or dg.SkipReason(universe.redact("; ".join([*faults, *updated.lines])))

    return update


@contextmanager
def _alone(store: Store, profile: Profile) -> Iterator[None]:
    """One update of a profile at a time in this process.

    A tick that takes long is not joined by the next one.

    Raises:
        StoreBusyError: One is under way.
    """
    with _guard:
        lock = _locks.setdefault((str(store.path), profile.name), Lock())
    if not lock.acquire(blocking=False):
        raise StoreBusyError("the update before it is still under way")
    try:
        yield
    finally:
        lock.release()


def _tried(work: Callable[[], object]) -> list[str]:
    """Do what is nobody's loss if it fails; what went wrong, in words."""
    try:
        work()
    except MarketAssetsError as error:
        return [str(error)]
    return []


def _observe(
    instance: dg.DagsterInstance,
    store: Store,
    profile: Profile,
    updated: Updated,
    *,
    slot: datetime,
    clock: Clock,
) -> None:
    """Tell Dagster how the running session is.

    The completeness matrix is reported when its numbers change.
    """
    every = profile.update.every
    for timeframe, newest in updated.newest.items():
        key = dataset_key(profile.candles(timeframe))
        verdicts = _verdicts.setdefault((str(store.path), key), RunningVerdicts(key))
        running = {standing.partition.key for standing in newest if standing.ends_at > clock.now()}
        verdicts.tell(instance, running, updated.outcomes.get(timeframe, ()))
    if _enters(slot, every, _OBSERVED):
        for timeframe, newest in updated.newest.items():
            observe(instance, store, scope_of(profile, timeframe, clock.now()), newest)
    place = (str(store.path), profile.name)
    if place not in _shown or _enters(slot, every, _COUNTED):
        made = completeness_now(store, profile, clock.now())
        if _enters(slot, every, _OBSERVED) or _shown.get(place) != made.numbers:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(completeness_key(profile.name), metadata=made.metadata())
            )
        _shown[place] = made.numbers


def _enters(slot: datetime, every: timedelta, period: timedelta) -> bool:
    """Whether a tick is the first one in a new period, such as an hour."""
    origin = datetime.fromtimestamp(0, slot.tzinfo)
    return (slot - origin) // period != (slot - every - origin) // period


def _reports(
    instance: dg.DagsterInstance, scope: Scope, newest: Sequence[Standing]
) -> list[dg.RunRequest]:
    """The run that reports the sessions that are over; none where nothing is new.

    It also makes everything that has the same partitions.
    """
    profile, timeframe = scope.profile, scope.timeframe
    over = [standing for standing in newest if standing.is_reportable(timeframe, scope.now)]
    keys = [standing.partition.key for standing in over]
    key = dataset_key(scope.dataset)
    if not over or in_flight(instance, key, keys):
        return []

    along = [
        dataset_key(made.dataset)
        for made in made_of_profile(profile)
        if made.cadence is scope.cadence and made.dataset.timeframe.intraday == timeframe.intraday
    ]
    version = max(standing.changed_at for standing in over if standing.changed_at)
    run_key = f"{key.to_user_string()}/{keys[0]}..{keys[-1]}/{version:%Y-%m-%dT%H:%M:%S.%f}"
    if not _may_start(instance, run_key, profile):
        return []
    return [
        dg.RunRequest(
            run_key=run_key,
            asset_selection=[key, *along, completeness_key(profile.name)],
            run_config=run_config_of([key], FillOptions(only_due=True)),
            tags={
                **range_tags(keys[0], keys[-1]),
                **trigger_tag(Trigger.UPDATE),
                PROFILE_TAG: profile.name,
                **automatic(FIRST_OF_ALL),
            },
        )
    ]


def _may_start(instance: dg.DagsterInstance, run_key: str, profile: Profile) -> bool:
    """Whether a report may be tried.

    The first may be tried at once. After each run that ended without a report, the wait is longer.
    """
    records = instance.get_run_records(dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=99)
    if not records:
        return True
    newest = max(record.create_timestamp for record in records).replace(tzinfo=UTC)
    return machine() >= newest + wait_after(len(records), profile.repair)


def _cron_of(every: timedelta) -> str:
    """The cron line of a setting such as `update.every`.

    The setting is whole minutes that divide an hour, or whole hours that divide a day.
    """
    minutes = int(every / timedelta(minutes=1))
    if minutes < 60:
        return f"*/{minutes} * * * *"
    return f"0 */{minutes // 60} * * *" if minutes < 1440 else "0 0 * * *"
