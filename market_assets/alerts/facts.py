"""What the store says of everything that can be wrong: facts of its tables, made troubles.

It reads and changes nothing. What makes a fact a trouble and how it is worded is in `absence`,
`judgement`, `streams` and `platform`; when it is looked for and who is told, in `watch`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.alerts.absence import (
    first_of_each,
    gap_troubles,
    missing_symbols,
    silent_actions,
    sources_down,
    stale,
)
from market_assets.alerts.judgement import calendar_doubts, disagreements, enrichment, failed_days
from market_assets.alerts.streams import stream_troubles, unsettled_keys
from market_assets.enrich.actions.actions import unheard
from market_assets.enrich.made import made_of_profile
from market_assets.expected.floors import floor_of
from market_assets.expected.scope import scope_of
from market_assets.market.calendars.bounds import LONGEST_CLOSURE
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Window, literal
from market_assets.reports.doubts import doubts_of
from market_assets.reports.gaps import whole_gaps
from market_assets.reports.streams import judged_streams
from market_assets.store.database import aware, newest_opens
from market_assets.store.tables.streams import StreamState
from market_assets.verdicts.evidence import EXPLAINED, MISSING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from market_assets.alerts.troubles import Key, Trouble
    from market_assets.config.services import AlertSettings
    from market_assets.config.universe import Profile, Universe
    from market_assets.expected.scope import Scope
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.store import Snapshot

_DAY = timedelta(days=1)

_NOTICEABLE = timedelta(hours=1)
"""How much of candles a symbol must lack, all of it, to count as missing and not as new."""

_SILENCE = timedelta(days=2)
"""After so long without an answer, a symbol's corporate actions are out of date.

They are asked for every day.
"""


@dataclass(frozen=True)
class _Ledgers:
    """What is read once for all profiles.

    Attributes:
        gaps: The rows of the ledger of absences that are missing.
        bare: The symbols without a stored bar.
        fills: The last fill of each of the last days.
        derivations: The newest job of each dataset that is made of candles.
        begun: When the first job of each profile began.
        apart: Where two sources disagree; None where none are compared.
        streams: How the streams are that are of interest.
    """

    gaps: pl.DataFrame
    bare: pl.DataFrame
    fills: pl.DataFrame
    derivations: pl.DataFrame
    begun: Mapping[str, datetime]
    apart: pl.DataFrame | None
    streams: pl.DataFrame

    @classmethod
    def of(
        cls,
        view: Snapshot,
        universe: Universe,
        now: datetime,
        gaps: pl.DataFrame | None,
        streams: pl.DataFrame | None,
    ) -> _Ledgers:
        is_compared = any(profile.compares for profile in universe.profiles.values())
        return cls(
            gaps=view.gaps.with_status(MISSING) if gaps is None else gaps,
            bare=view.completeness.symbols_without_bars(),
            fills=view.jobs.last_fills(now - (universe.alerts.failed_days + 10) * _DAY),
            derivations=view.jobs.last_derivations(),
            begun=view.jobs.first(),
            apart=view.agreement.disagreements() if is_compared else None,
            streams=streams_of_interest(view, universe, now) if streams is None else streams,
        )

    def is_older(self, profile: Profile, age: timedelta, now: datetime) -> bool:
        """Whether the first job of a profile began so long ago."""
        first = self.begun.get(profile.name)
        return first is not None and now - first >= age


def streams_of_interest(view: Snapshot, universe: Universe, now: datetime) -> pl.DataFrame:
    """How the streams of all profiles are: what `reports.streams.judged_streams` gives."""
    return judged_streams(view.streams.all(), universe.profiles.values(), now)


def store_troubles(
    view: Snapshot,
    universe: Universe,
    now: datetime,
    gaps: pl.DataFrame | None = None,
    streams: pl.DataFrame | None = None,
) -> list[Trouble]:
    """The troubles that the store knows of, of all that the universe still keeps.

    Args:
        view: The store.
        universe: What is kept.
        now: The present instant.
        gaps: The rows of the ledger of absences that are missing, where they were read already.
        streams: What `streams_of_interest` gives, likewise.
    """
    troubles = []
    ledgers = _Ledgers.of(view, universe, now, gaps, streams)
    for profile in universe.profiles.values():
        doubted = doubts_of(view, profile)
        for timeframe in profile.timeframes.fetch:
            scope = scope_of(profile, timeframe, now)
            troubles += calendar_doubts(scope.dataset, doubted.get(timeframe, ()))
            troubles += _of_candles(ledgers, scope, universe.alerts)
            troubles += _of_streams(view, ledgers.streams, scope)
            # Until this time is over, a new profile lacks its newest session like any other.
            if ledgers.is_older(profile, universe.alerts.stale_after, now):
                troubles += _stale(view, scope, universe.alerts.stale_after)
        if profile.has_actions and ledgers.is_older(profile, _SILENCE, now):
            answers = view.actions.answers(profile.name)
            troubles += silent_actions(profile.name, unheard(answers, profile, now - _SILENCE))
        troubles += _of_profile(ledgers, profile, now)
    return troubles


def _of_candles(ledgers: _Ledgers, scope: Scope, settings: AlertSettings) -> list[Trouble]:
    """What is wrong with fetched candles: gaps, symbols, sources that disagree, fills."""
    profile, dataset = scope.profile, scope.dataset
    troubles = []
    is_concerned = _named(dataset) & pl.col("symbol").is_in(list(profile.symbols))
    rows = ledgers.gaps.filter(is_concerned)
    if scope.floor:
        rows = rows.filter(pl.col("first_ts") >= literal(scope.window.start))
    if not rows.is_empty():
        whole = whole_gaps(rows, scope, alike=("symbol", "status"))
        troubles += gap_troubles(dataset, whole, settings, scope.now)

    bare = ledgers.bare.filter(is_concerned).select("symbol", "expected")
    expected = dict(bare.iter_rows())
    length = scope.timeframe.duration
    empty = [symbol for symbol, bars in expected.items() if bars * length >= _NOTICEABLE]
    reasons = {row["symbol"]: row["reason"] for row in first_of_each(rows)}
    words = {symbol: reasons.get(symbol, "") for symbol in empty}
    troubles += missing_symbols(dataset, words)

    if ledgers.apart is not None and profile.compares:
        apart = ledgers.apart.filter(is_concerned)
        present = apart.join(_pairs(profile), on=["symbol", "other"], how="semi")
        troubles += disagreements(dataset, present)

    fills = ledgers.fills.filter(_named(dataset))
    days = dict(fills.select("day", "status").iter_rows())
    today = scope.now.astimezone(UTC).date()
    return troubles + failed_days(dataset, days, settings, today)


def unsettled_streams(streams: pl.DataFrame, universe: Universe, now: datetime) -> set[Key]:
    """The troubles of streams of which nothing can be said yet.

    Args:
        streams: What `streams_of_interest` gives.
        universe: What is kept.
        now: The present instant.
    """
    keys: set[Key] = set()
    if streams.is_empty():
        return keys
    for profile in universe.profiles.values():
        for timeframe in profile.timeframes.fetch:
            dataset = profile.candles(timeframe)
            rows = streams.filter(_named(dataset))
            keys |= unsettled_keys(dataset, rows, now, is_wanted=profile.stream.enabled)
    return keys


def _of_streams(view: Snapshot, streams: pl.DataFrame, scope: Scope) -> list[Trouble]:
    """What is wrong with the stream of fetched candles."""
    profile, dataset = scope.profile, scope.dataset
    rows = streams.filter(_named(dataset))
    if rows.is_empty():
        return []
    silent = rows.filter(pl.col("state") == StreamState.SILENT)
    newest: dict[str, datetime] = {}
    if not silent.is_empty() and view.candles.has(dataset):
        since = aware(silent.select(pl.coalesce("last_bar_at", "since")).min().item())
        opens = view.candles.opens(dataset, silent["symbol"].to_list(), Window(since, scope.now))
        newest = newest_opens(opens)
    return stream_troubles(dataset, rows, newest, profile.stream.silent_bars, scope.now)


def _of_profile(ledgers: _Ledgers, profile: Profile, now: datetime) -> list[Trouble]:
    """What is wrong with a profile as a whole: its sources, and what is made of its candles."""
    is_concerned = pl.col("profile") == profile.name
    asked = {choice.source for symbol in profile.symbols.values() for choice in symbol.choices}
    opened = ledgers.gaps.filter(is_concerned, pl.col("symbol").is_in(list(profile.symbols)))
    troubles = sources_down(profile.name, opened, asked, len(profile.symbols), now)
    newest = ledgers.derivations.filter(is_concerned, pl.col("asset").is_in(_made(profile)))
    for _, asset, status, when, failures, faults in newest.iter_rows():
        dataset = Dataset.named(profile.name, asset)
        cadence = profile.partitions.of(dataset.timeframe)
        why = json.loads(failures) or json.loads(faults)
        troubles += enrichment(dataset, status, when, why, cadence=cadence)
    return troubles


def never_filled(view: Snapshot, scope: Scope) -> list[str]:
    """The keys of the partitions that must have a bar and were never judged, oldest first.

    Only those that have ended.
    """
    dataset = scope.dataset
    scope = scope.since(view.genesis.of(dataset)).without(view.gaps.dead_symbols(dataset))
    judged = view.partitions.keys(dataset)
    return [
        partition.key
        for partition in scope.partitions(scope.window)
        if partition.window.end <= scope.now and partition.key not in judged
    ]


def is_unmade(
    view: Snapshot,
    universe: Universe,
    materialized: Mapping[Dataset, Collection[str]],
    now: datetime,
) -> bool:
    """Whether something is still to be made again of candles that are stored.

    Args:
        view: The store.
        universe: What is kept.
        now: The present instant: below a floor nothing is made.
        materialized: The partitions that somebody remembers as filled or made, by dataset.
    """
    for profile in universe.profiles.values():
        unknown = {
            made: set(materialized.get(made.dataset, ())) - view.partitions.keys(made.dataset)
            for made in made_of_profile(profile)
        }
        if not any(unknown.values()):
            continue
        filled = {
            day
            for timeframe in profile.timeframes.fetch
            for day in _filled(view, profile, profile.candles(timeframe))
        }
        for made, keys in unknown.items():
            start = floor_of(profile, made.dataset, now).start
            least = "" if start is None else start.date().isoformat()
            if any(key >= least and _days(key, made.cadence) & filled for key in keys):
                return True
    return False


def _filled(view: Snapshot, profile: Profile, dataset: Dataset) -> set[date]:
    """The days whose partition of fetched candles holds a bar."""
    standing = view.partitions.standing(dataset).filter(pl.col("stored") > 0)
    cadence = profile.partitions.of(dataset.timeframe)
    return {day for key in standing["partition"] for day in _days(key, cadence)}


def _days(key: str, cadence: Cadence) -> set[date]:
    """The days of a partition."""
    window = Partition.of_key(key, cadence).window
    count = (window.end - window.start).days
    return {window.start.date() + timedelta(days=place) for place in range(count)}


def absences_by_day(gaps: pl.DataFrame) -> dict[tuple[str, date], set[str]]:
    """By profile and day, the symbols that lack a bar of it.

    Args:
        gaps: profile, symbol, first_ts, last_ts; a row may reach over a month, where partitions are
            that long.
    """
    days = gaps.select(
        "profile",
        "symbol",
        pl.date_ranges(pl.col("first_ts").dt.date(), pl.col("last_ts").dt.date()).alias("day"),
    ).explode("day")
    absences: dict[tuple[str, date], set[str]] = {}
    for profile, symbol, day in days.unique().iter_rows():
        absences.setdefault((profile, day), set()).add(symbol)
    return absences


def _pairs(profile: Profile) -> pl.DataFrame:
    """The symbols of a profile with each of their sources: symbol, other."""
    pairs = [
        (symbol.name, choice.source)
        for symbol in profile.symbols.values()
        for choice in symbol.choices
    ]
    return pl.DataFrame(pairs, schema={"symbol": pl.String, "other": pl.String}, orient="row")


def _stale(view: Snapshot, scope: Scope, grace: timedelta) -> list[Trouble]:
    """Who has no bar of the newest session that has been over for some time."""
    dataset, latest = scope.dataset, scope.now - grace
    if scope.window.end < scope.now:
        return []
    session = _newest_session(scope.calendar, Window(latest - LONGEST_CLOSURE, latest))
    if session is None:
        return []
    day, hours = session
    bars = scope.calendar.bars_touching(scope.timeframe, hours)
    bars = bars.filter(pl.col("closes_at") <= literal(latest), ~pl.col("halted")).select("ts")
    if bars.is_empty():
        return []
    span = Window.holding(bars["ts"])
    since = scope.since(view.genesis.of(dataset))
    due = {series.symbol: series.window for series in since.series}
    wanted = {symbol: bars.filter(window.holds()) for symbol, window in due.items()}
    wanted = {symbol: rows for symbol, rows in wanted.items() if not rows.is_empty()}
    have = view.candles.count(dataset, list(wanted), span) if view.candles.has(dataset) else {}
    without = [symbol for symbol in wanted if symbol not in have]
    if not without:
        return []
    # The ledger's rows begin where their partition does, at the earliest.
    around = Window(span.start - LONGEST_CLOSURE, span.end)
    explanations = view.gaps.of(dataset, symbols=without, window=around).filter(
        pl.col("status").is_in(EXPLAINED), pl.col("last_ts") >= literal(span.start)
    )
    silent = [symbol for symbol in without if not _explained(symbol, wanted[symbol], explanations)]
    return stale(dataset, day, silent)


def _newest_session(calendar: SessionCalendar, window: Window) -> tuple[date, Window] | None:
    """The last session of a calendar that closed inside a window; None where none did.

    Returns:
        The session's date, and its hours from its first open to its last close.
    """
    spans = calendar.spans(window)
    sessions = spans.group_by("session").agg(pl.min("open"), pl.max("close"))
    sessions = sessions.filter(pl.col("close") <= literal(window.end)).sort("session").tail(1)
    for day, opened, closed in sessions.select("session", "open", "close").iter_rows():
        return day, Window(opened.replace(tzinfo=UTC), closed.replace(tzinfo=UTC))
    return None


def _explained(symbol: str, bars: pl.DataFrame, explanations: pl.DataFrame) -> bool:
    """True when every one of some bars lies in a row of the ledger."""
    rows = explanations.filter(pl.col("symbol") == symbol).select("first_ts", "last_ts").iter_rows()
    open_ = pl.lit(value=True)
    for first, last in rows:
        open_ &= ~pl.col("ts").is_between(first, last)
    return bars.filter(open_).is_empty()


def _made(profile: Profile) -> list[str]:
    """The names of the datasets that are made of candles."""
    return [made.dataset.name for made in made_of_profile(profile)]


def _named(dataset: Dataset) -> pl.Expr:
    """Which rows of a ledger are about a dataset."""
    return (pl.col("profile") == dataset.owner) & (pl.col("timeframe") == dataset.label)
