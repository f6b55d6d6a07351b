"""The list of a table's files, and the sums by which they are known to be whole."""

from __future__ import annotations

import hashlib

import duckdb

from market_assets_tests.support.export_ground import MINUTES
from market_assets_tests.support.lake import manifest, path_of

DAYS = ("2025-01-30", "2025-01-31", "2025-02-01", "2025-02-02", "2025-02-03")


def test_the_manifest_lists_each_file_with_its_checksum_and_the_columns_with_their_types(ground):
    ground.export(MINUTES)
    listed, files = manifest(ground), ground.files(MINUTES)
    assert [one["piece"] for one in listed["files"]] == list(DAYS)
    for one in listed["files"]:
        data = files[one["file"]]
        assert (one["bytes"], one["sha256"], one["rows"]) == (
            len(data),
            hashlib.sha256(data).hexdigest(),
            2880,
        )
        assert (one["first_ts"], one["last_ts"]) == (
            f"{one['piece']}T00:00:00Z",
            f"{one['piece']}T23:59:00Z",
        )
    assert (listed["table"], listed["partitioned_by"]) == (MINUTES, ["year", "month"])
    with duckdb.connect() as db:
        file = ground.of(MINUTES) / path_of("2025-02-01")
        found = db.execute(
            f"DESCRIBE FROM read_parquet('{file}', hive_partitioning = false)"
        ).fetchall()
    assert listed["columns"] == {name: kind for name, kind, *_ in found}


def test_damage_that_keeps_the_length_is_found_by_verify(ground):
    ground.export(MINUTES)
    before, broken = ground.files(MINUTES), ground.of(MINUTES) / path_of("2025-02-02")
    data = bytearray(before[path_of("2025-02-02")])
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    assert ground.export(MINUTES).damaged == ()
    assert ground.export(MINUTES, verify=True).damaged == (path_of("2025-02-02"),)
    assert ground.files(MINUTES) == before
    assert ground.export(MINUTES, verify=True).damaged == ()


def test_a_damaged_manifest_is_made_again(ground):
    ground.export(MINUTES)
    before = manifest(ground)
    ground.of(MINUTES).with_name("candles_1m.manifest.json").write_text("{half of")
    assert ground.export(MINUTES).written == 5
    assert manifest(ground) == before
