"""Values as JSON has them."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from market_assets.market.instants import iso


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a document holds
    """A value as JSON has it: instants as ISO text with Z, and null for what is no number."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
