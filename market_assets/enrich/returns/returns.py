"""Keeps aligned returns equal to what the candles make.

They are the returns of one profile, or those of the matrix across profiles.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from market_assets.config.settings import Basis
from market_assets.enrich.footing import on_one_footing
from market_assets.enrich.grid import Grid
from market_assets.enrich.jumps import jumps_in, watches_jumps
from market_assets.enrich.returns.align import align, common_grid, neutral_shares
from market_assets.expected.series import belongs, calendar_of, partitions_of, prepare, series_of
from market_assets.market.calendars.sessions import ALWAYS_OPEN, load_calendar
from market_assets.market.datasets import Dataset
from market_assets.market.partitions import Cadence, Partition, partition_key, partitions_in
from market_assets.market.timeframes import TS, Timeframe, Window, literal, to_micros
from market_assets.verdicts.alignment import alignment
from market_assets.verdicts.jumps import NO_JUMPS
from market_assets.verdicts.verdicts import SymbolCounts
from market_assets.work.behind import Input
from market_assets.work.making import Work
from market_assets.work.publish import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from market_assets.config.settings import ReturnSettings
    from market_assets.config.universe import Profile, Universe
    from market_assets.store import Store, Transaction
    from market_assets.work.job import Job
    from market_assets.work.outcome import PartitionOutcome

_REACH_DAYS = 7
"""How many days before its first return the matrix across profiles looks for a close, at least."""


class Returns(Work):
    """One alignment of returns over a window, oldest partition first.

    To be iterated once. The close before a partition's first return is looked for in the partition
    before, across profiles in the week before, or for as long as a market of theirs stays closed: a
    symbol that was silent for longer begins anew.

    Args:
        store: Where candles and ledgers are kept.
        name: The profile's name, or that of the matrix across profiles.
        timeframe: A timeframe that each of the members keeps.
        members: Whose symbols are aligned.
        window: Which partitions: all that overlap it, as far as a member and the present reach.
        neutral_limit: The share of a symbol's bars that may be neutral.
        clock: Gives the present instant; asked once.
        intersection: Only the times that the calendars of all members have.
        settings: Those of the matrix across profiles; a member's own hold where it has none.
        run_id: Names the caller's run in `ops.jobs`.
        trigger: How it came about: manual, backfill, update, repair, automation.
    """

    kind = "returns"

    def __init__(
        self,
        store: Store,
        name: str,
        timeframe: Timeframe,
        members: Sequence[Profile],
        window: Window,
        *,
        neutral_limit: float,
        clock: Callable[[], datetime],
        intersection: bool = False,
        settings: ReturnSettings | None = None,
        run_id: str | None = None,
        trigger: str = "manual",
    ) -> None:
        self._settings = settings
        self._members = members
        self._intersection = intersection
        self._neutral_limit = neutral_limit
        self._now = now = clock()
        self._alone = len(members) == 1 and members[0].name == name
        self._reach_days = reach_days(members, now)
        self._cadence = (
            members[0].partitions.of(timeframe) if self._alone else markets_cadence(timeframe)
        )
        start = min(member.window(self._now).start for member in members)
        self._whole = self._partitions(timeframe, Window(start, max(start, self._now)))
        super().__init__(
            store,
            Dataset.returns(name, timeframe),
            [partition for partition in self._whole if partition.window.intersect(window)],
            symbols=[self._id(member, symbol) for member in members for symbol in member.symbols],
            inputs=[
                Input(
                    member.candles(timeframe),
                    member.partitions.of(timeframe),
                    self._reach_of(member),
                )
                for member in members
            ],
            cadence=self._cadence,
            now=now,
            run_id=run_id,
            trigger=trigger,
        )

    @classmethod
    def of_profile(
        cls,
        store: Store,
        profile: Profile,
        timeframe: Timeframe,
        window: Window,
        *,
        clock: Callable[[], datetime],
        run_id: str | None = None,
        trigger: str = "manual",
    ) -> Returns:
        """The returns of one profile, whose symbols share a calendar."""
        limit = profile.returns.neutral_limit
        return cls(
            store,
            profile.name,
            timeframe,
            [profile],
            window,
            neutral_limit=limit,
            clock=clock,
            run_id=run_id,
            trigger=trigger,
        )

    @classmethod
    def of_markets(
        cls,
        store: Store,
        universe: Universe,
        timeframe: Timeframe,
        window: Window,
        *,
        clock: Callable[[], datetime],
        run_id: str | None = None,
        trigger: str = "manual",
    ) -> Returns:
        """The returns of all profiles in the matrix across profiles.

        A symbol is named `profile.symbol` there.
        """
        markets = universe.markets
        return cls(
            store,
            markets.name,
            timeframe,
            universe.in_markets(timeframe),
            window,
            neutral_limit=markets.neutral_limit,
            clock=clock,
            intersection=markets.calendar == "intersection",
            settings=markets if markets.basis else None,
            run_id=run_id,
            trigger=trigger,
        )

    def _reach_of(self, member: Profile) -> int:
        """How far back a partition may look for a member's close before its first return.

        It is a number of partitions of the member's candles.
        """
        days = not self._alone and self._cadence is Cadence.DAY
        return self._reach_days if days and member.partitions.intraday is Cadence.DAY else 1

    def _partitions(self, timeframe: Timeframe, window: Window) -> list[Partition]:
        if self._alone:
            (member,) = self._members
            return partitions_of(member, timeframe, series_of(member, self._now), window)
        return partitions_in(load_calendar(ALWAYS_OPEN), timeframe, self._cadence, window)

    def _id(self, member: Profile, symbol: str) -> str:
        return symbol if self._alone else f"{member.name}.{symbol}"

    def prepare(self, transaction: Transaction) -> None:
        """See `Work.prepare`."""
        for member in self._members:
            prepare(transaction, member)
        transaction.returns.create(self.dataset)

    def bars(self, window: Window) -> pl.DataFrame:
        """See `Work.bars`."""
        opens = [
            calendar_of(member)
            .bars(self.dataset.timeframe, window)
            .select("ts", "opens_at", "closes_at")
            for member in self._members
        ]
        return pl.concat(opens).unique()

    def size(self, partition: Partition) -> int:
        """See `Work.size`."""
        return len(self._symbols) * int(
            (partition.window.end - partition.window.start) / self.dataset.timeframe.duration
        )

    def finish(self) -> None:
        """See `Work.finish`."""

    def make(
        self,
        transaction: Transaction,
        batch: Sequence[Partition],
        window: Window,
        job: Job,  # noqa: ARG002 - of all works
    ) -> list[PartitionOutcome]:
        """See `Work.make`."""
        if batch[0] is self._whole[0]:
            # The first bar of all, a week perhaps, may have a `ts` before the first partition.
            window = Window(self._begin, window.end)
        read = Window(self._reach(batch[0]), window.end)
        bars, series, opens = [], [], []
        jumps = [NO_JUMPS]
        for member in self._members:
            grid = Grid(transaction, member, self.dataset.timeframe, self._now)
            name = pl.lit("" if self._alone else f"{member.name}.")
            basis = self._basis_of(member)
            whole = on_one_footing(
                transaction, member, self.dataset.timeframe, grid.bars(read), basis
            )
            if watches_jumps(member, (self._settings or member.returns).basis):
                member_jumps = jumps_in(
                    transaction, member, self.dataset.timeframe, whole, basis=basis, now=self._now
                )
                jumps.append(
                    member_jumps.filter(window.holds()).with_columns(symbol=name + pl.col("symbol"))
                )
            member_bars = whole.select("symbol", "ts", "close", "state", "severed")
            bars.append(member_bars.with_columns(symbol=name + pl.col("symbol")))
            series.append(
                _bounds(member_bars, grid, read, self._now).with_columns(
                    symbol=name + pl.col("symbol")
                )
            )
            called_for = (pl.col("closes_at") <= literal(self._now)) & belongs(
                member.window(self._now), derived=self.dataset.timeframe in member.timeframes.derive
            )
            opens.append(
                calendar_of(member).bars(self.dataset.timeframe, read).filter(called_for)["ts"]
            )
        times = common_grid(opens, intersection=self._intersection).to_frame()
        returns = align(pl.concat(bars), self._with_reach(times, batch), pl.concat(series)).filter(
            window.holds()
        )
        changed = transaction.returns.replace(self.dataset, window, returns)
        return self._outcomes(transaction, batch, returns, changed, pl.concat(jumps))

    def _basis_of(self, member: Profile) -> Basis:
        return member.basis_of(self._settings or member.returns)

    def recipe(self) -> str:
        """See `Work.recipe`."""
        return ", ".join(f"{member.name}: {self._basis_of(member)}" for member in self._members)

    def first_recipe(self) -> str:
        """See `Work.first_recipe`."""
        return ", ".join(f"{member.name}: {Basis.RAW}" for member in self._members)

    @property
    def _begin(self) -> datetime:
        """An instant before the `ts` of any bar."""
        return self._whole[0].window.start - self.dataset.timeframe.duration

    def _reach(self, first: Partition) -> datetime:
        """From when on candles are read for a partition."""
        if not self._alone and self._cadence is Cadence.DAY:
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
        part = partition_key(self._cadence)
        shares = {
            str(key): neutral_shares(rows).to_dicts() for (key,), rows in returns.group_by(part)
        }
        moved = {str(key): rows.to_dicts() for (key,), rows in jumps.group_by(part)}

        def details(partition: Partition, new: Mapping[str, int]) -> Mapping[str, Any]:
            verdict = alignment(
                shares.get(partition.key, []),
                limit=self._neutral_limit,
                jumps=moved.get(partition.key, []),
            )
            return {"verdicts": (verdict,), "new": sum(new.values())}

        return publish(
            transaction,
            self.dataset,
            batch,
            cadence=self._cadence,
            counts={key: _counts(rows) for key, rows in shares.items()},
            evidence=None,
            rows=returns,
            changed=changed,
            now=self._now,
            details=details,
        )


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
