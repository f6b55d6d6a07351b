"""Vendors with faults, and what a run reports of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Mapping


FAULTS: list[dict[str, Any]] = [
    # Nothing at all for a day, and nothing of one symbol for another.
    {"fault": "hole", "start": "2025-02-05T00:00Z", "end": "2025-02-06T00:00Z"},
    {"fault": "hole", "symbols": ["ETH"], "start": "2025-02-06T00:00Z", "end": "2025-02-07T00:00Z"},
    # Two hours that are absent, and two that no candle can be like.
    {"fault": "hole", "symbols": ["BTC"], "start": "2025-02-07T03:00Z", "end": "2025-02-07T05:00Z"},
    {
        "fault": "inverted",
        "symbols": ["ETH"],
        "start": "2025-02-08T03:00Z",
        "end": "2025-02-08T05:00Z",
    },
]


def plain(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    return {
        name: [record.data for record in value.records]
        if isinstance(value, dg.TableMetadataValue)
        else value.value
        for name, value in metadata.items()
    }
