"""When a partition may be shown as materialized."""

from __future__ import annotations

from datetime import date

from market_assets.market.partitions import Cadence, Partition
from market_assets.work.outcome import PartitionOutcome

DAY = Partition.holding(date(2025, 3, 3), Cadence.DAY)


def test_a_partition_is_filled_unless_it_failed_as_a_whole():
    assert PartitionOutcome(DAY, ()).filled
    assert PartitionOutcome(DAY, (), faults=("a feature could not be made",)).filled
    assert not PartitionOutcome(DAY, (), failures=("no source answered",)).filled
