"""Keeps aligned returns equal to what the candles make.

They are the returns of one profile, or those of the matrix across profiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from market_assets.config.research import Basis
from market_assets.enrich.footing import on_one_footing
from market_assets.enrich.grid import Grid
from market_assets.enrich.jumps import jumps_in, watches_jumps
from market_assets.enrich.returns.align import align, common_grid, neutral_shares
from market_assets.expected.floors import NO_FLOOR, Floor, above, floor_of, kept_in, matrix_floor
from market_assets.expected.scope import scope_of
from market_assets.expected.series import belongs, calendar_of, prepare
from market_assets.market.calendars.sessions import ALWAYS_OPEN, load_calendar
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence, Partition, partition_key, partitions_in
from market_assets.market.timeframes import TS, Timeframe, Window, literal, to_micros
from market_assets.verdicts.alignment import alignment
from market_assets.verdicts.jumps import NO_JUMPS
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets.work.behind import Input
from market_assets.work.job import Target
from market_assets.work.making import Making, fixed_by
from market_assets.work.publish import Judged, publish
from market_assets.work.run import BY_HAND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from market_assets.config.research import ReturnSettings
    from market_assets.config.universe import Profile, Universe
    from market_assets.expected.scope import Scope
    from market_assets.store import Snapshot, Store, Transaction
    from market_assets.work.job import Job
    from market_assets.work.outcome import PartitionOutcome
    from market_assets.work.run import Run

_REACH_DAYS = 7
"""How many days before its first return the matrix across profiles looks for a close, at least."""


@dataclass(frozen=True)
class Alignment:
    """Which returns are aligned with each other, and how.

    Attributes:
        dataset: The returns of a profile, or those of the matrix across profiles.
        members: Whose symbols are aligned: candles of the timeframe.
        neutral_limit: The share of a symbol's bars that may be neutral.
        floor: From when on they are kept, and made.
        intersection: Only the times that the calendars of all members have.
        settings: Those of the matrix across profiles; a member's own hold where it has none.
    """

    dataset: Dataset
    members: Sequence[Scope]
    neutral_limit: float
    floor: Floor = NO_FLOOR
    intersection: bool = False
    settings: ReturnSettings | None = None

    @classmethod
    def of_profile(cls, scope: Scope) -> Self:
        """The returns of one profile, whose symbols share a calendar."""
        profile = scope.profile
        dataset = Dataset.returns(profile.name, scope.timeframe)
        floor = floor_of(profile, dataset, scope.now)
        return cls(dataset, [scope], profile.returns.neutral_limit, floor)

    @classmethod
    def of_markets(cls, universe: Universe, timeframe: Timeframe, now: datetime) -> Self:
        """The returns of all profiles in the matrix across profiles.

        A symbol is named `profile.symbol` there.
        """
        markets = universe.markets
        members = universe.in_markets(timeframe)
        dataset = Dataset.returns(markets.name, timeframe)
        return cls(
            dataset,
            [scope_of(member, timeframe, now) for member in members],
            markets.neutral_limit,
            matrix_floor(universe, dataset, markets_cadence(timeframe), now),
            intersection=markets.calendar == "intersection",
            settings=markets if markets.basis else None,
        )

    @property
    def is_of_profile(self) -> bool:
        """Whether it is that of one profile, and not the matrix across profiles."""
        return len(self.members) == 1 and self.members[0].profile.name == self.dataset.owner

    @property
    def cadence(self) -> Cadence:
        """How long its partitions are."""
        if self.is_of_profile:
            return self.members[0].cadence
        return markets_cadence(self.dataset.timeframe)

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.members[0].now

    @property
    def symbols(self) -> list[str]:
        """What the symbols of all members are called in it."""
        return [
            self.prefix_of(member) + symbol
            for member in self.members
            for symbol in member.profile.symbols
        ]

    def prefix_of(self, member: Scope) -> str:
        """What comes before the name of a member's symbol."""
        return "" if self.is_of_profile else f"{member.profile.name}."

    def settings_of(self, member: Scope) -> ReturnSettings:
        """The settings that hold for a member."""
        return self.settings or member.profile.returns

    def basis_of(self, member: Scope) -> Basis:
        """On which prices a member's returns are made."""
        return member.profile.basis_of(self.settings_of(member))

    def partitions(self) -> list[Partition]:
        """All partitions that it has by now, oldest first."""
        start = min(member.window.start for member in self.members)
        window = above(Window(start, max(start, self.now)), self.floor)
        if self.is_of_profile:
            partitions = self.members[0].partitions(window)
        else:
            partitions = partitions_in(
                load_calendar(ALWAYS_OPEN), self.dataset.timeframe, self.cadence, window
            )
        return kept_in(partitions, self.floor)


@dataclass(frozen=True)
class _Share:
    """What one member brings to a piece of a matrix.

    Attributes:
        bars: symbol, ts, close, state, severed: see `align`.
        series: symbol, start, end: see `align`.
        opens: The `ts` of the bars of its calendar.
        jumps: Its jumps over a night: a frame like NO_JUMPS.
    """

    bars: pl.DataFrame
    series: pl.DataFrame
    opens: pl.Series
    jumps: pl.DataFrame


class Returns(Making):
    """One alignment of returns over a window, oldest partition first.

    To be iterated once. The close before a partition's first return is looked for in the partition
    before, across profiles in the week before, or for as long as a market of theirs stays closed: a
    symbol that was silent for longer begins anew.

    Args:
        store: Where candles and ledgers are kept.
        alignment: Which returns.
        window: Which partitions: all that overlap it, as far as a member and the present reach.
        run: Who has asked for it.
    """

    kind = "returns"
    batch_bars = 300_000

    def __init__(
        self, store: Store, alignment: Alignment, window: Window, *, run: Run = BY_HAND
    ) -> None:
        self._alignment = alignment
        self._members = alignment.members
        self._reach_days = reach_days(
            [member.profile for member in alignment.members], alignment.now
        )
        self._whole = alignment.partitions()
        target = Target(
            alignment.dataset,
            [partition for partition in self._whole if partition.window.intersect(window)],
            alignment.symbols,
            alignment.cadence,
            alignment.now,
        )
        inputs = [
            Input(member.dataset, member.cadence, self._reach_of(member))
            for member in alignment.members
        ]
        super().__init__(store, target, inputs, run)

    @property
    def _reaches_by_days(self) -> bool:
        """Whether a close is looked for in some days before a partition, whatever lies there."""
        return not self._alignment.is_of_profile and self._alignment.cadence is Cadence.DAY

    def _reach_of(self, member: Scope) -> int:
        """How far back a partition may look for a member's close before its first return.

        It is a number of partitions of the member's candles.
        """
        by_days = self._reaches_by_days and member.profile.partitions.intraday is Cadence.DAY
        return self._reach_days if by_days else 1

    def prepare(self, transaction: Transaction) -> None:
        """See `Making.prepare`."""
        for member in self._members:
            prepare(transaction, member.profile)
        transaction.returns.create(self.dataset)

    def bars(self, window: Window) -> pl.DataFrame:
        """See `Making.bars`."""
        opens = [
            member.grid(window).select("ts", "opens_at", "closes_at") for member in self._members
        ]
        return pl.concat(opens).unique()

    def make(
        self,
        transaction: Transaction,
        batch: Sequence[Partition],
        window: Window,
        job: Job,  # noqa: ARG002 - of all works
    ) -> list[PartitionOutcome]:
        """See `Making.make`."""
        if batch[0] is self._whole[0]:
            # The first bar of all, a week perhaps, may have a `ts` before the first partition.
            window = Window(self._begin, window.end)
        window = above(window, self._alignment.floor)
        read = Window(self._reach(batch[0]), window.end)
        shares = [self._share(transaction, member, read, window) for member in self._members]
        times = common_grid(
            [share.opens for share in shares], intersection=self._alignment.intersection
        )
        returns = align(
            pl.concat([share.bars for share in shares]),
            self._with_reach(times.to_frame(), batch),
            pl.concat([share.series for share in shares]),
        ).filter(window.holds())
        jumps = pl.concat([NO_JUMPS, *(share.jumps for share in shares)])
        changed = transaction.returns.replace(self.dataset, window, returns)
        return self._outcomes(transaction, batch, returns, changed, jumps)

    def _share(self, view: Snapshot, member: Scope, read: Window, window: Window) -> _Share:
        """What a member brings to the returns of a window, of candles from further back on."""
        grid = Grid(view, member)
        symbol = pl.lit(self._alignment.prefix_of(member)) + pl.col("symbol")
        basis = self._alignment.basis_of(member)
        whole = on_one_footing(view, member, grid.bars(read), basis)
        jumps = NO_JUMPS
        if watches_jumps(member.profile, self._alignment.settings_of(member).basis):
            member_jumps = jumps_in(view, member, whole, basis=basis)
            jumps = member_jumps.filter(window.holds()).with_columns(symbol=symbol)

        bars = whole.select("symbol", "ts", "close", "state", "severed")
        called_for = belongs(member.window, derived=member.is_derived)
        return _Share(
            bars.with_columns(symbol=symbol),
            _bounds(bars, grid, read, self.now).with_columns(symbol=symbol),
            member.closed(read).filter(called_for)["ts"],
            jumps,
        )

    def fixed(self, view: Snapshot) -> set[str]:
        """See `Making.fixed`."""
        cut = [member for member in self._members if member.floor]
        if not cut or not self._alignment.floor:
            return set()
        reach = max(map(self._reach_of, cut))
        return fixed_by(view, self.dataset, self._whole, reach, [member.dataset for member in cut])

    def recipe(self) -> str:
        """See `Making.recipe`."""
        return ", ".join(
            f"{member.profile.name}: {self._alignment.basis_of(member)}" for member in self._members
        )

    def first_recipe(self) -> str:
        """See `Making.first_recipe`."""
        return ", ".join(f"{member.profile.name}: {Basis.RAW}" for member in self._members)

    @property
    def _begin(self) -> datetime:
        """An instant before the `ts` of any bar."""
        return self._whole[0].window.start - self.dataset.timeframe.duration

    def _reach(self, first: Partition) -> datetime:
        """From when on candles are read for a partition."""
        if self._reaches_by_days:
            return max(first.window.start - timedelta(days=self._reach_days), self._begin)
        place = self._whole.index(first)
        return self._whole[place - 1].window.start if place > 1 else self._begin

    def _with_reach(self, times: pl.DataFrame, batch: Sequence[Partition]) -> pl.DataFrame:
        """Give each time of a grid (ts) the oldest close that its return may be measured from.

        It is that of the partition of the time; the column is `since`.
        """
        reaches = pl.DataFrame(
            [
                (to_micros(partition.window.start), to_micros(self._reach(partition)))
                for partition in batch
            ],
            schema={"begins": pl.Int64, "since": pl.Int64},
            orient="row",
        ).cast(TS)
        placed = times.join_asof(reaches, left_on="ts", right_on="begins")
        return placed.select("ts", pl.col("since").fill_null(literal(self._reach(batch[0]))))

    def _outcomes(
        self,
        transaction: Transaction,
        batch: Sequence[Partition],
        returns: pl.DataFrame,
        changed: pl.DataFrame,
        jumps: pl.DataFrame,
    ) -> list[PartitionOutcome]:
        part = partition_key(self.cadence)
        placed = neutral_shares(returns.with_columns(part), by=("part", "symbol"))
        shares = {
            str(key): rows.drop("part").to_dicts()
            for (key,), rows in placed.group_by("part", maintain_order=True)
        }
        moved = {str(key): rows.to_dicts() for (key,), rows in jumps.group_by(part)}

        def details(partition: Partition, new: Mapping[str, int]) -> Mapping[str, Any]:
            verdict = alignment(
                shares.get(partition.key, []),
                limit=self._alignment.neutral_limit,
                jumps=moved.get(partition.key, []),
            )
            return {"verdicts": (verdict,), "new": sum(new.values())}

        counts = {key: _counts(rows) for key, rows in shares.items()}
        return publish(transaction, self, batch, Judged(counts, returns, changed), details)


def reach_days(members: Sequence[Profile], now: datetime) -> int:
    """How many days before a return across profiles the close may lie that it is measured from.

    It is a week, or longer where a market of theirs has stayed closed for longer since its profile
    starts, for instance over a Golden Week.
    """
    closures = (
        calendar_of(member).longest_closure(
            Window(member.window(now).start, max(member.window(now).end, now))
        )
        for member in members
    )
    return max(_REACH_DAYS, 1 + max(closures, default=timedelta()).days)


def markets_cadence(timeframe: Timeframe) -> Cadence:
    """How long the partitions of the matrix across profiles are."""
    return Cadence.DAY if timeframe.intraday else Cadence.MONTH


def _bounds(bars: pl.DataFrame, grid: Grid, read: Window, now: datetime) -> pl.DataFrame:
    """From which `ts` on, and until which, each series has bars.

    Returns:
        symbol, start, end; they lie beyond what was read where the series does not begin or end in
        it.
    """
    seen = bars.group_by("symbol").agg(pl.min("ts").alias("first"), pl.max("ts").alias("last"))
    first, _ = read.micros
    rows = [
        (
            series.symbol,
            *(to_micros(edge) for edge in (series.window.start, series.window.end)),
            # A series that ends at the present has not ended.
            series.window.end < min(now, read.end),
        )
        for series in grid.series
    ]
    frame = pl.DataFrame(rows, schema=["symbol", "starts", "ends", "ended"], orient="row").join(
        seen, on="symbol", how="left"
    )
    begins = (
        pl.when(pl.col("starts") > first)
        .then(pl.col("first").fill_null(literal(read.end)))
        .otherwise(literal(read.start))
    )
    after = pl.col("last") + pl.duration(microseconds=1)
    stops = pl.when("ended").then(after.fill_null(literal(read.start))).otherwise(literal(read.end))
    return frame.select("symbol", start=begins, end=pl.max_horizontal(stops, begins))


def _counts(shares: Sequence[Mapping[str, Any]]) -> tuple[SymbolCounts, ...]:
    """What each symbol has of the bars that its calendar calls for.

    A bar is stored where a return was measured, and missing in an open gap.
    """
    return tuple(
        SymbolCounts(
            row["symbol"],
            expected=row["bars"],
            stored=row["bars"] - row["neutral"],
            explained=row["neutral"] - row["open_gap"],
            missing=row["open_gap"],
            halted=row["halted"],
            no_trade=row["no_trade"],
            outage=row["outage"],
        )
        for row in shares
    )
