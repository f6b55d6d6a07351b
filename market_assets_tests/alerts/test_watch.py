"""From a store with troubles to messages that arrive, and to the one that says it is over."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from market_assets.alerts import Kind, Level, Trouble, Watch
from market_assets.alerts.judgement import failed_partitions
from market_assets.errors import StoreBusyError, StoreError
from market_assets.store import Store, published
from market_assets_tests.support.alerts_ground import universe_of
from market_assets_tests.support.alerts_ledger import hole, kinds, ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_assets.config.universe import Universe
    from market_assets_tests.conftest import Clock
    from market_assets_tests.support.alerts_ground import MailServer, Webhook

DAYS = [f"{datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=n):%Y-%m-%d}" for n in range(200)]
RED = failed_partitions("kept", "candles_1h", DAYS)
MINUTE = timedelta(minutes=1)


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
