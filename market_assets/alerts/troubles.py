"""What is wrong now: facts in, the list of present troubles out. Pure.

Where the facts come from is in `watch`, and what a message says of a trouble in `message`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from market_assets.market.datasets import Family
from market_assets.market.instants import to_minute
from market_assets.market.partitions import Cadence, Partition
from market_assets.market.timeframes import Timeframe, literal
from market_assets.up.backoff import QUIET
from market_assets.words import many

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from market_assets.config.settings import AlertSettings
    from market_assets.store import StoreMark
    from market_assets.up.state import State
    from market_assets.verdicts.doubt import Doubt

Key = tuple[str, str, str]
"""What tells one trouble from another: profile (empty for what concerns none), kind, subject."""

LINES = 10
"""How many lines of detail a trouble has at most; its count says how many there would be."""

CONSEQUENCES = "consequences, "
"""How the lines of detail begin that name what follows from a trouble."""

_WIDTH = 240
"""How many characters of another program's text one line has at most."""

_UNREACHABLE = "DagsterUserCodeUnreachableError"
"""What Dagster reports of a sensor or daemon that looks for a code server during its restart."""

_LATELY = timedelta(hours=2)
"""A source that failed longer ago was not asked since, or has answered."""

_LASTING = timedelta(minutes=10)
"""A source that fails for less is only slow: the next update asks again."""

_LATE = 3
"""How many intervals without a sign of life, and a minute, make a sensor dead."""


class Level(StrEnum):
    """How bad a trouble is."""

    WARNING = "WARNING"
    ERROR = "ERROR"


class Kind(StrEnum):
    """What sort of trouble it is."""

    GAP = "gap"
    ABANDONED = "abandoned"
    MISSING_SYMBOL = "missing_symbol"
    FAILED_CHECK = "failed_check"
    DISAGREEMENT = "disagreement"
    FAILED_PARTITIONS = "failed_partitions"
    FAILED_DAYS = "failed_days"
    ENRICHMENT = "enrichment"
    STALE = "stale"
    DEAD = "dead"
    CHANNEL = "channel"
    STORE = "store"
    STORE_CHANGED = "store_changed"
    VANISHED = "vanished"
    BACKLOG = "backlog"
    SOURCE_DOWN = "source_down"
    RESTART = "restart"
    UNIVERSE = "universe"
    CALENDAR = "calendar"


class Place(NamedTuple):
    """Days of a symbol that a trouble is about, from the first to the last, both included.

    An empty symbol is not known.
    """

    symbol: str
    first: date
    last: date


ALWAYS = (date.min, date.max)
"""All days, of a trouble that is not about some of them."""


@dataclass(frozen=True)
class Trouble:
    """A condition that somebody must know of.

    Its words and numbers stay the same while nothing happens: they contain no ages.

    Attributes:
        profile: The profile's name; empty where it concerns none.
        kind: What sort of trouble.
        subject: What it is about: an asset, a symbol, a sensor, a channel.
        level: How bad it is.
        summary: One sentence without a full stop: what is so.
        count: How many things it is about.
        details: The first LINES of these, worst or newest first.
        symbols: The symbols concerned, where it is about symbols: when the universe has none of
            them any more, it ends unsaid.
        places: Which days of which symbols, all of them, so that its cause can be found; not told.
        derived: It is about something that is made of candles.
    """

    profile: str
    kind: Kind
    subject: str
    level: Level
    summary: str
    count: int
    details: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    places: frozenset[Place] = frozenset()
    derived: bool = False

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.profile, self.kind.value, self.subject


@dataclass(frozen=True)
class Life:
    """The last sign of life of something that should run: a sensor, a schedule or a daemon.

    Attributes:
        name: What it is, such as "sensor repair_crypto" or "daemon SCHEDULER".
        every: How often it should be heard of.
        seen: When it was heard of last; None if it never was.
        error: What went wrong then; empty if nothing did.
        stopped: Somebody has switched it off on purpose.
    """

    name: str
    every: timedelta
    seen: datetime | None
    error: str = ""
    stopped: bool = False


def asset_name(timeframe: Timeframe) -> str:
    """The subject of a trouble with a timeframe: its asset's and its table's name."""
    return Family.CANDLES.name_of(timeframe)


def gap_troubles(
    profile: str, timeframe: Timeframe, gaps: pl.DataFrame, settings: AlertSettings, now: datetime
) -> list[Trouble]:
    """Open gaps that are long, or open for long, and gaps that were given up.

    Args:
        profile: The profile's name.
        timeframe: The candles' timeframe.
        gaps: symbol, first_ts, last_ts (opens), bars, status, reason, first_seen; whole ones, not
            cut at partitions.
        settings: From when on a gap is worth a word.
        now: The present instant.
    """
    troubles = []
    opened = gaps.filter(pl.col("status") == "open").with_columns(
        weight=pl.max_horizontal(
            pl.col("last_ts") - pl.col("first_ts") + timeframe.duration,
            literal(now) - pl.col("first_seen"),
        )
    )
    heavy = opened.filter(pl.col("weight") >= min(settings.gap_warning, settings.gap_error))
    if not heavy.is_empty():
        errors = heavy.filter(pl.col("weight") >= settings.gap_error).height
        bars, symbols = int(heavy["bars"].sum()), _symbols(heavy)
        summary = f"{many(heavy.height, 'gap')} in {of_symbols(symbols)}, {bars:,} bars missing"
        troubles.append(
            Trouble(
                profile,
                Kind.GAP,
                asset_name(timeframe),
                Level.ERROR if errors else Level.WARNING,
                summary,
                heavy.height,
                _gap_lines(heavy.sort("weight", "symbol", descending=[True, False])),
                symbols,
                _gap_places(heavy),
            )
        )
    given_up = gaps.filter(pl.col("status") == "abandoned")
    if not given_up.is_empty():
        bars, symbols = int(given_up["bars"].sum()), _symbols(given_up)
        summary = (
            f"{many(given_up.height, 'gap')} in {of_symbols(symbols)} given up, "
            f"{bars:,} bars missing for good"
        )
        newest = given_up.sort("last_ts", "symbol", descending=[True, False])
        lines = _gap_lines(newest)
        troubles.append(
            Trouble(
                profile,
                Kind.ABANDONED,
                asset_name(timeframe),
                Level.WARNING,
                summary,
                given_up.height,
                lines,
                symbols,
                _gap_places(given_up),
            )
        )
    return troubles


def sources_down(
    profile: str, gaps: pl.DataFrame, sources: Collection[str], symbols: int, now: datetime
) -> list[Trouble]:
    """Sources that have failed for most symbols of a profile when these were asked for last.

    Args:
        profile: The profile's name.
        gaps: Its open gaps: symbol, first_ts, last_ts, reason, failures, confirmed_at, asked_at,
            first_seen.
        sources: Their names.
        symbols: How many symbols the profile has.
        now: The present instant.
    """
    lately = gaps.filter(
        pl.col("asked_at") >= literal(now - _LATELY),
        pl.col("failures") > 0,
        pl.col("asked_at").ne_missing(pl.col("confirmed_at")),
    )
    troubles = []
    for source in sorted(sources) if not lately.is_empty() else ():
        # As every error of a source begins; an answer without a bar begins otherwise.
        failed = lately.filter(pl.col("reason").str.contains(f"source {source}: ", literal=True))
        names = _symbols(failed)
        lasting = failed.filter(pl.col("first_seen") <= literal(now - _LASTING))
        if lasting.is_empty() or len(names) < max(2, symbols / 2):
            continue
        # Not the newest words: each names another page.
        lines = tuple(f"{row['symbol']}: {row['reason']}"[:_WIDTH] for row in first_of_each(failed))
        troubles.append(
            Trouble(
                profile,
                Kind.SOURCE_DOWN,
                source,
                Level.ERROR,
                f"{source} fails for {of_symbols(names)}",
                len(names),
                lines[:LINES],
                names,
                _gap_places(failed),
            )
        )
    return troubles


def first_of_each(gaps: pl.DataFrame) -> Iterable[dict[str, Any]]:
    """The oldest gap of each symbol: its words stay as they are while the newest change."""
    return (
        gaps.sort("symbol", "first_ts")
        .unique("symbol", keep="first", maintain_order=True)
        .iter_rows(named=True)
    )


def _gap_places(gaps: pl.DataFrame) -> frozenset[Place]:
    days = gaps.select("symbol", pl.col("first_ts").dt.date(), pl.col("last_ts").dt.date())
    return frozenset(Place(*row) for row in days.unique().iter_rows())


def partition_places(partitions: Iterable[str], cadence: Cadence) -> frozenset[Place]:
    """The days of partitions; what is no partition's key is left out."""
    places = set()
    for key in partitions:
        try:
            window = Partition.of_key(key, cadence).window
        except ValueError:
            continue
        places.add(Place("", window.start.date(), window.end.date() - timedelta(days=1)))
    return frozenset(places)


def store_changed(was: StoreMark, present: StoreMark) -> Trouble:
    """The store is another one than it was, or an older copy of it."""
    before = (
        f"{was.commits:,} commits, the last at {to_minute(was.committed_at)}"
        if was.committed_at
        else "no commit"
    )
    after = (
        f"{present.commits:,} commits, the last at {to_minute(present.committed_at)}"
        if present.committed_at
        else "nothing"
    )
    if present.store_id == was.store_id:
        summary = "the store is an older copy of itself: what was filled since is not in it"
    else:
        summary = "the store was deleted or replaced: what was filled before is not in it"
    details = (
        f"before: {before} (store {was.store_id[:8]})",
        f"now: {after} (store {present.store_id[:8]})",
    )
    return Trouble("", Kind.STORE_CHANGED, "market.duckdb", Level.ERROR, summary, 1, details)


def vanished(
    profile: str, timeframe: Timeframe, partitions: Mapping[str, str], cadence: Cadence
) -> list[Trouble]:
    """Partitions that were filled, and of which candles are not there any more.

    Args:
        profile: The profile's name.
        timeframe: A fetched timeframe.
        partitions: What is so, by partition.
        cadence: How long a partition is.
    """
    if not partitions:
        return []
    summary = (
        f"candles of {many(len(partitions), 'partition')} were stored and are not there any more"
    )
    newest = sorted(partitions, reverse=True)[:LINES]
    lines = tuple(f"{key}: {partitions[key]}"[:_WIDTH] for key in newest)
    places = partition_places(partitions, cadence)
    return [
        Trouble(
            profile,
            Kind.VANISHED,
            asset_name(timeframe),
            Level.ERROR,
            summary,
            len(partitions),
            lines,
            (),
            places,
        )
    ]


def backlog(profile: str, timeframe: Timeframe, partitions: Sequence[str]) -> list[Trouble]:
    """Partitions that were never filled, and do not become fewer: oldest first."""
    if not partitions:
        return []
    summary = (
        f"{many(len(partitions), 'partition')} were never filled, and they do not become fewer"
    )
    lines = (f"from {partitions[0]} to {partitions[-1]}",)
    return [
        Trouble(
            profile,
            Kind.BACKLOG,
            asset_name(timeframe),
            Level.WARNING,
            summary,
            len(partitions),
            lines,
        )
    ]


def calendar_doubts(profile: str, timeframe: Timeframe, doubts: Sequence[Doubt]) -> list[Trouble]:
    """Why a calendar may be wrong: a trouble for each sort of evidence."""
    by_sort: dict[str, list[Doubt]] = {}
    for doubt in doubts:
        by_sort.setdefault(doubt.sort.value, []).append(doubt)
    return [
        Trouble(
            profile,
            Kind.CALENDAR,
            f"{asset_name(timeframe)} {sort}",
            Level.WARNING,
            f"the calendar may be wrong: {evidence[0].words}"[:_WIDTH],
            len({day for doubt in evidence for day in doubt.days}),
            tuple(f"{of_symbols(doubt.symbols)}: {doubt.words}"[:_WIDTH] for doubt in evidence)[
                :LINES
            ],
            tuple(sorted({symbol for doubt in evidence for symbol in doubt.symbols})),
        )
        for sort, evidence in by_sort.items()
    ]


def _gap_lines(gaps: pl.DataFrame) -> tuple[str, ...]:
    return tuple(
        f"{row['symbol']} {_span(row['first_ts'], row['last_ts'])}, {many(row['bars'], 'bar')}: "
        f"{row['reason']}"[:_WIDTH]
        for row in gaps.head(LINES).iter_rows(named=True)
    )


def missing_symbols(profile: str, timeframe: Timeframe, empty: Mapping[str, str]) -> list[Trouble]:
    """Symbols of which not one bar is stored though sources have answered.

    Args:
        profile: The profile's name.
        timeframe: A fetched timeframe.
        empty: These symbols, each with the reason of its oldest gap: what a source said. How many
            bars they lack is not said: it would be other words each minute.
    """
    return [
        Trouble(
            profile,
            Kind.MISSING_SYMBOL,
            f"{symbol} {asset_name(timeframe)}",
            Level.ERROR,
            f"not one bar of {symbol} is stored, and its sources have none or refuse it",
            1,
            (reason[:_WIDTH],) if reason else (),
            symbols=(symbol,),
            places=frozenset({Place(symbol, *ALWAYS)}),
        )
        for symbol, reason in sorted(empty.items())
    ]


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
        (f"{key}: " * (not whole) + partitions[key])[:_WIDTH]
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


def disagreements(profile: str, timeframe: Timeframe, rows: pl.DataFrame) -> list[Trouble]:
    """Partitions of which two sources do not tell the same.

    Args:
        profile: The profile's name.
        timeframe: A fetched timeframe.
        rows: partition, symbol, source, other, words; newest first.
    """
    if rows.is_empty():
        return []
    symbols = _symbols(rows)
    partitions = rows.select("partition", "symbol").n_unique()
    summary = (
        f"sources disagree on {of_symbols(symbols)} in {many(partitions, 'partition')} of a symbol"
    )
    lines = tuple(
        f"{row['symbol']} {row['partition']}, {row['source']} and {row['other']}: {row['words']}"[
            :_WIDTH
        ]
        for row in rows.head(LINES).iter_rows(named=True)
    )
    return [
        Trouble(
            profile,
            Kind.DISAGREEMENT,
            asset_name(timeframe),
            Level.WARNING,
            summary,
            partitions,
            lines,
            symbols,
        )
    ]


def failed_days(
    profile: str,
    timeframe: Timeframe,
    days: Mapping[date, str],
    settings: AlertSettings,
    today: date,
) -> list[Trouble]:
    """A fill whose last job of the day has failed day after day, up to today or yesterday.

    Args:
        profile: The profile's name.
        timeframe: A fetched timeframe.
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
            profile,
            Kind.FAILED_DAYS,
            asset_name(timeframe),
            Level.ERROR,
            summary,
            settings.failed_days,
            lines,
        )
    ]


def enrichment(
    profile: str,
    asset: str,
    status: str,
    when: datetime,
    failures: Mapping[str, Sequence[str]],
    *,
    cadence: Cadence = Cadence.DAY,
) -> list[Trouble]:
    """The newest making of something that is made of candles that did not succeed.

    Args:
        profile: The profile's name.
        asset: What is made: derived candles, features, returns of a timeframe.
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
        f"{partition}: {why}"[:_WIDTH] for partition, whys in failures.items() for why in whys
    ]
    lines = (f"it began {to_minute(when)}", *reasons[: LINES - 1])
    return [
        Trouble(
            profile,
            Kind.ENRICHMENT,
            asset,
            Level.ERROR,
            f"the newest derivation {what}",
            1,
            lines,
            # One that broke off may have any reason.
            places=partition_places(failures, cadence) if status == "INCOMPLETE" else frozenset(),
            derived=True,
        )
    ]


def silent_actions(profile: str, symbols: Sequence[str]) -> list[Trouble]:
    """The symbols of whose corporate actions no source has told for days."""
    if not symbols:
        return []
    ordered = tuple(sorted(symbols))
    summary = f"no source has told of the corporate actions of {of_symbols(ordered)} for days"
    lines = (f"unheard of: {', '.join(ordered[:20])}{_more(len(ordered) - 20)}",)
    return [
        Trouble(
            profile,
            Kind.STALE,
            "corporate_actions",
            Level.WARNING,
            summary,
            len(ordered),
            lines,
            ordered,
        )
    ]


def stale(
    profile: str, timeframe: Timeframe, session: date, symbols: Sequence[str]
) -> list[Trouble]:
    """The symbols without a bar of the newest session, though some are expected and not explained.

    Args:
        profile: The profile's name.
        timeframe: A fetched timeframe.
        session: The session's day.
        symbols: Those without a bar.
    """
    if not symbols:
        return []
    ordered = tuple(sorted(symbols))
    summary = (
        f"{of_symbols(ordered)} {'has' if len(ordered) == 1 else 'have'} no bar "
        f"of the session {session}, which is over"
    )
    lines = (f"without a bar: {', '.join(ordered[:20])}{_more(len(ordered) - 20)}",)
    return [
        Trouble(
            profile,
            Kind.STALE,
            asset_name(timeframe),
            Level.ERROR,
            summary,
            len(ordered),
            lines,
            ordered,
            frozenset(Place(symbol, session, session) for symbol in ordered),
        ),
    ]


def dead(lives: Iterable[Life], now: datetime, awake: datetime) -> list[Trouble]:
    """Sensors, schedules and daemons that should have been heard of, or whose last tick failed.

    Args:
        lives: What should run.
        now: The present instant.
        awake: Since when somebody looks: before that everything may have been off, and nothing
            follows from silence.
    """
    troubles = []
    for life in lives:
        if life.stopped:
            continue
        if now - max(life.seen or awake, awake) > _LATE * life.every + timedelta(minutes=1):
            summary = (
                f"was last heard of at {to_minute(life.seen)}"
                if life.seen
                else "has never been heard of"
            )
        elif life.error:
            summary = f"fails: {life.error[:_WIDTH]}"
        else:
            continue
        troubles.append(Trouble("", Kind.DEAD, life.name, Level.ERROR, summary, 1))
    return troubles


def platform_troubles(state: State, now: datetime) -> list[Trouble]:
    """Processes that `market-assets up` has started again, and a universe file that it refuses.

    Args:
        state: What the supervisor has left in the home folder.
        now: The present instant: a restart counts for ten minutes.
    """
    troubles = []
    for what in dict.fromkeys(restart.what for restart in state.restarts):
        restarts = [restart for restart in state.restarts if restart.what == what]
        if now - restarts[-1].at >= QUIET:
            continue
        lines = tuple(
            f"{to_minute(restart.at)}: {restart.why}"[:_WIDTH]
            for restart in restarts[: -LINES - 1 : -1]
        )
        summary = f"ended by itself and was started again; the newest reason: {restarts[-1].why}"
        troubles.append(Trouble("", Kind.RESTART, what, Level.ERROR, summary, len(restarts), lines))
    if state.faults:
        lines = tuple(fault[:_WIDTH] for fault in state.faults[:LINES])
        summary = f"{state.universe} has mistakes and is not taken over; the last good one goes on"
        troubles.append(
            Trouble(
                "", Kind.UNIVERSE, "universe file", Level.ERROR, summary, len(state.faults), lines
            )
        )
    return troubles


def is_replacing(trouble: Trouble, state: State, now: datetime) -> bool:
    """Whether a failure comes from a restart of the code server, which is reported already.

    Args:
        trouble: What is wrong.
        state: What the supervisor has left in the home folder.
        now: The present instant.
    """
    starts = [restart.at for restart in state.restarts]
    starts += [state.taken_over_at] if state.taken_over_at else []
    recent = any(now - at < QUIET for at in starts)
    return recent and trouble.kind is Kind.DEAD and _UNREACHABLE in trouble.summary


def of_symbols(symbols: Sequence[str]) -> str:
    """Symbols in words: the first few, and how many more."""
    return ", ".join(symbols[:3]) + _more(len(symbols) - 3)


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


def _span(first: Any, last: Any) -> str:  # noqa: ANN401 - what a frame's row holds
    return to_minute(first) if first == last else f"{to_minute(first)} to {to_minute(last)}"


def _symbols(frame: pl.DataFrame) -> tuple[str, ...]:
    return tuple(frame["symbol"].unique().sort())
