"""The counts and versions of every judged partition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets_tests.support.store_rows import counts

M1, H1 = Timeframe.M1, Timeframe.H1
at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone


def test_a_partition_gets_another_instant_when_a_symbol_changes_whatever_the_clock_does(
    write, clock
):
    def version() -> str:
        return write("partitions.versions", Dataset.candles("crypto", M1), ["2025-01-01"])[
            "2025-01-01"
        ]

    write(
        "partitions.put",
        Dataset.candles("crypto", M1),
        counts(("2025-01-01", "BTC", 10, 8, 2, 0), ("2025-01-01", "ETH", 10, 8, 2, 0)),
    )
    clock.now += timedelta(hours=1)
    write(
        "partitions.put", Dataset.candles("crypto", M1), counts(("2025-01-01", "BTC", 10, 9, 1, 0))
    )
    seen = [version()]
    clock.now -= timedelta(hours=1)
    write(
        "partitions.put", Dataset.candles("crypto", M1), counts(("2025-01-01", "ETH", 10, 9, 1, 0))
    )
    seen.append(version())
    write(
        "partitions.put", Dataset.candles("crypto", M1), counts(("2025-01-01", "ETH", 10, 9, 1, 0))
    )
    assert seen[0] < seen[1] == version()


def test_a_partition_with_other_evidence_is_another_and_one_of_which_none_was_noted_is_not(write):
    def version(evidence: str | None) -> str:
        told = counts(("2025-01-01", "BTC", 10, 8, 2, 0)).with_columns(
            evidence=pl.lit(evidence, pl.String)
        )
        write("partitions.put", Dataset.candles("crypto", M1), told)
        return write("partitions.versions", Dataset.candles("crypto", M1), ["2025-01-01"])[
            "2025-01-01"
        ]

    unknown, first, same, other = (
        version(text)
        for text in (None, "two hours of no trade", "two hours of no trade", "an outage")
    )
    assert unknown == first == same < other


def test_until_when_partitions_were_judged_and_for_how_many_symbols(write, read):
    assert read("partitions.newest_judged_at", Dataset.candles("crypto", M1)) is None
    early = datetime(2025, 1, 1, 12, tzinfo=UTC)
    first, second = ("2025-01-01", "BTC", 10, 9, 1, 0), ("2025-01-01", "ETH", 10, 0, 0, 10)
    write("partitions.put", Dataset.candles("crypto", M1), counts(first), early)
    write(
        "partitions.put",
        Dataset.candles("crypto", M1),
        counts(second, ("2025-01-02", "ETH", 10, 10, 0, 0), ("2025-01-02", "BTC", 0, 0, 0, 0)),
    )
    found = (
        read("partitions.judged_until", Dataset.candles("crypto", M1), ["BTC", "ETH"])
        .sort("partition")
        .rows()
    )
    # A symbol of which nothing was expected counts as one that was not judged.
    assert found == [
        ("2025-01-01", at("2025-01-01 12:00"), 2),
        ("2025-01-02", at("2025-03-01 12:00"), 1),
    ]
    assert read("partitions.judged_until", Dataset.candles("crypto", M1), ["BTC"]).rows() == [
        ("2025-01-01", at("2025-01-01 12:00"), 1)
    ]
    assert read("partitions.newest_judged_at", Dataset.candles("crypto", M1)) == datetime(
        2025, 3, 1, 12, tzinfo=UTC
    )
