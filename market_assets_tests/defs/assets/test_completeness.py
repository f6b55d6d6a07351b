"""The completeness asset: what it shows, that it fits into any run, and when it is made again."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
from PIL import Image

from market_assets.defs.assets.completeness import (
    completeness_asset,
    completeness_key,
    completeness_metadata,
)
from market_assets.defs.internals.adapter import range_tags
from market_assets.pictures.heatmap import BANDS, NEVER_FILLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.practice.vendor import PracticeVendor
    from market_assets_tests.support.defs_ground import Ground

KEY = completeness_key("kept")
GREEN, DARK_RED = BANDS[0][1], BANDS[-1][1]
HOLE = {
    "fault": "hole",
    "start": "2025-02-05T00:00Z",
    "end": "2025-02-05T12:00Z",
    "symbols": ["BTC"],
}


def keep(ground: Ground, *arguments: Any, **options: Any) -> None:
    """As the ground does it, with the completeness asset."""
    profile = ground.keep(*arguments, **options)
    definitions = ground.definitions
    assets = [
        each
        for each in definitions.assets or ()
        if isinstance(each, dg.AssetsDefinition) and KEY not in each.keys
    ]
    ground.definitions = dg.Definitions(
        assets=[*assets, completeness_asset(profile)],
        resources=definitions.resources,
        executor=definitions.executor,
    )


def run(ground: Ground, *keys: dg.AssetKey, **options: Any) -> dg.ExecuteInProcessResult:
    job = ground.definitions.resolve_implicit_global_asset_job_def()
    silent = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job.execute_in_process(
        instance=ground.instance,
        asset_selection=list(keys),
        run_config=silent,
        raise_on_error=False,
        **options,
    )


def shown(ground: Ground) -> dict[str, Any]:
    """The newest metadata; it has no partition."""
    event = ground.instance.get_latest_materialization_event(KEY)
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    assert materialization.partition is None
    return {name: value.value for name, value in materialization.metadata.items()}


def picture(markdown: str) -> Image.Image:
    found = re.fullmatch(r"!\[kept 1h\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert found
    return Image.open(BytesIO(b64decode(found[1]))).convert("RGB")


def cells(image: Image.Image) -> dict[tuple[int, ...], int]:
    """How many pixels have each colour, without the legend below."""
    above = image.crop((0, 0, image.width, image.height - 30))
    return {colour: count for count, colour in above.getcolors(1 << 20) or ()}


def test_it_shows_each_series_the_counts_and_a_picture(
    ground: Ground, vendor: Callable[..., PracticeVendor]
) -> None:
    keep(ground, vendor(HOLE), "{timeframes: {fetch: [1h], derive: [4h]}}")
    ground.fill()
    assert run(ground, KEY).success
    found = shown(ground)
    assert {name: value for name, value in found.items() if isinstance(value, int | float)} == {
        "completeness": 0.964285,  # 324 of 336, cut
        "series_healthy": 1,
        "series_degraded": 1,
        # Longer candles are still to be derived.
        "series_missing": 0,
        "series_pending": 2,
        "bars_expected": 336,
        "bars_missing": 12,
        "bars_abandoned": 0,
    }
    rows = [record.data for record in found["matrix"].records]
    assert [
        (row["symbol"], row["tf"], row["health"], row["missing"], row["%"]) for row in rows
    ] == [
        ("BTC", "1h", "DEGRADED", 12, 92.85),
        ("BTC", "4h", "PENDING", 42, 0.0),
        ("ETH", "4h", "PENDING", 42, 0.0),
        ("ETH", "1h", "HEALTHY", 0, 100.0),
    ]
    assert (rows[-1]["first"], rows[-1]["last"]) == ("2025-02-03 00:00", "2025-02-09 23:00")
    assert rows[1]["first"] == "none"
    colours = cells(picture(found["heat_map"]))
    # Thirteen whole days and a half one.
    assert colours[GREEN] == 13 * colours[BANDS[3][1]]
    assert NEVER_FILLED not in colours


def test_before_the_first_fill_it_shows_that_nothing_is_there(ground: Ground) -> None:
    keep(ground)
    assert run(ground, KEY).success
    found = shown(ground)
    assert (found["completeness"], found["series_missing"], found["bars_missing"]) == (0.0, 2, 336)
    colours = cells(picture(found["heat_map"]))
    assert colours[NEVER_FILLED] > 1000
    assert GREEN not in colours


def test_it_is_made_in_one_run_with_a_range_of_candles_and_counts_what_that_run_brought(
    ground: Ground,
) -> None:
    keep(ground, keys="{timeframes: {fetch: [1h], derive: [4h]}}")
    tags = range_tags("2025-02-04", "2025-02-06")
    result = run(ground, ground.key("1h"), ground.key("4h"), KEY, tags=tags)
    assert result.success
    assert shown(ground)["bars_missing"] == 336 - 3 * 48
    assert list(ground.colours("4h").values()).count("MATERIALIZED") == 3
    # With the tag of one partition, as a schedule sets it.
    assert run(ground, ground.key("1h"), KEY, tags={"dagster/partition": "2025-02-03"}).success
    assert shown(ground)["bars_missing"] == 336 - 4 * 48


def test_the_table_is_bounded_to_the_worst(ground: Ground) -> None:
    symbols = {f"S{number:03d}": {} for number in range(60)}
    keep(ground, keys=f"{{symbols: {symbols}}}")
    health = ["HEALTHY"] * 57 + ["DEGRADED", "MISSING", "DEGRADED"]
    missing = [0] * 57 + [3, 168, 9]
    matrix = pl.DataFrame(
        {"symbol": list(symbols), "health": health, "missing": missing}
    ).with_columns(
        timeframe=pl.lit("1h"),
        expected=pl.lit(168),
        abandoned=pl.lit(0),
        completeness=1 - pl.col("missing") / 168,
        first_ts=None,
        last_ts=None,
    )
    metadata = completeness_metadata(ground.profile, matrix, b"")
    table = metadata["matrix"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["symbol"] for record in table.records][:4] == [
        "S058",
        "S059",
        "S057",
        "S000",
    ]
    assert len(table.records) == 50
    assert metadata["series_not_shown"] == dg.MetadataValue.int(10)


def test_it_says_what_it_is(ground: Ground) -> None:
    keep(ground, keys="{timeframes: {fetch: [1h], derive: [4h, 1d, 1w]}}")
    node = ground.definitions.resolve_asset_graph().get(KEY)
    assert node.partitions_def is None
    assert node.group_name == "kept"
    assert node.owners == ["team:market-data"]
    assert {key.path[-1] for key in node.parent_keys} == {
        "candles_1h",
        "candles_4h",
        "candles_1d",
        "candles_1w",
    }
    assert "2 symbols" in str(node.description)
