"""Troubles of what was judged or made: checks, partitions, fills, derivations, calendars. Pure.

The judgement itself is made in `market_assets/verdicts` and by the jobs. What is merely absent is
in `absence`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from market_assets.alerts.phrases import of_symbols
from market_assets.alerts.troubles import (
    LINES,
    WIDTH,
    Kind,
    Level,
    Trouble,
    partition_places,
    symbols_in,
)
from market_assets.market.instants import to_minute
from market_assets.market.partitions import Cadence
from market_assets.words import many

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import polars as pl

    from market_assets.config.services import AlertSettings
    from market_assets.market.datasets import Dataset
    from market_assets.verdicts.doubt import Doubt


def failed_partitions(
    profile: str,
    asset: str,
    partitions: Collection[str],
    cadence: Cadence = Cadence.DAY,
    *,
    derived: bool = False,
) -> list[Trouble]:
    """The partitions of an asset that Dagster shows in red."""
    if not partitions:
        return []
    summary = f"{many(len(partitions), 'partition')} failed"
    newest = tuple(sorted(partitions, reverse=True)[:LINES])
    return [
        Trouble(
            profile,
            Kind.FAILED_PARTITIONS,
            asset,
            Level.ERROR,
            summary,
            len(partitions),
            newest,
            places=partition_places(partitions, cadence),
            derived=derived,
        )
    ]


def failed_checks(
    profile: str,
    asset: str,
    check: str,
    partitions: Mapping[str, str],
    cadence: Cadence = Cadence.DAY,
    *,
    derived: bool = False,
) -> list[Trouble]:
    """The trouble of a check that fails with the severity ERROR; empty where it fails nowhere.

    `partitions` has what the check says, by partition. The key of a whole asset is the empty
    string.
    """
    if not partitions:
        return []
    whole = partitions.keys() == {""}
    summary = f"the check {check} fails" + (
        "" if whole else f" in {many(len(partitions), 'partition')}"
    )
    newest = tuple(
        (f"{key}: " * (not whole) + partitions[key])[:WIDTH]
        for key in sorted(partitions, reverse=True)[:LINES]
    )
    subject = f"{asset} {check}"
    return [
        Trouble(
            profile,
            Kind.FAILED_CHECK,
            subject,
            Level.ERROR,
            summary,
            len(partitions),
            newest,
            places=partition_places(partitions, cadence),
            derived=derived,
        )
    ]


def disagreements(dataset: Dataset, rows: pl.DataFrame) -> list[Trouble]:
    """Partitions on which two sources disagree.

    Args:
        dataset: Fetched candles.
        rows: partition, symbol, source, other, words; newest first.
    """
    if rows.is_empty():
        return []
    symbols = symbols_in(rows)
    partitions = rows.select("partition", "symbol").n_unique()
    summary = (
        f"sources disagree on {of_symbols(symbols)} in {many(partitions, 'partition')} of a symbol"
    )
    lines = tuple(
        f"{row['symbol']} {row['partition']}, {row['source']} and {row['other']}: {row['words']}"[
            :WIDTH
        ]
        for row in rows.head(LINES).iter_rows(named=True)
    )
    return [
        Trouble(
            dataset.owner,
            Kind.DISAGREEMENT,
            dataset.name,
            Level.WARNING,
            summary,
            partitions,
            lines,
            symbols,
        )
    ]


def calendar_doubts(dataset: Dataset, doubts: Sequence[Doubt]) -> list[Trouble]:
    """Why a calendar may be wrong: a trouble for each sort of evidence."""
    by_sort: dict[str, list[Doubt]] = {}
    for doubt in doubts:
        by_sort.setdefault(doubt.sort.value, []).append(doubt)
    return [
        Trouble(
            dataset.owner,
            Kind.CALENDAR,
            f"{dataset.name} {sort}",
            Level.WARNING,
            f"the calendar may be wrong: {evidence[0].words}"[:WIDTH],
            len({day for doubt in evidence for day in doubt.days}),
            tuple(f"{of_symbols(doubt.symbols)}: {doubt.words}"[:WIDTH] for doubt in evidence)[
                :LINES
            ],
            tuple(sorted({symbol for doubt in evidence for symbol in doubt.symbols})),
        )
        for sort, evidence in by_sort.items()
    ]


def failed_days(
    dataset: Dataset,
    days: Mapping[date, str],
    settings: AlertSettings,
    today: date,
) -> list[Trouble]:
    """A fill whose last job of the day has failed day after day, up to today or yesterday.

    Args:
        dataset: Fetched candles.
        days: How the last job of each UTC day ended: SUCCEEDED, INCOMPLETE or FAILED.
        settings: How many days in a row make a trouble.
        today: The present UTC day.
    """
    last = today if today in days else today - timedelta(days=1)
    failed: list[date] = []
    while days.get(day := last - timedelta(days=len(failed)), "SUCCEEDED") != "SUCCEEDED":
        failed.append(day)
    if len(failed) < settings.failed_days:
        return []
    summary = f"the last fill of the day has failed on {settings.failed_days} days in a row or more"
    # Of as many days as it takes, so that the words stay as they are while it goes on.
    lines = tuple(f"{day}: {days[day]}" for day in failed[:LINES])
    return [
        Trouble(
            dataset.owner,
            Kind.FAILED_DAYS,
            dataset.name,
            Level.ERROR,
            summary,
            settings.failed_days,
            lines,
        )
    ]


def enrichment(
    dataset: Dataset,
    status: str,
    when: datetime,
    failures: Mapping[str, Sequence[str]],
    *,
    cadence: Cadence = Cadence.DAY,
) -> list[Trouble]:
    """The newest making of something that is made of candles that did not succeed.

    Args:
        dataset: What is made: derived candles, features or returns.
        status: How the newest job that has ended did so.
        when: When that job began (UTC).
        failures: Why, by partition; of one that succeeded what could not be made all the same, such
            as a feature of a symbol.
        cadence: How long a partition is.
    """
    whats = {"FAILED": "failed", "INCOMPLETE": "left partitions out"}
    if status not in whats and not failures:
        return []
    what = whats.get(status, "could not make a part of it")
    reasons = [
        f"{partition}: {why}"[:WIDTH] for partition, whys in failures.items() for why in whys
    ]
    lines = (f"it began {to_minute(when)}", *reasons[: LINES - 1])
    return [
        Trouble(
            dataset.owner,
            Kind.ENRICHMENT,
            dataset.name,
            Level.ERROR,
            f"the newest derivation {what}",
            1,
            lines,
            # One that broke off may have any reason.
            places=partition_places(failures, cadence) if status == "INCOMPLETE" else frozenset(),
            derived=True,
        )
    ]
