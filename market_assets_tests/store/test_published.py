"""Copies for readers.

A reader who holds one delays nobody, sees whole partitions, and is never broken off.
"""

from __future__ import annotations

import filecmp
import random
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

import market_assets
from market_assets.errors import ReadError, StoreBusyError, StoreError
from market_assets.store import Store
from market_assets.store.published import KEPT, Published

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from market_assets.store import Store

store = Store(Path(sys.argv[1]), clock=lambda: datetime(2025, 3, 1, tzinfo=UTC))

def say(*words):
    print(*words, flush=True)
"""

HOLDS_THE_STORE = """
with store.writing("filling crypto 1m"):
    say("holds")
    sys.stdin.read()
"""

DIES_WHILE_IT_COPIES = """
from market_assets.store import published

def half(source, target):
    target.write_bytes(source.read_bytes()[:70_000])
    say("in the middle")
    sys.stdin.read()

published._clone = lambda source, target: False
published._patch = half
store.copy("publishing")
"""

DIES_BEFORE_THE_CLOSE = """
with store.writing("filling") as transaction:
    transaction.connection.execute("UPDATE numbers SET n = 7")
    transaction.connection.commit()
    say("committed")
    sys.stdin.read()
"""

READS_A_COPY = """
import duckdb

connection = duckdb.connect(sys.argv[1] + "/published/market.duckdb", read_only=True)
say(*connection.execute("SELECT min(n), max(n), count(*) FROM numbers").fetchone())
sys.stdin.readline()
# A column that is still in the file alone.
say(*connection.execute(
    "SELECT floor(min(noise)), floor(max(noise)), count(*) FROM numbers"
).fetchone())
"""

COPIES_AND_COMMITS = """
for number in range(10):
    with store.writing("filling") as transaction:
        transaction.connection.execute("UPDATE numbers SET n = n + 1, noise = noise + 1")
    with store.reading_copy("looking") as view:
        say(*view.database.execute("SELECT min(n) = max(n), count(*) FROM numbers").fetchone())
"""

ROWS = 50_000


@pytest.fixture
def home(store: Store) -> Path:
    """The folder of a store with a table that every commit of these tests writes anew."""
    with store.writing("preparing") as transaction:
        transaction.connection.execute(
            f"CREATE TABLE numbers AS SELECT 0 AS n, random() AS noise FROM range({ROWS})"
        )
    return store.path.parent


def count_up(store: Store) -> None:
    with store.writing("filling") as transaction:
        transaction.connection.execute("UPDATE numbers SET n = n + 1, noise = noise + 1")


def numbers(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    return connection.execute("SELECT min(n), max(n), count(*) FROM numbers").fetchall()[0]


def copies(home: Path) -> list[Path]:
    return list((home / "published").glob("market-*"))


@pytest.mark.usefixtures("home")
def test_a_copy_has_what_is_committed_and_is_made_once(store):
    first = store.copy("looking")
    assert store.copy("looking") == first
    count_up(store)
    second = store.copy("looking")
    assert second.path != first.path
    with store.reading_copy("looking") as view:
        assert numbers(view.database) == (1, 1, ROWS)
    assert second.path.read_bytes() == store.path.read_bytes()


def test_it_needs_nobody_while_nothing_changes(home, store, child):
    with store.reading_copy("looking"):
        pass
    holder = child(COMMON + HOLDS_THE_STORE, home)
    assert holder.says() == "holds"
    with Store(home, clock=store._clock, patience=timedelta(0)).reading_copy("looking") as view:
        assert numbers(view.database) == (0, 0, ROWS)


def test_a_reader_that_stays_sees_its_state_while_fifty_commits_go_on(home, store, child):
    held = store.copy("looking").path.stat().st_ino
    foreign = child(COMMON + READS_A_COPY, home)
    assert foreign.says() == f"0 0 {ROWS}"
    for number in range(50):
        count_up(store)
        if number % 5 == 0:
            store.copy("looking")
            assert len(copies(home)) <= 2
            # Once it is no copy any more, its bytes are nobody's but the reader's.
            assert number == 0 or held not in {path.stat().st_ino for path in copies(home)}
    foreign.do_one()
    assert foreign.says() == f"0.0 0.0 {ROWS}"
    with store.reading_copy("looking") as view:
        assert numbers(view.database) == (50, 50, ROWS)


def test_a_reader_in_the_process_that_publishes_sees_its_state_as_well(home, store):
    held = store.copy("looking").path.stat().st_ino
    reader = market_assets.connect(home)
    assert numbers(reader) == (0, 0, ROWS)
    for number in range(4):
        count_up(store)
        store.copy("looking")
        assert number == 0 or held not in {path.stat().st_ino for path in copies(home)}
    # A column that is still in the file alone.
    assert reader.execute(
        "SELECT floor(min(noise)), floor(max(noise)) FROM numbers"
    ).fetchall() == [(0, 0)]
    reader.close()


def test_a_copy_nobody_reads_any_more_becomes_the_next_one(home, store):
    inodes = []
    for _ in range(4):
        count_up(store)
        inodes.append(store.copy("looking").path.stat().st_ino)
    assert inodes[0] == inodes[2]
    assert inodes[1] == inodes[3]
    assert len(copies(home)) == 2


def test_killed_while_it_copies_leaves_the_copy_before_and_the_next_one_is_whole(
    home, store, child
):
    before = store.copy("looking")
    count_up(store)
    publisher = child(COMMON + DIES_WHILE_IT_COPIES, home)
    assert publisher.says() == "in the middle"
    assert Published(store.path).newest() == before
    publisher.kill()
    with duckdb.connect(home / "published" / "market.duckdb", read_only=True) as reader:
        assert numbers(reader) == (0, 0, ROWS)
    with store.reading_copy("looking") as view:
        assert numbers(view.database) == (1, 1, ROWS)
    assert len(copies(home)) == 2
    assert not (home / "published" / ".draft").exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("seed", range(3))
def test_a_copy_that_is_made_of_an_older_one_is_the_file_byte_for_byte(store, seed):
    generator = random.Random(seed)  # noqa: S311 - it repeats
    changes = [
        "UPDATE odd.rows SET n = n + 1 WHERE n % {0} = 0",
        "DELETE FROM odd.rows WHERE n % {0} = 1",
        "INSERT INTO odd.rows SELECT range, random() FROM range({0} * 500)",
        "CREATE OR REPLACE TABLE odd.more AS SELECT range AS n FROM range({0} * 900)",
    ]
    with store.writing("making rows") as transaction:
        transaction.connection.execute(
            """
            CREATE SCHEMA odd;
            CREATE TABLE odd.rows AS SELECT range AS n, random() AS noise FROM range(200_000)
            """
        )
    for _ in range(15):
        change = generator.choice(changes).format(generator.randint(2, 99))
        with store.writing("changing") as transaction:
            transaction.connection.execute(change)
        if generator.random() < 0.2:
            store.compact()

        assert filecmp.cmp(store.copy("looking").path, store.path, shallow=False)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("place", [0, 1, -1])
def test_blocks_that_begin_alike_are_told_apart(store, clock, place):
    # What a process leaves that is killed while it writes one; and DuckDB's checksum, which stands
    # at the beginning, is the same for many blocks of repeated values.
    count_up(store)
    store.copy("looking")
    published = Published(store.path)
    whole = store.path.read_bytes()
    start = range(12_288, len(whole), 1 << 18)[place]
    torn = whole[: start + 70_000] + b"\x01" * 100_000 + whole[start + 170_000 :]

    for state in (whole, whole, torn, torn, whole, torn, whole, whole, torn, torn, torn, whole):
        store.path.write_bytes(state)
        clock.now += timedelta(seconds=1)
        copy = published.publish(published.draft(), clock())
        assert filecmp.cmp(copy.path, store.path, shallow=False)


def test_what_a_killed_process_has_committed_is_in_the_copy(home, store, child):
    store.copy("looking")
    writer = child(COMMON + DIES_BEFORE_THE_CLOSE, home)
    assert writer.says() == "committed"
    writer.kill()
    with store.reading_copy("looking") as view:
        assert numbers(view.database) == (7, 7, ROWS)


def test_several_publishers_at_once_give_whole_copies(home, store, child):
    publishers = [child(COMMON + COPIES_AND_COMMITS, home) for _ in range(2)]
    for publisher in publishers:
        assert set(publisher.ends().splitlines()) == {f"True {ROWS}"}
    with store.reading_copy("looking") as view:
        assert numbers(view.database) == (20, 20, ROWS)
    assert len(copies(home)) <= 2


@pytest.mark.usefixtures("home")
def test_threads_publish_side_by_side(store):
    seen = []

    def look() -> None:
        with store.reading_copy("looking") as view:
            seen.append(numbers(view.database))

    count_up(store)
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == 4 * [(1, 1, ROWS)]


def test_while_the_store_is_busy_the_copy_before_is_read_and_the_log_says_so(
    home, store, child, caplog
):
    store.copy("looking")
    count_up(store)
    holder = child(COMMON + HOLDS_THE_STORE, home)
    assert holder.says() == "holds"
    impatient = Store(home, clock=store._clock, patience=timedelta(seconds=0.1))
    with impatient.reading_copy("reading crypto candles_1m") as view:
        assert numbers(view.database) == (0, 0, ROWS)
    assert "reading crypto candles_1m: as of 2025-03-01 12:00:00 UTC, because" in caplog.text
    assert f"process {holder.process.pid}" in caplog.text
    published = Published(store.path)
    published.clear()
    with pytest.raises(StoreBusyError, match="held by"):
        impatient.copy("looking")


def test_a_reader_makes_no_store_and_no_folder(tmp_path, clock):
    with pytest.raises(ReadError, match=r"nowhere.market\.duckdb does not exist"):
        market_assets.connect(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(StoreError, match="nothing was stored in this home yet"):
        Store(tmp_path / "empty", clock=clock).copy("looking")
    assert {"read", "connect"} <= set(dir(market_assets))


def test_copies_are_renewed_as_long_as_somebody_asks_for_them(home, store, clock):
    assert store.renew_copy() is None
    assert not (home / "published").exists()
    first = store.copy("looking")
    assert store.renew_copy() == first
    count_up(store)
    assert store.renew_copy() != first
    clock.now += KEPT
    assert store.renew_copy() is None
    assert [path.name for path in (home / "published").iterdir()] == [".lock"]
