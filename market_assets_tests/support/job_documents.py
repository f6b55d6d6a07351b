"""The audit document of the jobs of a store."""

from __future__ import annotations

import json
from typing import Any

from market_assets.reports.jobs import audit


def document(ground, **limits) -> dict[str, Any]:
    """The audit document as it comes out of JSON."""
    return json.loads(
        json.dumps(
            audit(ground.store, **{"limit": None, "since": None, **limits}, now=ground.clock())
        )
    )
