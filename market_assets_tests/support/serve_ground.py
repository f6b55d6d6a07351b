"""A home with candles, gaps and jobs, and a real server over it on a port of this machine."""

from __future__ import annotations

import asyncio
import threading
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl

from market_assets.config.load import load_universe
from market_assets.expected.counts import count_profile
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.serve.platform import RunState
from market_assets.serve.server import listen, server_of
from market_assets.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from market_assets.config.universe import Universe
    from market_assets.fill.options import FillOptions
    from market_assets.serve.platform import Platform, Range
    from market_assets.store import Transaction
    from market_assets.work.run import Trigger
    from market_assets_tests.conftest import Clock

TOKEN = "tell-nobody-of-this-token-4711"  # noqa: S105 - of tests
START, END = datetime(2025, 2, 3, tzinfo=UTC), datetime(2025, 2, 10, tzinfo=UTC)
HOLE = datetime(2025, 2, 5, 3, tzinfo=UTC)
"""The hour that BTC lacks."""

UNIVERSE = """
sources:
  practice: {{}}
  told: {{type: practice}}
profiles:
  crypto:
    kind: CRYPTO
    start: 2025-02-03
    end: 2025-02-10
    timeframes: {{fetch: [1h], derive: [4h], features: [1h], returns: [1h]}}
    sources: [practice]
    symbols: {{BTC: {{}}, ETH: {{}}}}
  equity:
    kind: EQUITY
    start: 2025-02-03
    end: 2025-02-10
    timeframes: {{fetch: [1d], features: [1d]}}
    sources: [practice]
    symbols: {{SPY: {{}}}}
serve: {{{keys}}}
"""


class ServeGround:
    """A home with seven days of hours of BTC and ETH; BTC lacks one, which the ledger knows."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.clock = clock
        self.store = Store(self.home, clock=clock, patience=timedelta(seconds=30))
        self._file = folder / "universe.yaml"
        self.dataset = Dataset.candles("crypto", Timeframe.H1)

    def universe(self, keys: str = "", environ: Mapping[str, str] | None = None) -> Universe:
        """The universe, with some keys of `serve`."""
        self._file.write_text(UNIVERSE.format(keys=keys))
        universe = load_universe(self._file, environ=environ or {})
        # Any free port: a file names none.
        settings = universe.serve.model_copy(update={"port": 0})
        return universe.model_copy(update={"serve": settings})

    def fill(self) -> None:
        """Store the candles, what is made of them, and the ledger of the hole."""
        rows = self.rows()
        with self.store.writing("filling the ground") as transaction:
            transaction.candles.create(self.dataset, derived=False)
            transaction.candles.merge(self.dataset, ["BTC", "ETH"], Window(START, END), rows)
            hours = [
                (f"2025-02-{day:02}", symbol, 24, stored, 0, 24 - stored)
                for day in range(3, 10)
                for symbol in ("BTC", "ETH")
                for stored in [23 if (day, symbol) == (HOLE.day, "BTC") else 24]
            ]
            counts = pl.DataFrame(
                hours,
                schema=["partition", "symbol", "expected", "stored", "explained", "missing"],
                orient="row",
            )
            transaction.partitions.put(self.dataset, counts)
            transaction.gaps.put(self.dataset, ["BTC"], Window(START, END), self._gap())
        self._make_features(rows)
        for profile in self.universe().profiles.values():
            count_profile(self.store, profile, self.clock())

    def rows(self, symbols: tuple[str, ...] = ("BTC", "ETH")) -> pl.DataFrame:
        """The candles: each hour's open is its number."""
        hours = pl.datetime_range(START, END, "1h", closed="left", time_unit="us", eager=True)
        frames = [
            pl.DataFrame({"ts": hours.dt.replace_time_zone(None)}).select(
                pl.lit(symbol).alias("symbol"),
                "ts",
                *(
                    (pl.int_range(pl.len()) + 1.0).cast(pl.Float64).alias(name)
                    for name in ("open", "high", "low", "close", "volume")
                ),
                pl.lit("practice").alias("source"),
            )
            for symbol in symbols
        ]
        rows = pl.concat(frames).cast({"ts": TS})
        is_hole = (pl.col("symbol") == "BTC") & (pl.col("ts") == HOLE.replace(tzinfo=None))
        return rows.filter(~is_hole)

    def heal(self) -> None:
        """Store the hour that is lacking, as a repair does: with its counts."""
        bar = self.rows().head(1)
        bar = bar.with_columns(
            pl.lit(HOLE.replace(tzinfo=None)).cast(TS).alias("ts"), pl.lit("BTC").alias("symbol")
        )
        hour = Window(HOLE, HOLE + timedelta(hours=1))
        with self.store.writing("healing") as transaction:
            transaction.candles.merge(self.dataset, ["BTC"], hour, bar)
            transaction.gaps.put(self.dataset, ["BTC"], hour, self._gap().clear())

    def put_odd(self, transaction: Transaction, ts: datetime) -> None:
        """A candle that closes at -1 and a row of the ledger, `odd`, in one transaction."""
        instant = ts.replace(tzinfo=None)
        transaction.connection.execute(
            """
            INSERT INTO crypto.candles_1h (symbol, ts, open, high, low, close, volume, source)
            VALUES ('BTC', ?, 1, 1, 1, -1, 1, 'x')
            """,
            [instant],
        )
        row = self._gap().with_columns(
            pl.lit("odd").alias("reason"), first_ts=pl.lit(instant, TS), last_ts=pl.lit(instant, TS)
        )
        transaction.gaps.put(self.dataset, [], Window(ts, ts), row)

    def _gap(self) -> pl.DataFrame:
        ts = HOLE.replace(tzinfo=None)
        row: dict[str, Any] = {
            "symbol": "BTC",
            "first_ts": ts,
            "last_ts": ts,
            "bars": 1,
            "status": "open",
            "attempts": 1,
            "failures": 0,
            "confirmations": 0,
            "confirmed_at": None,
            "first_seen": ts,
            "asked_at": ts,
            "reason": "practice has answered without it",
        }
        times = dict.fromkeys(("first_ts", "last_ts", "confirmed_at", "first_seen", "asked_at"), TS)
        return pl.DataFrame([row], schema_overrides=times)

    def _make_features(self, rows: pl.DataFrame) -> None:
        made = rows.select("symbol", "ts", rsi_14=pl.col("close"))
        dataset = Dataset.named("crypto", "features_1h")
        returns = rows.select(
            "symbol",
            "ts",
            simple_return=pl.lit(0.5),
            log_return=pl.lit(0.25),
            bars=pl.lit(1, pl.Int32),
            neutral=pl.lit(None, pl.String),
        )
        with self.store.writing("making features") as transaction:
            transaction.features.create(dataset, ["rsi_14"])
            transaction.features.replace(dataset, ["BTC", "ETH"], Window(START, END), made)
            aligned = Dataset.named("crypto", "returns_1h")
            transaction.returns.create(aligned)
            transaction.returns.replace(aligned, Window(START, END), returns)

    @contextmanager
    def served(
        self,
        keys: str = "",
        *,
        environ: Mapping[str, str] | None = None,
        platform: Platform | None = None,
        token: str | None = None,
    ) -> Iterator[httpx.Client]:
        """A client of a real server over the home.

        Args:
            keys: Of `serve` in the universe.
            environ: What the universe's `${NAME}` stand for.
            platform: Dagster.
            token: What the client sends.
        """
        universe = self.universe(keys, environ)
        with serving(universe, self.home, self.clock, platform=platform, token=token) as client:
            yield client


@contextmanager
def serving(
    universe: Universe,
    home: Path,
    clock: Clock,
    *,
    platform: Platform | None = None,
    token: str | None = None,
) -> Iterator[httpx.Client]:
    """A client of a real server over a home, on any free port.

    Args:
        universe: What is kept.
        home: The home folder.
        clock: The server's.
        platform: Dagster.
        token: What the client sends.
    """
    settings = universe.serve.model_copy(update={"port": 0})
    universe = universe.model_copy(update={"serve": settings})
    listener = listen(universe.serve)
    server = server_of(universe, home, clock=clock, platform=platform)

    def run() -> None:
        asyncio.run(server.serve(sockets=[listener.socket]))

    thread = threading.Thread(target=run, name="served")
    thread.start()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(
            base_url=listener.url, headers=headers, timeout=30, trust_env=False
        ) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


class StandStill:
    """A Dagster that takes every run, starts none of them, and whose daemons live."""

    def __init__(self) -> None:
        self.launched: dict[str, tuple[Range, FillOptions, Trigger]] = {}

    def daemons(self) -> Mapping[str, bool]:
        return {"SENSOR": True}

    def launch(self, part: Range, options: FillOptions, trigger: Trigger) -> str:
        run_id = str(uuid.uuid4())
        self.launched[run_id] = (part, options, trigger)
        return run_id

    def run(self, run_id: str) -> RunState | None:
        return RunState(run_id, "QUEUED", None, None, {}) if run_id in self.launched else None

    def page_of(self, run_id: str) -> str:
        return f"http://127.0.0.1:3000/runs/{run_id}"
