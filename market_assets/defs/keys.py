"""The names by which Dagster knows things: asset keys, run tags, the config of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from market_assets.market_time.timeframes import Timeframe

TRIGGER_TAG = "market_assets/trigger"
"""How a run came about: one of the words below."""

AUTOMATION, BACKFILL, MANUAL, REPAIR, UPDATE = "automation", "backfill", "manual", "repair", "update"

PROFILE_TAG = "market_assets/profile"


def candles_key(profile: str, timeframe: Timeframe) -> dg.AssetKey:
    """The asset key of a profile's candles."""
    return dg.AssetKey([profile, f"candles_{timeframe}"])


def trigger_of(tags: Mapping[str, str]) -> str:
    """How a run came about, by its tags: a person in the UI sets none."""
    if "dagster/from_automation_condition" in tags:
        return AUTOMATION
    return tags.get(TRIGGER_TAG) or (BACKFILL if "dagster/backfill" in tags else MANUAL)


def op_config(keys: Sequence[dg.AssetKey], config: Mapping[str, object]) -> dict[str, Any]:
    """The run config that gives some assets their config."""
    return {"ops": {key.to_python_identifier(): {"config": dict(config)} for key in keys}}
