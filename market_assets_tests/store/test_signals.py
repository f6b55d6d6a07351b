"""Ctrl-C and a termination wait until DuckDB is done."""

from __future__ import annotations

import threading
import time

import pytest

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import signals
from market_assets_tests.support.store_processes import COMMON, OPENS_THE_FILE, whole

pytestmark = pytest.mark.usefixtures("home")

M1 = Timeframe.M1

IS_STOPPED_IN_A_COMMIT = """
def stop(number, frame):
    raise SystemExit(7)

signal.signal(signal.SIGTERM, stop)
try:
    with store.writing("filling") as transaction:
        signal.raise_signal(getattr(signal, sys.argv[2]))
        merge(transaction, 0)
        say("went on")
except (KeyboardInterrupt, SystemExit) as stopped:
    say(type(stopped).__name__)
with store.writing("filling again") as transaction:
    merge(transaction, 1)
say(
    signal.getsignal(signal.SIGTERM) is stop,
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
)
"""

IS_STOPPED_AT_ANY_MOMENT = """
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
day(0, 1.0)
stopped = number = 0
while number < 15:
    signal.setitimer(signal.ITIMER_REAL, 0.002 + number * 0.002)
    try:
        with store.writing("filling") as transaction:
            merge(transaction, number)
        number += 1
    except KeyboardInterrupt:
        stopped += 1
        number += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
with store.writing("filling the rest") as transaction:
    for number in range(15):
        merge(transaction, number)
say("stopped" if stopped else "never stopped")
"""

RUNS_FOREVER = """
import hashlib
from market_assets.store import signals

signals.HELD_FOR, signals.GRACE = float(sys.argv[3]), 0.5
with store.reading("counting for long") as view:
    say("holds")
    {endless}
"""

ENDLESS = {
    "a statement": "view.database.execute("
    "'FROM range(10000000000) a, range(10000000000) b SELECT count(*)')",
    "a call that runs no handler": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
}

WAITS_FOR_A_FOREIGN_PROGRAM = """
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    with store.writing("filling"):
        say("got it")
except KeyboardInterrupt:
    say("stopped while it waited")
"""


@pytest.mark.parametrize(
    ("name", "raised"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "SystemExit")]
)
def test_a_signal_in_a_transaction_waits_for_its_commit_and_the_store_opens_again(
    name, raised, *, child, home, days
):
    writer = child(COMMON + IS_STOPPED_IN_A_COMMIT, home, name)
    assert [writer.says() for _ in range(3)] == ["went on", raised, "True True"]
    writer.ends()
    assert days() == whole(0, 1)


def test_ctrl_c_at_any_moment_of_a_commit_leaves_a_store_that_the_same_process_goes_on_with(
    child, home, days
):
    writer = child(COMMON + IS_STOPPED_AT_ANY_MOMENT, home)
    assert writer.says() == "stopped"
    writer.ends()
    assert days() == whole(*range(15))


@pytest.mark.parametrize(
    ("endless", "held_for", "ends_by"),
    [("a statement", 0.3, -15), ("a call that runs no handler", 600, 128 + 15)],
)
def test_a_termination_passes_after_a_time_or_when_it_comes_twice(
    child, home, endless, held_for, ends_by
):
    reader = child(COMMON + RUNS_FOREVER.format(endless=ENDLESS[endless]), home, "", held_for)
    assert reader.says() == "holds"
    reader.process.terminate()
    if held_for == 600:
        time.sleep(0.3)
        reader.process.terminate()
    assert reader.process.wait(timeout=20) == ends_by


def test_who_waits_for_another_thread_after_a_signal_waits_for_a_bounded_time(store, monkeypatch):
    monkeypatch.setattr(signals, "HELD_FOR", 0.0)
    broken: list[str] = []

    def never_ends() -> None:
        try:
            with store.reading("counting for long") as view:
                view.database.execute(
                    "SELECT count(*) FROM range(10000000) a, range(10000000) b"
                ).fetchall()
        except StoreError as error:
            broken.append(str(error))

    with store.writing("making it"):
        pass
    other = threading.Thread(target=never_ends)
    other.start()
    with signals.HeldBack(is_stopping=True):
        other.join(60)
    assert not other.is_alive()
    assert len(broken) == 1


def test_a_statement_that_does_not_end_is_broken_off_and_told(store, monkeypatch, caplog):
    monkeypatch.setattr(signals, "LONGEST", 0.3)
    monkeypatch.setattr(signals, "_IDLE", 0.1)
    monkeypatch.setattr(signals, "_watchers", [])
    with (
        pytest.raises(StoreError, match=r"^counting for long: .*Interrupt"),
        store.reading("counting for long") as view,
    ):
        view.database.execute(
            "SELECT count(*) FROM range(10000000000) a, range(10000000000) b"
        ).fetchall()
    assert "broken off" in caplog.text
    with store.reading("counting") as view:
        assert view.genesis.of(Dataset.candles("crypto", M1)) == {}


def test_ctrl_c_ends_a_wait_for_a_foreign_program(child, home, store):
    foreign = child(OPENS_THE_FILE, store.path, "to write")
    assert foreign.says() == "open"
    assert child(COMMON + WAITS_FOR_A_FOREIGN_PROGRAM, home).says() == "stopped while it waited"
