"""A calendar that changes: what it touches is judged again, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from market_assets.enrich.derive import Derive
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, midnight
from market_assets.reports.completeness import matrix_of

if TYPE_CHECKING:
    from market_assets_tests.support.fill_ground import Ground

WEEK = [date(2025, 2, 24) + timedelta(days=at) for at in range(5)]
SATURDAY = date(2025, 3, 1)


def hours(*days: date, opens: str = "14:30", bars: int = 7) -> pl.DataFrame:
    """Hours of New York's sessions (UTC), and of others like them."""
    start = timedelta(hours=int(opens[:2]), minutes=int(opens[3:]))
    stamps = [
        midnight(day).replace(tzinfo=None) + start + timedelta(hours=at)
        for day in days
        for at in range(bars)
    ]
    prices = [100.0 + at for at in range(len(stamps))]
    return pl.DataFrame({"ts": stamps}, schema={"ts": TS}).with_columns(
        open=pl.Series(prices),
        high=pl.Series(prices) + 1,
        low=pl.Series(prices) - 1,
        close=pl.Series(prices),
        volume=10.0,
    )


def keep(ground: Ground, changes: str = "[]", timeframes: str = "{fetch: [1h]}") -> None:
    ground.keep(
        f"""
        kind: EQUITY
        start: 2025-02-24
        end: 2025-03-04
        timeframes: {timeframes}
        symbols: {{SPY: {{}}}}
        calendar_changes: {changes}
        """
    )


@pytest.fixture
def spy(empty_ground: Ground) -> Ground:
    empty_ground.clock.now = datetime(2025, 3, 10, 12, tzinfo=UTC)
    return empty_ground


def versions(ground: Ground) -> dict[str, datetime]:
    with ground.store.reading("testing") as view:
        return {
            row["partition"]: row["changed_at"]
            for row in view.partitions.standing(Dataset.labelled("kept", "1h")).iter_rows(
                named=True
            )
        }


def status(ground: Ground) -> dict[str, object]:
    (row,) = (
        matrix_of(ground.store, [ground.profile], ground.clock())
        .filter(pl.col("timeframe") == "1h")
        .rows(named=True)
    )
    return {key: row[key] for key in ("expected", "stored", "missing", "health")}


CLOSED = "[{date: 2025-02-26, close: true, reason: a storm}]"


def test_a_session_closed_by_the_universe_is_not_missing_any_more_and_nothing_else_is_judged(
    spy: Ground,
):
    ground = spy
    ground.add_archive("files", {"SPY": hours(*WEEK[:2], *WEEK[3:], date(2025, 3, 3))})
    keep(ground)
    ground.fill()
    assert status(ground) == {"expected": 42, "stored": 35, "missing": 7, "health": "DEGRADED"}
    before = versions(ground)

    ground.wait(minutes=5)
    keep(ground, CLOSED)
    assert status(ground) == {"expected": 35, "stored": 35, "missing": 0, "health": "HEALTHY"}
    after = versions(ground)
    assert {key for key in after if after[key] != before.get(key)} == {"2025-02-26"}
    with ground.store.reading("testing") as view:
        assert view.gaps.of(Dataset.candles("kept", Timeframe.H1)).is_empty()

    ground.wait(minutes=5)
    assert status(ground)["health"] == "HEALTHY"
    assert versions(ground) == after

    keep(ground)
    assert status(ground) == {"expected": 42, "stored": 35, "missing": 7, "health": "DEGRADED"}


@pytest.mark.parametrize("quiet", ["present", "omitted"])
def test_a_session_that_the_calendar_lacks_is_stored_once_the_universe_has_it(
    spy: Ground, quiet: str
):
    ground = spy
    ground.add_archive(
        "files",
        {
            "SPY": pl.concat(
                [hours(*WEEK), hours(SATURDAY, opens="15:00", bars=1), hours(date(2025, 3, 3))]
            )
        },
        quiet_minutes=quiet,
    )
    keep(ground)
    ground.fill()
    assert ground.rows().height == 42

    keep(ground, '[{date: 2025-03-01, hours: "10:00-11:00", reason: a session for the feast}]')
    assert status(ground) == {"expected": 43, "stored": 42, "missing": 1, "health": "DEGRADED"}
    before = versions(ground)
    ground.wait(minutes=5)
    ground.fill()
    assert status(ground) == {"expected": 43, "stored": 43, "missing": 0, "health": "HEALTHY"}
    after = versions(ground)
    assert {key for key in after if after[key] != before.get(key)} == {"2025-03-01"}


@pytest.mark.parametrize("quiet", ["present", "omitted"])
def test_longer_hours_are_asked_for_although_the_source_had_answered_for_them(
    spy: Ground, quiet: str
):
    ground = spy
    ground.add_archive(
        "files", {"SPY": hours(*WEEK, date(2025, 3, 3), bars=9)}, quiet_minutes=quiet
    )
    keep(ground)
    ground.fill()
    assert ground.rows().height == 42

    keep(ground, "[{date: 2025-02-26, close: 18:00, reason: longer for a day}]")
    assert status(ground) == {"expected": 44, "stored": 42, "missing": 2, "health": "DEGRADED"}
    ground.fill()
    assert status(ground) == {"expected": 44, "stored": 44, "missing": 0, "health": "HEALTHY"}


def test_bars_outside_of_shorter_hours_go_and_their_old_values_stay(spy: Ground):
    ground = spy
    ground.add_archive("files", {"SPY": hours(*WEEK, date(2025, 3, 3))})
    keep(ground, timeframes="{fetch: [1h], derive: [4h, 1d]}")
    ground.fill()
    for timeframe in (Timeframe.H4, Timeframe.D1):
        list(
            Derive(
                ground.store,
                ground.scope(timeframe),
                ground.profile.window(ground.clock()),
            )
        )
    assert ground.rows(timeframe=Timeframe.H4).height == 12

    keep(
        ground,
        "[{date: 2025-02-26, close: true, reason: a storm}]",
        timeframes="{fetch: [1h], derive: [4h, 1d]}",
    )
    assert status(ground) == {"expected": 35, "stored": 35, "missing": 0, "health": "HEALTHY"}
    assert ground.rows().height == 35
    assert ground.rows(timeframe=Timeframe.H4).height == 10
    with ground.store.reading("testing") as view:
        kept = view.revisions.of(
            Dataset.candles("kept", Timeframe.H1), "SPY", datetime(2025, 2, 26, 14, 30, tzinfo=UTC)
        )
    assert kept.height == 1


def test_a_store_of_an_earlier_release_is_judged_by_the_corrections(spy: Ground):
    ground = spy
    ground.clock.now = datetime(2024, 11, 10, 12, tzinfo=UTC)
    days = [date(2024, 10, 29), date(2024, 10, 30), date(2024, 11, 1)]
    ground.add_archive("files", {"T": hours(*days, opens="01:00", bars=5)})
    keys = """
        kind: EQUITY
        calendar: XTAI
        start: 2024-10-29
        end: 2024-11-02
        symbols: {T: {}}
    """
    ground.keep(keys)
    ground.fill()
    with ground.store.writing("as an earlier release left it") as transaction:
        calendar = ground.calendar()
        assert calendar.uncorrected.filter(pl.col("session") == date(2024, 10, 31)).height == 1
        db = transaction.database
        db.execute("DELETE FROM ops.calendars")
        db.execute("DELETE FROM ops.sessions")
        db.execute(
            """
            INSERT INTO ops.partitions (
                profile, timeframe, partition, symbol,
                expected, stored, explained, missing, judged_at, changed_at
            )
            VALUES ('kept', '1h', '2024-10-31', 'T', 5, 0, 0, 5, now()::TIMESTAMP, now()::TIMESTAMP)
            """
        )
    matrix_of(ground.store, [ground.profile], ground.clock())
    with ground.store.reading("testing") as view:
        (row,) = view.partitions.counts(Dataset.labelled("kept", "1h"), ["2024-10-31"]).rows(
            named=True
        )
    assert (row["expected"], row["missing"]) == (0, 0)


def test_what_a_calendar_refuses_again_speaks_against_it_again(spy: Ground):
    ground = spy
    saturday = hours(SATURDAY, bars=1)
    ground.add_archive(
        "files", {"SPY": pl.concat([hours(*WEEK), saturday, hours(date(2025, 3, 3))])}
    )
    seen = []
    for changes in ("[]", '[{date: 2025-03-01, hours: "09:30-10:30", reason: a feast}]', "[]"):
        keep(ground, changes)
        status(ground)
        ground.wait(minutes=5)
        if not seen or changes != "[]":
            ground.fill()
        with ground.store.reading("testing") as view:
            seen.append(view.off_calendar.of("kept").select("day", "side", "bars", "traded").rows())
    assert seen == [[(SATURDAY, "no_session", 1, 1)], [], [(SATURDAY, "no_session", 1, 1)]]
