"""What judging partitions came to: recorded in the store, and reported of each partition.

Every kind of work ends with it, filling and making alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from market_assets.market.partitions import partition_key
from market_assets.verdicts.evidence import MISSING, State
from market_assets.work.outcome import PartitionOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from market_assets.market.datasets import Dataset
    from market_assets.market.partitions import Cadence, Partition
    from market_assets.store import Transaction
    from market_assets.verdicts.verdicts import SymbolCounts

    Details = Callable[[Partition, Mapping[str, int]], Mapping[str, Any]]
    """The other fields of a partition's outcome.

    They come from the partition and from how many rows of each symbol have changed in it.
    """

Evidence = dict[tuple[str, str], str]
"""A digest of what is known of the absent bars, by partition key and symbol."""


class Subject(Protocol):
    """What partitions are judged of: a scope of candles, or a work that makes something of them."""

    @property
    def dataset(self) -> Dataset:
        """Whose partitions."""

    @property
    def cadence(self) -> Cadence:
        """How long a partition is."""

    @property
    def now(self) -> datetime:
        """As of which instant they are judged."""


@dataclass(frozen=True)
class Judged:
    """What was found of some partitions.

    Attributes:
        counts: What each symbol has, by partition key.
        rows: ts of every stored row of the partitions.
        changed: symbol, ts of the rows that differ from what was there. A bar that ends in these
            partitions may belong to the one before: that gets a new version too.
        evidence: What is known of absent bars; None for what is as good as its input.
        behind: By partition key, how many rows there are beside these, and the first and the last
            `ts` of them.
    """

    counts: Mapping[str, tuple[SymbolCounts, ...]]
    rows: pl.DataFrame
    changed: pl.DataFrame
    evidence: Evidence | None = None
    behind: Mapping[str, tuple[int, datetime, datetime]] = field(default_factory=dict)


def publish(
    transaction: Transaction,
    subject: Subject,
    partitions: Sequence[Partition],
    judged: Judged,
    details: Details,
) -> list[PartitionOutcome]:
    """Record what partitions have, and give the outcome of each.

    Args:
        transaction: Where it is recorded.
        subject: Whose partitions, and as of when they were judged.
        partitions: Those that were judged.
        judged: What was found of them.
        details: The other fields of their outcomes.
    """
    dataset, counts = subject.dataset, judged.counts
    part = partition_key(subject.cadence)
    renewed: dict[str, dict[str, int]] = {}
    for key, symbol, number in judged.changed.group_by(part, "symbol").agg(pl.len()).iter_rows():
        renewed.setdefault(key.isoformat(), {})[symbol] = number

    table = count_frame(counts, judged.evidence)
    transaction.partitions.put(dataset, table, subject.now, changed=renewed)
    transaction.partitions.renew_versions(dataset, sorted(renewed.keys() - counts.keys()))
    versions = transaction.partitions.versions(dataset, list(counts))

    extents = judged.rows.group_by(part).agg(pl.len(), first=pl.min("ts"), last=pl.max("ts"))
    stored = {key.isoformat(): extent for key, *extent in extents.iter_rows()}
    for key, (number, first, last) in judged.behind.items():
        ahead, newer_first, newer_last = stored.get(key, (0, first, last))
        stored[key] = [number + ahead, min(first, newer_first), max(last, newer_last)]

    def outcome(partition: Partition) -> PartitionOutcome:
        number, first, last = stored.get(partition.key, (0, None, None))
        return PartitionOutcome(
            partition,
            counts=counts.get(partition.key, ()),
            rows=number,
            first_ts=first and first.replace(tzinfo=UTC),
            last_ts=last and last.replace(tzinfo=UTC),
            version=versions.get(partition.key),
            **details(partition, renewed.get(partition.key, {})),
        )

    return [outcome(partition) for partition in partitions]


def count_frame(
    counts: Mapping[str, Sequence[SymbolCounts]], evidence: Evidence | None = None
) -> pl.DataFrame:
    """Counts by partition key as the frame that `PartitionsWriter.put` takes."""
    return pl.DataFrame(
        [
            (
                key,
                count.symbol,
                count.expected,
                count.stored,
                count.explained,
                count.missing,
                None if evidence is None else evidence.get((key, count.symbol), ""),
            )
            for key, of_symbols in counts.items()
            for count in of_symbols
        ],
        schema={"partition": pl.String, "symbol": pl.String}
        | dict.fromkeys(("expected", "stored", "explained", "missing"), pl.Int64)
        | {"evidence": pl.String},
        orient="row",
    )


def evidence_of(states: pl.DataFrame, cadence: Cadence) -> Evidence:
    """A digest of what is known of the bars of each partition and symbol.

    It differs as soon as something else is known of an absent bar.

    Args:
        states: symbol, ts, state; sorted by symbol and ts.
        cadence: How long partitions are.

    Returns:
        The digests by partition key and symbol; none where all is stored.
    """
    return digests(state_texts(states, cadence))


def state_texts(states: pl.DataFrame, cadence: Cadence) -> pl.DataFrame:
    """What is known of the bars of each partition and symbol in words: where it changes.

    Args:
        states: symbol, ts, state; sorted by symbol and ts.
        cadence: How long partitions are.

    Returns:
        part, symbol, text; none where all is stored.
    """
    # Whether an unexplained bar is still asked for makes no difference to derived datasets.
    state = (
        pl.when(pl.col("state").is_in(MISSING)).then(pl.lit(State.OPEN.value)).otherwise("state")
    )
    states = states.select("symbol", "ts", partition_key(cadence), state=state)
    before = pl.col("state").shift().over("part", "symbol").fill_null(State.STORED.value)
    changes = states.filter(pl.col("state") != before).group_by(
        "part", "symbol", maintain_order=True
    )
    return changes.agg(text=pl.format("{} {}", "ts", "state").str.join("\n"))


def digests(texts: pl.DataFrame) -> Evidence:
    """What stands for texts of `state_texts` in `ops.partitions`."""
    return {
        (f"{part}", symbol): sha256(text.encode()).hexdigest()[:16]
        for part, symbol, text in texts.select("part", "symbol", "text").iter_rows()
    }
