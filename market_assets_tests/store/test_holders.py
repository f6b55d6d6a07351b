"""Programs that hold the store's file open.

Readers stop nobody for long, and whoever is waited for is named.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from market_assets.errors import StoreBusyError
from market_assets.store import Store
from market_assets.store import opening as module
from market_assets.store.holders import Holders
from market_assets_tests.support.store_processes import HOLDS_THE_FILE, ROWS, count_up

if TYPE_CHECKING:
    from market_assets_tests.conftest import Clock


OPENS_AND_CLOSES = """
import sys
import duckdb

for line in sys.stdin:
    try:
        if line.strip() == "open":
            connection = duckdb.connect(sys.argv[1], read_only=True)
        else:
            connection.close()
    except duckdb.IOException:
        pass  # a commit is being made
    print("done", flush=True)
"""

WAITS_FOR_THE_FILE = """
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from market_assets.store import LookingStore, Store

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
store = Store(Path(sys.argv[1]), clock=lambda: datetime(2025, 3, 1, 12, tzinfo=UTC))
with store.writing("filling crypto 1m"):
    pass
"""

DIES_WHILE_IT_COPIES = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from market_assets.store import Store, opening as module, published

def half(source, target):
    target.write_bytes(source.read_bytes()[:70_000])
    print("in the middle", flush=True)
    sys.stdin.read()

module.READERS_PATIENCE = 0.1
published._clone = lambda source, target: False
published.shutil.copyfile = half
store = Store(Path(sys.argv[1]), clock=lambda: datetime(2025, 3, 1, 12, tzinfo=UTC))
with store.writing("filling crypto 1m"):
    pass
"""


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers leave the file to readers after tenths of a second."""
    monkeypatch.setattr(module, "READERS_PATIENCE", 0.2)


def count(path: Path) -> tuple[int, int]:
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute("SELECT floor(max(n))::INT, count(*) FROM numbers").fetchall()[0]


@pytest.mark.usefixtures("soon")
def test_who_keeps_the_file_open_to_read_stops_no_writer(home_of_numbers, store, child, caplog):
    foreign = child(HOLDS_THE_FILE, store.path, "to read")
    assert foreign.says() == "open"
    for _ in range(20):
        count_up(store)
    assert count(store.path) == (20, ROWS)
    foreign.do_one()
    assert foreign.says() == f"0.0 {ROWS}"
    (left,) = [
        message for message in caplog.messages if "is left as it is to those who read it" in message
    ]
    assert f": {Path(sys.executable).name} (PID {foreign.process.pid})" in left
    assert "market_assets.connect()" in left
    assert {
        path.name for path in home_of_numbers.iterdir() if path.suffix not in {".lock", ".turn"}
    } == {"market.duckdb"}


@pytest.mark.usefixtures("soon")
def test_killed_while_it_leaves_the_file_to_a_reader_changes_nothing(home_of_numbers, store, child):
    foreign = child(HOLDS_THE_FILE, store.path, "to read")
    assert foreign.says() == "open"
    writer = child(DIES_WHILE_IT_COPIES, home_of_numbers)
    assert writer.says() == "in the middle"
    writer.kill()
    assert (home_of_numbers / "market.duckdb.new").exists()
    count_up(Store(home_of_numbers, clock=store._clock))
    assert count(store.path) == (1, ROWS)
    assert not (home_of_numbers / "market.duckdb.new").exists()
    foreign.do_one()
    assert foreign.says() == f"0.0 {ROWS}"


@pytest.mark.usefixtures("soon", "home_of_numbers")
def test_readers_that_overlap_without_a_gap_stop_no_writer(store, child):
    readers = [child(OPENS_AND_CLOSES, store.path) for _ in range(2)]

    def tell(number: int, word: str) -> None:
        readers[number].process.stdin.write(f"{word}\n")
        readers[number].process.stdin.flush()
        assert readers[number].says() == "done"

    tell(0, "open")
    writer = threading.Thread(target=count_up, args=(store,))
    writer.start()
    turns = 0
    while writer.is_alive() and turns < 100_000:
        tell(1, "open")
        tell(0, "close")
        tell(0, "open")
        tell(1, "close")
        turns += 1
    writer.join()
    tell(0, "close")
    assert turns < 100_000
    assert count(store.path) == (1, ROWS)


@pytest.mark.usefixtures("soon")
def test_who_may_write_to_the_file_is_waited_for_and_named_with_its_time(
    home_of_numbers, store, child, clock: Clock
):
    holders = Holders(store.path, clock)
    inode = store.path.stat().st_ino
    foreign = child(HOLDS_THE_FILE, store.path, "to write")
    assert foreign.says() == "open"
    impatient = Store(home_of_numbers, clock=clock, patience=timedelta(seconds=0.4))
    for _ in range(2):
        with pytest.raises(
            StoreBusyError, match=r"since 2025-03-01 12:00:00 UTC: python"
        ) as raised:
            count_up(impatient)
        assert f"(PID {foreign.process.pid})" in str(raised.value)
        clock.now += timedelta(minutes=1)
    noted = holders.noted()
    assert noted is not None
    assert [(holder.process, holder.since) for holder in noted.holders] == [
        (foreign.process.pid, clock.now - timedelta(minutes=2))
    ]
    foreign.kill()
    assert holders.noted() is None
    count_up(store)
    assert store.path.stat().st_ino == inode
    assert count(store.path) == (1, ROWS)


def test_a_wait_is_told_again_and_again(store, child, home_of_numbers, caplog, monkeypatch):
    monkeypatch.setattr(module, "TELL_AGAIN", 0.2)
    foreign = child(HOLDS_THE_FILE, store.path, "to write")
    assert foreign.says() == "open"
    with pytest.raises(StoreBusyError):
        count_up(Store(home_of_numbers, clock=store._clock, patience=timedelta(seconds=1.8)))
    told = [message for message in caplog.messages if "waiting, another program has" in message]
    assert len(told) >= 3
    assert all(f"(PID {foreign.process.pid})" in message for message in told)


def test_who_waits_behind_a_process_of_ours_is_told_whom_that_one_waits_for(
    home_of_numbers, store, child
):
    foreign = child(HOLDS_THE_FILE, store.path, "to write")
    assert foreign.says() == "open"
    ours = child(WAITS_FOR_THE_FILE, home_of_numbers)
    assert "waiting, another program has" in ours.says()
    with pytest.raises(StoreBusyError, match="another program that has its file open") as raised:
        count_up(Store(home_of_numbers, clock=store._clock, patience=timedelta(seconds=0.2)))
    assert f"(PID {foreign.process.pid})" in str(raised.value)
    assert f"process {ours.process.pid}" not in str(raised.value)
    foreign.kill()
    ours.ends()
    count_up(store)


def test_a_note_that_is_old_or_damaged_says_nothing(store, home_of_numbers, clock: Clock):
    holders = Holders(store.path, clock)
    note = home_of_numbers / "market.duckdb.waits.json"
    assert holders.noted() is None
    for content in (
        "",
        "{",
        "[]",
        '{"seen": 3}',
        '{"seen": "2025-03-01T12:00Z", "since": "x", "holders": []}',
    ):
        note.write_text(content)
        assert holders.noted() is None
    holders.look("Could not set lock on file: Conflicting lock is held in somebody (PID 1)")
    assert holders.noted() is not None
    clock.now += timedelta(minutes=4)
    assert holders.noted() is None
    holders.clear()
    assert not note.exists()
