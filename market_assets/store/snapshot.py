"""The open store: a facade per table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from market_assets.store.database import Database
from market_assets.store.tables.actions import Actions, ActionsWriter
from market_assets.store.tables.agreement import Agreement, AgreementWriter
from market_assets.store.tables.alerts import Alerts, AlertsWriter
from market_assets.store.tables.blocks import Blocks
from market_assets.store.tables.candles import Candles, CandlesWriter
from market_assets.store.tables.catalog import Catalog, CatalogWriter
from market_assets.store.tables.completeness import Completeness
from market_assets.store.tables.coverage import Coverage, CoverageWriter
from market_assets.store.tables.features import Features, FeaturesWriter
from market_assets.store.tables.gaps import Gaps, GapsWriter
from market_assets.store.tables.genesis import Genesis, GenesisWriter
from market_assets.store.tables.horizons import Horizons, HorizonsWriter
from market_assets.store.tables.jobs import Jobs, JobsWriter
from market_assets.store.tables.off_calendar import OffCalendar, OffCalendarWriter
from market_assets.store.tables.partitions import Partitions, PartitionsWriter
from market_assets.store.tables.pruned import Pruned, PrunedWriter
from market_assets.store.tables.recipes import Recipes, RecipesWriter
from market_assets.store.tables.refused import Refused, RefusedWriter
from market_assets.store.tables.repairs import Repairs, RepairsWriter
from market_assets.store.tables.returns import Returns, ReturnsWriter
from market_assets.store.tables.revisions import Revisions, RevisionsWriter
from market_assets.store.tables.series import SeriesWriter
from market_assets.store.tables.served import Served
from market_assets.store.tables.sessions import Sessions, SessionsWriter
from market_assets.store.tables.streams import Streams, StreamsWriter
from market_assets.store.tables.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class StoreMark:
    """Which store a file is, and how far it has come.

    Attributes:
        store_id: Given at its making, and never to another store.
        commits: How many commits have judged partitions since; a copy has those of its day.
        committed_at: When the last of them was (UTC); None before the first.
    """

    store_id: str
    commits: int
    committed_at: datetime | None


class _Facade(Generic[T_co]):
    """A table of an open store, whose facade is made when it is first asked for."""

    def __init__(self, kind: Callable[[Database], T_co]) -> None:
        self._kind = kind

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, view: Snapshot, owner: type) -> T_co:
        facade = self._kind(view.database)
        # From now on the attribute is found there.
        view.__dict__[self._name] = facade
        return facade


class Snapshot:
    """Read access to the store while it is open.

    Every time column of its frames is UTC without a zone.
    """

    candles = _Facade(Candles)
    blocks = _Facade(Blocks)
    revisions = _Facade(Revisions)
    features = _Facade(Features)
    returns = _Facade(Returns)
    catalog = _Facade(Catalog)
    coverage = _Facade(Coverage)
    gaps = _Facade(Gaps)
    refused = _Facade(Refused)
    horizons = _Facade(Horizons)
    sessions = _Facade(Sessions)
    off_calendar = _Facade(OffCalendar)
    partitions = _Facade(Partitions)
    completeness = _Facade(Completeness)
    recipes = _Facade(Recipes)
    genesis = _Facade(Genesis)
    repairs = _Facade(Repairs)
    jobs = _Facade(Jobs)
    agreement = _Facade(Agreement)
    actions = _Facade(Actions)
    alerts = _Facade(Alerts)
    streams = _Facade(Streams)
    pruned = _Facade(Pruned)
    served = _Facade(Served)
    totals = _Facade(Totals)

    def __init__(self, connection: duckdb.DuckDBPyConnection, now: datetime | None = None) -> None:
        self.database = Database(connection, now)

    def mark(self) -> StoreMark:
        """Which store this is, and how far it has come."""
        ((store_id, commits, at),) = self.database.execute(
            "SELECT store_id, commits, committed_at FROM ops.store"
        ).fetchall()
        return StoreMark(store_id, commits, at and at.replace(tzinfo=UTC))


class Transaction(Snapshot):
    """Write access: all or nothing is committed when the block that opened it ends.

    Attributes:
        connection: The open connection, for statements that no table has a method for.
    """

    candles = _Facade(CandlesWriter)
    revisions = _Facade(RevisionsWriter)
    features = _Facade(FeaturesWriter)
    returns = _Facade(ReturnsWriter)
    catalog = _Facade(CatalogWriter)
    coverage = _Facade(CoverageWriter)
    gaps = _Facade(GapsWriter)
    refused = _Facade(RefusedWriter)
    horizons = _Facade(HorizonsWriter)
    sessions = _Facade(SessionsWriter)
    off_calendar = _Facade(OffCalendarWriter)
    partitions = _Facade(PartitionsWriter)
    recipes = _Facade(RecipesWriter)
    genesis = _Facade(GenesisWriter)
    series = _Facade(SeriesWriter)
    repairs = _Facade(RepairsWriter)
    jobs = _Facade(JobsWriter)
    agreement = _Facade(AgreementWriter)
    actions = _Facade(ActionsWriter)
    alerts = _Facade(AlertsWriter)
    streams = _Facade(StreamsWriter)
    pruned = _Facade(PrunedWriter)

    def __init__(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
        super().__init__(connection, now)
        self.connection = connection
