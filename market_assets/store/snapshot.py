"""The open store: a facade per table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from market_assets.store.database import Database
from market_assets.store.tables.actions import Actions, ActionsWriter
from market_assets.store.tables.agreement import Agreement, AgreementWriter
from market_assets.store.tables.alerts import Alerts, AlertsWriter
from market_assets.store.tables.candles import Candles, CandlesWriter
from market_assets.store.tables.catalog import Catalog, CatalogWriter
from market_assets.store.tables.coverage import Coverage, CoverageWriter
from market_assets.store.tables.features import Features, FeaturesWriter
from market_assets.store.tables.gaps import Gaps, GapsWriter
from market_assets.store.tables.genesis import Genesis, GenesisWriter
from market_assets.store.tables.horizons import Horizons, HorizonsWriter
from market_assets.store.tables.jobs import Jobs, JobsWriter
from market_assets.store.tables.off_calendar import OffCalendar, OffCalendarWriter
from market_assets.store.tables.partitions import Partitions, PartitionsWriter
from market_assets.store.tables.refused import Refused, RefusedWriter
from market_assets.store.tables.repairs import Repairs, RepairsWriter
from market_assets.store.tables.returns import Returns, ReturnsWriter
from market_assets.store.tables.series import SeriesWriter
from market_assets.store.tables.sessions import Sessions, SessionsWriter

if TYPE_CHECKING:
    import duckdb


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


class Snapshot:
    """Read access to the store while it is open.

    Every time column of its frames is UTC without a zone.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, now: datetime | None = None) -> None:
        self.database = database = Database(connection, now)
        self.candles = Candles(database)
        self.features = Features(database)
        self.returns = Returns(database)
        self.catalog = Catalog(database)
        self.coverage = Coverage(database)
        self.gaps = Gaps(database)
        self.refused = Refused(database)
        self.horizons = Horizons(database)
        self.sessions = Sessions(database)
        self.off_calendar = OffCalendar(database)
        self.partitions = Partitions(database)
        self.genesis = Genesis(database)
        self.repairs = Repairs(database)
        self.jobs = Jobs(database)
        self.agreement = Agreement(database)
        self.actions = Actions(database)
        self.alerts = Alerts(database)

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

    candles: CandlesWriter
    features: FeaturesWriter
    returns: ReturnsWriter
    catalog: CatalogWriter
    coverage: CoverageWriter
    gaps: GapsWriter
    refused: RefusedWriter
    horizons: HorizonsWriter
    sessions: SessionsWriter
    off_calendar: OffCalendarWriter
    partitions: PartitionsWriter
    genesis: GenesisWriter
    series: SeriesWriter
    repairs: RepairsWriter
    jobs: JobsWriter
    agreement: AgreementWriter
    actions: ActionsWriter
    alerts: AlertsWriter

    def __init__(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
        super().__init__(connection, now)
        self.connection = connection
        database = self.database
        self.candles = CandlesWriter(database)
        self.features = FeaturesWriter(database)
        self.returns = ReturnsWriter(database)
        self.catalog = CatalogWriter(database)
        self.coverage = CoverageWriter(database)
        self.gaps = GapsWriter(database)
        self.refused = RefusedWriter(database)
        self.horizons = HorizonsWriter(database)
        self.sessions = SessionsWriter(database)
        self.off_calendar = OffCalendarWriter(database)
        self.partitions = PartitionsWriter(database)
        self.genesis = GenesisWriter(database)
        self.series = SeriesWriter(database)
        self.repairs = RepairsWriter(database)
        self.jobs = JobsWriter(database)
        self.agreement = AgreementWriter(database)
        self.actions = ActionsWriter(database)
        self.alerts = AlertsWriter(database)
