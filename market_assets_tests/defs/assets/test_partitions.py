"""Dagster's partitions are exactly the days on which a market trades, or the months."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market_assets.defs.assets.partitions import partitions_of
from market_assets.expected.scope import scope_of
from market_assets.expected.series import calendar_of
from market_assets.market.partitions import partitions_in
from market_assets.market.timeframes import Timeframe, Window, midnight

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Profile
    from market_assets_tests.support.defs_ground import Ground

SATURDAY = datetime(2025, 3, 1, 12, tzinfo=UTC)
M1, D1, W1 = Timeframe.M1, Timeframe.D1, Timeframe.W1


def keys_at(now: datetime, profile: Profile, timeframe: Timeframe = M1) -> list[str]:
    """The keys that a profile's partitions have at some instant, as Dagster counts them."""
    partitions = partitions_of(scope_of(profile, timeframe, now))
    with dg.partition_loading_context(effective_dt=now):
        return list(partitions.get_partition_keys())


def of(kind: str, start: str, end: str | None = None, more: str = "") -> str:
    ending = f"end: {end}" if end else ""
    return f"kind: {kind}\nstart: {start}\n{ending}\nsymbols: {{A: {{}}}}\n{more}"


def weekdays(keys: list[str]) -> set[int]:
    return {date.fromisoformat(key).isoweekday() for key in keys}


def test_new_york_has_no_weekend_and_no_holiday_but_half_days(
    profile: Callable[[str], Profile],
) -> None:
    keys = keys_at(SATURDAY, profile(of("EQUITY", "2024-11-25", "2025-01-21")))
    assert weekdays(keys) == {1, 2, 3, 4, 5}
    assert {"2024-11-29", "2024-12-24", "2025-01-08", "2025-01-10"} <= set(keys)
    # Thanksgiving, Christmas, New Year, a day of mourning, and Martin Luther King's day.
    assert {"2024-11-28", "2024-12-25", "2025-01-01", "2025-01-09", "2025-01-20"}.isdisjoint(keys)
    assert (keys[0], keys[-1], len(keys)) == ("2024-11-25", "2025-01-17", 36)


def test_futures_trade_on_sundays_and_never_on_saturdays(profile: Callable[[str], Profile]) -> None:
    keys = keys_at(SATURDAY, profile(of("FUTURES", "2024-12-01", "2025-02-01")))
    assert weekdays(keys) == {1, 2, 3, 4, 5, 7}
    assert keys[0] == "2024-12-01"
    # Good Friday's session, like the one of the day of mourning, has hours of its own; Christmas
    # begins again in the evening.
    assert {"2024-12-25", "2025-01-09", "2025-01-20"} <= set(keys)


def test_forex_trades_from_sunday_to_friday_and_crypto_every_day(
    profile: Callable[[str], Profile],
) -> None:
    forex = keys_at(SATURDAY, profile(of("FOREX", "2025-01-06", "2025-02-03")))
    assert weekdays(forex) == {1, 2, 3, 4, 5, 7}
    assert len(forex) == 24
    crypto = keys_at(SATURDAY, profile(of("CRYPTO", "2025-01-06", "2025-02-03")))
    assert len(crypto) == 28


@pytest.mark.parametrize("kind", ["CRYPTO", "EQUITY", "FUTURES", "FOREX"])
@pytest.mark.parametrize("timeframe", [M1, Timeframe.H4, D1])
def test_dagster_and_the_fill_speak_of_the_same_partitions(
    profile: Callable[[str], Profile], kind: str, timeframe: Timeframe
) -> None:
    kept = profile(of(kind, "2019-05-04", "2024-10-13", "partitions: {daily: day}"))
    keys = keys_at(SATURDAY, kept, timeframe)
    cadence = kept.partitions.of(timeframe)
    same = partitions_in(calendar_of(kept), timeframe, cadence, kept.window(SATURDAY))
    assert keys == [partition.key for partition in same]


@given(first=st.dates(date(2024, 1, 1), date(2025, 2, 1)), days=st.integers(1, 40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_profile_of_a_few_days_has_its_trading_days_alone(
    profile: Callable[[str], Profile], first: date, days: int
) -> None:
    after = first + timedelta(days=days)
    kept = profile(of("EQUITY", first.isoformat(), after.isoformat()))
    trading = calendar_of(kept).trading_days(Window(midnight(first), midnight(after)))
    if len(trading):
        assert keys_at(SATURDAY + timedelta(days=60), kept) == [day.isoformat() for day in trading]


def test_months_begin_on_the_first_whatever_day_the_profile_begins_and_ends(
    profile: Callable[[str], Profile],
) -> None:
    kept = profile(
        of("EQUITY", "2024-11-25", "2025-01-21", "timeframes: {fetch: [1m], derive: [1d, 1w]}")
    )
    assert keys_at(SATURDAY, kept, D1) == ["2024-11-01", "2024-12-01", "2025-01-01"]
    assert keys_at(SATURDAY, kept, W1) == keys_at(SATURDAY, kept, D1)
    until_new_year = profile(of("EQUITY", "2024-12-01", "2025-01-01"))
    assert keys_at(SATURDAY, until_new_year, D1) == ["2024-12-01"]


def test_days_may_be_kept_in_months_and_months_in_days(profile: Callable[[str], Profile]) -> None:
    kept = profile(
        of("EQUITY", "2025-01-02", "2025-01-13", "partitions: {intraday: month, daily: day}")
    )
    assert keys_at(SATURDAY, kept, M1) == ["2025-01-01"]
    assert keys_at(SATURDAY, kept, D1) == [
        "2025-01-02",
        "2025-01-03",
        "2025-01-06",
        "2025-01-07",
        "2025-01-08",
        "2025-01-10",
    ]


def test_a_profile_that_goes_on_has_the_day_and_the_month_that_run_now(
    profile: Callable[[str], Profile],
) -> None:
    kept = profile(of("CRYPTO", "2025-02-01"))
    assert keys_at(SATURDAY, kept)[-1] == "2025-03-01"
    assert keys_at(SATURDAY, kept, D1) == ["2025-02-01", "2025-03-01"]
    assert keys_at(midnight(date(2025, 3, 1)), kept)[-1] == "2025-03-01"


def test_a_profile_that_has_ended_has_nothing_after_its_end(
    profile: Callable[[str], Profile],
) -> None:
    kept = profile(of("CRYPTO", "2025-02-01", "2025-02-20"))
    for now in (SATURDAY, midnight(date(2025, 2, 20)), SATURDAY + timedelta(days=500)):
        assert keys_at(now, kept)[-1] == "2025-02-19"
    # Before its end it goes on like any other.
    assert keys_at(datetime(2025, 2, 10, 6, tzinfo=UTC), kept)[-1] == "2025-02-10"
    assert keys_at(datetime(2025, 2, 19, 23, tzinfo=UTC), kept)[-1] == "2025-02-19"
    assert keys_at(datetime(2025, 2, 10, 6, tzinfo=UTC), kept, D1) == ["2025-02-01"]


def test_on_a_weekend_the_next_session_is_a_partition_already(
    profile: Callable[[str], Profile],
) -> None:
    # Dagster's own reckoning; the next test says what a run over it does.
    kept = profile(of("EQUITY", "2025-02-24"))
    assert keys_at(SATURDAY, kept)[-2:] == ["2025-02-28", "2025-03-03"]
    assert keys_at(SATURDAY + timedelta(days=2), kept)[-1] == "2025-03-03"


@pytest.mark.parametrize("now", ["2025-03-01T12:00:00+00:00", "2025-03-02T12:00:00+00:00"])
def test_a_monday_that_has_not_begun_is_neither_filled_nor_failed(ground: Ground, now: str) -> None:
    ground.keep(now=now, keys="{kind: EQUITY, start: 2025-02-27, end: null, symbols: {SPY: {}}}")
    run = ground.fill("2025-02-27", "2025-03-03")
    assert run.is_success
    colours = ground.colours()
    assert [colours[key] for key in ("2025-02-27", "2025-02-28", "2025-03-03")] == [
        "MATERIALIZED",
        "MATERIALIZED",
        "MISSING",
    ]
    assert "2025-03-03" not in {partition for partition, _ in ground.evaluations(run)}
    assert "nothing is due in 1 partitions, 2025-03-03 to 2025-03-03" in ground.messages(run)


def test_a_profile_that_begins_in_the_future_has_no_day_yet(
    profile: Callable[[str], Profile],
) -> None:
    assert keys_at(SATURDAY, profile(of("EQUITY", "2025-03-10"))) == []
    assert keys_at(SATURDAY, profile(of("EQUITY", "2028-03-10"))) == []


def test_definitions_know_the_holidays_of_the_months_ahead_and_stay_the_same_from_day_to_day(
    profile: Callable[[str], Profile],
) -> None:
    kept = profile(of("EQUITY", "2025-02-24"))
    partitions = partitions_of(scope_of(kept, M1, SATURDAY))
    with dg.partition_loading_context(effective_dt=datetime(2026, 1, 5, tzinfo=UTC)):
        assert {"2025-07-04", "2025-11-27", "2025-12-25", "2026-01-01"}.isdisjoint(
            partitions.get_partition_keys()
        )
    # Other definitions make Dagster count all partitions of the asset again.
    assert partitions_of(scope_of(kept, M1, SATURDAY + timedelta(days=1))) == partitions
