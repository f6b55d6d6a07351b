"""The completeness asset of a profile, made again after each run.

It shows symbol x timeframe as a table and symbol x time as a picture.

Dagster reads the annotations of an asset's parameters at run time, so that this module does without
postponed ones.
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from market_assets.config.universe import Profile
from market_assets.defs.keys import dataset_key, process_tags
from market_assets.defs.resources import Clock, StoreResource
from market_assets.imports import late_imports
from market_assets.market.instants import bare_minute

with late_imports():
    from market_assets.pictures.heatmap import heat_map
    from market_assets.reports.completeness import ProfileAudit, audit_profiles, heat_of
    from market_assets.store import Store
    from market_assets.verdicts.verdicts import share


_WORST = 50
_HEALTH = ("MISSING", "DEGRADED", "PENDING", "HEALTHY")

# Short names, because the page shows the table in half of its width.
_MATRIX_COLUMNS = [
    dg.TableColumn("symbol", "string", "The symbol as the universe calls it"),
    dg.TableColumn("tf", "string", "The candles' timeframe"),
    dg.TableColumn(
        "%", "float", "Of the bars that must exist, how many are stored or explained; rounded down"
    ),
    dg.TableColumn(
        "health",
        "string",
        "HEALTHY: nothing is missing; "
        "DEGRADED: something is, or a bar is stored twice; MISSING: not one bar is stored; "
        "PENDING: nothing is due yet, or its shorter candles are still to be derived",
    ),
    dg.TableColumn(
        "missing", "integer", "Bars that are neither stored nor explained, abandoned ones too"
    ),
    dg.TableColumn("first", "string", "Open of the oldest stored bar, UTC"),
    dg.TableColumn("last", "string", "Open of the newest stored bar, UTC"),
]


_VIEW_COLUMNS = [
    dg.TableColumn("profile", "string", "The profile"),
    dg.TableColumn("symbol", "string", "The symbol as the universe calls it"),
    dg.TableColumn("timeframe", "string", "The candles' timeframe"),
    dg.TableColumn(
        "expected",
        "bigint",
        "Bars that must exist by the calendar, from the start or genesis on to the last count",
    ),
    dg.TableColumn("stored", "bigint", "Bars in the candle table"),
    dg.TableColumn("explained", "bigint", "Bars that are absent for a known reason"),
    dg.TableColumn("missing", "bigint", "Bars that are neither stored nor explained"),
    dg.TableColumn(
        "completeness", "double", "The share of the expected bars that are not missing, 0 to 1"
    ),
    dg.TableColumn("first_ts", "timestamp", "Open of the oldest stored bar, UTC"),
    dg.TableColumn("last_ts", "timestamp", "Open of the newest stored bar, UTC"),
    dg.TableColumn(
        "health",
        "string",
        "HEALTHY, DEGRADED (something is missing or doubled), MISSING (not one bar "
        "is stored) or PENDING (nothing is due yet, or it is still to be derived)",
    ),
    dg.TableColumn(
        "doubled", "bigint", "Rows of the candle table beyond one a bar; there should be none"
    ),
]


def completeness_asset(profile: Profile) -> dg.AssetsDefinition:
    """The asset that shows how complete a profile is.

    It has no partitions and keeps nothing but its metadata.
    """
    timeframes = (*profile.timeframes.fetch, *profile.timeframes.derive)

    @dg.asset(
        key=completeness_key(profile.name),
        deps=[
            dg.AssetDep(
                dataset_key(profile.candles(timeframe)), partition_mapping=dg.AllPartitionMapping()
            )
            for timeframe in timeframes
        ],
        description=_describe(profile),
        metadata={
            "dagster/table_name": "ops.completeness",
            "dagster/column_schema": dg.TableSchema(_VIEW_COLUMNS),
        },
        kinds={"duckdb", "polars"},
        group_name=profile.name,
        owners=["team:market-data"],
    )
    def completeness(
        context: dg.AssetExecutionContext, store: StoreResource, clock: Clock
    ) -> dg.MaterializeResult[None]:
        context.instance.add_run_tags(context.run.run_id, process_tags())
        made = completeness_now(store.store(clock), profile, clock.now())
        return dg.MaterializeResult(metadata=made.metadata())

    return completeness


def completeness_key(profile: str) -> dg.AssetKey:
    """The asset key of a profile's completeness."""
    return dg.AssetKey([profile, "completeness"])


@dataclass(frozen=True)
class Completeness:
    """How complete a profile is at one instant.

    Attributes:
        audit: What was found of the profile.
        now: The instant.
    """

    audit: ProfileAudit
    now: datetime

    @property
    def numbers(self) -> list[tuple[object, ...]]:
        """The values that tell one state from another: missing and abandoned bars, and health.

        They stay the same when bars only close in between.
        """
        matrix = self.audit.matrix
        return matrix.select("symbol", "timeframe", "missing", "abandoned", "health").rows()

    def metadata(self) -> dict[str, dg.MetadataValue]:
        """What the UI shows of it, with the picture."""
        profile = self.audit.profile
        cells, bucket = heat_of(self.audit.base)
        picture = heat_map(
            cells,
            list(profile.symbols),
            bucket,
            title=f"{profile.name} {profile.base_timeframe}: completeness by {bucket}",
            caption=f"As of {bare_minute(self.now)} UTC.",
        )
        return completeness_metadata(profile, self.audit.matrix, picture)


def completeness_now(store: Store, profile: Profile, now: datetime) -> Completeness:
    """Count what there must be of a profile by now, and what there is."""
    (audit,) = audit_profiles(store, [profile], now)
    return Completeness(audit, now)


def completeness_metadata(
    profile: Profile, matrix: pl.DataFrame, picture: bytes
) -> dict[str, dg.MetadataValue]:
    """What the UI shows of a profile's completeness; it plots the numbers over time.

    Args:
        profile: The profile.
        matrix: Its rows of `matrix_of`.
        picture: Its heat map, a PNG.
    """
    base = matrix.filter(pl.col("timeframe") == profile.base_timeframe)
    expected, missing, abandoned = base.select("expected", "missing", "abandoned").sum().row(0)
    health = dict(matrix["health"].value_counts().iter_rows())
    worst = matrix.sort(
        pl.col("health").cast(pl.Enum(_HEALTH)), "completeness", "symbol", "timeframe"
    ).head(_WORST)
    encoded = b64encode(picture).decode()
    metadata: dict[str, dg.MetadataValue] = {
        "completeness": dg.MetadataValue.float(share(expected - missing, expected)),
        **{
            f"series_{word.lower()}": dg.MetadataValue.int(health.get(word, 0))
            for word in reversed(_HEALTH)
        },
        "bars_expected": dg.MetadataValue.int(expected),
        "bars_missing": dg.MetadataValue.int(missing),
        "bars_abandoned": dg.MetadataValue.int(abandoned),
        "heat_map": dg.MetadataValue.md(
            f"![{profile.name} {profile.base_timeframe}](data:image/png;base64,{encoded})"
        ),
        "matrix": dg.MetadataValue.table(
            [dg.TableRecord(_record(row)) for row in worst.iter_rows(named=True)],
            dg.TableSchema(_MATRIX_COLUMNS),
        ),
    }
    if len(matrix) > _WORST:
        metadata["series_not_shown"] = dg.MetadataValue.int(len(matrix) - _WORST)
    return metadata


def _record(row: dict[str, Any]) -> dict[str, str | int | float]:
    return {
        "symbol": row["symbol"],
        "tf": row["timeframe"],
        # Cut and not rounded: it is 100 only where nothing is missing.
        "%": (row["expected"] - row["missing"]) * 10_000 // row["expected"] / 100
        if row["expected"]
        else 100.0,
        "health": row["health"],
        "missing": row["missing"],
        "first": _utc(row["first_ts"]),
        "last": _utc(row["last_ts"]),
    }


def _utc(ts: datetime | None) -> str:
    return bare_minute(ts) if ts else "none"


def _describe(profile: Profile) -> str:
    return (
        f"How complete {profile.name} is: a table of its {len(profile.symbols)} symbols "
        f"by timeframe (the worst {_WORST} series) with completeness, health, first and last bar, "
        "and a heat map of symbol by time (open heat_map below), as of the run that made it.\n\n"
        "It is made again when its numbers change, and once an hour. HEALTHY: "
        "every bar is stored or explained; DEGRADED: some are missing; MISSING: not one is stored; "
        "PENDING: nothing is due yet, or longer candles are still to be derived. "
        "The same table: market-assets status."
    )
