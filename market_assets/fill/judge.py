"""Commits answers and judges the partitions that they complete, in one transaction."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from market_assets.expected.series import Series, bars_of
from market_assets.fill.answers import Answer, candles_of, dropped_of, rejects_of
from market_assets.market.calendars.sessions import ALWAYS_OPEN
from market_assets.market.partitions import Cadence, Partition, hull, partition_key
from market_assets.market.timeframes import TS, Timeframe, Window, literal, midnight
from market_assets.verdicts.clean import CANDLE, FAULTS, Reason, price_faults
from market_assets.verdicts.closures import AROUND_SCHEMA, unheld_sessions, with_closed_sessions
from market_assets.verdicts.colour import names_of, shortfall
from market_assets.verdicts.confirmation import ASKED_SCHEMA, WITNESS_SCHEMA, advance
from market_assets.verdicts.continuity import Gap, continuity
from market_assets.verdicts.doubt import off_calendar
from market_assets.verdicts.evidence import EXPLAINED, MISSING, State, believable, classify
from market_assets.verdicts.genesis import Head, genesis
from market_assets.verdicts.ledger import repaired, to_ledger
from market_assets.verdicts.plausibility import RECENT, implausible, plausibility
from market_assets.verdicts.validity import Reject, validity
from market_assets.verdicts.verdicts import SAMPLE, SymbolCounts, Verdict
from market_assets.work.publish import publish
from market_assets.work.refused import refused_frame

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date

    from market_assets.config.universe import Profile
    from market_assets.market.calendars.sessions import SessionCalendar
    from market_assets.store import Merged, Snapshot, Transaction
    from market_assets.work.outcome import PartitionOutcome

log = logging.getLogger("market_assets.fill")

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

_PAST = timedelta(days=45)
"""How far back reaches the past that a symbol's bars are measured by.

It holds twenty sessions, with all holidays.
"""

_A_SESSION = timedelta(days=4)
"""How far from its date a session begins or ends at most."""

_NEVER_ASKED = (pl.col("status") == State.OPEN) & (pl.col("attempts") + pl.col("failures") == 0)
"""Whether no source was ever asked for a row of the ledger."""

_AROUND = timedelta(days=7)
"""How far to look for the neighbours of a partition: further than any market stays closed."""


class Judge:
    """Commits and judges the partitions of one profile and timeframe.

    Args:
        profile: The profile.
        timeframe: The fetched timeframe.
        cadence: How long its partitions are.
        calendar: The profile's calendar.
        series: All series of the profile, from their start in the universe on.
        known_genesis: The recorded genesis of each symbol.
        quiet: Whether any source of the series leaves quiet bars out.
        refetch: Whether the fill asks also for what is stored.
        now: The instant of the judgement.
    """

    def __init__(
        self,
        profile: Profile,
        timeframe: Timeframe,
        cadence: Cadence,
        calendar: SessionCalendar,
        series: Sequence[Series],
        *,
        known_genesis: Mapping[str, datetime],
        quiet: bool,
        refetch: bool,
        now: datetime,
    ) -> None:
        self._profile = profile
        self._timeframe = timeframe
        self._dataset = profile.candles(timeframe)
        self._cadence = cadence
        self._calendar = calendar
        self._whole = {symbol_series.symbol: symbol_series for symbol_series in series}
        self._symbols = list(self._whole)
        self._know(known_genesis)
        self._rules = profile.evidence
        self._quiet = quiet
        self._refetch = refetch
        self._now = now

    def classified(self, view: Snapshot, window: Window) -> pl.DataFrame:
        """Say of every bar of a window what the store knows of it: symbol, ts, state."""
        timeframe, symbols = self._timeframe, self._symbols
        outer = self._padded(window) if self._quiet else window
        states = classify(
            bars_of(self._calendar, timeframe, outer, self._series, self._now),
            view.candles.opens(self._dataset, symbols, outer),
            coverage=believable(
                view.coverage.of(self._dataset, symbols, outer),
                self._now,
                "answered_at",
            ),
            ledger=self._ledger(view, window),
            timeframe=timeframe,
            rules=self._rules,
        )
        return states.filter(window.holds()) if self._quiet else states

    def _ledger(self, view: Snapshot, window: Window) -> pl.DataFrame:
        """The absences seen before in a window, without those stamped by a clock that was ahead."""
        gaps = view.gaps.of(
            self._profile.name, self._timeframe, symbols=self._symbols, window=window, who=True
        )
        return believable(gaps, self._now, "first_seen", "asked_at", "confirmed_at")

    def _silent_until(self, newest: datetime | None) -> datetime:
        """Until when the word of a source counts that leaves quiet bars out.

        Bars after the newest one may be quiet, or the clock is ahead, which shows within the quiet
        limit.
        """
        passed = self._now - self._rules.quiet_limit
        return passed if newest is None else max(passed, newest + self._timeframe.duration)

    def missing(self, states: pl.DataFrame) -> dict[str, dict[str, int]]:
        """How many classified bars nothing explains, by partition and symbol."""
        (missing,) = self._tally(states.filter(pl.col("state").is_in(MISSING)), "symbol")
        return missing

    def commit(
        self,
        transaction: Transaction,
        partitions: Sequence[Partition],
        answers: Sequence[Answer],
        *,
        newest: datetime | None = None,
    ) -> list[PartitionOutcome]:
        """Store what the answers hold of some neighbouring partitions, and judge each of these.

        Args:
            transaction: Everything is written here, or nothing.
            partitions: Neighbours in time; every page that touches them is answered.
            answers: All answers that touch the partitions; what lies outside of these is not
                stored.
            newest: The newest bar's open that any answer of this fill has held so far.
        """
        profile, timeframe, symbols = self._profile.name, self._timeframe, self._symbols
        window = hull(partitions)
        incoming = self._in_preference(
            transaction, window, candles_of(answers).filter(window.holds())
        )
        merged = transaction.candles.merge(self._dataset, symbols, window, incoming)
        self._move_genesis(transaction, merged)
        newest = max(
            filter(
                None,
                (
                    newest,
                    transaction.candles.newest_open(self._dataset, window),
                ),
            ),
            default=None,
        )
        transaction.coverage.put(
            self._dataset,
            _coverage(answers, window, self._silent_until(newest)),
        )
        ledger = gaps = transaction.gaps.of(profile, timeframe, symbols=symbols, window=window)
        mended: dict[str, dict[str, int]] = {}
        if not ledger.is_empty():
            repairs = repaired(merged.new, ledger)
            transaction.repairs.put(self._dataset, repairs)
            # A row of the ledger lies in one partition: its bars are tallied as if each had a row.
            (mended,) = self._tally(
                repairs.select("symbol", ts=pl.col("first_ts").repeat_by("bars")).explode("ts"),
                "symbol",
            )
        rejects = rejects_of(answers)
        outside = self.note_off_calendar(transaction, rejects, partitions)
        refused_now = self._note_refused(transaction, partitions, answers, rejects)
        rows = merged.rows.sort("symbol", "ts")
        bars = bars_of(self._calendar, timeframe, window, self._series, self._now)
        complete = rows.select("symbol", "ts").equals(bars.select("symbol", "ts"))
        if complete and ledger.is_empty():
            states = bars.select("symbol", "ts", state=pl.lit(State.STORED.value))
        else:
            states, gaps = self._advanced(transaction, window, answers, rejects, newest)
        counts = self._counts(states)
        heads = self._open_heads(transaction, states)

        new = rows if len(merged.new) == len(rows) else merged.new.join(rows, on=["symbol", "ts"])
        sources, taken = self._tally(new, "source", "symbol")
        (revised,) = self._tally(merged.revised, "symbol")
        (early,) = self._tally(_older(rows, self._genesis), "symbol")
        rejects_by_partition = self._by_partition(rejects, "asked")
        violations = self._by_partition(self._violations(rows, window, complete=complete))
        gaps_of = self._by_partition(gaps, "first_ts")
        (nulled,) = self._tally(dropped_of(answers, window), "column")
        strange = self._implausible(transaction, window)

        def details(partition: Partition, _: Mapping[str, int]) -> Mapping[str, Any]:
            key, symbol_counts = partition.key, counts.get(partition.key, ())
            refused = _as_rejects(rejects_by_partition.get(key))
            rejected = Counter(reject.symbol for reject in refused if reject.reason in FAULTS)
            by_symbol = {
                "new": taken.get(key, {}),
                "revised": revised.get(key, {}),
                "rejected": rejected,
                "repaired": mended.get(key, {}),
            }
            verdicts = [
                continuity(
                    symbol_counts,
                    _as_gaps(gaps_of.get(key)),
                    now=self._now,
                    severities=self._profile.checks.severity,
                    bar=self._timeframe.duration,
                ),
                self._judge_genesis(partition, symbol_counts, heads, early.get(key, {})),
                _judge_validity(
                    _as_rejects(violations.get(key)), refused, outside.get(key, ()), nulled.get(key)
                ),
            ]
            if self._profile.checks.plausibility:
                verdicts.append(plausibility(strange.get(key, ())))
            examples = refused_now.filter(pl.col("partition") == key) if rejected else None
            return {
                "failures": tuple(
                    self._failures(symbol_counts, partition, answers, gaps_of.get(key))
                ),
                "verdicts": tuple(verdicts),
                **{name: sum(tally.values()) for name, tally in by_symbol.items()},
                "by_symbol": by_symbol,
                "sources": sources.get(key, {}),
                "refused": () if examples is None else examples.to_dicts(),
            }

        return publish(
            transaction,
            self._dataset,
            partitions,
            cadence=self._cadence,
            counts=counts,
            evidence=evidence_of(states, self._cadence),
            rows=rows,
            changed=pl.concat([merged.new, merged.revised, merged.filled]),
            now=self._now,
            details=details,
        )

    def _advanced(
        self,
        transaction: Transaction,
        window: Window,
        answers: Sequence[Answer],
        rejects: pl.DataFrame,
        newest: datetime | None,
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Record in the ledger what the answers say of the absent bars of a window.

        Returns:
            The states of all bars, and the ledger's rows.
        """
        states = self.classified(transaction, window)
        remembered = advance(
            states,
            ledger=self._ledger(transaction, window),
            asked=_asked(answers, transaction.coverage.symbols(self._dataset), newest),
            refused=rejects.filter(pl.col("reason").is_in(FAULTS)),
            now=self._now,
            rules=self._rules,
            budget=self._profile.repair,
        )
        states = states.update(remembered.select("symbol", "ts", "state"), on=["symbol", "ts"])
        closed, held = self._closed_bars(transaction, window, states, remembered, answers)
        remembered = with_closed_sessions(remembered, closed, held, self._rules)
        states = states.update(remembered.select("symbol", "ts", "state"), on=["symbol", "ts"])
        gaps = to_ledger(states, remembered, partition_key(self._cadence))
        transaction.gaps.put(self._dataset, self._symbols, window, gaps)
        return states, gaps

    def note_off_calendar(
        self, transaction: Transaction, rejects: pl.DataFrame, partitions: Sequence[Partition]
    ) -> dict[str, list[dict[str, Any]]]:
        """Record the rows that the calendar refused.

        A day without a session is no partition: the next partition shows its bars, or the last one
        of all.

        Returns:
            By key of the partition that shows them, rows of OFF_CALENDAR_SCHEMA.
        """
        refused = rejects.filter(pl.col("reason") == Reason.CLOSED_MARKET)
        if refused.is_empty():
            return {}
        around = Window.spanning(refused["ts"], refused["ts"])
        inside = Window(around.start - _AROUND, around.end + _AROUND).intersect(
            self._calendar.known
        )
        if inside is None:
            return {}
        if self._timeframe.intraday:
            counted = off_calendar(refused, self._calendar.spans(inside), self._calendar.zone)
        else:
            # A day's time is its date, wherever the exchange is.
            days = self._calendar.bars(self._timeframe, inside)
            spans = days.select("session", open="ts", close=pl.col("ts") + self._timeframe.duration)
            counted = off_calendar(refused, spans, ZoneInfo("UTC"))
        transaction.off_calendar.put(self._dataset, counted)

        keys = sorted(partition.key for partition in partitions)
        near = hull(partitions)
        near = Window(near.start - _A_SESSION, near.end + _A_SESSION)
        shown: dict[str, list[dict[str, Any]]] = {}
        # Answers reach over more than is judged at once.
        for row in counted.filter(near.holds("first_ts")).iter_rows(named=True):
            row_key = Partition.holding(row["first_ts"].date(), self._cadence).key
            shown.setdefault(next((key for key in keys if key >= row_key), keys[-1]), []).append(
                row
            )
        return shown

    def _closed_bars(
        self,
        transaction: Transaction,
        window: Window,
        states: pl.DataFrame,
        remembered: pl.DataFrame,
        answers: Sequence[Answer],
    ) -> tuple[pl.Series, pl.Series]:
        """The bars of a window whose whole session is on the calendar alone.

        No symbol has a bar of such a session from any source. Something older is stored, so that
        the sources are at work. A market that never closes has no session to doubt.

        Returns:
            Their opens, and those of the sessions that somebody has a bar of (TS).
        """
        if self._profile.calendar == ALWAYS_OPEN:
            return pl.Series(dtype=TS), pl.Series(dtype=TS)
        near = (
            Window(window.start - _A_SESSION, window.end + _A_SESSION).intersect(
                self._calendar.known
            )
            or window
        )
        bars = self._calendar.bars(self._timeframe, near).select("ts", "session")
        sessions = bars.group_by("session").agg(first_ts=pl.min("ts"), last_ts=pl.max("ts"))
        grid = bars.filter(window.holds())
        around = [
            (
                answer.page.symbol,
                *(edge.replace(tzinfo=None) for edge in (rows.start, rows.end)),
                digest,
            )
            for answer in answers
            for rows, digest in answer.around
        ]
        unheld = unheld_sessions(
            states,
            remembered,
            grid=grid,
            sessions=sessions,
            around=pl.DataFrame(around, schema=AROUND_SCHEMA, orient="row"),
            rules=self._rules,
        )
        closed = [
            session
            for session, first in unheld.iter_rows()
            if self._is_untraded(transaction, session, first.replace(tzinfo=UTC))
        ]
        stored = states.filter(pl.col("state") == State.STORED).select("ts").unique()
        traded = {*grid.join(stored, on="ts", how="semi")["session"], *unheld["session"]} - {
            *closed
        }
        opens_in = grid["session"].is_in
        return grid.filter(opens_in(closed))["ts"], grid.filter(opens_in(list(traded)))["ts"]

    def _is_untraded(self, transaction: Transaction, session: date, first: datetime) -> bool:
        """Whether no symbol has a bar of a session, and some symbol has one before it.

        `first` is the open of one of the session's bars.
        """
        around = Window(midnight(session) - _A_SESSION, midnight(session) + _A_SESSION)
        bars = self._calendar.bars(self._timeframe, around).filter(pl.col("session") == session)
        if (bars["closes_at"] > self._now.replace(tzinfo=None)).any():
            return False
        whole = Window.spanning(bars["ts"], bars["ts"].dt.offset_by("1us"))
        symbols = self._symbols
        if not transaction.candles.opens(self._dataset, symbols, whole).is_empty():
            return False
        before = transaction.candles.first(self._dataset, symbols).values()
        return any(ts < first for ts in before)

    def _note_refused(
        self,
        transaction: Transaction,
        partitions: Sequence[Partition],
        answers: Sequence[Answer],
        rejects: pl.DataFrame,
    ) -> pl.DataFrame:
        """Record which rows were refused, and why: a frame of REFUSED_SCHEMA."""
        keys = [partition.key for partition in partitions]
        refused = refused_frame(rejects, partition_key(self._cadence, "asked").dt.to_string())
        refused = refused.filter(pl.col("partition").is_in(keys))
        symbols = sorted({answer.page.symbol for answer in answers if answer.spoken})
        if symbols:
            transaction.refused.put(self._dataset, symbols, keys, refused)
        return refused

    def _in_preference(
        self, transaction: Transaction, window: Window, incoming: pl.DataFrame
    ) -> pl.DataFrame:
        """The candles without those whose bar is stored from a preferred source."""
        ranks = pl.DataFrame(
            [
                (series.symbol, reference.source, at)
                for series in self._series
                for at, reference in enumerate(series.sources)
            ],
            schema={"symbol": pl.String, "source": pl.String, "rank": pl.Int64},
            orient="row",
        )
        fallen_back = ranks.filter(pl.col("rank") > 0)
        if incoming.join(fallen_back, on=["symbol", "source"], how="semi").is_empty():
            return incoming
        stored = transaction.candles.of(self._dataset, self._symbols, window)
        better = (
            stored.select("symbol", "ts", "source")
            .join(ranks, on=["symbol", "source"])
            .join(
                incoming.join(fallen_back, on=["symbol", "source"]),
                on=["symbol", "ts"],
                suffix="_new",
            )
            .filter(pl.col("rank") < pl.col("rank_new"))
        )
        return incoming.join(better, on=["symbol", "ts"], how="anti")

    def _padded(self, window: Window) -> Window:
        """The window and, on both sides, the quiet limit's number of bars.

        Whether a silence is short enough to be quiet minutes shows only with the bars on both sides
        of a border.
        """
        count = self._rules.quiet_bars(self._timeframe)
        before = self._calendar.bars(self._timeframe, Window(window.start - _AROUND, window.start))[
            "ts"
        ].tail(count)
        after = self._calendar.bars(self._timeframe, Window(window.end, window.end + _AROUND))[
            "ts"
        ].head(count)
        start = window.start if before.is_empty() else before[0].replace(tzinfo=UTC)
        end = (
            window.end
            if after.is_empty()
            else after[-1].replace(tzinfo=UTC) + timedelta(microseconds=1)
        )
        return Window(start, end)

    def _counts(self, states: pl.DataFrame) -> dict[str, tuple[SymbolCounts, ...]]:
        table = states.group_by(partition_key(self._cadence), "symbol").agg(
            pl.len().alias("expected"),
            *((pl.col("state") == state).sum().alias(state.value) for state in State),
        )
        counts: dict[str, list[SymbolCounts]] = {}
        for row in table.sort("part", "symbol").iter_rows(named=True):
            explained = {state.value: row[state] for state in EXPLAINED}
            counts.setdefault(row["part"].isoformat(), []).append(
                SymbolCounts(
                    row["symbol"],
                    expected=row["expected"],
                    stored=row[State.STORED],
                    explained=sum(explained.values()),
                    missing=sum(row[state] for state in MISSING),
                    abandoned=row[State.ABANDONED],
                    **explained,
                )
            )
        return {key: tuple(value) for key, value in counts.items()}

    def _violations(self, rows: pl.DataFrame, window: Window, *, complete: bool) -> pl.DataFrame:
        """Stored candles that cannot be.

        They have impossible numbers, a time that is no bar of the series, or there are two for one
        bar. Where the rows are `complete`, one for each bar of the calendar, only the numbers can
        be wrong.
        """
        # A source's own rule about the open was applied when the row came in.
        faults = pl.any_horizontal(
            fault for _, fault in price_faults(self._profile.prices, open_outside_range=True)
        )
        key = ["symbol", "ts"]
        wrong = [rows.filter(faults).with_columns(reason=pl.lit("impossible prices or volume"))]
        if not complete:
            allowed = bars_of(
                self._calendar, self._timeframe, window, self._whole.values(), self._now
            )
            wrong += [
                rows.filter(pl.struct(key).is_duplicated()).with_columns(
                    reason=pl.lit("two candles for one bar")
                ),
                rows.join(allowed, on=key, how="anti").with_columns(
                    reason=pl.lit("not a bar of this series")
                ),
            ]
        values = pl.format("o={} h={} l={} c={} v={}", *CANDLE[1:])
        return pl.concat(wrong).select(*key, "reason", values=values)

    def _implausible(
        self, transaction: Transaction, window: Window
    ) -> dict[str, list[dict[str, Any]]]:
        """The bars of a window that are likely wrong, by partition: rows of FINDING_SCHEMA.

        They are measured by some weeks before.
        """
        if not self._profile.checks.plausibility:
            return {}
        timeframe, extent = self._timeframe, self._calendar.known
        past = max(_PAST, 2 * RECENT * timeframe.duration)
        whole = Window(
            max(extent.start, window.start - past), min(extent.end, window.end + _AROUND)
        )
        grid = self._calendar.bars(timeframe, whole).select("ts", "session", "opens_at")
        began = pl.col("opens_at").min().over("session") if timeframe.intraday else pl.col("ts")
        bars = transaction.candles.of(self._dataset, self._symbols, whole)
        bars = bars.unique(["symbol", "ts"]).join(grid.with_columns(opens=began), on="ts")
        findings = implausible(
            bars, timeframe, real_volume=self._profile.prices.real_volume
        ).filter(window.holds("first_ts"))
        return {
            key: rows.drop("part").to_dicts()
            for key, rows in self._by_partition(findings, "first_ts").items()
        }

    def _know(self, genesis: Mapping[str, datetime]) -> None:
        """Expect nothing of a symbol before its genesis."""
        self._genesis = genesis
        self._series = [series.since(genesis.get(symbol)) for symbol, series in self._whole.items()]

    def _move_genesis(self, transaction: Transaction, merged: Merged) -> None:
        """Move the genesis of each symbol that has new rows before it to the oldest stored bar.

        What another fill has recorded since this one began counts from here on, too.
        """
        profile, timeframe = self._profile.name, self._timeframe
        recorded = transaction.genesis.of(self._dataset)
        moved = _older(merged.new, recorded)["symbol"].unique().to_list()
        for symbol, ts in transaction.candles.first(self._dataset, moved).items() if moved else ():
            bar = transaction.candles.of(
                self._dataset, [symbol], Window(ts, ts + timeframe.duration)
            )
            source = bar.sort("ts")["source"][0]
            log.info(
                "%s %s %s begins at %s, earlier than known: %s has it",
                profile,
                symbol,
                timeframe,
                ts,
                source,
            )
            transaction.genesis.put(self._dataset, symbol, ts, source)
            recorded[symbol] = ts
        if recorded != self._genesis:
            self._know(recorded)

    def _open_heads(self, transaction: Transaction, states: pl.DataFrame) -> dict[str, datetime]:
        """The last bar of each series' open head, where nothing older of the series is stored.

        A series whose older partitions were never judged has no open head here: it has not been
        looked for yet.
        """
        heads: dict[str, datetime] = {}
        firsts = states.group_by("symbol", maintain_order=True).agg(
            pl.first("state"), pl.first("ts")
        )
        for symbol, ts in (
            firsts.filter(pl.col("state").is_in(MISSING)).select("symbol", "ts").iter_rows()
        ):
            whole = next(series.window for series in self._series if series.symbol == symbol)
            older = Window(min(whole.start, first := ts.replace(tzinfo=UTC)), first)
            expected = bars_of(
                self._calendar, self._timeframe, older, [self._whole[symbol]], self._now
            )
            if not expected.is_empty() and (
                not transaction.candles.opens(self._dataset, [symbol], older).is_empty()
                or transaction.gaps.of(
                    self._profile.name, self._timeframe, symbols=[symbol], window=older
                ).is_empty()
            ):
                continue
            symbol_states = states.filter(pl.col("symbol") == symbol)
            heads[symbol] = symbol_states.filter((~pl.col("state").is_in(MISSING)).cum_sum() == 0)[
                "ts"
            ][-1].replace(tzinfo=UTC)
        return heads

    def _judge_genesis(
        self,
        partition: Partition,
        counts: Sequence[SymbolCounts],
        open_heads: Mapping[str, datetime],
        early: Mapping[str, int],
    ) -> Verdict:
        heads = []
        for symbol_counts in counts:
            last = open_heads.get(symbol_counts.symbol)
            heads.append(
                Head(
                    symbol_counts.symbol,
                    expected=self._whole[symbol_counts.symbol].window.start,
                    absent=symbol_counts.missing
                    if last is not None and last >= partition.window.start
                    else 0,
                    genesis=self._genesis.get(symbol_counts.symbol),
                    before_genesis=early.get(symbol_counts.symbol, 0),
                )
            )
        seen = {symbol_counts.symbol for symbol_counts in counts}
        heads += [
            Head(symbol, self._whole[symbol].window.start, 0, self._genesis.get(symbol), bars)
            for symbol, bars in early.items()
            if symbol not in seen
        ]
        return genesis(heads)

    def _failures(
        self,
        counts: Sequence[SymbolCounts],
        partition: Partition,
        answers: Sequence[Answer],
        gaps: pl.DataFrame | None,
    ) -> list[str]:
        """Why a partition does not count as filled as a whole, and what its sources say of it.

        A symbol that a refetch asked for in vain counts as one that has nothing: it is unknown
        whether what is stored of it has been revised.
        """
        lacking = {symbol_counts.symbol for symbol_counts in counts if symbol_counts.missing}
        errors: dict[str, str] = {}
        unheard: set[str] = set()
        awaited = set() if gaps is None else set(gaps.filter(_NEVER_ASKED)["symbol"])
        for answer in answers:
            page = answer.page
            in_vain = self._refetch and not answer.spoken
            reasons = answer.errors_in(partition.window)
            if not reasons or not page.window.intersect(partition.window):
                continue
            if page.symbol in lacking or in_vain:
                errors |= dict.fromkeys(reasons, page.symbol)
                awaited |= {page.symbol} if answer.failed or answer.late else set()
                unheard |= {page.symbol} if in_vain else set()

        heard = [
            SymbolCounts(symbol_counts.symbol, symbol_counts.expected, 0, 0, symbol_counts.expected)
            if symbol_counts.symbol in unheard
            else symbol_counts
            for symbol_counts in counts
        ]
        limit = self._profile.checks.failed_above
        why = shortfall(counts, limit=limit, awaited=awaited)
        if not why and shortfall(heard, limit=limit, awaited=awaited):
            why = f"nobody answered when bars were asked for again ({names_of(sorted(unheard))})"
        if not why:
            return []
        # The errors of a symbol that has nothing do not cause the colour while half are there.
        empty = {symbol_counts.symbol for symbol_counts in heard if symbol_counts.has_nothing}
        spared = empty - awaited if 2 * len(empty) <= len(heard) else set()
        return [why, *(error for error, symbol in errors.items() if symbol not in spared)]

    def _tally(self, rows: pl.DataFrame, *columns: str) -> list[dict[str, dict[str, int]]]:
        """How many rows there are by partition and by a column's value.

        There is one such tally per column.
        """
        tallies: list[dict[str, dict[str, int]]] = [{} for _ in columns]
        for key, *values, count in (
            rows.group_by(partition_key(self._cadence), *columns).agg(pl.len()).iter_rows()
        ):
            for tally, value in zip(tallies, values, strict=True):
                totals = tally.setdefault(key.isoformat(), {})
                totals[value] = totals.get(value, 0) + count
        return tallies

    def _by_partition(self, rows: pl.DataFrame, column: str = "ts") -> dict[str, pl.DataFrame]:
        """Some rows, few in most fills, split by partition."""
        parts = rows.with_columns(partition_key(self._cadence, column)).partition_by(
            "part", as_dict=True
        )
        return {key.isoformat(): frame for (key,), frame in parts.items()}


def _older(rows: pl.DataFrame, genesis: Mapping[str, datetime]) -> pl.DataFrame:
    """The rows (symbol, ts) that lie before the genesis of their symbol."""
    starts = [(symbol, ts.replace(tzinfo=None)) for symbol, ts in genesis.items()]
    firsts = pl.DataFrame(starts, schema={"symbol": pl.String, "genesis": TS}, orient="row")
    return rows.join(firsts, on="symbol").filter(pl.col("ts") < pl.col("genesis")).drop("genesis")


def _coverage(answers: Sequence[Answer], window: Window, silent_until: datetime) -> pl.DataFrame:
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


def _asked(
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
        if answer.unasked:
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


def evidence_of(states: pl.DataFrame, cadence: Cadence) -> dict[tuple[str, str], str]:
    """A digest of what is known of the bars of each partition and symbol.

    It differs as soon as something else is known of an absent bar.

    Args:
        states: symbol, ts, state; sorted by symbol and ts.
        cadence: How long partitions are.

    Returns:
        The digests by partition key and symbol; none where all is stored.
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
    texts = changes.agg(pl.format("{} {}", "ts", "state").str.join("\n"))
    return {
        (f"{part}", symbol): sha256(text.encode()).hexdigest()[:16]
        for part, symbol, text in texts.iter_rows()
    }


def _judge_validity(
    violations: Sequence[Reject],
    refused: Sequence[Reject],
    outside: Sequence[Mapping[str, Any]],
    nulled: Mapping[str, int] | None = None,
) -> Verdict:
    faults: dict[str, int] = {}
    notes: dict[str, int] = {}
    for reject in refused:
        tally = faults if reject.reason in FAULTS else notes
        tally[reject.reason] = tally.get(reject.reason, 0) + 1
    sample = [reject for reject in refused if reject.reason in FAULTS][:SAMPLE]
    return validity(violations, faults, sample, notes=notes, outside=outside, nulled=nulled)


def _as_rejects(rows: pl.DataFrame | None) -> list[Reject]:
    if rows is None:
        return []
    fields = rows.select("symbol", "ts", "reason", "values").iter_rows()
    return [
        Reject(symbol, ts and ts.replace(tzinfo=UTC), reason, values)
        for symbol, ts, reason, values in fields
    ]


def _as_gaps(rows: pl.DataFrame | None) -> list[Gap]:
    if rows is None:
        return []
    fields = rows.select(
        "symbol", "first_ts", "last_ts", "bars", "status", "attempts", "reason"
    ).iter_rows()
    return [
        Gap(
            symbol,
            first.replace(tzinfo=UTC),
            last.replace(tzinfo=UTC),
            bars,
            status,
            attempts,
            reason,
        )
        for symbol, first, last, bars, status, attempts, reason in fields
    ]
