"""The files and the list of files of a lake."""

from __future__ import annotations

import json

import polars as pl

from market_assets_tests.support.export_ground import MINUTES, Ground


def path_of(day: str) -> str:
    return f"year={int(day[:4])}/month={int(day[5:7])}/{day}.parquet"


def manifest(ground: Ground, name: str = MINUTES) -> dict:
    return json.loads(
        ground.of(name).with_name(f"{name.partition('.')[2]}.manifest.json").read_bytes()
    )


def read(ground: Ground, name: str = MINUTES) -> pl.DataFrame:
    """The rows of a table's files as the store has them."""
    rows = pl.read_parquet(ground.of(name), hive_partitioning=False).sort("symbol", "ts")
    return rows.drop("date").with_columns(pl.col("ts").dt.replace_time_zone(None))
