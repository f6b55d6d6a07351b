"""A session that is on the calendar alone: explained as closed, and no feature breaks over it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.enrich.derive import Derive
from market_assets.enrich.features.featurize import Featurize
from market_assets.enrich.grid import Grid, with_runs
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, midnight
from market_assets.reports.completeness import matrix_of
from market_assets.verdicts.closures import NO_SESSION

if TYPE_CHECKING:
    from market_assets_tests.support.fill_ground import Ground

at = datetime.fromisoformat  # an instant as frames hold it: UTC, without a zone

STORM = date(2023, 9, 8)
"""A session of the calendar XHKG on which rain kept the exchange closed."""

DAYS = [date(2023, 9, 4) + timedelta(days=step) for step in (0, 1, 2, 3, 7, 8, 9)]


def hours(*days: date, start: float = 100.0) -> pl.DataFrame:
    """Hours of Hong Kong's sessions: 01:30Z to 04:00Z and 05:00Z to 08:00Z."""
    stamps = [
        midnight(day).replace(tzinfo=None) + timedelta(minutes=step)
        for day in days
        for step in (90, 150, 210, 300, 360, 420)
    ]
    prices = pl.Series([start + step for step in range(len(stamps))])
    return pl.DataFrame({"ts": stamps}, schema={"ts": TS}).with_columns(
        open=prices, high=prices + 1, low=prices - 1, close=prices, volume=10.0
    )


@pytest.fixture
def hong_kong(empty_ground: Ground) -> Ground:
    empty_ground.clock.now = datetime(2023, 9, 20, 12, tzinfo=UTC)
    return empty_ground


def keep(ground: Ground, **frames: pl.DataFrame) -> None:
    ground.add_archive("files", frames)
    symbols = ", ".join(f"{symbol}: {{}}" for symbol in frames)
    ground.keep(
        f"""
        kind: EQUITY
        calendar: XHKG
        start: 2023-09-04
        end: 2023-09-14
        timeframes: {{fetch: [1h], derive: [1d], features: [1h, 1d]}}
        features: {{ema: [12]}}
        symbols: {{{symbols}}}
        evidence: {{confirmations: 1}}
        """
    )


def fill_twice(ground: Ground) -> None:
    ground.fill()
    ground.wait(hours=2)
    ground.fill()


def states(ground: Ground) -> pl.DataFrame:
    with ground.store.reading("testing") as view:
        return view.gaps.of(Dataset.candles("kept", Timeframe.H1)).select(
            "symbol", "first_ts", "bars", "status", "reason"
        )


def test_a_session_without_a_bar_of_anybody_is_closed_in_those_words(hong_kong: Ground):
    keep(hong_kong, A=hours(*DAYS), B=hours(*DAYS, start=200))
    # Files that do not change are one witness, and one is enough here.
    outcomes = {outcome.partition.key: outcome for outcome in hong_kong.fill()}
    first = at("2023-09-08 01:30")
    assert states(hong_kong).rows() == [
        (symbol, first, 6, "closed", NO_SESSION) for symbol in ("A", "B")
    ]
    assert NO_SESSION == "the calendar has a session here, no source has a bar"
    continuity = outcomes["2023-09-08"].verdicts[0]
    assert continuity.passed
    assert continuity.facts["explained_closed"] == 12
    health = matrix_of(hong_kong.store, [hong_kong.profile], hong_kong.clock()).filter(
        pl.col("timeframe") == "1h"
    )
    assert set(health["health"]) == {"HEALTHY"}


def test_features_go_on_over_a_closed_session(hong_kong: Ground):
    ground = hong_kong
    keep(ground, A=hours(*DAYS), B=hours(*DAYS, start=200))
    fill_twice(ground)
    window = ground.profile.window(ground.clock())
    list(Derive(ground.store, ground.scope(Timeframe.D1), window))
    for timeframe in (Timeframe.H1, Timeframe.D1):
        list(Featurize(ground.store, ground.scope(timeframe), window))
        with ground.store.reading("testing") as view:
            bars = Grid(view, ground.scope(timeframe)).bars(window)
        assert not bars["broken"].any()
        assert with_runs(bars).group_by("symbol").agg(pl.col("run").n_unique())[
            "run"
        ].to_list() == [1, 1]
    with ground.store.reading("testing") as view:
        rows = view.candles.rows("kept", "features_1h", ["A"], window)
    after = rows.filter(pl.col("ts") > at("2023-09-08"))
    assert after.height == 18
    assert after["ema_12"].null_count() == 0


def test_an_absence_that_others_traded_through_stays_an_outage(hong_kong: Ground):
    keep(hong_kong, A=hours(*DAYS), B=hours(*DAYS, STORM).sort("ts"))
    fill_twice(hong_kong)
    assert set(states(hong_kong)["status"]) == {"outage"}


def test_one_bar_of_anybody_shows_that_the_session_was_held_after_all(hong_kong: Ground):
    ground = hong_kong
    keep(ground, A=hours(*DAYS), B=hours(*DAYS, start=200))
    fill_twice(ground)
    assert set(states(ground)["status"]) == {"closed"}
    late = (
        hours(*DAYS, STORM)
        .sort("ts")
        .filter(pl.col("ts") <= at("2023-09-08 01:30"))
        .vstack(hours(*DAYS).filter(pl.col("ts") > at("2023-09-08 01:30")))
    )
    ground.add_archive("files", {"A": late})
    ground.wait(hours=2)
    ground.fill(refetch=True)
    found = states(ground)
    assert dict(found.group_by("symbol").agg(pl.sum("bars")).sort("symbol").iter_rows()) == {
        "A": 5,
        "B": 6,
    }
    assert set(found["status"]) == {"outage"}


def test_what_is_before_the_first_bar_of_all_is_not_closed(hong_kong: Ground):
    keep(hong_kong, A=hours(*DAYS[2:]))
    fill_twice(hong_kong)
    assert "closed" not in set(
        states(hong_kong).filter(pl.col("first_ts") < at("2023-09-06"))["status"]
    )


def test_a_market_that_never_closes_has_outages_only(hong_kong: Ground):
    ground = hong_kong
    first = midnight(date(2023, 9, 4)).replace(tzinfo=None)
    stamps = [first + timedelta(hours=step) for step in range(10 * 24) if not 48 <= step < 72]
    frame = pl.DataFrame({"ts": stamps}, schema={"ts": TS}).with_columns(
        open=1.0, high=2.0, low=1.0, close=1.5, volume=1.0
    )
    ground.add_archive("files", {"A": frame})
    ground.keep(
        "{start: 2023-09-04, end: 2023-09-14, symbols: {A: {}}, evidence: {confirmations: 1}}"
    )
    fill_twice(ground)
    assert set(states(ground)["status"]) == {"outage"}


def test_a_session_that_two_days_hold_is_closed_on_both(hong_kong: Ground):
    ground = hong_kong
    ground.clock.now = datetime(2024, 6, 20, 12, tzinfo=UTC)
    first = midnight(date(2024, 6, 9)).replace(tzinfo=None) + timedelta(hours=22)
    stamps = [first + timedelta(days=day, hours=step) for day in (0, 1, 3) for step in range(23)]
    frame = pl.DataFrame({"ts": stamps}, schema={"ts": TS}).with_columns(
        open=1.0, high=2.0, low=1.0, close=1.5, volume=1.0
    )
    ground.add_archive("files", {"ES": frame, "NQ": frame})
    ground.keep(
        """
        kind: FUTURES
        start: 2024-06-09
        end: 2024-06-14
        symbols: {ES: {}, NQ: {}}
        evidence: {confirmations: 1}
        """
    )
    fill_twice(ground)
    found = states(ground).filter(pl.col("symbol") == "ES", pl.col("first_ts") < at("2024-06-13"))
    assert set(found["status"]) == {"closed"}
    assert found["bars"].sum() == 23
    assert found["first_ts"].min() == at("2024-06-11 22:00")


def test_a_daily_session_of_a_month_is_closed(hong_kong: Ground):
    ground = hong_kong
    stamps = [midnight(day).replace(tzinfo=None) for day in DAYS]
    frame = pl.DataFrame({"ts": stamps}, schema={"ts": TS}).with_columns(
        open=1.0, high=2.0, low=1.0, close=1.5, volume=1.0
    )
    ground.add_archive("files", {"A": frame})
    ground.keep(
        """
        kind: EQUITY
        calendar: XHKG
        start: 2023-09-04
        end: 2023-09-14
        timeframes: {fetch: [1d], features: [1d]}
        symbols: {A: {}}
        evidence: {confirmations: 1}
        """
    )
    fill_twice(ground)
    with ground.store.reading("testing") as view:
        rows = (
            view.gaps.of(Dataset.candles("kept", Timeframe.D1)).select("first_ts", "status").rows()
        )
        bars = Grid(view, ground.scope(Timeframe.D1)).bars(ground.profile.window(ground.clock()))
    assert rows == [(at("2023-09-08"), "closed")]
    assert not bars["broken"].any()


class TestFilesAlone:
    """A file that goes on after a session is a witness that its symbol was not traded.

    Different files are several witnesses.
    """

    @staticmethod
    def keep(ground: Ground, symbols: str = "{A: {}, B: {}}", **more: str) -> None:
        rest = "".join(f", {key}: {value}" for key, value in more.items())
        ground.keep(
            f"""{{kind: EQUITY, calendar: XHKG, start: 2023-09-04, end: 2023-09-14,
            timeframes: {{fetch: [1h]}}, symbols: {symbols}{rest}}}"""
        )

    def test_two_of_them_show_that_a_session_was_closed(self, hong_kong: Ground):
        hong_kong.add_archive("files", {"A": hours(*DAYS), "B": hours(*DAYS, start=200)})
        self.keep(hong_kong)

        outcomes = {outcome.partition.key: outcome for outcome in hong_kong.fill()}

        first = at("2023-09-08 01:30")
        assert states(hong_kong).rows() == [
            (symbol, first, 6, "closed", NO_SESSION) for symbol in ("A", "B")
        ]
        assert outcomes["2023-09-08"].verdicts[0].passed

    def test_it_stays_closed_when_they_are_read_again(self, hong_kong: Ground):
        hong_kong.add_archive("files", {"A": hours(*DAYS), "B": hours(*DAYS, start=200)})
        self.keep(hong_kong)
        fill_twice(hong_kong)

        assert set(states(hong_kong)["status"]) == {"closed"}

    def test_one_file_is_one_witness(self, hong_kong: Ground):
        hong_kong.add_archive("files", {"A": hours(*DAYS)})
        self.keep(hong_kong, "{A: {}}")
        fill_twice(hong_kong)

        assert states(hong_kong)["status"].to_list() == ["open"]

    def test_copies_of_a_file_are_one_witness(self, hong_kong: Ground):
        hong_kong.add_archive("files", {"A": hours(*DAYS), "B": hours(*DAYS)})
        self.keep(hong_kong)
        fill_twice(hong_kong)

        assert set(states(hong_kong)["status"]) == {"open"}

    def test_one_file_of_two_symbols_is_one_witness(self, hong_kong: Ground):
        both = [
            hours(*DAYS, start=start).with_columns(symbol=pl.lit(name))
            for name, start in (("A", 100), ("B", 200))
        ]
        (hong_kong.folder / "files").mkdir()
        pl.concat(both).write_parquet(hong_kong.folder / "files" / "all.parquet")
        hong_kong.add_source(
            "files", type="archive", path="files/all.parquet", columns={"symbol": "symbol"}
        )
        self.keep(hong_kong)
        fill_twice(hong_kong)

        assert set(states(hong_kong)["status"]) == {"open"}

    def test_a_file_that_ends_before_is_no_witness(self, hong_kong: Ground):
        before = [day for day in DAYS if day < STORM]
        hong_kong.add_archive("files", {"A": hours(*DAYS), "B": hours(*before, start=200)})
        self.keep(hong_kong)
        fill_twice(hong_kong)

        assert "closed" not in set(states(hong_kong)["status"])

    def test_neither_are_two_files_between_which_a_day_is_absent(self, hong_kong: Ground):
        for name in ("A", "B"):
            for day in DAYS:
                hong_kong.add_archive(
                    "files", {f"{name}-{day}": hours(day, start=100 if name == "A" else 200)}
                )
        hong_kong.add_source("files", type="archive", path="files/{symbol}-{date}.parquet")
        self.keep(hong_kong)
        fill_twice(hong_kong)

        found = states(hong_kong).filter(pl.col("first_ts") == at("2023-09-08 01:30"))
        assert found["status"].to_list() == ["open", "open"]

    def test_a_symbol_that_traded_makes_it_a_hole_of_the_others(self, hong_kong: Ground):
        frames = {
            "A": hours(*DAYS),
            "B": hours(*DAYS, start=200),
            "C": hours(*DAYS, STORM, start=300).sort("ts"),
        }
        hong_kong.add_archive("files", frames)
        self.keep(hong_kong, "{A: {}, B: {}, C: {}}")
        fill_twice(hong_kong)

        assert set(states(hong_kong)["status"]) == {"open"}

    def test_a_bar_that_comes_later_opens_it_again(self, hong_kong: Ground):
        ground = hong_kong
        ground.add_archive("files", {"A": hours(*DAYS), "B": hours(*DAYS, start=200)})
        self.keep(ground)
        ground.fill()
        ground.add_archive("files", {"A": hours(*DAYS, STORM).sort("ts")})
        ground.wait(hours=2)
        ground.fill(refetch=True)

        found = states(ground).select("symbol", "status").rows()
        assert found == [("B", "open")]

    def test_as_many_are_needed_as_confirmations(self, hong_kong: Ground):
        hong_kong.add_archive("files", {"A": hours(*DAYS), "B": hours(*DAYS, start=200)})
        self.keep(hong_kong, evidence="{confirmations: 3}")
        hong_kong.fill()

        assert set(states(hong_kong)["status"]) == {"open"}
