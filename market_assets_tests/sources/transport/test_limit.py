"""What a vendor allows, between real processes that share a file or a server."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from market_assets.errors import SourceError
from market_assets.sources.transport.limit import Hold, Limit, rates_of
from market_assets_tests.support.limits import Place, client
from market_assets_tests.support.servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


KEY = "tell-nobody-4711"

CLIENT = """
import asyncio, json, sys, time
from pathlib import Path
from market_assets.errors import SourceError
from market_assets.sources.contract import Usage
from market_assets.sources.transport.http import HttpClient, HttpSettings

async def ask(settings, folder, count, name):
    usage = Usage()
    async with HttpClient(
        "mine", HttpSettings.model_validate(settings), usage, base=Path(folder)
    ) as client:
        began = time.monotonic()
        try:
            await asyncio.gather(
                *(client.get(name, {}, about="a page", parse=bytes) for _ in range(count))
            )
            said = ""
        except SourceError as error:
            said = str(error)
        return {
            "seconds": time.monotonic() - began,
            "waits": usage.waits,
            "requests": usage.requests,
            "said": said
        }

print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(asyncio.run(ask(*json.loads(line)))), flush=True)
"""


class Asker:
    """A process that asks a server so many times when it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.shared: dict[str, object] = {}
        self.folder = ""

    def read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def tell(self, count: int, name: str = "/") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([self.shared, self.folder, count, name]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        return json.loads(self.read())

    def end(self) -> None:
        self._process.communicate(timeout=10)


everywhere = pytest.mark.parametrize("place", ["file", *SERVERS], indirect=True)


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Asker]]:
    """Four processes that wait for orders."""
    started = [Asker() for _ in range(4)]
    for asker in started:
        assert asker.read() == "ready\n"
    yield started
    for asker in started:
        asker.end()


@pytest.fixture
def askers(tmp_path: Path, processes: list[Asker], place: Place) -> Callable[..., list[Asker]]:
    """Give processes that share the limit of one test."""

    def give(count: int, url: str, **settings: object) -> list[Asker]:
        for asker in processes:
            asker.folder = str(tmp_path)
            asker.shared = {"base_url": url, "backoff": 0, **place.settings, **settings}
            asker.shared["headers"] = {"X-Key": KEY}
        return processes[:count]

    return give


def most_within(times: list[float], seconds: float) -> int:
    """The most arrivals in any window of so many seconds."""
    times = sorted(times)
    return max(bisect_right(times, first + seconds) - place for place, first in enumerate(times))


class TestRateOfAllProcesses:
    @everywhere
    def test_four_processes_with_one_key_keep_the_limit_as_the_vendor_counts_it_and_use_it(
        self, serve, reply, askers, tmp_path, place
    ):
        server = serve(reply((200, {}, b"{}")))
        four = askers(4, server.url, rate="40/s")

        for asker in four:
            asker.tell(40)
        answers = [asker.answer() for asker in four]

        assert not any(answer["said"] for answer in answers)
        assert len(server.times) == 160
        let_go = place.let_go(tmp_path, server.url)
        assert len(let_go) == 160
        assert most_within(let_go, 1) <= 41
        # On a busy machine requests arrive later than they were let go, some with those that follow
        # half a second later.
        assert most_within(server.times, 1) <= 60
        assert most_within(server.times, 3) <= 3 * 40 * 1.1
        # Ten go at once, the others forty a second; on a busy machine they may be held up, but not
        # all the time.
        assert most_within(sorted(server.times)[10:], 2) >= 0.9 * 2 * 40
        assert 150 / (max(server.times) - min(server.times)) >= 0.8 * 40

    def test_who_asks_seldom_is_not_kept_waiting_by_who_asks_for_everything(self, serve, askers):
        under_way = threading.Event()
        order: list[str] = []

        async def note(request: bytes, writer: asyncio.StreamWriter) -> None:
            order.append("repair" if b"/repair" in request else "backfill")
            if len(order) == 25:
                under_way.set()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")

        backfill, repair = askers(2, serve(note).url, rate="20/s")

        backfill.tell(90, "/backfill")
        assert under_way.wait(10)
        repair.tell(5, "/repair")
        seconds = repair.answer()["seconds"]
        backfill.answer()

        # Of twenty a second every second one is its own: half a second, and up to another half
        # until the first comes free.
        assert seconds < 2.5
        assert max(place for place, who in enumerate(order) if who == "repair") < 80

    def test_a_minutes_requests_are_spread_over_the_minute(self, serve, reply, tmp_path):
        server = serve(reply((200, {}, b"{}")))

        async def ask() -> None:
            async with client(server.url, tmp_path, rate="150/m") as mine:
                for _ in range(16):
                    await mine.get("/", {}, about="a page", parse=bytes)

        # A tenth of them may go at once, the next ones after a tenth of the minute.
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(ask(), 1))

        assert len(server.requests) == 15

    @given(st.integers(1, 100_000), st.sampled_from(["s", "m", "h"]))
    def test_no_window_allows_more_than_the_rate(self, count, period):
        whole = rates_of(f"{count}/{period}")[-1]

        assert whole.limit == count
        assert all(
            rate.limit / rate.interval <= 1.01 * count / whole.interval
            for rate in rates_of(f"{count}/{period}")
        )
        assert all(rate.limit >= min(count, 10) for rate in rates_of(f"{count}/{period}"))

    def test_a_request_that_weighs_more_uses_up_more(self, serve, reply, tmp_path):
        server = serve(reply((200, {}, b"{}")))

        async def ask() -> float:
            async with client(server.url, tmp_path, rate="6/s") as mine:
                for _ in range(3):
                    await mine.get("/", {}, about="a page", parse=bytes, weight=3)
                return mine.usage.waits

        assert asyncio.run(ask()) > 0.5

    def test_a_request_that_weighs_more_than_the_rate_allows_is_an_error(self, tmp_path):
        async def ask() -> None:
            async with client("http://127.0.0.1:9", tmp_path, rate="2/s") as mine:
                await mine.get("/", {}, about="a page", parse=bytes, weight=3)

        with pytest.raises(SourceError, match="weighs 3, and its rate allows 2") as caught:
            asyncio.run(ask())

        assert caught.value.permanent

    def test_counts_of_a_clock_that_was_ahead_do_not_count(self, tmp_path):
        path = tmp_path / "vendor.sqlite"

        async def ask() -> float:
            limit = Limit("mine", "2/m", path)
            limit.open()
            with sqlite3.connect(path) as connection:
                ahead = int((time.time() + 3600) * 1000)
                connection.executemany("INSERT INTO rate_bucket VALUES ('mine', ?)", [(ahead,)] * 2)
            connection.close()
            limit.close()
            limit.open()
            try:
                return await asyncio.wait_for(limit.permit(), 5)
            finally:
                limit.close()

        assert asyncio.run(ask()) < 5

    def test_a_source_with_a_shorter_period_leaves_the_counts_of_the_others(self, tmp_path):
        minute, second = (
            Limit("mine", rate, tmp_path / "vendor.sqlite") for rate in ("2/m", "9/s")
        )

        async def ask() -> None:
            for limit in (minute, second):
                limit.open()
            for _ in range(2):
                await minute.permit()
            assert second._limiter is not None
            (bucket,) = second._limiter.buckets()
            bucket.leak(int((time.time() + 30) * 1000))
            await asyncio.wait_for(minute.permit(), 0.2)

        with pytest.raises(TimeoutError):
            asyncio.run(ask())
        minute.close()
        second.close()

    def test_a_file_that_is_no_database_is_an_error_that_names_it(self, tmp_path):
        (tmp_path / "vendor.sqlite").write_text(
            "these are not counts, this is a letter to a friend" * 20
        )

        async def ask() -> None:
            async with client(
                "http://127.0.0.1:9", tmp_path, rate="2/s", limiter_path="vendor.sqlite"
            ):
                pass

        with pytest.raises(
            SourceError, match=r"vendor\.sqlite cannot be used: .*; delete it"
        ) as caught:
            asyncio.run(ask())

        assert caught.value.permanent


class TestHoldOfAllProcesses:
    @everywhere
    @pytest.mark.parametrize("status", [429, 418])
    def test_who_is_told_to_wait_makes_all_wait(self, serve, reply, askers, place, status):
        server = serve(reply((status, {"retry-after": "1"}, b""), (200, {}, b"{}")))
        told, other = askers(2, server.url, retries=0)

        told.tell(1)
        assert f"HTTP {status}" in told.answer()["said"]
        other.tell(1)
        answer = other.answer()

        assert answer["said"] == ""
        assert answer["requests"] == 1
        assert 0 < answer["waits"] < 2
        assert server.times[1] - server.times[0] >= 0.95
        assert KEY.encode() not in place.written(Path(other.folder))

    @everywhere
    def test_a_hold_longer_than_a_process_may_wait_is_an_error_in_that_process(
        self, serve, reply, askers
    ):
        server = serve(reply((418, {"retry-after": "3000"}, b"")))
        told, other = askers(2, server.url, rate="5/s")

        told.tell(1)
        told.answer()
        other.tell(3)

        assert re.search(
            r"left alone for another (2999|3000) s \(seen by another process\)",
            other.answer()["said"],
        )
        assert len(server.requests) == 1

    def test_a_process_that_waits_already_goes_on_waiting_when_another_is_told_to_wait_longer(
        self, tmp_path
    ):
        mine, other = Hold("mine", tmp_path / "a.hold"), Hold("other", tmp_path / "a.hold")

        other.ask(5)
        assert 4 < mine.left() <= 5
        other.ask(60)
        assert 59 < mine.left() <= 60
        other.ask(1)
        assert 59 < mine.left() <= 60
        assert 59 < Hold("a new one", tmp_path / "a.hold").left() <= 60

    def test_without_a_file_it_is_this_clients_own(self):
        mine, other = Hold("mine", None), Hold("other", None)

        mine.ask(5)

        assert mine.left() > 4
        assert other.left() == 0

    @pytest.mark.parametrize("ahead", [3600, 10 * 365 * 86_400])
    def test_a_hold_from_a_clock_that_was_ahead_is_as_long_as_asked_for_and_starts_anew_only_once(
        self, tmp_path, ahead
    ):
        now = 1_700_000_000.0
        path = tmp_path / "a.hold"
        Hold("ahead", path, clock=lambda: now + ahead).ask(60)

        assert 59 < Hold("mine", path, clock=lambda: now).left() <= 60
        # Whoever comes half a minute later, by the right clock, has half of it left.
        assert 29 < Hold("later", path, clock=lambda: now + 30).left() <= 30
        assert Hold("last", path, clock=lambda: now + 61).left() == 0

    def test_a_hold_that_is_over_holds_nobody(self, tmp_path):
        now = 1_700_000_000.0
        Hold("mine", tmp_path / "a.hold", clock=lambda: now).ask(60)

        assert Hold("later", tmp_path / "a.hold", clock=lambda: now + 60).left() == 0

    def test_no_vendor_can_ask_for_ever(self, tmp_path):
        Hold("mine", tmp_path / "a.hold").ask(float("inf"))

        assert Hold("later", tmp_path / "a.hold").left() <= 7 * 86_400

    @pytest.mark.parametrize(
        "text", ["", "{", "[1, 2, 3]", '{"until": "soon"}', '{"until": NaN}', "\0" * 50]
    )
    def test_a_broken_file_is_logged_once_and_holds_nobody_until_the_next_hold_replaces_it(
        self, tmp_path, caplog, text
    ):
        path = tmp_path / "a.hold"
        path.write_text(text)
        mine = Hold("mine", path)

        with caplog.at_level(logging.WARNING):
            assert [mine.left() for _ in range(3)] == [0, 0, 0]
        assert len(caplog.records) == 1
        assert str(path) in caplog.text
        mine.ask(5)
        assert Hold("other", path).left() > 4

    def test_a_file_that_another_keeps_locked_is_logged_and_the_hold_is_ours_alone(
        self, tmp_path, caplog
    ):
        mine = Hold("mine", tmp_path / "a.hold")

        with FileLock(tmp_path / "a.hold.lock"), caplog.at_level(logging.WARNING):
            mine.ask(5)

        assert "other processes will not know" in caplog.text
        assert mine.left() > 3
        assert Hold("other", tmp_path / "a.hold").left() == 0

    def test_requests_go_on_while_it_waits_to_write_a_hold_down(self, serve, reply, tmp_path):
        server = serve(reply((429, {"Retry-After": "5"}, b"")))
        gaps = [0.0]

        async def ask() -> None:
            async def look() -> None:
                while True:
                    began = time.monotonic()
                    await asyncio.sleep(0.01)
                    gaps.append(time.monotonic() - began)

            looking = asyncio.create_task(look())
            async with client(server.url, tmp_path, limiter_path="a.sqlite", retries=0) as mine:
                await asyncio.sleep(0)
                with pytest.raises(SourceError, match="HTTP 429"):
                    await mine.get("/", {}, about="a page", parse=bytes)
            await asyncio.sleep(0.05)  # so that it sees the gap that it was in
            looking.cancel()

        with FileLock(tmp_path / "a.sqlite.hold.lock"):
            asyncio.run(ask())

        assert max(gaps) < 0.5

    def test_to_look_costs_next_to_nothing(self, tmp_path):
        hold = Hold("mine", tmp_path / "a.hold")
        hold.ask(0.001)
        began = time.perf_counter()

        for _ in range(1000):
            hold.left()

        assert time.perf_counter() - began < 0.2
