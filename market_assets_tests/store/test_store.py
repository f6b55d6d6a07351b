"""Several processes and one store.

They wait for each other and say for whom, and what dies half way leaves nothing half done.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from market_assets.errors import StoreError
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import Timeframe
from market_assets.store import Store, signals

if TYPE_CHECKING:
    from pathlib import Path

M1 = Timeframe.M1
DAY = 1440

COMMON = """
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
import polars as pl
from market_assets.market.datasets import Dataset
from market_assets.market.timeframes import TS, Timeframe, Window, midnight
from market_assets.store import Store

# Whoever started the tests may have told its children to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
store = Store(Path(sys.argv[1]), clock=lambda: datetime(2025, 3, 1, tzinfo=UTC))

def say(*words):
    print(*words, flush=True)

def wait():
    sys.stdin.read()

def day(number, price):
    first = date(2025, 1, 1) + timedelta(days=number)
    window = Window.of_days(first, first + timedelta(days=1))
    ts = pl.datetime_range(
        midnight(first), midnight(first + timedelta(days=1)), "1m", closed="left", eager=True
    )
    ts = ts.dt.replace_time_zone(None).cast(TS).to_frame("ts")
    prices = {name: pl.lit(price) for name in ("open", "high", "low", "close", "volume")}
    symbols = pl.DataFrame({"symbol": ["BTC", "ETH"]})
    return window, symbols.join(ts, how="cross").with_columns(source=pl.lit("binance"), **prices)

def merge(transaction, number, price=1.0):
    window, rows = day(number, price)
    return transaction.candles.merge(
        Dataset.candles("crypto", Timeframe.M1), ["BTC", "ETH"], window, rows
    )
"""

HOLDS = """
with store.writing("filling crypto 1m") as transaction:
    say("holds")
    wait()
"""

DIES_IN_THE_MIDDLE = """
for number in range(3):
    with store.writing("filling") as transaction:
        merge(transaction, number)
        if number == 2:
            say("in the middle")
            wait()
"""

DIES_AFTER_THE_COMMIT = """
with store.writing("filling") as transaction:
    merge(transaction, 0)
    transaction.connection.commit()
    say("committed, not closed")
    wait()
"""

FILLS_DAYS = """
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    with store.writing(f"filling day {number}") as transaction:
        merged = merge(transaction, number, float(sys.argv[4]))
    say(number, merged.new.height, merged.revised.height)
"""

FILLS_DAYS_ON_COMMAND = FILLS_DAYS.replace(
    "    with store", "    sys.stdin.readline()\n    with store"
)

WAITS_THEN_FILLS_DAYS = f"say('ready')\nwait()\n{FILLS_DAYS}"

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

OPENS_THE_FILE = """
import sys
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "to read")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def home(store: Store) -> Path:
    """The folder of a store with an empty table of crypto minutes."""
    with store.writing("preparing") as transaction:
        transaction.candles.create(Dataset.candles("crypto", M1), derived=False)
    return store.path.parent


@pytest.fixture
def days(store: Store, minutes):
    """How many rows of each symbol and day are stored."""

    def count(*_: object) -> Counter[tuple[str, int]]:
        with store.reading("counting") as view:
            rows = view.candles.opens(
                Dataset.candles("crypto", M1), ["BTC", "ETH"], minutes.window(0, 100 * DAY)
            ).rows()
        assert len(set(rows)) == len(rows), "a bar is stored twice"
        return Counter((symbol, (ts - minutes.naive(0)).days) for symbol, ts in rows)

    return count


class Releases(logging.Handler):
    """Tells another process to go on as soon as somebody logs that they wait for it."""

    def __init__(self, child) -> None:
        super().__init__()
        self._child = child

    def emit(self, record: logging.LogRecord) -> None:
        if "waiting" in record.getMessage():
            self._child.go_on()


@pytest.fixture
def released_on_waiting(caplog):
    """Gives a process that holds the store until a wait for it is logged; the log is captured."""
    logger = logging.getLogger("market_assets.store")
    caplog.set_level(logging.INFO, logger.name)
    handlers = []

    def arrange(child):
        handlers.append(Releases(child))
        logger.addHandler(handlers[-1])
        return child

    yield arrange
    for handler in handlers:
        logger.removeHandler(handler)


def whole(*numbers: int) -> dict[tuple[str, int], int]:
    return {(symbol, number): DAY for symbol in ("BTC", "ETH") for number in numbers}


# Killed


def test_killed_in_the_middle_of_a_partition_leaves_the_ones_before_it_whole(
    child, home, days, caplog
):
    caplog.set_level(logging.INFO)
    writer = child(COMMON + DIES_IN_THE_MIDDLE, home)
    assert writer.says() == "in the middle"
    writer.kill()
    assert days() == whole(0, 1)
    assert "waiting" not in caplog.text
    resumed = child(COMMON + FILLS_DAYS, home, 0, 3, 1.0)
    assert [resumed.says() for _ in range(3)] == ["0 0 0", "1 0 0", f"2 {2 * DAY} 0"]
    assert days() == whole(0, 1, 2)


def test_killed_between_commit_and_close_loses_nothing(child, home, days):
    writer = child(COMMON + DIES_AFTER_THE_COMMIT, home)
    assert writer.says() == "committed, not closed"
    writer.kill()
    assert (home / "market.duckdb.wal").exists()
    assert days() == whole(0)


def test_killed_at_any_moment_and_started_again_until_all_is_there(child, home, days):
    for done in (2, 4, 6):
        writer = child(COMMON + FILLS_DAYS_ON_COMMAND, home, 0, 10, 1.0)
        for _ in range(done):
            writer.do_one()
            writer.says()
        writer.do_one()
        writer.kill()
        assert days() in (whole(*range(done)), whole(*range(done + 1)))
    child(COMMON + FILLS_DAYS, home, 0, 10, 1.0).ends()
    assert days() == whole(*range(10))


# Stopped by a signal


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


# At once


def test_two_processes_that_merge_overlapping_windows_lose_and_double_nothing(
    child, home, days, store
):
    writers = [
        child(COMMON + WAITS_THEN_FILLS_DAYS, home, 0, 12, 1.0),
        child(COMMON + WAITS_THEN_FILLS_DAYS, home, 4, 16, 2.0),
    ]
    assert [writer.says() for writer in writers] == ["ready", "ready"]
    for writer in writers:
        writer.go_on()
    seen = set()
    while any(writer.process.poll() is None for writer in writers):
        seen |= set(days().values())
    assert seen <= {DAY}, "a reader saw half a partition"
    told = [
        list(map(int, line.split())) for writer in writers for line in writer.ends().splitlines()
    ]
    assert len(told) == 24
    assert sum(new for _, new, _ in told) == 16 * 2 * DAY
    assert sum(revised for *_, revised in told) == 8 * 2 * DAY
    assert days() == whole(*range(16))
    with store.writing("counting revisions") as transaction:
        kept = transaction.connection.execute(
            "SELECT count(*), count(DISTINCT (symbol, ts)) FROM ops.revisions"
        ).fetchall()
    assert kept == [(8 * 2 * DAY, 8 * 2 * DAY)]


def test_a_process_that_commits_without_a_pause_lets_others_in(store):
    committed = 0
    enough = threading.Event()

    def commit_on_and_on() -> None:
        nonlocal committed
        while not enough.is_set():
            with store.writing("filling"):
                committed += 1

    thread = threading.Thread(target=commit_on_and_on)
    thread.start()
    try:
        before = committed
        for _ in range(10):
            with store.reading("looking"):
                pass
        assert committed - before <= 50
    finally:
        enough.set()
        thread.join()


# Waiting for one of ours


@pytest.mark.parametrize("way", ["reading", "writing"])
def test_whoever_waits_says_for_whom_and_goes_on(
    way: str, *, child, home, store, released_on_waiting, caplog
):
    holder = released_on_waiting(child(COMMON + HOLDS, home))
    assert holder.says() == "holds"
    with getattr(store, way)("planning crypto 1m"):
        pass
    waits, got = caplog.messages
    assert waits.startswith("planning crypto 1m: waiting for the store, held by -c (process")
    assert f"process {holder.process.pid} on " in waits
    assert waits.endswith("filling crypto 1m since 2025-03-01 00:00:00 UTC")
    assert got.startswith("planning crypto 1m: got the store after ")


def test_patience_ends_with_the_name_of_the_holder(child, home, clock):
    holder = child(COMMON + HOLDS, home)
    assert holder.says() == "holds"
    impatient = Store(home, clock=clock, patience=timedelta(seconds=0.2))
    with (
        pytest.raises(StoreError, match="planning crypto 1m: gave up after") as raised,
        impatient.reading("planning crypto 1m"),
    ):
        pass
    assert f"process {holder.process.pid} on" in str(raised.value)
    assert "filling crypto 1m since 2025-03-01 00:00:00 UTC" in str(raised.value)
    assert "run this again" in str(raised.value)
    holder.go_on()
    holder.ends()
    with impatient.reading("planning crypto 1m"):
        pass


def test_a_holder_whose_note_cannot_be_read_is_a_holder_all_the_same(child, home, clock):
    holder = child(COMMON + HOLDS, home)
    assert holder.says() == "holds"
    impatient = Store(home, clock=clock, patience=timedelta(0))
    note = home / "market.duckdb.holder.json"
    for content in ("", "{", "{}", "[1, 2]", None):
        note.unlink() if content is None else note.write_text(content)
        with (
            pytest.raises(StoreError, match="held by a process that left no note"),
            impatient.reading("looking"),
        ):
            pass


def test_threads_wait_for_each_other_like_processes(store, home, clock):
    impatient = Store(home, clock=clock, patience=timedelta(seconds=0.1))
    caught = []

    def look(through: Store) -> None:
        try:
            with through.reading("looking"):
                pass
        except StoreError as error:
            caught.append(str(error))

    with impatient.writing("filling crypto 1m"):
        for through in (impatient, Store(home, clock=clock, patience=timedelta(seconds=0.1))):
            thread = threading.Thread(target=look, args=(through,))
            thread.start()
            thread.join()
    assert len(caught) == 2
    assert all(
        f"process {os.getpid()} on" in message and "filling crypto 1m" in message
        for message in caught
    )
    with store.reading("looking"):
        pass
    assert not (home / "market.duckdb.holder.json").exists()


def test_an_exception_in_a_block_gives_the_store_free(store, home, clock):
    with pytest.raises(ZeroDivisionError), store.writing("filling"):
        _ = 1 / 0
    with Store(home, clock=clock, patience=timedelta(0)).writing("filling") as transaction:
        assert transaction.candles.has(Dataset.candles("crypto", M1))


# Waiting for a program that does not know our lock


@pytest.mark.parametrize(
    ("theirs", "ours"), [("to read", "writing"), ("to write", "writing"), ("to write", "reading")]
)
def test_a_foreign_program_that_holds_the_file_is_waited_for(
    theirs: str, ours: str, *, child, store, released_on_waiting, caplog
):
    foreign = released_on_waiting(child(OPENS_THE_FILE, store.path, theirs))
    assert foreign.says() == "open"
    with getattr(store, ours)("filling crypto 1m") as view:
        assert view.candles.has(Dataset.candles("crypto", M1))
    waits, got = caplog.messages
    assert waits.startswith(f"filling crypto 1m: waiting, another program has {store.path} open (")
    assert waits.endswith(f"(PID {foreign.process.pid}))")
    assert got.startswith("filling crypto 1m: got the store after ")


def test_a_foreign_reader_and_ours_read_side_by_side(child, store, caplog):
    foreign = child(OPENS_THE_FILE, store.path, "to read")
    assert foreign.says() == "open"
    with store.reading("looking") as view:
        assert view.candles.has(Dataset.candles("crypto", M1))
    assert caplog.messages == []


def test_patience_with_a_foreign_program_ends_with_its_name(child, home, store, clock):
    foreign = child(OPENS_THE_FILE, store.path, "to write")
    assert foreign.says() == "open"
    impatient = Store(home, clock=clock, patience=timedelta(seconds=0.1))
    given_up = r"filling: gave up after .* another program has .*market\.duckdb open"
    with pytest.raises(StoreError, match=given_up) as raised, impatient.writing("filling"):
        pass
    assert f"(PID {foreign.process.pid})" in str(raised.value)
    assert "Close it there" in str(raised.value)


def test_a_connection_of_this_very_process_is_no_reason_to_wait(store):
    mine = duckdb.connect(store.path, read_only=True)
    try:
        with pytest.raises(StoreError, match="already attached"), store.writing("filling"):
            pass
    finally:
        mine.close()


# Time zones


def test_a_process_in_another_time_zone_fills_the_same_days(child, home, days):
    child(
        COMMON + FILLS_DAYS, home, 66, 69, 1.0, timezone="America/New_York"
    ).ends()  # which skips an hour on 2025-03-09
    assert days() == whole(66, 67, 68)
