"""From names and wishes to parts: files beside vendors."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from market_assets.config.kinds import Kind
from market_assets.config.starter_parts import parts_of
from market_assets.config.starters import Wishes
from market_assets.errors import StarterError

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 12, 1)


def test_a_folder_of_files_stands_beside_a_vendor(tmp_path: Path) -> None:
    rows = "".join(f"2026-01-05T00:0{minute}:00Z,1,2,1,2,3\n" for minute in range(5))
    (tmp_path / "SOL_1m.csv").write_text("ts,open,high,low,close,volume\n" + rows)

    parts = parts_of(
        ["files", "binance"],
        Wishes(folder=tmp_path, kind=Kind.CRYPTO),
        base=tmp_path,
        today=TODAY,
    )

    assert [part.profile for part in parts] == ["crypto_files", "crypto_binance"]


def test_what_does_not_go_together_is_refused_before_a_file_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(StarterError, match="say where the files are"):
        parts_of(["files"], Wishes(kind=Kind.CRYPTO), base=tmp_path, today=TODAY)
