"""What the practice vendor answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

START = datetime(2024, 1, 2, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)


def opens(response: httpx.Response) -> list[int]:
    return [(row[0] - START_MS) // 60_000 for row in response.json()]
