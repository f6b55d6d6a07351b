"""One contestant of enrich.py: makes twenty features of the same candles in one of four ways.

Prints one line of JSON.

    python benchmarks/enrich_alone.py prepare FOLDER --symbols 20 --rows 500000
    python benchmarks/enrich_alone.py features|talib|pandas_ta FOLDER
    python benchmarks/enrich_alone.py store FOLDER

The first writes the candles as Parquet files and into a store. The second takes one Parquet file
per symbol, each by itself, and writes nothing. The third takes the candles of the store, and writes
to its table of features.

Each way imports only what it needs, and pandas_ta runs in an environment of its own
(enrich-requirements.txt).
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    Columns = dict[str, Any]

SETTINGS = {
    "simple_return": [1],
    "log_return": [1],
    "volatility": [10, 20, 60],
    "atr": [14],
    "rsi": [14],
    "macd": [[12, 26, 9]],
    "bb": [[20, 2]],
    "sma": [50],
    "ema": [26],
    "adx": [14],
    "obv": [20],
    "mfi": [14],
    "zscore": [20],
    "volume_ratio": [20],
    "overnight_return": False,
    "intraday_return": False,
    "vwap": False,
    "parkinson": [],
    "garman_klass": [],
    "drawdown": [],
}
"""Twenty columns."""

START = "2024-01-01"
PRICES = ("open", "high", "low", "close", "volume")


def prepare(folder: Path, symbols: int, rows: int) -> dict[str, Any]:
    """Write candles that walk at random: minutes of a market that never closes."""
    import numpy as np  # noqa: PLC0415 - see above
    import polars as pl  # noqa: PLC0415

    from market_assets.config.load import load_universe  # noqa: PLC0415
    from market_assets.expected.series import prepare as make_tables  # noqa: PLC0415
    from market_assets.store import Store  # noqa: PLC0415

    first = datetime.fromisoformat(START)
    ts = pl.datetime_range(first, first + timedelta(minutes=rows - 1), "1m", eager=True)
    names = [f"S{number:02}" for number in range(symbols)]
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, rows)))
        opened = np.concatenate((close[:1], close[:-1]))
        high = np.maximum(opened, close) * (1 + 1e-4 * rng.random(rows))
        low = np.minimum(opened, close) * (1 - 1e-4 * rng.random(rows))
        volume = rng.lognormal(0, 1, rows)
        columns = {
            "ts": ts,
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
        }
        pl.DataFrame(columns).write_parquet(folder / f"{name}.parquet")
    profile = {
        "kind": "CRYPTO",
        "start": START,
        "end": str((ts[-1] + timedelta(days=1)).date()),
        "sources": ["practice"],
        "timeframes": {"fetch": ["1m"], "features": ["1m"]},
        "features": SETTINGS,
        "symbols": {name: {} for name in names},
    }
    (folder / "universe.yaml").write_text(
        json.dumps({"sources": {"practice": {}}, "profiles": {"crypto": profile}})
    )
    kept = load_universe(folder / "universe.yaml", environ={}).profiles["crypto"]
    with Store(folder, clock=lambda: datetime.now(UTC)).writing("preparing") as transaction:
        make_tables(transaction, kept)
        # Day by day, as a backfill leaves them.
        transaction.connection.execute(
            """
            INSERT INTO crypto.candles_1m (symbol, ts, open, high, low, close, volume, source)
            SELECT parse_filename(filename, true), ts, open, high, low, close, volume, 'practice'
            FROM read_parquet(?, filename = true)
            ORDER BY ts, 1
            """,
            [f"{folder}/*.parquet"],
        )
    return {"rows": symbols * rows}


def by_features(folder: Path) -> Iterator[Columns]:
    """This project: `market_assets.enrich.features.compute.compute`."""
    import polars as pl  # noqa: PLC0415 - see above

    from market_assets.config.research import FeatureSettings  # noqa: PLC0415
    from market_assets.enrich.features.compute import compute, features_of  # noqa: PLC0415
    from market_assets.market.timeframes import Timeframe  # noqa: PLC0415

    features = features_of(FeatureSettings.model_validate(SETTINGS), Timeframe.M1)
    for path in sorted(folder.glob("*.parquet")):
        candles = pl.read_parquet(path).select(
            pl.lit(path.stem).alias("symbol"),
            "ts",
            opens_at="ts",
            closes_at="ts",
            session=pl.col("ts").dt.date(),
            run=pl.lit(0),
            **{name: name for name in PRICES},
        )
        yield compute(candles, features).drop("symbol", "ts").to_dict(as_series=True)


def by_talib(folder: Path) -> Iterator[Columns]:
    """TA-Lib called on numpy arrays."""
    import numpy as np  # noqa: PLC0415
    import polars as pl  # noqa: PLC0415
    import talib  # noqa: PLC0415

    def lagged(values: np.ndarray, n: int) -> np.ndarray:
        return values - np.concatenate((np.full(n, np.nan), values[:-n]))

    for path in sorted(folder.glob("*.parquet")):
        high, low, close, volume = (pl.read_parquet(path)[name].to_numpy() for name in PRICES[1:])
        growth = lagged(np.log(close), 1)
        squares = growth**2
        columns = {"simple_return_1": talib.ROCP(close, 1), "log_return_1": growth}
        columns |= {f"volatility_{n}": np.sqrt(talib.SMA(squares[1:], n)) for n in (10, 20, 60)}
        columns |= zip(
            ("macd_12_26_9", "macd_signal_12_26_9", "macd_hist_12_26_9"),
            talib.MACD(close, 12, 26, 9),
            strict=True,
        )
        columns |= zip(
            ("bb_upper_20_2", "bb_middle_20_2", "bb_lower_20_2"),
            talib.BBANDS(close, 20, 2.0, 2.0),
            strict=True,
        )
        columns |= {
            "atr_14": talib.ATR(high, low, close, 14),
            "rsi_14": talib.RSI(close, 14),
            "adx_14": talib.ADX(high, low, close, 14),
            "sma_50": talib.SMA(close, 50),
            "ema_26": talib.EMA(close, 26),
            "mfi_14": talib.MFI(high, low, close, volume, 14),
            "obv_20": lagged(talib.OBV(close, volume), 20),
            "volume_ratio_20": volume / talib.SMA(volume, 20),
            "zscore_20": (close - talib.SMA(close, 20)) / talib.STDDEV(close, 20),
        }
        yield columns


def by_pandas_ta(folder: Path) -> Iterator[Columns]:
    """pandas-ta-classic on pandas.

    Its moving averages begin otherwise than TA-Lib's, so that its values are not compared.
    """
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    import pandas_ta_classic as ta  # noqa: PLC0415

    for path in sorted(folder.glob("*.parquet")):
        frame = pd.read_parquet(path).set_index("ts")
        high, low, close, volume = (frame[name] for name in PRICES[1:])
        growth = ta.log_return(close, length=1)
        columns: Columns = {
            "simple_return_1": ta.percent_return(close, length=1),
            "log_return_1": growth,
        }
        columns |= {f"volatility_{n}": np.sqrt(ta.sma(growth**2, length=n)) for n in (10, 20, 60)}
        macd, bands = (
            ta.macd(close, fast=12, slow=26, signal=9),
            ta.bbands(close, length=20, std=2, ddof=0),
        )
        columns |= {f"macd_{at}": macd.iloc[:, at] for at in range(3)} | {
            f"bb_{at}": bands.iloc[:, at] for at in range(3)
        }
        columns |= {
            "atr_14": ta.atr(high, low, close, length=14),
            "rsi_14": ta.rsi(close, length=14),
            "adx_14": ta.adx(high, low, close, length=14).iloc[:, 0],
            "sma_50": ta.sma(close, length=50),
            "ema_26": ta.ema(close, length=26),
            "mfi_14": ta.mfi(high, low, close, volume, length=14),
            "obv_20": ta.obv(close, volume).diff(20),
            "volume_ratio_20": volume / ta.sma(volume, length=20),
            "zscore_20": ta.zscore(close, length=20),
        }
        yield columns


def of_parquet(way: Callable[[Path], Iterator[Columns]], folder: Path) -> dict[str, Any]:
    began = time.perf_counter()
    rows = 0
    last: dict[str, list[float]] = {}
    for columns in way(folder):
        assert len(columns) == 20, sorted(columns)  # noqa: S101 - a benchmark of other work is none
        rows += max(len(column) for column in columns.values())
        for name, column in columns.items():
            last.setdefault(name, []).append(
                float(column[-1] if not hasattr(column, "iloc") else column.iloc[-1])
            )
    return {"rows": rows, "seconds": time.perf_counter() - began, "last": last}


def of_store(home: Path) -> dict[str, Any]:
    """The product without Dagster: from the table of candles to the table of features."""
    from market_assets.config.load import load_universe  # noqa: PLC0415
    from market_assets.enrich.features.featurize import Featurize  # noqa: PLC0415
    from market_assets.expected.scope import scope_of  # noqa: PLC0415
    from market_assets.market.timeframes import Timeframe  # noqa: PLC0415
    from market_assets.store import Store  # noqa: PLC0415

    profile = load_universe(home / "universe.yaml", environ={}).profiles["crypto"]
    now = datetime.now(UTC)
    began = time.perf_counter()
    scope = scope_of(profile, Timeframe.M1, now)
    work = Featurize(Store(home, clock=lambda: now), scope, scope.window)
    outcomes = list(work)
    assert all(outcome.filled for outcome in outcomes)  # noqa: S101 - see above
    rows = sum(outcome.rows for outcome in outcomes)
    return {"rows": rows, "seconds": time.perf_counter() - began, "partitions": len(outcomes)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=["prepare", "features", "talib", "pandas_ta", "store"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--rows", type=int, default=500_000, help="of each symbol")
    given = parser.parse_args()
    ways = {"features": by_features, "talib": by_talib, "pandas_ta": by_pandas_ta}
    if given.way == "prepare":
        answer = prepare(given.folder, given.symbols, given.rows)
    else:
        answer = (
            of_store(given.folder)
            if given.way == "store"
            else of_parquet(ways[given.way], given.folder)
        )
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
