"""Asks sources for corporate actions, records what they say, and judges it by the candles."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.config.research import Basis
from market_assets.enrich.actions.adjust import STALE, adjustments
from market_assets.errors import CalendarError, SourceError, error_words, trace_words
from market_assets.expected.series import calendar_of, prepare
from market_assets.imports import late_imports
from market_assets.market.datasets import Dataset, Family
from market_assets.market.partitions import Partition
from market_assets.market.timeframes import Timeframe, Window, midnight
from market_assets.sources.actions import ACTION_SCHEMA, ActionKind
from market_assets.verdicts.actions import actions_match_prices
from market_assets.verdicts.evidence import believable

with late_imports():
    import asyncio

log = logging.getLogger("market_assets.enrich")

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime

    from market_assets.config.universe import Profile, Symbol
    from market_assets.sources.actions import ActionSource
    from market_assets.store import Store, Transaction
    from market_assets.verdicts.verdicts import Verdict

_TOGETHER = 50
"""How many symbols are asked for before a commit: a killed process loses no more than these."""

_DAY = timedelta(days=1)
_A_DAY = timedelta(hours=20)
"""An answer that is older is of yesterday, however long a run took."""

_AHEAD = timedelta(days=366)
"""How far ahead of the present actions are announced."""


@dataclass
class ActionsOutcome:
    """The result of asking for corporate actions.

    Attributes:
        answers: The source whose word counts now, by symbol that was answered.
        failures: Why there is no answer, by symbol; what was recorded of it before stays.
        new: Actions that were not there before.
        changed: Actions whose values changed.
        withdrawn: Actions that no source reports any more.
    """

    answers: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Sequence[str]] = field(default_factory=dict)
    new: int = 0
    changed: int = 0
    withdrawn: int = 0


def record_actions(
    store: Store,
    sources: Mapping[str, ActionSource],
    profile: Profile,
    *,
    clock: Callable[[], datetime],
    symbols: Sequence[str] | None = None,
) -> ActionsOutcome:
    """Ask the sources for the actions of a profile's symbols, and record what they say.

    A symbol's actions are those of the first of its sources that has any. What the same source or a
    more preferred one says later takes their place; what was said before stays on record as a
    revision. An answer without actions withdraws none.

    Args:
        store: Where they are recorded.
        sources: The profile's sources of actions, by name.
        profile: The profile; it has actions.
        clock: Gives the present instant.
        symbols: Only these; all by default.

    Raises:
        CalendarError: The market's sessions do not lie within a date, so that no ex-date can be
            placed.
    """
    now = clock()
    zone = _zone_of(profile)
    with store.writing(f"preparing the corporate actions of {profile.name}") as transaction:
        prepare(transaction, profile)
        transaction.actions.create(profile.name, profile.timeframes.kept, zone)
        recorded = dict(
            transaction.actions.answers(profile.name)
            .filter(pl.col("actions") > 0)
            .select("symbol", "source")
            .iter_rows()
        )
    chosen = [
        symbol for symbol in profile.symbols.values() if symbols is None or symbol.name in symbols
    ]
    return asyncio.run(
        _record(store, sources, profile, chosen, recorded=recorded, today=now.date())
    )


async def _record(
    store: Store,
    sources: Mapping[str, ActionSource],
    profile: Profile,
    symbols: Sequence[Symbol],
    *,
    recorded: Mapping[str, str],
    today: date,
) -> ActionsOutcome:
    outcome = ActionsOutcome()
    async with AsyncExitStack() as stack:
        for source in sources.values():
            await stack.enter_async_context(source)
        for at in range(0, len(symbols), _TOGETHER):
            batch = symbols[at : at + _TOGETHER]
            answers = await asyncio.gather(
                *(_ask(sources, symbol, recorded.get(symbol.name), today) for symbol in batch)
            )
            source_by_symbol = {}
            frames = [
                pl.DataFrame(schema={"symbol": pl.String, **ACTION_SCHEMA, "source": pl.String})
            ]
            for symbol, (source_name, actions, failures) in zip(batch, answers, strict=True):
                if source_name is None:
                    outcome.failures[symbol.name] = failures
                    continue
                source_by_symbol[symbol.name] = source_name
                frames.append(
                    actions.select(
                        pl.lit(symbol.name).alias("symbol"),
                        *ACTION_SCHEMA,
                        source=pl.lit(source_name),
                    )
                )
            with store.writing(f"recording corporate actions of {profile.name}") as transaction:
                merged = transaction.actions.put(profile.name, source_by_symbol, pl.concat(frames))
                if merged.since is not None:
                    _outdate(transaction, profile, merged.since)
            outcome.answers |= source_by_symbol
            outcome.new += merged.new
            outcome.changed += merged.changed
            outcome.withdrawn += merged.withdrawn
    return outcome


def _outdate(transaction: Transaction, profile: Profile, since: date) -> None:
    """Have what is made on adjusted prices made again from an ex-date on.

    `since` is the oldest ex-date whose actions have changed.
    """
    frames = profile.timeframes
    for family, basis, timeframes in (
        (Family.FEATURES, profile.basis_of(profile.features), frames.features),
        (Family.RETURNS, profile.basis_of(profile.returns), frames.returns),
    ):
        for timeframe in timeframes if basis is not Basis.RAW else ():
            first = Partition.holding(since, profile.partitions.of(timeframe))
            transaction.partitions.outdate(Dataset(profile.name, family, timeframe), first.key)
    # Its partitions are days or months.
    transaction.partitions.outdate_across(profile.name, f"{since.replace(day=1)}")


async def _ask(
    sources: Mapping[str, ActionSource], symbol: Symbol, recorded: str | None, today: date
) -> tuple[str | None, pl.DataFrame, list[str]]:
    """The source whose word counts and what it says; or no source, and why."""
    end = today + _AHEAD if symbol.end is None else symbol.end
    nothing = ACTION_SCHEMA.to_frame()
    failures: list[str] = []
    silent = None
    for choice in symbol.actions:
        try:
            actions = await sources[choice.source].actions(choice.symbol, symbol.start, end)
        except SourceError as error:
            failures.append(str(error))
        # Logged with its trace, and reported as the failure of its symbol.
        except Exception as error:  # noqa: BLE001
            about = f"source {choice.source}: {choice.symbol}"
            log.warning("%s: its actions cannot be used\n%s", about, trace_words(error))
            failures.append(f"{about}: its actions cannot be used ({error_words(error)})")
        else:
            if not actions.is_empty():
                return choice.source, actions, []
            silent = silent or choice.source
            if recorded == choice.source:
                failures.append(
                    f"source {choice.source}: {choice.symbol}: it knows of no action any more; "
                    "those that it told before are kept"
                )
        if recorded == choice.source:
            # A less preferred source does not take the place of what this one has said.
            return None, nothing, failures
    if silent is not None and recorded is None and not failures:
        return silent, nothing, []
    return (
        None,
        nothing,
        failures
        or [f"no source of {symbol.name} knows of an action any more; those recorded are kept"],
    )


def symbols_due(store: Store, profile: Profile, now: datetime) -> list[str]:
    """The symbols that trade and that no source has answered for within a day.

    Raises:
        StoreError: The store stayed busy, or cannot be read.
    """
    with store.reading(
        f"looking for what is due of the corporate actions of {profile.name}"
    ) as view:
        answers = believable(view.actions.answers(profile.name), now, "answered_at")
    return unheard(answers, profile, now - _A_DAY)


def unheard(answers: pl.DataFrame, profile: Profile, since: datetime) -> list[str]:
    """The symbols whose actions no source has reported since an instant.

    Of a symbol that has ended, since its end if that is earlier.

    Args:
        answers: symbol, answered_at: when each was answered for last.
        profile: The profile.
        since: The instant, aware.
    """
    last = {
        symbol: at.replace(tzinfo=UTC)
        for symbol, at in answers.select("symbol", "answered_at").iter_rows()
    }
    ends = {
        symbol.name: since if symbol.end is None else min(since, midnight(symbol.end) + _DAY)
        for symbol in profile.symbols.values()
    }
    return [name for name, end in ends.items() if name not in last or last[name] < end]


def judge_actions(store: Store, profile: Profile, now: datetime) -> tuple[pl.DataFrame, Verdict]:
    """The recorded actions of a profile, and whether the raw daily candles agree with them.

    Args:
        store: Holds both; actions were recorded before.
        profile: The profile.
        now: The present instant.

    Returns:
        The actions that hold (the columns of the table), and the verdict.
    """
    with store.reading(f"judging the corporate actions of {profile.name}") as view:
        actions = (
            view.actions.of(profile.name)
            .filter(pl.col("replaced_at").is_null())
            .drop("replaced_at")
        )
        answered_symbols = set(view.actions.answers(profile.name)["symbol"])
        window = Window(midnight(profile.start), max(midnight(profile.start), now))
        candles = view.candles.of(profile.candles(Timeframe.D1), list(profile.symbols), window)
    actions = actions.filter(pl.col("symbol").is_in(list(profile.symbols)))
    days = candles.select("symbol", "open", "close", session=pl.col("ts").dt.date())
    factors = adjustments(actions, days.select("symbol", "session", "close"), as_of=now.date())
    first = days.group_by("symbol").agg(first=pl.min("session"))
    # The newest without a factor is the one that cannot be measured; what lies before the first
    # candle adjusts nothing.
    unmeasured = (
        factors.join(first, on="symbol")
        .filter(pl.col("price_factor").is_null(), pl.col("ex_date") > pl.col("first"))
        .group_by("symbol")
        .agg(pl.max("ex_date"))
    )
    unmeasured = pl.concat([unmeasured, _measured_long_before(actions, days)]).unique(
        "symbol", keep="first"
    )
    sessions = calendar_of(profile).bars(Timeframe.D1, window)["session"]
    untold = [name for name in profile.symbols if name not in answered_symbols]
    return actions, actions_match_prices(
        actions, days, sessions, untold=untold, unmeasured=unmeasured
    )


def _measured_long_before(actions: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """The newest dividend of each symbol whose last close is more than two weeks older.

    The share was suspended, and the factor is right; or candles are missing, and it is not.

    The share was suspended, and the factor is right; or candles are missing, and it is not.

    Returns:
        symbol, ex_date.
    """
    paid = (
        actions.filter(pl.col("kind") == ActionKind.DIVIDEND)
        .select("symbol", "ex_date")
        .sort("ex_date")
    )
    closes = days.select("symbol", "session").sort("session")
    placed = paid.join_asof(
        closes,
        left_on="ex_date",
        right_on="session",
        by="symbol",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    # Before the newest candle: what a day to come measures is not known yet.
    reached = placed.join(closes.group_by("symbol").agg(last=pl.max("session")), on="symbol")
    late = reached.filter(
        pl.col("ex_date") <= pl.col("last"), pl.col("session") < pl.col("ex_date") - STALE
    )
    return late.group_by("symbol").agg(pl.max("ex_date"))


def _zone_of(profile: Profile) -> str:
    """The zone of the profile's market, in which each session lies within its date."""
    calendar = calendar_of(profile)
    zone = calendar.zone.key
    spans = calendar.spans(calendar.known)
    first, last = (
        pl.col(name)
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(zone)
        .dt.offset_by(shift)
        .dt.date()
        for name, shift in (("open", "0us"), ("close", "-1us"))
    )
    if not spans.filter((first != pl.col("session")) | (last != pl.col("session"))).is_empty():
        raise CalendarError(
            f"profile {profile.name}: "
            f"the sessions of calendar {calendar.name!r} do not lie within their dates in {zone}, "
            "so that no ex-date can be placed; "
            "choose a stock exchange's calendar, or leave `actions` out"
        )
    return zone
