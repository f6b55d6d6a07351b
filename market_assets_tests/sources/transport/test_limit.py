"""What a vendor allows, between real processes that share a file or a server."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from market_assets.errors import SourceError
from market_assets.practice.book import Market
from market_assets.practice.quotas import Quota
from market_assets.practice.vendor import PracticeVendor
from market_assets.sources.counting import ANY_STRETCH, Counting
from market_assets.sources.transport.limit import Allowance, FileLimit
from market_assets_tests.support import virtual_time
from market_assets_tests.support.counting_vendor import NOON, CountingVendor, ask_all
from market_assets_tests.support.limits import Place, client
from market_assets_tests.support.servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


KEY = "tell-nobody-4711"

CLIENT = """
import asyncio, json, sys, time
from pathlib import Path
from urllib.parse import parse_qsl
from market_assets.errors import SourceError
from market_assets.sources.contract import Usage
from market_assets.sources.counting import Counting
from market_assets.sources.transport.http import HttpClient, HttpSettings

async def ask(settings, folder, counting, count, name):
    usage = Usage()
    path, _, query = name.partition("?")
    params = dict(parse_qsl(query))
    async with HttpClient(
        "mine",
        HttpSettings.model_validate(settings),
        usage,
        base=Path(folder),
        counting=Counting(**counting),
    ) as client:
        began = time.monotonic()
        try:
            await asyncio.gather(
                *(client.get(path, params, about="a page", parse=bytes) for _ in range(count))
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
        self.counting: dict[str, object] = {}

    def read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def tell(self, count: int, name: str = "/") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps([self.shared, self.folder, self.counting, count, name]) + "\n"
        )
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
            asker.folder, asker.counting = str(tmp_path), {}
            asker.shared = {"base_url": url, "backoff": 0, **place.settings, **settings}
            asker.shared["headers"] = {"X-Key": KEY}
        return processes[:count]

    return give


def most_within(times: list[float], seconds: float) -> int:
    """The most arrivals in any window of so many seconds."""
    times = sorted(times)
    return max(bisect_right(times, first + seconds) - place for place, first in enumerate(times))


MINUTES = Counting(clock=60, header="x-mbx-used-weight-1m")


class Day:
    """Four processes that ask a vendor as much as it allows, for some minutes of virtual time.

    Args:
        folder: Where their limit's file lies.
        quota: What the vendor allows; they are told the same.
        counting: How they are told that it counts.
        minutes: For how long they ask.
        reserve: The share that none of them may use.
        foreign: What another program uses in each minute besides.
        vendor: More of the vendor.
    """

    def __init__(
        self,
        folder: Path,
        quota: Quota,
        counting: Counting,
        *,
        minutes: float = 3,
        reserve: float = 0.2,
        foreign: int = 0,
        **vendor: Any,
    ) -> None:
        self._folder = folder
        self._quota = quota
        self._foreign = foreign
        self._until = 60 * minutes
        unit = {1: "s", 60: "m"}[quota.seconds]
        self._allowance = Allowance(f"{quota.most}/{unit}", counting, reserve)
        self._vendor = vendor

    def run(self) -> CountingVendor:
        """Let the time pass; gives the vendor with what it has counted."""
        return virtual_time.run(self._run)

    async def _run(self, clock: Callable[[], float]) -> CountingVendor:
        vendor = CountingVendor([self._quota], clock, **self._vendor)
        limits = [
            FileLimit(
                "mine", self._allowance, self._folder / "a.sqlite", clock=lambda: NOON + clock()
            )
            for _ in range(4)
        ]
        for limit in limits:
            limit.open()
        await asyncio.gather(
            self._use(vendor, clock),
            *(
                ask_all(limit, vendor, clock, weight=2, until=self._until)
                for limit in limits
                for _ in range(16)
            ),
        )
        for limit in limits:
            limit.close()
        return vendor

    async def _use(self, vendor: CountingVendor, clock: Callable[[], float]) -> None:
        """What another program does, which knows nothing of ours."""
        while self._foreign and clock() < self._until:
            await asyncio.sleep(60 - vendor.now() % 60 + 0.5)
            vendor.charge(self._foreign)


class TestWhatTheVendorCounts:
    @pytest.mark.parametrize("ahead", [0.0, 0.4, -0.9, 7.3, -31.0, 3600.5])
    def test_fixed_minutes_are_used_up_and_never_exceeded_whatever_the_clocks_say(
        self, tmp_path, ahead
    ):
        quota = Quota(most=1200, seconds=60)

        vendor = Day(tmp_path, quota, MINUTES, ahead=ahead).run()

        assert vendor.till.refusals == 0
        first = 60 * ((vendor.now() - 181) // 60 + 2)
        for begin in (first, first + 60):
            if begin + 60 <= vendor.now():
                assert vendor.used(60, begin) >= 0.95 * 1200

    @pytest.mark.parametrize("latency", [(0.001, 0.01), (0.2, 3.0)])
    def test_requests_that_are_long_on_their_way_are_counted_where_they_may_arrive(
        self, tmp_path, latency
    ):
        quota = Quota(most=1200, seconds=60)

        vendor = Day(tmp_path, quota, MINUTES, latency=latency, header=False).run()

        assert vendor.till.refusals == 0
        assert len(vendor.times) >= 0.9 * 3 * 1200

    @pytest.mark.parametrize(("most", "seconds"), [(1200, 60), (40, 1)])
    @pytest.mark.parametrize("latency", [(0.001, 0.01), (0.05, 1.0)])
    def test_any_stretch_of_time_is_used_up_and_never_exceeded(
        self, tmp_path, most, seconds, latency
    ):
        quota = Quota(most=most, seconds=seconds, window="sliding")

        vendor = Day(tmp_path, quota, ANY_STRETCH, reserve=0, latency=latency).run()

        assert vendor.till.refusals == 0
        if latency[1] < seconds / 20:
            assert len(vendor.times) >= 0.95 * 3 * 60 / seconds * most

    def test_what_another_program_uses_is_believed(self, tmp_path):
        quota = Quota(most=1200, seconds=60)

        vendor = Day(tmp_path, quota, MINUTES, foreign=500).run()

        assert vendor.till.refusals == 0
        assert len(vendor.times) >= 0.85 * 3 * 1200

    @pytest.mark.parametrize("counting", [MINUTES, ANY_STRETCH])
    def test_an_update_need_not_wait_while_a_backfill_uses_all_that_it_may(
        self, tmp_path, counting
    ):
        waits: list[float] = []

        def limit_of(clock: Callable[[], float]) -> FileLimit:
            return FileLimit(
                "mine",
                Allowance("1200/m", counting, 0.2),
                tmp_path / "a.sqlite",
                clock=lambda: NOON + clock(),
            )

        async def update(clock: Callable[[], float], vendor: CountingVendor) -> None:
            limit = limit_of(clock)
            limit.open()
            limit.urgent = True
            while clock() < 170:
                began = clock()
                permit = await limit.permit(2)
                waits.append(clock() - began)
                await vendor.ask(2)
                limit.done(permit)
                await asyncio.sleep(1)
            limit.close()

        async def both(clock: Callable[[], float]) -> CountingVendor:
            window = "fixed" if counting.clock else "sliding"
            vendor = CountingVendor([Quota(most=1200, seconds=60, window=window)], clock)
            backfill = limit_of(clock)
            backfill.open()
            await asyncio.gather(
                update(clock, vendor),
                *(ask_all(backfill, vendor, clock, weight=2, until=170) for _ in range(16)),
            )
            backfill.close()
            return vendor

        vendor = virtual_time.run(both)

        assert vendor.till.refusals == 0
        assert len(waits) > 100
        # At most the last tenth of a minute, in which a backfill may have what is left.
        assert max(waits) < (7 if counting.clock else 0.5)

    def test_a_whole_window_but_the_reserve_may_be_used_at_once(self):
        async def ask(clock: Callable[[], float]) -> float:
            limit = FileLimit(
                "mine", Allowance("6000/m", MINUTES, 0.2), None, clock=lambda: NOON + 5 + clock()
            )
            limit.open()
            for _ in range(2109):
                limit.done(await limit.permit(2))
            return clock()

        assert virtual_time.run(ask) < 0.01

    @pytest.mark.parametrize(
        ("headers", "is_heard"),
        [
            ({}, True),
            ({"age": "30"}, False),
            ({"date": "yesterday"}, False),
            ({"x-mbx-used-weight-1m": "many"}, False),
        ],
    )
    def test_a_count_is_believed_if_it_is_certain_which_minute_it_is_of(self, headers, is_heard):
        usual = {"date": "Tue, 14 Nov 2023 12:00:30 GMT", "x-mbx-used-weight-1m": "1199"}

        async def ask(clock: Callable[[], float]) -> float:
            limit = FileLimit(
                "mine", Allowance("1200/m", MINUTES), None, clock=lambda: NOON + 30 + clock()
            )
            limit.open()
            limit.hear(usual | headers, NOON + 30)
            await limit.permit(2)
            return clock()

        assert (virtual_time.run(ask) > 1) == is_heard

    def test_a_count_of_a_minutes_first_second_may_be_of_the_one_before(self):
        async def ask(clock: Callable[[], float]) -> float:
            limit = FileLimit(
                "mine", Allowance("1200/m", MINUTES), None, clock=lambda: NOON + 53.9 + clock()
            )
            limit.open()
            limit.hear({"date": "Tue, 14 Nov 2023 12:00:59 GMT"}, NOON + 53.9)
            await asyncio.sleep(1.2)
            late = {"date": "Tue, 14 Nov 2023 12:01:00 GMT", "x-mbx-used-weight-1m": "1199"}
            limit.hear(late, NOON + 55.1)
            await limit.permit(2)
            return clock()

        assert virtual_time.run(ask) < 2

    def test_raw_requests_are_counted_beside_weights(self):
        counting = Counting(clock=60, requests=(10, 300))

        async def ask(clock: Callable[[], float]) -> float:
            limit = FileLimit(
                "mine", Allowance("6000/m", counting), None, clock=lambda: NOON + clock()
            )
            limit.open()
            for _ in range(11):
                limit.done(await limit.permit(2))
            return clock()

        assert virtual_time.run(ask) == pytest.approx(300, abs=2)


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
        assert place.count(tmp_path, server.url) == 160
        # However busy the machine is: what may still be on its way counts.
        assert most_within(server.times, 1) <= 40
        # Ten go at once, the others forty a second; on a busy machine they may be held up, but not
        # all the time.
        assert 150 / (max(server.times) - min(server.times)) >= 0.6 * 40

    @everywhere
    @pytest.mark.parametrize(("window", "clock"), [("fixed", 1), ("sliding", None)])
    def test_a_vendor_that_counts_refuses_none_of_four_processes(self, askers, window, clock):
        quota = Quota(most=40, seconds=1, window=window, unit="requests")
        page = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1"

        with PracticeVendor(Market(kind="crypto", quotas=[quota])) as vendor:
            four = askers(4, vendor.url, rate="40/s")
            for asker in four:
                asker.counting = {"clock": clock}
                asker.tell(1, page)
                asker.answer()
            for asker in four:
                asker.tell(50, page)
            answers = [asker.answer() for asker in four]

        assert not any(answer["said"] for answer in answers)
        assert vendor.till.refusals == 0
        assert sum(answer["requests"] for answer in answers) == 200

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
            ahead = FileLimit("ahead", Allowance("2/m"), path, clock=lambda: time.time() + 3600)
            limit = FileLimit("mine", Allowance("2/m"), path)
            ahead.open()
            for _ in range(2):
                ahead.done(await ahead.permit())
            ahead.close()
            limit.open()
            try:
                return (await asyncio.wait_for(limit.permit(), 5)).waits
            finally:
                limit.close()

        assert asyncio.run(ask()) < 5

    def test_a_source_with_a_shorter_period_leaves_the_counts_of_the_others(self, tmp_path):
        async def ask(clock: Callable[[], float]) -> float:
            minute, second = (
                FileLimit("mine", Allowance(rate), tmp_path / "vendor.sqlite", clock=clock)
                for rate in ("2/m", "9/s")
            )
            for limit in (minute, second):
                limit.open()
            for _ in range(2):
                minute.done(await minute.permit())
            await asyncio.sleep(30)
            second.done(await second.permit())
            await minute.permit()
            for limit in (minute, second):
                limit.close()
            return clock()

        assert virtual_time.run(ask) == pytest.approx(60, abs=0.1)

    def test_a_request_that_is_never_answered_counts_until_its_time_is_over(self):
        async def ask(clock: Callable[[], float]) -> float:
            limit = FileLimit("mine", Allowance("1/s", longest=30), None, clock=clock)
            limit.open()
            await limit.permit()
            await limit.permit()
            return clock()

        assert virtual_time.run(ask) == pytest.approx(31, abs=0.1)

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
