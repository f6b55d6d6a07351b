"""The gap ledger as a person reads it."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from market_assets.market.timeframes import TS
from market_assets.practice.faults import Fault
from market_assets.reports.gaps import join_neighbours, listed_gaps
from market_assets_tests.support.fill_ground import at

MINUTE = timedelta(minutes=1)
# UTC without a zone.
GRID = pl.Series(
    "ts",
    [datetime(2025, 2, 26) + number * MINUTE for number in range(40)],  # noqa: DTZ001
    TS,
)


class TestListing:
    def listed(self, ground, **options):
        options = {"symbols": None, "now": ground.clock(), "explained": False} | options
        return listed_gaps(ground.store, [ground.profile], **options)

    def test_a_gap_over_midnight_and_one_over_a_weekend_are_one_each_newest_first(
        self, ground, vendor
    ):
        vendor.set_faults(
            [
                Fault(
                    fault="hole",
                    start=at("2025-02-25T20:30"),
                    end=at("2025-02-26T15:00"),
                    symbols=["SPY"],
                ),
                Fault(
                    fault="hole",
                    start=at("2025-02-21T20:00"),
                    end=at("2025-02-24T15:30"),
                    symbols=["SPY"],
                ),
            ]
        )
        ground.keep(
            "kind: EQUITY\n"
            "start: 2025-02-20\n"
            "end: 2025-02-27\n"
            "symbols: {SPY: {}}\n"
            "timeframes: {fetch: [1m]}"
        )
        ground.fill()
        assert len(ground.gaps()) == 4

        gaps = self.listed(ground)

        assert gaps.select(
            "first_ts", "last_ts", "bars", "priority", "status", "attempts"
        ).rows() == [
            (_naive("2025-02-25T20:30"), _naive("2025-02-26T14:59"), 60, "HIGH", "open", 1),
            (_naive("2025-02-21T20:00"), _naive("2025-02-24T15:29"), 120, "HIGH", "open", 1),
        ]
        assert self.listed(ground, now=at("2025-06-01T00:00"))["priority"].to_list() == [
            "LOW",
            "LOW",
        ]
        assert self.listed(ground, symbols=["OTHER"]).is_empty()

        # Once they are explained, they are listed only on demand.
        ground.wait(hours=1)
        ground.fill()
        assert self.listed(ground).is_empty()
        assert self.listed(ground, explained=True).select("bars", "status").rows() == [
            (60, "outage"),
            (120, "outage"),
        ]


@given(
    st.lists(st.sampled_from(["open", "outage", None]), min_size=len(GRID), max_size=len(GRID)),
    st.sets(st.integers(1, 39)),
)
def test_joining_loses_no_bar_and_parts_only_what_differs(states, borders):
    rows, run = [], []
    for place, state in enumerate(states):
        if run and (state != states[place - 1] or place in borders):
            rows.append((states[place - 1], run))
            run = []
        run = [*run, place] if state else []
    rows += [(states[-1], run)] if run else []
    ledger = pl.DataFrame(
        [
            ("BTC", GRID[run[0]], GRID[run[-1]], len(run), state, 1, GRID[run[0]], None, "why")
            for state, run in rows
        ],
        schema={
            "symbol": pl.String,
            "first_ts": TS,
            "last_ts": TS,
            "bars": pl.Int64,
            "status": pl.String,
            "attempts": pl.Int32,
            "first_seen": TS,
            "asked_at": TS,
            "reason": pl.String,
        },
        orient="row",
    )

    joined = join_neighbours(ledger, GRID)

    told: list[str | None] = [None] * len(GRID)
    for first, last, status in joined.select("first_ts", "last_ts", "status").iter_rows():
        for place in range(GRID.index_of(first), GRID.index_of(last) + 1):
            told[place] = status
    assert told == states
    assert joined["bars"].sum() == sum(state is not None for state in states)
    changes = sum(
        state is not None and (place == 0 or states[place - 1] != state)
        for place, state in enumerate(states)
    )
    assert len(joined) == changes


def _naive(text: str) -> datetime:
    return at(text).replace(tzinfo=None)
