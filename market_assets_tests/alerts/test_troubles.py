"""What counts as a trouble."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from market_assets.alerts.troubles import (
    LINES,
    Kind,
    Level,
    Life,
    Trouble,
    dead,
    enrichment,
    failed_checks,
    failed_days,
    failed_partitions,
    gap_troubles,
    is_replacing,
    missing_symbols,
    platform_troubles,
    sources_down,
    stale,
)
from market_assets.config.settings import AlertSettings
from market_assets.market.timeframes import TS, Timeframe
from market_assets.up.state import Restart, State

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
M1 = Timeframe.M1


def gaps(*rows: tuple[str, str, int, str, str]) -> pl.DataFrame:
    """Gaps of minutes: symbol, first bar, bars, when they were first seen, status."""
    values = []
    for symbol, first, bars, seen, status in rows:
        start = datetime.fromisoformat(first)
        last = start + timedelta(minutes=bars - 1)
        values.append(
            (symbol, start, last, bars, status, "no answer", datetime.fromisoformat(seen))
        )
    names = {
        "symbol": pl.String,
        "first_ts": TS,
        "last_ts": TS,
        "bars": pl.Int64,
        "status": pl.String,
    }
    return pl.DataFrame(
        values, schema={**names, "reason": pl.String, "first_seen": TS}, orient="row"
    )


def of_gaps(*rows: tuple[str, str, int, str, str]) -> list[Trouble]:
    return gap_troubles("crypto", M1, gaps(*rows), AlertSettings(), NOW)


@pytest.mark.parametrize(
    ("bars", "seen", "level"),
    [
        (1, "2025-03-01T00:00", None),
        (1, "2025-02-28T12:01", None),
        (1, "2025-02-28T12:00", Level.WARNING),
        (1, "2025-02-22T12:00", Level.ERROR),
        (1439, "2025-03-01T00:00", None),
        (1440, "2025-03-01T00:00", Level.WARNING),
        (7 * 1440, "2025-03-01T00:00", Level.ERROR),
    ],
)
def test_a_gap_weighs_as_much_as_its_length_or_as_the_time_it_is_open(
    bars: int, seen: str, level: Level | None
) -> None:
    found = of_gaps(("BTC", "2024-01-01", bars, seen, "open"))
    assert [(one.kind, one.level) for one in found] == ([(Kind.GAP, level)] if level else [])


def test_gaps_of_one_asset_are_one_trouble_with_the_heaviest_first() -> None:
    rows = [("ETH", f"2025-02-{day:02d}", 60, "2025-02-27", "open") for day in range(1, 25)]
    (found,) = of_gaps(*rows, ("BTC", "2024-01-01", 10 * 1440, "2025-03-01", "open"))
    assert (found.level, found.count, found.symbols) == (Level.ERROR, 25, ("BTC", "ETH"))
    assert found.summary == "25 gaps in BTC, ETH, 15,840 bars missing"
    assert found.details[0] == "BTC 2024-01-01 00:00Z to 2024-01-10 23:59Z, 14,400 bars: no answer"
    assert len(found.details) == LINES


def test_an_explained_gap_is_none_and_an_abandoned_one_a_trouble_of_its_own() -> None:
    long = ("2024-01-01", 10 * 1440, "2024-02-01")
    found = of_gaps(
        ("BTC", *long, "abandoned"), ("ETH", *long, "outage"), ("LIT", *long, "no_trade")
    )
    assert [(one.kind, one.level, one.symbols) for one in found] == [
        (Kind.ABANDONED, Level.WARNING, ("BTC",))
    ]


def failing(
    symbol: str, reason: str, seen: int = 30, asked: int = 5, failures: int = 1
) -> dict[str, object]:
    """An open gap that was first seen and last asked for some minutes ago."""
    at = NOW.replace(tzinfo=None)
    return {
        "symbol": symbol,
        "first_ts": at - timedelta(hours=1),
        "last_ts": at,
        "reason": reason,
        "failures": failures,
        "asked_at": at - timedelta(minutes=asked),
        "first_seen": at - timedelta(minutes=seen),
        "confirmed_at": None,
    }


DOWN = "source binance: BTC 1m: no answer after 3 attempts: connection refused"


@pytest.mark.parametrize(
    ("rows", "symbols"),
    [
        ([failing("BTC", DOWN), failing("ETH", DOWN)], ("BTC", "ETH")),
        ([failing("BTC", DOWN)], None),
        ([failing("BTC", DOWN), failing("ETH", "binance answered without it")], None),
        ([failing("BTC", DOWN), failing("ETH", DOWN.replace("binance", "kraken"))], None),
        ([failing("BTC", DOWN, seen=5), failing("ETH", DOWN, seen=5)], None),
        ([failing("BTC", DOWN, asked=130), failing("ETH", DOWN, asked=130)], None),
        ([failing("BTC", DOWN, failures=0), failing("ETH", DOWN, failures=0)], None),
    ],
)
def test_a_source_that_fails_for_most_symbols_is_down(
    rows: list[dict[str, object]], symbols: tuple[str, ...] | None
) -> None:
    schema = {"symbol": pl.String, "reason": pl.String, "failures": pl.Int32}
    schema |= dict.fromkeys(("first_ts", "last_ts", "asked_at", "first_seen", "confirmed_at"), TS)
    found = sources_down("crypto", pl.DataFrame(rows, schema=schema), {"binance", "kraken"}, 3, NOW)
    assert [(one.subject, one.symbols) for one in found] == (
        [("binance", symbols)] if symbols else []
    )


def test_two_hundred_failed_partitions_are_one_trouble_with_a_count_and_a_few_lines() -> None:
    keys = {f"{date(2024, 1, 1) + timedelta(days=n)}" for n in range(200)}
    (found,) = failed_partitions("crypto", "candles_1m", keys)
    assert (found.count, found.summary, len(found.details)) == (200, "200 partitions failed", LINES)
    assert found.details[0] == "2024-07-18"
    assert failed_partitions("crypto", "candles_1m", set()) == []


def test_a_failed_check_says_what_the_check_said() -> None:
    (found,) = failed_checks(
        "crypto", "candles_1m", "continuity", {"2025-01-01": "3 of 9 bars are missing"}
    )
    assert (found.subject, found.details) == (
        "candles_1m continuity",
        ("2025-01-01: 3 of 9 bars are missing",),
    )
    assert found.summary == "the check continuity fails in 1 partition"


@pytest.mark.parametrize(
    ("days", "count"),
    [
        ("FFF", 3),
        ("FFI", 3),
        ("FFS", 0),
        ("SFF", 0),
        ("FFF.", 3),
        ("FFF..", 0),
        ("F.FF", 0),
        ("FFFFFS", 0),
        ("SFFFFF", 3),
    ],
)
def test_only_days_in_a_row_up_to_today_or_yesterday_count(days: str, count: int) -> None:
    words = {"F": "FAILED", "I": "INCOMPLETE", "S": "SUCCEEDED"}
    first = NOW.date() - timedelta(days=len(days) - 1)
    ended = {first + timedelta(days=n): words[one] for n, one in enumerate(days) if one != "."}
    found = failed_days("crypto", M1, ended, AlertSettings(), NOW.date())
    assert [one.count for one in found] == ([count] if count else [])


@pytest.mark.parametrize(
    ("status", "troubled"), [("FAILED", True), ("INCOMPLETE", True), ("SUCCEEDED", False)]
)
def test_the_newest_derivation_that_did_not_succeed_is_a_trouble(
    status: str, *, troubled: bool
) -> None:
    assert len(enrichment("crypto", "features_1h", status, NOW, {})) == troubled


def test_a_derivation_that_succeeded_without_one_feature_is_a_trouble_that_names_it() -> None:
    faults = {"2025-02-27": ["BTC: rsi_14 could not be made: ValueError('no')"]}
    (trouble,) = enrichment("crypto", "features_1h", "SUCCEEDED", NOW, faults)
    assert trouble.summary == "the newest derivation could not make a part of it"
    assert trouble.details[1] == "2025-02-27: BTC: rsi_14 could not be made: ValueError('no')"


def test_each_missing_symbol_is_a_trouble_of_its_own() -> None:
    words = "source binance: HTTP 400: Invalid symbol. (code -1121)"
    found = missing_symbols("crypto", M1, {"NOPE": words, "GONE": ""})
    assert [one.subject for one in found] == ["GONE candles_1m", "NOPE candles_1m"]
    assert {one.level for one in found} == {Level.ERROR}
    assert [one.details for one in found] == [(), (words,)]


def test_the_symbols_without_the_newest_session_are_one_trouble() -> None:
    (found,) = stale("crypto", M1, date(2025, 2, 28), ["ETH", "BTC"])
    assert found.summary == "BTC, ETH have no bar of the session 2025-02-28, which is over"
    assert stale("crypto", M1, date(2025, 2, 28), []) == []


def life(ago: float | None, error: str = "", *, stopped: bool = False) -> Life:
    seen = None if ago is None else NOW - timedelta(seconds=ago)
    return Life("automation repair", timedelta(minutes=1), seen, error, stopped=stopped)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (life(10), None),
        (life(240), None),
        (life(241), "was last heard of at 2025-03-01 11:55Z"),
        (life(None), "has never been heard of"),
        (life(10, "ValueError: no"), "fails: ValueError: no"),
        (life(10_000, stopped=True), None),
        # A clock that was set back: it was heard of in the future.
        (life(-10_000), None),
    ],
)
def test_what_should_tick_and_does_not_is_dead_after_three_intervals_and_a_minute(
    one: Life, words: str | None
) -> None:
    found = dead([one], NOW, NOW - timedelta(days=1))
    assert [trouble.summary for trouble in found] == ([words] if words else [])


def test_nothing_follows_from_a_silence_in_which_nobody_listened() -> None:
    assert dead([life(10_000), life(None)], NOW, NOW - timedelta(minutes=4)) == []
    assert len(dead([life(10_000)], NOW, NOW - timedelta(minutes=5))) == 1


def test_a_process_that_was_started_again_is_a_trouble_for_ten_quiet_minutes() -> None:
    restarts = [
        Restart("code server", NOW - timedelta(minutes=11), "killed by SIGKILL"),
        Restart("daemon", NOW - timedelta(minutes=10), "ended with exit code 1"),
        Restart("code server", NOW - timedelta(minutes=9), "killed by SIGSEGV"),
    ]
    state = State(1, "http://127.0.0.1:3000", "crypto.yaml", NOW, restarts=restarts)
    (trouble,) = platform_troubles(state, NOW)
    assert (trouble.key, trouble.level, trouble.count) == (
        ("", "restart", "code server"),
        Level.ERROR,
        2,
    )
    assert (
        trouble.summary
        == "ended by itself and was started again; the newest reason: killed by SIGSEGV"
    )
    assert trouble.details == (
        "2025-03-01 11:51Z: killed by SIGSEGV",
        "2025-03-01 11:49Z: killed by SIGKILL",
    )
    assert platform_troubles(state, NOW + timedelta(minutes=1)) == []


def test_a_universe_file_with_mistakes_is_a_trouble_until_it_has_none() -> None:
    state = State(
        1,
        "http://127.0.0.1:3000",
        "crypto.yaml",
        NOW,
        faults=["crypto.yaml: 1 problem", "start: is missing"],
    )
    (trouble,) = platform_troubles(state, NOW)
    assert trouble.key == ("", "universe", "universe file")
    assert (
        trouble.summary
        == "crypto.yaml has mistakes and is not taken over; the last good one goes on"
    )
    assert trouble.details == ("crypto.yaml: 1 problem", "start: is missing")
    state.faults = []
    assert platform_troubles(state, NOW) == []


def test_a_sensor_that_misses_its_code_server_while_it_is_replaced_is_no_trouble() -> None:
    state = State(1, "http://127.0.0.1:3000", "crypto.yaml", NOW, taken_over_at=NOW)
    error = (
        "dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server."
    )
    missed, other = (
        dead([Life("daemon SENSOR", timedelta(seconds=30), NOW, words)], NOW, NOW)[0]
        for words in (error, "KeyError: 1")
    )
    soon = NOW + timedelta(minutes=9)
    assert is_replacing(missed, state, soon)
    assert not is_replacing(other, state, soon)
    assert not is_replacing(missed, state, NOW + timedelta(minutes=10))
    assert not is_replacing(missed, State(1, "", "", NOW), soon)
