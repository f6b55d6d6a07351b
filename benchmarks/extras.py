"""What extra columns cost: merging, deriving, reading and disk.

It compares a store whose source has no extra column with one whose source has all of them.

    python benchmarks/extras.py [DAYS] [RUNS]

Seconds are of the processor, the best of some runs, so that a busy machine says the same. It runs
with a version before these columns as well, which measures the first of the two stores.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from market_assets.config.load import load_universe
from market_assets.enrich.derive import Derive
from market_assets.expected.scope import scope_of
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe, Window
from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS = [f"S{number}" for number in range(4)]
START = datetime(2025, 1, 1, tzinfo=UTC)


def main() -> None:
    """Measure both stores."""
    days, runs = (int(text) for text in (*sys.argv[1:3], *("20", "3")[len(sys.argv) - 1 :]))
    try:
        import market_assets.market.columns  # noqa: F401, PLC0415 - an earlier version has none
    except ImportError:
        kinds = ["none"]
    else:
        kinds = ["none", "all"]
    for kind in kinds:
        best: dict[str, float] = {}
        for _ in range(runs):
            for name, value in measured(days, with_extras=kind == "all").items():
                best[name] = min(best.get(name, value), value)
        print(kind, "  ".join(f"{name} {value:.3f}" for name, value in best.items()), flush=True)


def measured(days: int, *, with_extras: bool) -> dict[str, float]:
    """Fill a store day by day, derive its hours, read it, refetch it."""
    figures: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        began = time.process_time()
        work()
        figures[name] = time.process_time() - began

    with TemporaryDirectory() as folder:
        path = Path(folder, "universe.yaml")
        path.write_text(
            "sources: {practice: {}}\nprofiles:\n  kept: {kind: CRYPTO, start: 2025-01-01, "
            "sources: [practice], "
            f"timeframes: {{fetch: [1m], derive: [5m]}}, symbols: "
            f"{{{', '.join(f'{name}: {{}}' for name in SYMBOLS)}}}}}\n"
        )
        profile = load_universe(path, environ={}).profiles["kept"]
        now = START + timedelta(days=days)
        store = Store(Path(folder, "home"), clock=lambda: now)
        with store.writing("making it") as transaction:
            transaction.candles.create(Dataset.candles("kept", Timeframe.M1), derived=False)
        frames = [day_of(number, with_extras=with_extras) for number in range(days)]

        def merge() -> None:
            for number, frame in enumerate(frames):
                day = Window(START + timedelta(days=number), START + timedelta(days=number + 1))
                with store.writing("merging") as transaction:
                    transaction.candles.merge(
                        Dataset.candles("kept", Timeframe.M1), SYMBOLS, day, frame
                    )

        def read() -> None:
            whole = Window(START, now)
            with store.reading("reading") as view:
                view.candles.rows("kept", "candles_1m", None, whole)

        timed("merge", merge)
        timed("merge again", merge)
        timed(
            "derive",
            lambda: list(Derive(store, scope_of(profile, Timeframe.M5, now), Window(START, now))),
        )
        timed("read", lambda: [read() for _ in range(5)])
        with store.writing("writing it down") as transaction:
            transaction.connection.execute("SELECT 1").fetchall()
        figures["MB"] = store.path.stat().st_size / 1e6
    return figures


def day_of(number: int, *, with_extras: bool) -> pl.DataFrame:
    """A day of minutes of every symbol."""
    rng = np.random.default_rng(number)
    rows = 1440 * len(SYMBOLS)
    ts = pl.datetime_range(
        START + timedelta(days=number),
        START + timedelta(days=number + 1),
        "1m",
        closed="left",
        time_unit="us",
        eager=True,
    ).dt.replace_time_zone(None)
    close = (100 * np.exp(np.cumsum(rng.normal(0, 1e-4, rows)))).round(2)
    volume = rng.lognormal(0, 1, rows).round(5)
    frame = pl.DataFrame(
        {
            "symbol": np.repeat(SYMBOLS, 1440),
            "ts": pl.concat([ts] * len(SYMBOLS)),
            "open": close,
            "high": close + 0.01,
            "low": close - 0.01,
            "close": close,
            "volume": volume,
            "source": ["practice"] * rows,
        }
    )
    if not with_extras:
        return frame
    return frame.with_columns(
        quote_volume=pl.Series((volume * close).round(7)),
        trades=pl.Series(rng.integers(1, 500, rows)),
        taker_buy_volume=pl.Series((volume * 0.5).round(5)),
        vwap=pl.Series(close),
    )


if __name__ == "__main__":
    main()
