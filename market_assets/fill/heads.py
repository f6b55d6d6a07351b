"""Where series begin: looked for before a fill, moved by candles that come, judged at its end.

How the pages are chosen that a search asks for is in `genesis`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import polars as pl

from market_assets.expected.series import prepare
from market_assets.market.calendars.bounds import CLOSURE
from market_assets.market.timeframes import TS, Window
from market_assets.plan.repair import resting
from market_assets.store.database import aware
from market_assets.verdicts.evidence import MISSING, State
from market_assets.verdicts.genesis import Head, genesis
from market_assets.verdicts.ledger import LEDGER_SCHEMA, askable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.expected.scope import Scope
    from market_assets.expected.series import Series
    from market_assets.fill.fetch import Fetcher
    from market_assets.fill.options import FillOptions
    from market_assets.market.partitions import Partition
    from market_assets.sources.contract import Source
    from market_assets.store import Merged, Snapshot, Store, Transaction
    from market_assets.verdicts.verdicts import SymbolCounts, Verdict

log = logging.getLogger("market_assets.fill")


class Heads:
    """Looks for the first bars of the series that a fill asks for: first `read`, then `find`.

    Args:
        store: Where candles and ledgers are kept.
        scope: What must exist, of all symbols.
        asked: The series that the fill asks for, each with the sources that it asks.
        sources: The sources, by name.
        options: What the fill was told.
    """

    def __init__(
        self,
        store: Store,
        scope: Scope,
        asked: Scope,
        sources: Mapping[str, Source],
        options: FillOptions,
    ) -> None:
        self._store = store
        self._scope = scope
        self._asked = asked
        self._sources = sources
        self._options = options
        self._recorded: dict[str, datetime] = {}
        self._stored: Mapping[str, datetime] = {}
        self._looked_for: Sequence[Series] = ()

    def read(self, transaction: Transaction, reach: datetime) -> None:
        """Make the tables of the profile, and find whose first bars are to be looked for.

        Args:
            transaction: Where candles and ledgers are kept.
            reach: The start of the oldest partition that is filled.
        """
        dataset = self._scope.dataset
        prepare(transaction, self._scope.profile)
        self._recorded = transaction.genesis.of(dataset)
        candidates = [
            series
            for series in self._asked.series
            if self._options.refetch or series.symbol not in self._recorded
        ]
        # Where a floor cuts a series, its first bar is not its genesis.
        removed = transaction.pruned.symbols(dataset)
        candidates = [
            series for series in candidates if series.begin is None or series.symbol not in removed
        ]
        symbols = [series.symbol for series in candidates]
        self._stored = transaction.candles.first(dataset, symbols) if symbols else {}
        self._looked_for = (
            candidates
            if self._options.refetch
            else self._headless(transaction, candidates, self._stored, reach)
        )

    def find(self, fetcher: Fetcher) -> dict[str, datetime]:
        """The recorded genesis of each symbol.

        The sources are asked where a series begins that seems to begin late.

        Args:
            fetcher: Asks them.
        """
        dataset, looked_for = self._scope.dataset, self._looked_for
        recorded, stored = self._recorded, self._stored
        first_bars = fetcher.earliest(looked_for) if looked_for else {}
        starts = {series.symbol: series.window.start for series in looked_for}
        changed = {
            symbol: (ts, source)
            for symbol, (ts, source) in first_bars.items()
            # A symbol that was there when its series starts needs a record only to correct one.
            if ts != recorded.get(symbol, starts[symbol])
            # Stored bars count more than a search, which looks at few pages; a source that names
            # its first bar is sure.
            and (self._sources[source].traits.earliest_probe or ts <= stored.get(symbol, ts))
        }
        if changed:
            purpose = f"recording the genesis of {', '.join(changed)}"
            with self._store.writing(purpose) as transaction:
                for symbol, (ts, source) in changed.items():
                    transaction.genesis.put(dataset, symbol, ts, source)
                    self._forget_before(transaction, symbol, ts)
                    recorded[symbol] = ts
        return recorded

    def _headless(
        self,
        view: Snapshot,
        series: Sequence[Series],
        stored: Mapping[str, datetime],
        reach: datetime,
    ) -> list[Series]:
        """The given series whose sources must be asked where they begin.

        These are series without their first bar, as long as nothing says why it is absent and it is
        due to be asked for. For a symbol that no source has, the question ends once one of its bars
        was abandoned or explained.

        Args:
            view: The store.
            series: Of which no genesis is recorded.
            stored: The open of the oldest stored bar of each symbol that has one.
            reach: The start of the oldest partition that is filled.
        """
        profile, timeframe = self._scope.profile, self._scope.timeframe
        late = [
            symbol_series
            for symbol_series in series
            if not self._has_head(symbol_series, stored.get(symbol_series.symbol))
        ]
        if not late:
            return []
        ledger = view.gaps.of(
            self._scope.dataset,
            symbols=[symbol_series.symbol for symbol_series in late],
            who=True,
        )
        settled = set(ledger.filter(pl.col("status") != State.OPEN)["symbol"])
        if not self._options.only_due:
            settled -= set(askable(ledger)["symbol"])
        oldest = ledger.unique("symbol", keep="first", maintain_order=True)
        rests: set[str] = set()
        if self._options.only_due:
            waiting = resting(oldest, profile.evidence, profile.repair, self._scope.now)
            rests = set(waiting["symbol"])
        heads = {gap["symbol"]: gap for gap in oldest.iter_rows(named=True)}

        def is_due(symbol: str) -> bool:
            first, head = stored.get(symbol), heads.get(symbol)
            if first is None:
                return symbol not in settled | rests
            if head is None or aware(head["first_ts"]) > first:
                # The head was never asked for.
                return reach < first
            if head["status"] == State.OPEN:
                return symbol not in rests
            # A bar younger than the last question about a settled head is one of a new listing.
            asked_at: datetime | None = head["asked_at"]
            return asked_at is None or aware(asked_at) < first + timeframe.duration

        return [symbol_series for symbol_series in late if is_due(symbol_series.symbol)]

    def _has_head(self, series: Series, first: datetime | None) -> bool:
        """Whether no bar of a series is expected before its oldest stored one."""
        if first is None or first <= series.window.start:
            return first is not None or series.window.empty
        week = Window(series.window.start, min(first, series.window.start + CLOSURE))
        return self._scope.grid(week).is_empty()

    def _forget_before(self, transaction: Transaction, symbol: str, ts: datetime) -> None:
        """Remove what was open or explained before a genesis: nothing is expected there."""
        dataset = self._scope.dataset
        before = Window(min(ts, self._scope.extent.start), ts)
        transaction.gaps.put(dataset, [symbol], before, LEDGER_SCHEMA.to_frame())

        older = (pl.col("symbol") == symbol) & (pl.col("partition") <= ts.date().isoformat())
        counts = transaction.partitions.counts(dataset).filter(older)
        nothing = (pl.lit(0).alias(name) for name in ("expected", "stored", "explained", "missing"))
        transaction.partitions.put(dataset, counts.drop("judged_at").with_columns(*nothing))


def moved_genesis(transaction: Transaction, scope: Scope, merged: Merged) -> dict[str, datetime]:
    """Move the genesis of each symbol that has new rows before it to the oldest stored bar.

    Returns:
        The genesis of each symbol, also as another fill has recorded it by now.
    """
    recorded = transaction.genesis.of(scope.dataset)
    moved = before_genesis(merged.new, recorded)["symbol"].unique().to_list()
    firsts = transaction.candles.first(scope.dataset, moved) if moved else {}
    for symbol, ts in firsts.items():
        window = Window(ts, ts + scope.timeframe.duration)
        bar = transaction.candles.of(scope.dataset, [symbol], window)
        source = bar.sort("ts")["source"][0]
        log.info(
            "%s %s %s begins at %s, earlier than known: %s has it",
            scope.profile.name,
            symbol,
            scope.timeframe,
            ts,
            source,
        )
        transaction.genesis.put(scope.dataset, symbol, ts, source)
        recorded[symbol] = ts
    return recorded


def before_genesis(rows: pl.DataFrame, recorded: Mapping[str, datetime]) -> pl.DataFrame:
    """The rows (symbol, ts) that lie before the genesis of their symbol."""
    starts = [(symbol, ts.replace(tzinfo=None)) for symbol, ts in recorded.items()]
    firsts = pl.DataFrame(starts, schema={"symbol": pl.String, "genesis": TS}, orient="row")
    return rows.join(firsts, on="symbol").filter(pl.col("ts") < pl.col("genesis")).drop("genesis")


def leads_of(states: pl.DataFrame) -> pl.DataFrame:
    """The bars that are missing at the beginning of some states.

    Args:
        states: symbol, ts, state; sorted by the first two.

    Returns:
        symbol, first, last: their opens; a row for each symbol whose first bar is missing.
    """
    is_missing = pl.col("state").is_in(MISSING)
    if states.filter(is_missing).is_empty():
        return pl.DataFrame(schema={"symbol": pl.String, "first": TS, "last": TS})
    leading = states.filter((~is_missing).cum_sum().over("symbol") == 0)
    return leading.group_by("symbol", maintain_order=True).agg(
        first=pl.first("ts"), last=pl.last("ts")
    )


def open_heads(
    transaction: Transaction, whole: Scope, scope: Scope, leads: pl.DataFrame
) -> dict[str, datetime]:
    """The last bar of each series' open head, where nothing older of the series is stored.

    A series whose older partitions were never judged has no open head here: it has not been looked
    for yet.

    Args:
        transaction: The store.
        whole: The series from their start in the universe on.
        scope: The same from their genesis on.
        leads: `leads_of` what is judged.
    """
    if leads.is_empty():
        return {}
    windows = {series.symbol: series.window for series in scope.series}
    older: dict[str, Window] = {}
    for symbol, first in leads.select("symbol", "first").iter_rows():
        end = aware(first)
        older[symbol] = Window(min(windows[symbol].start, end), end)

    begun = {symbol: window for symbol, window in older.items() if not window.empty}
    # Where nothing is recorded of the bars before, nobody has looked for them yet.
    judged = transaction.gaps.symbols_in(scope.dataset, begun)
    stored = _stored_in(transaction, scope, {symbol: begun[symbol] for symbol in judged})
    candidates = begun.keys() - judged | stored
    expecting = _expecting(whole, {symbol: begun[symbol] for symbol in candidates})
    return {
        symbol: aware(last)
        for symbol, last in leads.select("symbol", "last").iter_rows()
        if symbol not in expecting
    }


def _stored_in(transaction: Transaction, scope: Scope, windows: Mapping[str, Window]) -> set[str]:
    """The symbols of which a candle is stored in a window of their own."""
    # Nearly all have one shortly before the end, and the table may be long.
    near = {
        symbol: Window(max(window.start, window.end - CLOSURE), window.end)
        for symbol, window in windows.items()
    }
    stored = transaction.candles.symbols_in(scope.dataset, near)
    far = {symbol: window for symbol, window in windows.items() if symbol not in stored}
    return stored | transaction.candles.symbols_in(scope.dataset, far)


def _expecting(whole: Scope, windows: Mapping[str, Window]) -> set[str]:
    """The symbols of which a closed bar must exist in a window of their own."""
    extents = {series.symbol: series.window for series in whole.series}
    expecting: set[str] = set()
    empty: dict[Window, bool] = {}
    for symbol, window in windows.items():
        inside = window.intersect(extents[symbol])
        if inside is None:
            continue
        if inside not in empty:
            # No market is closed for longer: years are hardly ever looked at.
            near = Window(max(inside.start, inside.end - CLOSURE), inside.end)
            empty[inside] = whole.closed(near).is_empty() and whole.closed(inside).is_empty()
        if not empty[inside]:
            expecting.add(symbol)
    return expecting


def judge_genesis(
    partition: Partition,
    counts: Sequence[SymbolCounts],
    *,
    starts: Mapping[str, datetime],
    recorded: Mapping[str, datetime],
    heads: Mapping[str, datetime],
    early: Mapping[str, int],
) -> Verdict:
    """The verdict on where the series of a partition begin.

    Args:
        partition: Which one.
        counts: What each symbol has in it.
        starts: The start of each series in the universe.
        recorded: The genesis of each symbol, where it is on record.
        heads: `open_heads`.
        early: How many stored bars of each symbol lie before its genesis.
    """
    judged = []
    for symbol_counts in counts:
        symbol = symbol_counts.symbol
        last = heads.get(symbol)
        is_open = last is not None and last >= partition.window.start
        judged.append(
            Head(
                symbol,
                expected=starts[symbol],
                absent=symbol_counts.missing if is_open else 0,
                genesis=recorded.get(symbol),
                before_genesis=early.get(symbol, 0),
            )
        )
    seen = {symbol_counts.symbol for symbol_counts in counts}
    judged += [
        Head(symbol, starts[symbol], 0, recorded.get(symbol), bars)
        for symbol, bars in early.items()
        if symbol not in seen
    ]
    return genesis(judged)
