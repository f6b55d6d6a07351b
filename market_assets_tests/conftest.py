"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real candles and real vendor answers beside the repository; a test that needs it skips without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the folder of real records at {SHARED.name}/ beside the repository")
    return SHARED
