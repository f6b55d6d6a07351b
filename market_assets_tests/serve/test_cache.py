"""An answer is given again as long as nothing was committed, and no longer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from market_assets.serve.cache import Cache, Entry, SharedCache, etag_of, request_key
from market_assets_tests.support.servers import redis_server

NOW = datetime(2025, 3, 1, tzinfo=UTC)


class World:
    """What the store's file looks like, and what time it is."""

    stamp: str | None = "one"
    now = NOW


def entry(body: bytes = b"x", stamp: str = "one", until=None) -> Entry:
    return Entry(stamp, etag_of(body), {"Content-Type": "text/plain"}, body, until)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def cache(world):
    return Cache(10_000, stamp=lambda: world.stamp, clock=lambda: world.now)


def test_after_a_commit_it_is_asked_for_again(cache, world):
    cache.put("a", entry())
    assert cache.get("a") == entry()
    for stamp in ("two", None):
        world.stamp = stamp
        assert cache.get("a") is None


def test_what_changes_with_time_is_given_until_then(cache, world):
    cache.put("a", entry(until=NOW + timedelta(seconds=2)))
    world.now = NOW + timedelta(seconds=1)
    assert cache.get("a")
    world.now = NOW + timedelta(seconds=2)
    assert cache.get("a") is None


def test_it_takes_so_much_memory_and_no_more(cache):
    for number in range(100):
        cache.put(str(number), entry(b"x" * 1_000))
        assert cache.held <= 10_000
    assert cache.get("99")
    assert cache.get("0") is None
    cache.put("large", entry(b"x" * 9_000))
    assert cache.get("large") is None


def test_the_answer_that_was_asked_for_last_stays(cache):
    for name in "abcdef":
        cache.put(name, entry(b"x" * 1_000))
    assert cache.get("a")
    cache.put("g", entry(b"x" * 1_000))
    assert cache.get("a")
    assert cache.get("b") is None


def test_requests_differ_by_path_question_and_form():
    def key(path, query=b"", accept=None):
        headers = [] if accept is None else [(b"accept", accept)]
        return request_key({"path": path, "query_string": query, "headers": headers})

    keys = {key("/a"), key("/b"), key("/a", b"x=1"), key("/a", b"", b"text/csv")}
    assert len(keys) == 4
    # Also where the forms are told at length.
    long = b"text/html, " * 100
    keys = {key("/a", b"", long + b"text/csv"), key("/a", b"", long + b"application/json")}
    assert len(keys) == 2
    assert max(map(len, keys)) == 64


@pytest.fixture(scope="module")
def redis_url():
    with redis_server() as url:
        yield url


def test_servers_share_their_answers_of_one_state_of_one_store(redis_url):
    ours, theirs = SharedCache(redis_url, "u 1"), SharedCache(redis_url, "u 1")
    ours.put("a", entry(b"rows", until=NOW), "store")

    assert theirs.get("a", "one", "store") == entry(b"rows", until=NOW)
    assert theirs.get("a", "two", "store") is None
    assert theirs.get("a", "one", "another") is None
    assert SharedCache(redis_url, "u 2").get("a", "one", "store") is None


def test_a_server_that_is_gone_is_done_without_and_not_told_by_its_address(caplog):
    shared = SharedCache("redis://:secret@127.0.0.1:1/0", "u 1")
    shared.put("a", entry(), "store")

    assert shared.get("a", "one", "store") is None
    assert "answers are not shared" in caplog.text
    assert "secret" not in caplog.text
    assert len(caplog.records) == 1
