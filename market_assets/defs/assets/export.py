"""The assets that keep the lake up to date: one per profile, and one across profiles.

Dagster reads the annotations of an asset's parameters at run time, so that this module does without
postponed ones.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

import dagster as dg

from market_assets.config.services import ExportSettings
from market_assets.config.universe import Universe
from market_assets.defs.keys import BEFORE_REPAIRS, automatic, process_tags
from market_assets.defs.resources import PATIENCE, Clock, StoreResource
from market_assets.errors import MarketAssetsError
from market_assets.imports import late_imports

with late_imports():
    from market_assets.export import Exported, Lake, Table, tables_of

_LONG_AGO = timedelta(days=2)
"""After such a pause there may be much to write: a run of its own does it."""

_COLUMNS = [
    dg.TableColumn("table", "string", "The table in the store"),
    dg.TableColumn("files", "integer", "How many files it has"),
    dg.TableColumn("rows", "integer", "How many rows they have"),
    dg.TableColumn("bytes", "integer", "How long they are"),
    dg.TableColumn(
        "written", "integer", "How many of them this run wrote; the others were up to date"
    ),
    dg.TableColumn(
        "removed", "integer", "How many this run removed, because they hold nothing any more"
    ),
    dg.TableColumn(
        "damaged",
        "integer",
        "How many were missing or not as they had been written, and were written again",
    ),
]


def export_assets(universe: Universe) -> list[dg.AssetsDefinition]:
    """The assets of a universe's lake; none where the universe does not switch it on."""
    return [_asset(owner, tables, settings) for owner, tables, settings in _parts(universe)]


def export_key(owner: str) -> dg.AssetKey:
    """The asset key of a profile's part of the lake, or of that of the matrix across profiles."""
    return dg.AssetKey([owner, "export"])


def export_sensors(universe: Universe) -> list[dg.SensorDefinition]:
    """One sensor for each part of a universe's lake.

    It writes what has changed, in its own process. A run does it the first time, and where the last
    export is long ago.
    """
    return [_sensor(owner, tables, settings) for owner, tables, settings in _parts(universe)]


def _parts(universe: Universe) -> list[tuple[str, list[Table], ExportSettings]]:
    """The owners of the lake's tables, each with its tables and the export settings.

    The list is empty where the universe does not switch the lake on.
    """
    settings = universe.export
    if settings is None:
        return []
    tables: dict[str, list[Table]] = {}
    for table in tables_of(universe, timeframes=settings.timeframes):
        tables.setdefault(table.owner, []).append(table)
    return [(owner, group, settings) for owner, group in tables.items()]


def _sensor(owner: str, tables: list[Table], settings: ExportSettings) -> dg.SensorDefinition:
    labels = {(table.owner, table.label) for table in tables}

    @dg.sensor(
        name=f"export_{owner}",
        target=dg.AssetSelection.assets(export_key(owner)),
        minimum_interval_seconds=int(settings.every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes the files of what has changed since they were written: itself, "
        "or by a run if that is much.",
    )
    def export(
        context: dg.SensorEvaluationContext, store: StoreResource, clock: Clock
    ) -> dg.SensorResult:
        kept = store.store(clock, PATIENCE)
        now = clock.now()
        try:
            with kept.reading(f"looking what of {owner} is to be exported") as view:
                fingerprints = view.partitions.fingerprints()
            stamps = {place[1]: text for place, text in fingerprints.items() if place in labels}
            before = _Exports.load(context.cursor)
            if stamps == before.stamps:
                return dg.SensorResult(
                    skip_reason="nothing has changed since the last export", cursor=context.cursor
                )
            cursor = _Exports(stamps, now).dump()
            if before.at is None or now - before.at > _LONG_AGO:
                request = dg.RunRequest(
                    run_key=f"{owner}/export/{now:%Y-%m-%dT%H:%M:%S}",
                    tags=automatic(BEFORE_REPAIRS),
                )
                return dg.SensorResult(run_requests=[request], cursor=cursor)
            lake = Lake(kept, settings.folder_in(store.home), clock=clock.now, patience=PATIENCE)
            done = [exported for table in tables if (exported := lake.export(table)) is not None]
        except MarketAssetsError as error:
            return dg.SensorResult(
                skip_reason=f"nothing was exported: {error}", cursor=context.cursor
            )
        made = dg.AssetMaterialization(export_key(owner), metadata=_metadata(lake, owner, done))
        files = sum(exported.written for exported in done)
        words = f"{files} files written, {sum(exported.files for exported in done)} there are"
        # Once an hour is often enough for a page.
        same_hour = before.at.replace(minute=0, second=0) == now.replace(minute=0, second=0)
        events = [made] if files and not same_hour else []
        return dg.SensorResult(skip_reason=words, asset_events=events, cursor=cursor)

    return export


@dataclass(frozen=True)
class _Exports:
    """What an export sensor remembers: how each table was, and when it exported."""

    stamps: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None

    @classmethod
    def load(cls, cursor: str | None) -> Self:
        kept = json.loads(cursor) if cursor else {}
        return cls(kept["stamps"], datetime.fromisoformat(kept["at"])) if kept else cls()

    def dump(self) -> str:
        return json.dumps({"stamps": self.stamps, "at": self.at and self.at.isoformat()})


def _asset(owner: str, tables: list[Table], settings: ExportSettings) -> dg.AssetsDefinition:
    @dg.asset(
        key=export_key(owner),
        deps=[
            dg.AssetDep(
                dg.AssetKey([table.owner, table.name]),
                partition_mapping=None if table.timeframe is None else dg.AllPartitionMapping(),
            )
            for table in tables
        ],
        description=_describe(owner, tables, settings),
        metadata={"tables": dg.MetadataValue.json([table.name for table in tables])},
        kinds={"parquet", "polars"},
        group_name=owner,
        owners=["team:market-data"],
    )
    def export(
        context: dg.AssetExecutionContext, store: StoreResource, clock: Clock
    ) -> dg.MaterializeResult[None]:
        context.instance.add_run_tags(context.run.run_id, process_tags())
        lake = Lake(store.store(clock), settings.folder_in(store.home), clock=clock.now)
        done = []
        for table in tables:
            if (exported := lake.export(table)) is not None:
                done.append(exported)
                context.log.info(
                    "%s: %d of %d files written", table, exported.written, exported.files
                )
        return dg.MaterializeResult(metadata=_metadata(lake, owner, done))

    return export


def _metadata(lake: Lake, owner: str, done: list[Exported]) -> dict[str, dg.MetadataValue]:
    records = [
        dg.TableRecord(
            {
                "table": result.table,
                "files": result.files,
                "rows": result.rows,
                "bytes": result.bytes,
                "written": result.written,
                "removed": result.removed,
                "damaged": len(result.damaged),
            }
        )
        for result in done
    ]
    return {
        "folder": dg.MetadataValue.path(lake.folder / owner),
        "files_written": dg.MetadataValue.int(sum(result.written for result in done)),
        "files_removed": dg.MetadataValue.int(sum(result.removed for result in done)),
        "files_damaged": dg.MetadataValue.int(sum(len(result.damaged) for result in done)),
        "files": dg.MetadataValue.int(sum(result.files for result in done)),
        "dagster/row_count": dg.MetadataValue.int(sum(result.rows for result in done)),
        "bytes": dg.MetadataValue.int(sum(result.bytes for result in done)),
        "tables": dg.MetadataValue.table(records, dg.TableSchema(_COLUMNS)),
    }


def _describe(owner: str, tables: list[Table], settings: ExportSettings) -> str:
    return (
        f"{len(tables)} tables of {owner} as Parquet files in the folder {settings.folder}, "
        "for DuckDB, polars, pandas and Spark: "
        "a file a day of minutes, a month of longer bars, a year of days and weeks.\n\n"
        "Only files whose rows have changed are written; each is there whole or not at all, "
        "and the manifest beside each table's folder has their checksums. "
        "The same in a terminal: market-assets export."
    )
