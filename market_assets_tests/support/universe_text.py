"""A sound universe of one profile, as text, and what a test adds to it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe

    Load = Callable[..., Universe]
    Problems = Callable[..., list[str]]


TWO_VENUES = """
    sources:
      binance: {}
      one: {type: practice, venue: binance}
      two: {type: practice, venue: elsewhere}
      files: {type: archive, path: "{symbol}.parquet"}
    profiles:
      crypto:
        kind: CRYPTO
        start: 2024-01-01
        sources: [files, one, two]
        symbols:
          BTCUSDT: {}
          ETHUSDT: {mix_venues: true}
          LTCUSDT: {sources: [two, files, {one: LTC}]}
"""


def universe(
    profile: str = "",
    *,
    symbols: str = "{BTCUSDT: {}}",
    top: str = "",
    sources: str = "{binance: {}}",
) -> str:
    """A sound universe of one profile on 8 lines, and what a test adds to it.

    `profile` has the lines from 8 on.
    """
    lines = [
        f"sources: {sources}",
        top,
        "profiles:",
        "  crypto:",
        "    kind: CRYPTO",
        "" if "start:" in profile else "    start: 2024-01-01",
        f"    symbols: {symbols}",
        *(f"    {line}" for line in textwrap.dedent(profile).strip().splitlines()),
    ]
    return "\n".join([*lines, "" if "sources:" in profile else "    sources: [binance]", ""])
