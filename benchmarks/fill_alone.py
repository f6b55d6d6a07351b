"""Fetch, clean, commit and judge without Dagster: the fill by itself. Prints one line of JSON.

The universe and the home folder come from MARKET_ASSETS_UNIVERSE and MARKET_ASSETS_HOME, as
everywhere.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from market_assets.config.load import load_universe
from market_assets.expected.scope import scope_of
from market_assets.fill.fill import Fill
from market_assets.home import home
from market_assets.sources.contract import build_source
from market_assets.store import Store


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    universe = load_universe()
    (profile,) = universe.profiles.values()
    (timeframe,) = profile.timeframes.fetch
    kind = profile.kind.value.lower()
    sources = {
        name: build_source(name, settings, base=universe.path.parent, kind=kind)
        for name, settings in universe.sources.items()
    }
    store = Store(home(), clock=_now)
    began = time.perf_counter()
    scope = scope_of(profile, timeframe, _now())
    outcomes = list(Fill(store, sources, scope, scope.window))
    seconds = time.perf_counter() - began
    candles = sum(outcome.rows for outcome in outcomes)
    print(
        json.dumps(
            {
                "candles": candles,
                "partitions": len(outcomes),
                "seconds": seconds,
                "bytes_per_candle": store.path.stat().st_size / candles,
            }
        )
    )


if __name__ == "__main__":
    main()
