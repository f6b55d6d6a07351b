"""The completeness matrix in a window of 80 columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from market_assets.cli import completeness, tables
from market_assets.cli.completeness import print_matrix
from market_assets.cli.console import Terminal
from market_assets.reports.completeness import is_healthy
from market_assets.reports.window_matrix import MATRIX_SCHEMA

if TYPE_CHECKING:
    import pytest

LAST = datetime(2025, 1, 2, tzinfo=UTC).replace(tzinfo=None)


def series(
    symbol: str, timeframe: str, *, expected: int, stored: int, health: str
) -> dict[str, object]:
    missing = expected - stored
    return {
        "profile": "crypto",
        "symbol": symbol,
        "timeframe": timeframe,
        "expected": expected,
        "stored": stored,
        "explained": 0,
        "missing": missing,
        "completeness": stored / expected if expected else 1.0,
        "first_ts": None,
        "last_ts": LAST if stored else None,
        "health": health,
        "abandoned": 0,
    }


def test_the_matrix_has_room_in_80_columns_and_calls_nothing_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix = pl.DataFrame(
        [
            series("BTCUSDT", "1m", expected=1440, stored=1440, health="HEALTHY"),
            series("BTCUSDT", "1h", expected=24, stored=0, health="MISSING"),
            series("BTCUSDT", "1w", expected=0, stored=0, health="PENDING"),
            series("ETHUSDT", "1m", expected=9, stored=9, health="HEALTHY"),
            series("ETHUSDT", "1w", expected=0, stored=0, health="PENDING"),
            series("NEWUSDT", "1m", expected=0, stored=0, health="HEALTHY"),
            series("ODDUSDT", "1m", expected=2, stored=2, health="DOUBTED"),
        ],
        schema=MATRIX_SCHEMA,
    )
    terminal = Terminal(width=80)
    for module in (completeness, tables):
        monkeypatch.setattr(module, "OUT", terminal)
    print_matrix(matrix)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    cells = {
        row[2].strip(): [cell.strip() for cell in row[3:-1]]
        for line in lines
        if len(row := line.split("│")) > 5
    }
    assert cells["BTCUSDT"][:4] == ["MISSING 1h", "100", "0", "2025-01-02 00:00"]
    assert cells["ETHUSDT"][:2] == ["HEALTHY", "100"]
    assert cells["NEWUSDT"][:4] == ["PENDING", "-", "0", "-"]
    assert cells["ODDUSDT"][:2] == ["DOUBTED", "100"]
    assert not is_healthy(matrix)
    assert is_healthy(matrix.filter(symbol="NEWUSDT"))
    assert not is_healthy(matrix.clear())
