"""Where `retention` contradicts the rest of the file: tables that are not kept, no lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market_assets.config.services import ProfileRetention, TableRetention
from market_assets.market.datasets import Dataset, Family
from market_assets.words import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_assets.config.entries import Entries, ProfileEntry
    from market_assets.config.yaml_file import Document, Place


def check_retention(entries: Entries, document: Document) -> None:
    """Each table that `retention` names is kept, and what is to be archived has a lake."""
    profiles = entries.profiles
    parts: list[tuple[Place, ProfileRetention, Sequence[ProfileEntry]]] = [
        (("retention",), entries.retention, list(profiles.values()))
    ]
    parts += [
        (("profiles", name, "retention"), profile.retention, [profile])
        for name, profile in profiles.items()
    ]
    for place, retention, concerned in parts:
        for table in TableRetention.model_fields:
            if table in retention.model_fields_set:
                _check_table((*place, table), table, concerned, document)
        if retention.archive_to_lake and entries.export is None:
            document.add(
                (*place, "archive_to_lake"),
                "needs the lake, which this file does not switch on: write `export: {}` at the top",
            )


def _check_table(
    place: Place, table: str, profiles: Sequence[ProfileEntry], document: Document
) -> None:
    dataset = Dataset.named("", table)
    frames = {
        Family.CANDLES: "kept",
        Family.FEATURES: "features",
        Family.RETURNS: "returns",
    }
    kept = [getattr(profile.timeframes, frames[dataset.family]) for profile in profiles]
    if not profiles or any(dataset.timeframe in timeframes for timeframes in kept):
        return
    names = sorted({str(timeframe) for timeframes in kept for timeframe in timeframes})
    has = f"there are {dataset.family} of {listed(names)}" if names else "there are none"
    document.add(place, f"is a table that is not kept: {has}")
