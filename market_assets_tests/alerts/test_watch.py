"""From a store with troubles to messages that arrive, and to the one that says it is over."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from market_assets.alerts import Kind, Level, Trouble, Watch, alerts_in
from market_assets.alerts.troubles import failed_partitions
from market_assets.errors import StoreBusyError, StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window
from market_assets.store import Store, published
from market_assets.verdicts.ledger import LEDGER_SCHEMA
from market_assets_tests.support.alerts_ground import universe_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.alerts import Alert, Told
    from market_assets.config.universe import Universe
    from market_assets_tests.conftest import Clock
    from market_assets_tests.support.alerts_ground import MailServer, Webhook

H1 = Timeframe.H1
DAYS = [f"{datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=n):%Y-%m-%d}" for n in range(200)]
RED = failed_partitions("kept", "candles_1h", DAYS)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def watch(store: Store, clock: Clock) -> Callable[[Universe], Watch]:
    return lambda universe: Watch(store, universe, clock)


def ledger(store: Store) -> list[Alert]:
    with store.reading("a test") as view:
        return alerts_in(view.alerts.of(everything=True))


def hole(
    store: Store,
    *rows: tuple[str, str, int, str],
    seen: str = "2025-02-01",
    reason: str = "no answer",
) -> None:
    """Make these the ledger of absences: symbol, first bar, bars, status."""
    frame = pl.DataFrame(
        [
            {
                "symbol": symbol,
                "first_ts": datetime.fromisoformat(first),
                "last_ts": datetime.fromisoformat(first) + timedelta(hours=bars - 1),
                "bars": bars,
                "status": status,
                "attempts": 2,
                "failures": 0,
                "confirmations": 0,
                "first_seen": datetime.fromisoformat(seen),
                "reason": reason,
            }
            for symbol, first, bars, status in rows
        ],
        schema=LEDGER_SCHEMA,
    )
    everything = Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    with store.writing("a test") as transaction:
        transaction.gaps.put(Dataset.candles("kept", H1), ["BTC", "ETH"], everything, frame)


def job(store: Store, clock: Clock, kind: str, status: str, timeframe: str = "1h") -> None:
    values: dict[str, Any] = {
        "job_id": f"{clock()}{kind}{status}{timeframe}",
        "kind": kind,
        "status": status,
    }
    with store.writing("a test") as transaction:
        transaction.connection.execute(
            """
            INSERT INTO ops.jobs BY NAME
            SELECT $job_id AS job_id, $kind AS kind, 'kept' AS profile, $timeframe AS timeframe,
                ['BTC'] AS symbols, $at AS start_ts, $at AS end_ts, $status AS status,
                1.0 AS progress, $at AS started_at
            """,
            {**values, "timeframe": timeframe, "at": clock().replace(tzinfo=None)},
        )


def candles(store: Store, symbol: str, *opens: str) -> None:
    rows = pl.DataFrame(
        {"symbol": symbol, "ts": [datetime.fromisoformat(one) for one in opens]},
        schema={"symbol": pl.String, "ts": TS},
    ).with_columns(
        *(pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close", "volume")),
        source=pl.lit("x"),
    )
    window = Window.spanning(rows["ts"], rows["ts"] + timedelta(hours=1))
    with store.writing("a test") as transaction:
        transaction.candles.create(Dataset.candles("kept", H1), derived=False)
        transaction.candles.merge(Dataset.candles("kept", H1), [symbol], window, rows)


def kinds(told: Told) -> list[tuple[str, str]]:
    return [(one.kind.value, one.subject) for one in told.present]


def test_two_hundred_failed_partitions_give_one_mail_and_one_webhook_message_and_recovery_one(
    tmp_path: Path,
    clock: Clock,
    watch: Callable[[Universe], Watch],
    mail: MailServer,
    hook: Webhook,
) -> None:
    looks = watch(universe_of(tmp_path, mail.url, hook.url))
    for _ in range(3):
        looks.look(RED)
        clock.now += MINUTE
    assert len(mail.messages) == len(hook.messages) == 1
    assert "ERROR: kept candles_1h: 200 partitions failed" in mail.titles[0] == hook.titles[0]
    body = hook.bodies[0]
    assert "ERROR kept candles_1h: 200 partitions failed (since 2025-03-01 12:00Z)" in body
    assert [day for day in DAYS if day in body] == DAYS[-10:]
    assert "and 190 more" in body
    assert "Next: market-assets jobs says why" in body
    for _ in range(3):
        looks.look()
        clock.now += MINUTE
    assert len(mail.messages) == len(hook.messages) == 2
    assert "over: kept candles_1h" in mail.titles[1]
    assert "(since 2025-03-01 12:00Z, over at 2025-03-01 12:03Z)" in hook.bodies[1]


def test_many_new_troubles_are_one_message_of_bounded_length(
    tmp_path: Path, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    troubles = [
        Trouble("kept", Kind.FAILED_PARTITIONS, f"asset_{n:03d}", Level.ERROR, "it failed", 1)
        for n in range(300)
    ]
    told = watch(universe_of(tmp_path, hook.url)).look(troubles)
    assert (len(told.begun), str(told)) == (300, "300 present (300 errors); told 300 new")
    assert hook.titles[0].endswith("ERROR: 300 new troubles")
    assert "and 280 more: market-assets alerts lists them." in hook.bodies[0]
    assert len(hook.bodies[0]) < 2000


def test_a_failing_channel_is_told_by_the_other_and_hears_of_all_when_it_works_again(
    tmp_path: Path,
    clock: Clock,
    watch: Callable[[Universe], Watch],
    mail: MailServer,
    hook: Webhook,
) -> None:
    hook.status = 503
    looks = watch(universe_of(tmp_path, mail.url, hook.url))
    assert list(looks.look(RED).failures or {}) == ["json #1"]
    assert len(mail.messages) == 1
    clock.now += MINUTE
    told = looks.look(RED)
    assert [one.subject for one in told.begun] == ["json #1"]
    assert "ERROR: json #1: json #1 took no message" in mail.titles[1]
    assert "503" in mail.bodies[1]
    for _ in range(20):
        clock.now += timedelta(seconds=20)
        looks.look(RED)
    assert (len(mail.messages), hook.asked) == (2, 4)
    hook.status = 200
    clock.now += timedelta(hours=1)
    looks.look(RED)
    assert hook.titles == [hook.titles[0]]
    assert (
        "This channel took no message since 2025-03-01 12:00Z. What is wrong now:" in hook.bodies[0]
    )
    assert "200 partitions failed" in hook.bodies[0]
    clock.now += MINUTE
    assert str(looks.look(RED)) == "1 present (1 errors); told 1 over"
    assert "over: json #1" in mail.titles[2] == hook.titles[1]
    assert looks.look(RED).over == ()


def test_what_no_channel_took_is_told_later_and_once(
    tmp_path: Path, clock: Clock, watch: Callable[[Universe], Watch], mail: MailServer
) -> None:
    mail.refuse = True
    looks = watch(universe_of(tmp_path, mail.url))
    for _ in range(10):
        assert looks.look(RED).begun == ()
        clock.now += MINUTE
    (row,) = [one for one in looks.look(RED).present if one.kind is Kind.FAILED_PARTITIONS]
    assert (row.told_at, bool(row.error)) == (None, True)
    mail.refuse = False
    clock.now += timedelta(hours=1)
    assert [
        one.kind
        for one in looks.look(RED).begun
        if one.told_at is None and one.kind is not Kind.CHANNEL
    ]
    assert "ERROR: 1 trouble, told again" in mail.titles[0]
    clock.now += MINUTE
    assert str(looks.look(RED)) == "1 present (1 errors)"
    assert len(mail.messages) == 1
    # A channel that only it could have told of is over without a word.
    assert [one.told_at for one in ledger(looks._store) if one.kind is Kind.CHANNEL] == [None]


def test_without_channels_the_ledger_is_kept_and_a_channel_that_is_added_hears_of_what_goes_on(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    assert str(watch(universe_of(tmp_path)).look(RED)) == "1 present (1 errors)"
    assert [(one.count, one.told_at, one.tries) for one in ledger(store)] == [(200, None, 0)]
    clock.now += timedelta(days=3)
    assert len(watch(universe_of(tmp_path, hook.url)).look(RED).begun) == 1
    assert "(since 2025-03-01 12:00Z)" in hook.bodies[0]


def test_a_channel_that_is_not_used_any_more_is_no_trouble(
    tmp_path: Path,
    clock: Clock,
    watch: Callable[[Universe], Watch],
    mail: MailServer,
    hook: Webhook,
) -> None:
    hook.status = 503
    assert kinds(watch(universe_of(tmp_path, mail.url, hook.url)).look(RED))[-1] == (
        "channel",
        "json #1",
    )
    clock.now += MINUTE
    assert str(watch(universe_of(tmp_path, mail.url)).look(RED)) == "1 present (1 errors)"
    assert len(mail.messages) == 1


def test_two_watchers_by_mistake_tell_it_once(
    tmp_path: Path, clock: Clock, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    universe = universe_of(tmp_path, hook.url)
    first, second = watch(universe), watch(universe)
    for present in (RED, RED, [], []):
        for each in (first, second):
            each.look(present)
            clock.now += timedelta(seconds=1)
        clock.now += MINUTE
    assert len(hook.messages) == 2


def test_one_that_is_told_while_another_is_sending_is_not_told_by_the_other(
    tmp_path: Path, clock: Clock, store: Store, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    universe = universe_of(tmp_path, hook.url)
    hook.status = 503
    watch(universe).look(RED)
    hook.status = 200
    # As if the first one had claimed it and were still sending.
    (row,) = [one for one in ledger(store) if one.kind is Kind.FAILED_PARTITIONS]
    assert row.tries == 1
    assert watch(universe).look(RED).begun == ()
    assert hook.messages == []
    clock.now += MINUTE
    assert len(watch(universe).look(RED).begun) == 1
    assert len(hook.messages) == 1


def test_what_was_sent_but_could_not_be_noted_is_noted_by_the_next_look(
    tmp_path: Path, store: Store, clock: Clock, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    universe = universe_of(tmp_path, hook.url)
    looks = Watch(store, universe, clock)
    real = store.writing

    def busy(purpose: str) -> Any:
        if purpose == "noting what was told":
            raise StoreError("busy")
        return real(purpose)

    monkeypatch.setattr(store, "writing", busy)
    with pytest.raises(StoreError):
        looks.look(RED)
    monkeypatch.undo()
    clock.now += timedelta(days=1)
    assert str(looks.look(RED)) == "1 present (1 errors)"
    assert len(hook.messages) == 1


@pytest.mark.parametrize("jump", [timedelta(days=4000), -timedelta(days=4000)])
def test_a_clock_that_jumps_repeats_nothing_and_loses_nothing(
    tmp_path: Path, clock: Clock, watch: Callable[[Universe], Watch], hook: Webhook, jump: timedelta
) -> None:
    looks = watch(universe_of(tmp_path, hook.url, end="2025-02-02"))
    looks.look(RED)
    before, clock.now = clock.now, clock.now + jump
    assert looks.look(RED).begun == ()
    clock.now = before
    assert looks.look(RED).begun == ()
    clock.now += jump
    assert len(looks.look().over) == 1
    assert len(hook.messages) == 2


def test_a_gap_of_the_ledger_is_told_whole_though_it_is_cut_at_partitions(
    tmp_path: Path, store: Store, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    days = [("BTC", f"2025-02-{day:02d}", 24, "open") for day in range(10, 18)]
    hole(store, *days, ("ETH", "2025-02-10", 5, "outage"), seen="2025-03-01")
    (gap,) = [
        one for one in watch(universe_of(tmp_path, hook.url)).look().present if one.kind is Kind.GAP
    ]
    assert (gap.level, gap.count, gap.symbols) == (Level.ERROR, 1, ("BTC",))
    assert gap.details == ("BTC 2025-02-10 00:00Z to 2025-02-17 23:00Z, 192 bars: no answer",)
    assert "market-assets gaps kept lists them" in hook.bodies[0]


def test_a_gap_that_grows_old_is_told_as_a_warning_then_as_an_error_and_then_as_filled(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    looks = watch(universe_of(tmp_path, hook.url))
    hole(store, ("BTC", "2025-03-01", 1, "open"), seen="2025-03-01T12:00")
    for _ in range(8 * 4):
        looks.look()
        clock.now += timedelta(hours=6)
    assert [
        title.rpartition(" on ")[2].partition(": ")[2].partition(":")[0] for title in hook.titles
    ] == [
        "WARNING",
        "ERROR",
    ]
    hole(store)
    looks.look()
    assert "over: kept candles_1h" in hook.titles[2]


def test_a_symbol_that_left_the_universe_takes_its_troubles_along_without_a_word(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    hole(store, ("ETH", "2025-02-10", 1, "open"))
    missing = Trouble(
        "kept", Kind.MISSING_SYMBOL, "ETH candles_1h", Level.ERROR, "nothing", 1, symbols=("ETH",)
    )
    assert len(watch(universe_of(tmp_path, hook.url)).look([missing]).begun) == 2
    clock.now += MINUTE
    without = universe_of(tmp_path, hook.url, symbols={"BTC": {}})
    assert str(watch(without).look()) == "nothing is wrong"
    assert len(hook.messages) == 1
    assert all(one.over_at and one.over_told_at for one in ledger(store))


def test_a_symbol_without_a_bar_is_missing_once_its_sources_have_answered(
    tmp_path: Path, store: Store, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path))
    candles(store, "BTC", *(f"2025-02-10T{hour:02d}:00" for hour in range(24)))
    rows = [
        ("2025-02-10", "BTC", 24, 24),
        ("2025-02-10", "ETH", 24, 0),
        ("2025-02-11", "ETH", 24, 0),
    ]
    counts = pl.DataFrame(rows, schema=["partition", "symbol", "expected", "stored"], orient="row")
    with store.writing("a test") as transaction:
        named = counts.with_columns(
            explained=pl.lit(0), missing=pl.col("expected") - pl.col("stored")
        )
        transaction.partitions.put(Dataset.candles("kept", H1), named)
    assert kinds(looks.look()) == []
    hole(store, ("ETH", "2025-02-10", 48, "open"), seen="2025-03-01T12:00")
    present = [one for one in looks.look().present if one.kind is Kind.MISSING_SYMBOL]
    assert [(one.subject, one.level) for one in present] == [("ETH candles_1h", Level.ERROR)]
    assert (
        present[0].summary == "not one bar of ETH is stored, and its sources have none or refuse it"
    )


def test_a_fill_that_fails_day_after_day_is_a_trouble_until_one_succeeds(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path, end="2025-02-02"))
    seen = []
    for status in ("FAILED", "INCOMPLETE", "FAILED", "FAILED", "SUCCEEDED"):
        job(store, clock, "fill", status)
        clock.now += MINUTE
        job(store, clock, "fill", "CANCELLED")
        job(store, clock, "fill", "RUNNING")
        # The one day that is to be kept is never filled, which is a trouble of its own.
        seen.append([one for one in kinds(looks.look()) if one[0] != "backlog"])
        clock.now += timedelta(days=1)
    trouble = [("failed_days", "candles_1h")]
    assert seen == [[], [], trouble, trouble, []]


def test_days_that_were_never_filled_are_a_trouble_once_they_have_not_become_fewer_for_a_day(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    universe = universe_of(tmp_path, start="2025-02-20", end="2025-02-24")

    def judge(*days: int) -> None:
        rows = [(f"2025-02-{day}", "BTC", 24, 0, 0, 24) for day in days]
        names = ["partition", "symbol", "expected", "stored", "explained", "missing"]
        with store.writing("a test") as transaction:
            transaction.partitions.put(
                Dataset.candles("kept", H1), pl.DataFrame(rows, schema=names, orient="row")
            )

    def seen() -> list[tuple[int, tuple[str, ...]]]:
        present = watch(universe).look().present
        return [(one.count, one.details) for one in present if one.kind is Kind.BACKLOG]

    job(store, clock, "fill", "SUCCEEDED")
    assert seen() == []
    clock.now += timedelta(hours=23)
    # Somebody is at it.
    judge(23)
    assert seen() == []
    clock.now += timedelta(hours=23)
    assert seen() == []
    clock.now += timedelta(hours=1)
    assert seen() == [(3, ("from 2025-02-20 to 2025-02-22",))]
    judge(20, 21, 22)
    assert seen() == []


def test_the_newest_derivation_counts(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path, end="2025-02-02"))
    seen = []
    for status in ("SUCCEEDED", "FAILED", "RUNNING", "INCOMPLETE", "SUCCEEDED"):
        job(store, clock, "derive", status, "1d")
        job(store, clock, "derive", "FAILED", "1w")
        seen.append(kinds(looks.look()))
        clock.now += MINUTE
    trouble = [("enrichment", "candles_1d")]
    assert seen == [[], trouble, trouble, trouble, []]


def stale_symbols(told: Told) -> list[tuple[str, ...]]:
    return [one.symbols for one in told.present if one.kind is Kind.STALE]


def test_the_newest_session_is_stale_until_each_symbol_has_a_bar_of_it_or_a_reason(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path))
    # Nothing was ever filled: a new profile is given its time.
    assert stale_symbols(looks.look()) == []
    clock.now -= timedelta(hours=2)
    job(store, clock, "fill", "SUCCEEDED")
    clock.now += timedelta(hours=2)
    assert stale_symbols(looks.look()) == [("BTC", "ETH")]
    candles(store, "BTC", "2025-02-28T05:00")
    candles(store, "ETH", "2025-02-27T23:00", "2025-03-01T00:00")
    assert stale_symbols(looks.look()) == [("ETH",)]
    hole(store, ("ETH", "2025-02-28T00:00", 23, "outage"), seen="2025-03-01")
    assert stale_symbols(looks.look()) == [("ETH",)]
    hole(
        store, ("ETH", "2025-02-28T00:00", 23, "outage"), ("ETH", "2025-02-28T23:00", 1, "no_trade")
    )
    assert stale_symbols(looks.look()) == []
    # Two hours after its close the next session counts.
    clock.now = datetime(2025, 3, 2, 1, 59, tzinfo=UTC)
    assert stale_symbols(looks.look()) == []
    clock.now = datetime(2025, 3, 2, 2, 0, tzinfo=UTC)
    assert stale_symbols(looks.look()) == [("BTC",)]


@pytest.mark.parametrize(
    ("settings", "symbols"),
    [
        ({}, ("BTC", "ETH")),
        ({"end": "2025-03-02"}, ("BTC", "ETH")),
        ({"end": "2025-03-01"}, ()),
        ({"symbols": {"BTC": {"end": "2025-02-28"}, "ETH": {"start": "2025-03-01"}}}, ()),
        ({"kind": "EQUITY", "symbols": {"SPY": {}}}, ("SPY",)),
    ],
)
def test_only_what_goes_on_can_be_stale(
    tmp_path: Path,
    store: Store,
    clock: Clock,
    watch: Callable[[Universe], Watch],
    *,
    settings: dict[str, object],
    symbols: tuple[str, ...],
) -> None:
    job(store, replace(clock, now=clock.now - timedelta(days=9)), "fill", "SUCCEEDED")
    found = stale_symbols(watch(universe_of(tmp_path, **settings)).look())
    assert found == ([symbols] if symbols else [])


def test_over_a_weekend_the_newest_session_is_fridays(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch]
) -> None:
    looks = watch(universe_of(tmp_path, kind="EQUITY", symbols={"SPY": {}}))
    job(store, replace(clock, now=clock.now - timedelta(days=9)), "fill", "SUCCEEDED")
    candles(store, "SPY", "2025-02-28T20:30")
    for hours in range(0, 54, 6):
        clock.now = datetime(2025, 3, 1, hours % 24, tzinfo=UTC) + timedelta(days=hours // 24)
        assert stale_symbols(looks.look()) == []


def test_secrets_are_in_no_message(
    tmp_path: Path, store: Store, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    url = hook.url.replace("token-4711", "${HOOK_TOKEN}")
    universe = universe_of(tmp_path, url, secrets={"HOOK_TOKEN": "s3cr3t-value"})
    hole(store, ("BTC", "2025-02-10", 30, "open"), reason="401 for key s3cr3t-value")
    watch(universe).look([replace(RED[0], summary="s3cr3t-value leaked")])
    assert "401 for key ${HOOK_TOKEN}" in hook.bodies[0]
    assert "s3cr3t" not in str(hook.messages)


def test_an_idle_look_writes_nothing(
    tmp_path: Path, store: Store, clock: Clock, watch: Callable[[Universe], Watch], hook: Webhook
) -> None:
    looks = watch(universe_of(tmp_path, hook.url))
    hole(store, ("BTC", "2025-02-10", 30, "open"))
    looks.look(RED)
    before = store.path.read_bytes()
    clock.now += timedelta(days=1)
    looks.look(RED)
    assert store.path.read_bytes() == before


HOLDS_THE_FILE = """
import sys
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "to read")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("way", ["to read", "to write"])
def test_who_holds_the_file_for_two_minutes_is_told_once_and_that_it_is_over(
    way: str,
    *,
    tmp_path: Path,
    store: Store,
    clock: Clock,
    hook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where there is no room for a copy, readers of the file are waited for as well.
    monkeypatch.setattr(published, "_SPARE_ROOM", 1 << 60)
    with store.writing("preparing"):
        pass
    impatient = Store(store.path.parent, clock=clock, patience=timedelta(seconds=0.05))
    looks = Watch(impatient, universe_of(tmp_path, hook.url, end="2025-02-02"), clock)
    command = [sys.executable, "-c", HOLDS_THE_FILE, str(store.path), way]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as foreign:
        assert foreign.stdout is not None
        assert foreign.stdout.readline() == "open\n"
        for minute in range(4):
            with pytest.raises(StoreBusyError), impatient.writing("filling"):
                pass
            try:
                looks.look()
                error = looks.hindrance()
            except StoreBusyError as busy:
                error = busy
            assert len(looks.outside.look(error)) == (minute >= 2)
            clock.now += MINUTE
        foreign.kill()
    with store.writing("filling"):
        pass
    looks.look()
    assert looks.outside.look(looks.hindrance()) == ()
    begun, over = hook.messages
    assert f"{Path(sys.executable).name} (PID {foreign.pid})" in begun["message"]
    assert "over" in over["title"]
