"""The sources of a universe as a probe lists them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from market_assets.reports.probe import listed_sources
from market_assets_tests.support.universe_text import TWO_VENUES

if TYPE_CHECKING:
    from pathlib import Path


def test_the_listed_sources_say_which_are_another_venue_and_where(tmp_path: Path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_text(textwrap.dedent(TWO_VENUES))
    rows = listed_sources({"MARKET_ASSETS_UNIVERSE": str(path)})
    assert [(row["source"], row["venue"], row["profiles"], row["other_venue"]) for row in rows] == [
        ("binance", "binance", [], []),
        ("one", "binance", ["crypto"], ["crypto"]),
        ("two", "elsewhere", ["crypto"], ["crypto"]),
        ("files", None, ["crypto"], []),
    ]
