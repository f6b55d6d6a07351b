"""What answers say of bars that are absent: coverage, and the ledger of gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.states import ledger_of, states_of
from market_assets.market.calendars.bounds import SESSION_REACH
from market_assets.market.calendars.sessions import ALWAYS_OPEN
from market_assets.market.timeframes import TS, Window, literal, midnight
from market_assets.verdicts.clean import FAULTS
from market_assets.verdicts.closures import AROUND_SCHEMA, unheld_sessions, with_closed_sessions
from market_assets.verdicts.confirmation import ASKED_SCHEMA, WITNESS_SCHEMA, advance
from market_assets.verdicts.evidence import State
from market_assets.verdicts.ledger import to_ledger

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date

    from market_assets.expected.scope import Scope
    from market_assets.fill.answers import Answer
    from market_assets.store import Transaction

_COVERAGE_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "source": pl.String(),
        "start_ts": TS,
        "end_ts": TS,
        "bars": pl.Int64(),
        "omits_quiet": pl.Boolean(),
    }
)
_TICK = timedelta(microseconds=1)


def advance_ledger(
    transaction: Transaction,
    scope: Scope,
    window: Window,
    answers: Sequence[Answer],
    rejects: pl.DataFrame,
    *,
    newest: datetime | None,
    quiet: bool,
    since: Mapping[str, datetime] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Record in the ledger what answers say of the absent bars of a window.

    Args:
        transaction: Where it is recorded.
        scope: What must exist, each series from its genesis on.
        window: Which bars.
        answers: What the sources gave.
        rejects: The rows that were refused.
        newest: The newest bar's open that any source has given.
        quiet: Whether any source of the series leaves quiet bars out.
        since: From where on the ledger of each symbol is written anew; from the window's start on
            if not given.

    Returns:
        The states of all bars (symbol, ts, state), and the ledger's rows.
    """
    key = ["symbol", "ts"]
    rules = scope.profile.evidence
    states = states_of(transaction, scope, window, quiet=quiet)
    remembered = advance(
        states,
        ledger=ledger_of(transaction, scope, window),
        asked=_asked_of(answers, transaction.coverage.symbols(scope.dataset), newest),
        refused=rejects.filter(pl.col("reason").is_in(FAULTS)),
        now=scope.now,
        rules=rules,
        budget=scope.profile.repair,
    )
    states = states.update(remembered.select(*key, "state"), on=key)

    closed, held = _closed_bars(
        transaction, scope, window, states=states, remembered=remembered, answers=answers
    )
    remembered = with_closed_sessions(remembered, closed, held, rules)
    states = states.update(remembered.select(*key, "state"), on=key)

    gaps = to_ledger(states, remembered, scope.part())
    transaction.gaps.put(scope.dataset, scope.symbols, window, gaps, since=since)
    return states, gaps


def coverage_of(answers: Sequence[Answer], window: Window, silent_until: datetime) -> pl.DataFrame:
    """The stretches of the window that the answers cover.

    Neighbouring pages of one source and symbol are one stretch.

    Args:
        answers: What the sources gave.
        window: What is judged.
        silent_until: How far the word of a source counts that leaves quiet bars out.
    """
    covered = pl.DataFrame(
        [
            (symbol, source, start.replace(tzinfo=None), end.replace(tzinfo=None), bars, omits)
            for answer in answers
            for symbol, source, start, end, bars, omits in answer.coverage
        ],
        schema=_COVERAGE_SCHEMA,
        orient="row",
    ).sort("symbol", "source", "start_ts")
    same = ["symbol", "source", "omits_quiet"]
    # An answer without a row is no evidence, so it must not become part of a stretch that is.
    empty = pl.col("bars") == 0
    breaks = pl.any_horizontal(pl.col(c).ne_missing(pl.col(c).shift()) for c in same) | (
        (pl.col("start_ts") > pl.col("end_ts").shift()) | empty | empty.shift()
    ).fill_null(value=True)
    joined = (
        covered.with_columns(stretch=breaks.cum_sum())
        .group_by("stretch", maintain_order=True)
        .agg(*(pl.first(c) for c in same), pl.min("start_ts"), pl.max("end_ts"), pl.sum("bars"))
    )
    return (
        joined.with_columns(
            start_ts=pl.max_horizontal("start_ts", literal(window.start)),
            end_ts=pl.min_horizontal(
                "end_ts",
                literal(window.end),
                pl.when("omits_quiet").then(literal(silent_until)),
            ),
        )
        .filter(pl.col("start_ts") < pl.col("end_ts"))
        .select(_COVERAGE_SCHEMA.keys())
    )


def _asked_of(
    answers: Sequence[Answer], known_symbols: Collection[str], newest: datetime | None
) -> pl.DataFrame:
    """What was asked for; where no source reaches, the asking concludes nothing.

    Neither does an answer about bars after the newest one that any source has given: that is where
    a source ends, or a clock is ahead.

    Neither does an empty answer for a symbol that is not known: some vendors have one for what they
    have never heard of. One that is known and refused all the same is a matter of keys and
    addresses, and may be answered for another time.
    """
    rows = []
    for answer in answers:
        symbol = answer.page.symbol
        if answer.unasked or answer.is_stream:
            continue
        is_known = symbol in known_symbols
        failed = answer.failed or (is_known and bool(answer.errors))
        for part, quiet, files in answer.parts():
            spoken = quiet is not None
            rows += [
                (
                    symbol,
                    *(edge.replace(tzinfo=None) for edge in (stretch.start, stretch.end)),
                    spoken and answer.conclusive and is_known and not beyond,
                    bool(quiet),
                    failed
                    or (not spoken and not answer.errors)
                    or (spoken and beyond and is_known),
                    answer.reason(spoken=spoken, part=part)
                    + ("; it has no newer bar" if spoken and beyond else ""),
                    spoken,
                    files,
                )
                for stretch, beyond in _cut_at(part, newest)
            ]
    return pl.DataFrame(rows, schema={**ASKED_SCHEMA, **WITNESS_SCHEMA}, orient="row")


def _cut_at(window: Window, newest: datetime | None) -> list[tuple[Window, bool]]:
    """A window in two: up to the newest bar, and beyond it."""
    edge = window.start if newest is None else newest + _TICK
    parts = [(window.intersect(Window(min(window.start, edge), edge)), False)]
    parts += [(window.intersect(Window(edge, max(window.end, edge))), True)]
    return [(part, beyond) for part, beyond in parts if part is not None and not part.empty]


def _closed_bars(
    transaction: Transaction,
    scope: Scope,
    window: Window,
    *,
    states: pl.DataFrame,
    remembered: pl.DataFrame,
    answers: Sequence[Answer],
) -> tuple[pl.Series, pl.Series]:
    """The bars of a window whose whole session is on the calendar alone.

    No symbol has a bar of such a session from any source. Something older is stored, so that the
    sources are at work. A market that never closes has no session to doubt.

    Returns:
        Their opens, and those of the sessions that somebody has a bar of (TS).
    """
    if scope.profile.calendar == ALWAYS_OPEN:
        return pl.Series(dtype=TS), pl.Series(dtype=TS)
    wide = Window(window.start - SESSION_REACH, window.end + SESSION_REACH)
    bars = scope.grid(wide.intersect(scope.calendar.known) or window).select("ts", "session")
    sessions = bars.group_by("session").agg(first_ts=pl.min("ts"), last_ts=pl.max("ts"))
    grid = bars.filter(window.holds())
    around = [
        (answer.page.symbol, rows.start.replace(tzinfo=None), rows.end.replace(tzinfo=None), digest)
        for answer in answers
        for rows, digest in answer.around
    ]
    unheld = unheld_sessions(
        states,
        remembered,
        grid=grid,
        sessions=sessions,
        around=pl.DataFrame(around, schema=AROUND_SCHEMA, orient="row"),
        rules=scope.profile.evidence,
    )
    closed = [
        session
        for session, first in unheld.iter_rows()
        if _is_untraded(transaction, scope, session, first.replace(tzinfo=UTC))
    ]
    stored = states.filter(pl.col("state") == State.STORED).select("ts").unique()
    traded = {*grid.join(stored, on="ts", how="semi")["session"], *unheld["session"]} - {*closed}
    opens_in = grid["session"].is_in
    return grid.filter(opens_in(closed))["ts"], grid.filter(opens_in(list(traded)))["ts"]


def _is_untraded(transaction: Transaction, scope: Scope, session: date, first: datetime) -> bool:
    """Whether no symbol has a bar of a session, and some symbol has one before it.

    `first` is the open of one of the session's bars.
    """
    around = Window(midnight(session) - SESSION_REACH, midnight(session) + SESSION_REACH)
    bars = scope.grid(around).filter(pl.col("session") == session)
    if (bars["closes_at"] > scope.now.replace(tzinfo=None)).any():
        return False
    whole = Window.spanning(bars["ts"], bars["ts"].dt.offset_by("1us"))
    if not transaction.candles.opens(scope.dataset, scope.symbols, whole).is_empty():
        return False
    before = transaction.candles.first(scope.dataset, scope.symbols).values()
    return any(ts < first for ts in before)
