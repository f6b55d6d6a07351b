"""A small store with everything in it that can be exported, and the lake beside it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from market_assets.config.load import load_universe
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.returns.returns import Alignment, Returns
from market_assets.expected.scope import scope_of
from market_assets.export import Exported, Lake, Table, tables_of
from market_assets.market.datasets import Dataset
from market_assets.store import Store
from market_assets_tests.support.enrich_ground import D1, H4, M1, W1, Market, days

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    import polars as pl

UNIVERSE = """
sources: {practice: {}}
profiles:
  coins:
    kind: CRYPTO
    start: 2025-01-30
    sources: [practice]
    symbols: {BTC: {}, ETH: {}}
    timeframes: {fetch: [1m], derive: [4h, 1d, 1w], features: [4h], returns: [1d]}
markets: {timeframes: [1d]}
"""
ALL = days("2000-01-01", "2030-01-01")
MINUTES = "coins.candles_1m"
HOURS = "coins.candles_4h"


class Ground:
    """A home with a universe of its own, and the lake beside it."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        path = folder / "universe.yaml"
        path.write_text(UNIVERSE)
        self.universe = load_universe(path, environ={})
        self.clock, self.home, self.folder = clock, folder / "home", folder / "lake"
        self.store = Store(self.home, clock=clock)
        self.coins = Market(self.store, self.universe.profiles["coins"], clock)

    def fill(self) -> None:
        """Five days of minutes over the end of a month, and all that is made of them."""
        self.coins.fill(days("2025-01-30", "2025-02-04"))
        for timeframe in (H4, D1, W1):
            self.coins.derive(timeframe)
        profile = self.coins.profile
        list(Featurize(self.store, scope_of(profile, H4, self.clock()), ALL))
        list(Returns(self.store, Alignment.of_profile(scope_of(profile, D1, self.clock())), ALL))
        list(Returns(self.store, Alignment.of_markets(self.universe, D1, self.clock()), ALL))

    def copy_to(self, folder: Path, clock: Callable[[], datetime]) -> Ground:
        """The same in another folder."""
        shutil.copytree(self.home, folder / "home")
        return Ground(folder, clock)

    @property
    def names(self) -> list[str]:
        return [str(table) for table in tables_of(self.universe)]

    def table(self, name: str) -> Table:
        (found,) = (table for table in tables_of(self.universe) if str(table) == name)
        return found

    def export(self, name: str, **options: bool) -> Exported:
        exported = Lake(self.store, self.folder, clock=self.clock).export(
            self.table(name), **options
        )
        assert exported is not None
        return exported

    def export_all(self) -> None:
        for name in self.names:
            self.export(name)

    def of(self, name: str) -> Path:
        """A table's folder."""
        return self.folder.joinpath(*name.split("."))

    def files(self, name: str = "") -> dict[str, bytes]:
        """Every file in a table's folder, or in the lake, with its bytes."""
        folder = self.of(name) if name else self.folder
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    def stored(self, name: str) -> pl.DataFrame:
        with self.store.reading("looking") as view:
            return view.database.frame(f"SELECT * FROM {name} ORDER BY symbol, ts")

    def change(self, day: str, price: float, *, table: str = MINUTES) -> None:
        """Change the candles of a day, as a fill does that finds revisions."""
        with self.store.writing("changing") as transaction:
            transaction.connection.execute(
                f"""
                UPDATE {table}
                SET open = ?
                WHERE ts >= ?::TIMESTAMP AND ts < ?::TIMESTAMP + INTERVAL 1 DAY
                """,
                [price, day, day],
            )
            self._judge(transaction, day)

    def _judge(self, transaction, day: str) -> None:
        counts = transaction.partitions.counts(Dataset.candles("coins", M1), [day]).select(
            "partition", "symbol", "expected", "stored", "explained", "missing"
        )
        transaction.partitions.put(Dataset.labelled("coins", "1m"), counts, changed=[day])

    def empty(self, day: str) -> pl.DataFrame:
        """Take every row of a day away, and judge it; gives the rows."""
        with self.store.writing("emptying") as transaction:
            rows = transaction.database.frame(
                f"SELECT * FROM {MINUTES} WHERE ts::DATE = ?::DATE", day
            )
            transaction.connection.execute(f"DELETE FROM {MINUTES} WHERE ts::DATE = ?::DATE", [day])
            self._judge(transaction, day)
        return rows

    def put_back(self, day: str, rows: pl.DataFrame) -> None:
        with self.store.writing("filling") as transaction:
            transaction.candles.merge(Dataset.candles("coins", M1), ["BTC", "ETH"], ALL, rows)
            self._judge(transaction, day)
