"""The names by which Dagster knows things: asset keys, run tags, the config of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dagster as dg

from market_assets.imports import late_imports
from market_assets.work.run import Run, Trigger

with late_imports():
    from market_assets.store.process import birth_of, is_alive, this_host


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.market.datasets import Dataset

TRIGGER_TAG = "market_assets/trigger"
"""How a run came about: a `Trigger`."""

PROFILE_TAG = "market_assets/profile"

AUTOMATIC_TAG = "market_assets/automatic"
"""On every run that no person has asked for: one of them at a time goes on, see dagster.yaml."""

STREAM_TAG = "market_assets/stream"
"""On every run that streams, with its profile: one of each goes on, see dagster.yaml."""

FIRST_OF_ALL, BEFORE_REPAIRS = 10, 9
"""Priorities among the runs that wait.

The first is of a session's report; the second of what is short, or made of what is there.
"""

_PRIORITY_TAG = "dagster/priority"

# Tags with this prefix are not shown in the UI.
_HOST_TAG, _PROCESS_TAG = ".dagster/market_assets_host", ".dagster/market_assets_process"
_BIRTH_TAG = ".dagster/market_assets_process_birth"


def dataset_key(dataset: Dataset) -> dg.AssetKey:
    """The asset key of a dataset: of candles, features or returns."""
    return dg.AssetKey([dataset.owner, dataset.name])


def trigger_tag(trigger: Trigger) -> dict[str, str]:
    """The tag that says how a run came about."""
    # Dagster stores plain strings alone.
    return {TRIGGER_TAG: trigger.value}


def run_of(run: dg.DagsterRun) -> Run:
    """The run that does some work, as `ops.jobs` knows it."""
    return Run(run.run_id, trigger_of(run.tags))


def trigger_of(tags: Mapping[str, str]) -> Trigger:
    """How a run came about, by its tags: a person in the UI sets none."""
    word = tags.get(TRIGGER_TAG)
    if word in set(Trigger):
        return Trigger(word)
    return Trigger.BACKFILL if "dagster/backfill" in tags else Trigger.MANUAL


def automatic(priority: int) -> dict[str, str]:
    """Tags of a run that starts by itself.

    Args:
        priority: Among the runs that wait; the highest goes first.
    """
    return {AUTOMATIC_TAG: "true", _PRIORITY_TAG: str(priority)}


def streaming(profile: str) -> dict[str, str]:
    """The tag of the runs that stream a profile.

    It is none of those that start by themselves, as it would keep these waiting for hours.
    """
    return {STREAM_TAG: profile}


def process_tags() -> dict[str, str]:
    """Tags that tell which process of which host executes a run."""
    return {
        _HOST_TAG: this_host(),
        _PROCESS_TAG: str(os.getpid()),
        _BIRTH_TAG: birth_of(os.getpid()) or "",
    }


def is_process_known(tags: Mapping[str, str]) -> bool:
    """Whether a run tells which process executes it, of whatever host."""
    return _PROCESS_TAG in tags


def is_orphan(tags: Mapping[str, str]) -> bool:
    """True for a run of this host whose process has ended; one of another host may be alive."""
    process = tags.get(_PROCESS_TAG)
    is_local = process is not None and tags.get(_HOST_TAG) == this_host()
    return is_local and not is_alive(int(process or 0), tags.get(_BIRTH_TAG) or None)


def has_process(tags: Mapping[str, str]) -> bool:
    """True for a run that a process executes: one of this host that lives, or of another host."""
    return is_process_known(tags) and not is_orphan(tags)


def op_config(keys: Sequence[dg.AssetKey], config: Mapping[str, object]) -> dict[str, Any]:
    """The run config that gives some assets their config."""
    return {"ops": {key.to_python_identifier(): {"config": dict(config)} for key in keys}}
