"""The assets that keep the lake up to date: one a profile, and one of the matrix across profiles.

Dagster reads the annotations of an asset's parameters at run time, so that this module does without postponed ones.
"""

from typing import Any

import dagster as dg
from dagster import AutomationCondition

from market_assets.defs.candles import when_input_changes
from market_assets.defs.keys import process_tags
from market_assets.defs.resources import Clock, StoreResource
from market_assets.defs.updates import cron_of
from market_assets.export import Exported, Lake, Table, tables_of
from market_assets.universe import ExportSettings, Universe

_COLUMNS = [
    dg.TableColumn("table", "string", "The table in the store"),
    dg.TableColumn("files", "integer", "How many files it has"),
    dg.TableColumn("rows", "integer", "How many rows they have"),
    dg.TableColumn("bytes", "integer", "How long they are"),
    dg.TableColumn("written", "integer", "How many of them this run wrote; the others were up to date"),
    dg.TableColumn("removed", "integer", "How many this run removed, because they hold nothing any more"),
    dg.TableColumn(
        "damaged", "integer", "How many were missing or not as they had been written, and were written again"
    ),
]


def export_assets(universe: Universe) -> list[dg.AssetsDefinition]:
    """The assets of a universe's lake; none where the universe does not switch it on."""
    settings = universe.export
    if settings is None:
        return []
    tables: dict[str, list[Table]] = {}
    for table in tables_of(universe, timeframes=settings.timeframes):
        tables.setdefault(table.owner, []).append(table)
    return [_asset(owner, own, settings) for owner, own in tables.items()]


def export_key(owner: str) -> dg.AssetKey:
    """The asset key of a profile's part of the lake, or of that of the matrix across profiles."""
    return dg.AssetKey([owner, "export"])


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
        automation_condition=_after_changes(cron_of(settings.every)),
        description=_describe(owner, tables, settings),
        metadata={"tables": dg.MetadataValue.json([table.name for table in tables])},
        kinds={"parquet", "polars"},
        group_name=owner,
        owners=["team:market-data"],
    )
    def export(context: dg.AssetExecutionContext, store: StoreResource, clock: Clock) -> dg.MaterializeResult[None]:
        context.instance.add_run_tags(context.run.run_id, process_tags())
        lake = Lake(store.store(clock), settings.folder_in(store.home), clock=clock.now)
        done = []
        for table in tables:
            if (exported := lake.export(table)) is not None:
                done.append(exported)
                context.log.info("%s: %d of %d files written", table, exported.written, exported.files)
        return dg.MaterializeResult(metadata=_metadata(lake, owner, done))

    return export


def _metadata(lake: Lake, owner: str, done: list[Exported]) -> dict[str, dg.MetadataValue]:
    records = [
        dg.TableRecord(
            {
                "table": one.table,
                "files": one.files,
                "rows": one.rows,
                "bytes": one.bytes,
                "written": one.written,
                "removed": one.removed,
                "damaged": len(one.damaged),
            }
        )
        for one in done
    ]
    return {
        "folder": dg.MetadataValue.path(lake.folder / owner),
        "files_written": dg.MetadataValue.int(sum(one.written for one in done)),
        "files_removed": dg.MetadataValue.int(sum(one.removed for one in done)),
        "files_damaged": dg.MetadataValue.int(sum(len(one.damaged) for one in done)),
        "files": dg.MetadataValue.int(sum(one.files for one in done)),
        "dagster/row_count": dg.MetadataValue.int(sum(one.rows for one in done)),
        "bytes": dg.MetadataValue.int(sum(one.bytes for one in done)),
        "tables": dg.MetadataValue.table(records, dg.TableSchema(_COLUMNS)),
    }


def _after_changes(cron: str) -> AutomationCondition[Any]:
    """At the first tick of a cron line after something that is exported has changed, when none of it is being made or about to be."""
    updated = AutomationCondition.newly_updated().since(~AutomationCondition.data_version_changed())
    changed = AutomationCondition.any_deps_match(updated)
    # Two conditions and not one for either, because only so does Dagster compare the times of two events of one tick.
    newer = changed.since(AutomationCondition.newly_updated())
    unasked = changed.since(AutomationCondition.newly_requested())
    # A tick counts until it is used: the work of the moment may take longer than it.
    ticked = AutomationCondition.cron_tick_passed(cron, "UTC").since(AutomationCondition.newly_requested())
    busy = AutomationCondition.any_deps_in_progress() | AutomationCondition.in_progress()
    about_to_be = AutomationCondition.any_deps_match(when_input_changes())
    return (newer & unasked & ticked & ~busy & ~about_to_be).with_label("something to export has changed")


def _describe(owner: str, tables: list[Table], settings: ExportSettings) -> str:
    return (
        f"{len(tables)} tables of {owner} as Parquet files in the folder {settings.folder}, for DuckDB, polars, pandas and Spark: a file a "
        "day of minutes, a month of longer bars, a year of days and weeks.\n\nOnly files whose rows have changed are written; each is there "
        "whole or not at all, and the manifest beside each table's folder has their checksums. The same in a terminal: market-assets export."
    )
