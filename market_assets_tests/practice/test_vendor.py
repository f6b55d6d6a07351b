"""The practice vendor over HTTP.

It has Binance's format and words, the faults, the log, and data from a folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import polars as pl
import pytest
from pydantic import ValidationError

from market_assets.market.timeframes import TS
from market_assets.practice.book import Market
from market_assets.practice.faults import Fault
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import PracticeVendor

NOW = datetime(2024, 6, 1, 12, 0, 30, tzinfo=UTC)
START = datetime(2024, 1, 2, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)


@pytest.fixture(scope="module")
def clock():
    return [NOW]


@pytest.fixture(scope="module")
def running(clock):
    symbols = {
        "BTCUSDT": Instrument(price=60_000),
        "SPY": Instrument(kind="equity"),
        "LATE": Instrument(genesis=START),
    }
    with PracticeVendor(Market(symbols=symbols), lambda: clock[0]) as vendor:
        yield vendor


@pytest.fixture
def vendor(running, clock):
    clock[0] = NOW
    running.set_faults([])
    running.log.clear()
    return running


@pytest.fixture(scope="module")
def client(running):
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        yield client


@pytest.fixture
def klines(vendor, client):
    def klines(**changed: object) -> httpx.Response:
        query = {
            "symbol": "BTCUSDT",
            "interval": "1m",
            "startTime": START_MS,
            "endTime": START_MS + 99 * 60_000,
            "limit": 1000,
        }
        return client.get(
            f"{vendor.url}/api/v3/klines",
            params={name: value for name, value in (query | changed).items() if value is not None},
        )

    return klines


def opens(response: httpx.Response) -> list[int]:
    return [(row[0] - START_MS) // 60_000 for row in response.json()]


class TestFormat:
    def test_a_row_has_binances_twelve_elements(self, klines, shared):
        recorded = json.loads(
            (shared / "wire" / "binance" / "api_v3_klines__BTCUSDT_1m_02.json").read_text()
        )[0]
        response = klines()

        assert response.headers["content-type"] == "application/json"
        for row in response.json():
            assert [type(element) for element in row] == [type(element) for element in recorded]
            assert all(float(element) >= 0 for element in row)
            assert row[6] == row[0] + 59_999
            assert "e" not in "".join(str(element) for element in row)

    def test_every_answer_says_that_it_is_simulated(self, klines, client):
        answers = [
            klines(),
            klines(symbol="NOPE"),
            client.get("/api/v3/ping"),
            client.get("/practice/log"),
        ]

        assert {answer.headers["x-simulated"] for answer in answers} == {"true"}

    def test_bounds_are_inclusive_and_rows_ascend(self, klines):
        assert opens(klines()) == list(range(100))
        assert opens(klines(endTime=START_MS + 99 * 60_000 - 1)) == list(range(99))
        assert opens(klines(startTime=START_MS + 1)) == list(range(1, 100))
        assert opens(klines(endTime=START_MS - 1)) == []

    def test_no_more_than_1000_rows_come_whatever_is_asked_for_and_500_where_nothing_is(
        self, klines
    ):
        assert opens(klines(endTime=START_MS + 10**9, limit=5000)) == list(range(1000))
        assert opens(klines(endTime=START_MS + 10**9, limit=None)) == list(range(500))

    def test_without_a_start_the_latest_rows_come(self, klines):
        assert opens(klines(startTime=None, limit=10)) == list(range(90, 100))

    def test_the_bar_that_is_open_comes_last_and_is_revised_when_it_closes(self, klines, clock):
        minute = int(NOW.timestamp()) // 60 * 60_000
        (open_bar,) = klines(startTime=minute, endTime=minute + 10 * 60_000).json()
        clock[0] = NOW + timedelta(minutes=1)
        closed, next_bar = klines(startTime=minute, endTime=minute + 10 * 60_000).json()

        assert open_bar[0] == closed[0] == next_bar[0] - 60_000
        assert float(open_bar[5]) < float(closed[5])

    def test_the_first_bar_is_had_with_a_start_of_zero(self, klines):
        assert opens(klines(symbol="LATE", startTime=0, endTime=None, limit=1)) == [0]
        assert opens(klines(symbol="LATE", startTime=0, endTime=START_MS - 1)) == []

    def test_a_page_crosses_nights_and_weekends(self, klines):
        rows = klines(symbol="SPY", endTime=START_MS + 10 * 86_400_000).json()

        assert len(rows) == 1000
        assert {row[0] % 86_400_000 // 60_000 for row in rows} == set(range(14 * 60 + 30, 21 * 60))

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"symbol": "NOPE"}, -1121),
            ({"symbol": None}, -1102),
            ({"interval": "7m"}, -1120),
            ({"interval": None}, -1120),
            ({"startTime": "yesterday"}, -1100),
            ({"endTime": "-1"}, -1100),
            ({"limit": "9" * 99}, -1100),
        ],
    )
    def test_a_wrong_request_is_refused_with_binances_code(self, klines, changed, code):
        response = klines(**changed)

        assert response.status_code == 400
        assert response.json()["code"] == code
        assert response.json()["msg"]

    def test_ping_answers(self, client):
        assert client.get("/api/v3/ping").json() == {}

    def test_a_path_in_place_of_a_symbol_finds_nothing(self, klines):
        assert klines(symbol="../../etc/passwd").json()["code"] == -1121


class TestLog:
    def test_it_tells_what_was_asked_for(self, vendor, klines, client):
        vendor.set_faults([Fault(fault="delay", seconds=0)])
        klines()
        klines(symbol="NOPE")

        first, second = client.get("/practice/log").json()
        assert first == {
            "symbol": "BTCUSDT",
            "interval": "1m",
            "startTime": str(START_MS),
            "endTime": str(START_MS + 99 * 60_000),
            "limit": "1000",
            "status": 200,
            "faults": ["delay"],
        }
        assert (second["symbol"], second["status"]) == ("NOPE", 400)
        assert list(vendor.log) == [first, second]


class TestFaults:
    def test_they_can_be_replaced_while_it_runs(self, klines, client):
        assert (
            client.post("/practice/faults", json=[{"fault": "error", "status": 502}]).status_code
            == 200
        )
        assert klines().status_code == 502
        assert client.post("/practice/faults", json=[]).status_code == 200
        assert klines().status_code == 200

    def test_nonsense_is_refused_and_changes_nothing(self, vendor, klines, client):
        vendor.set_faults([Fault(fault="error", status=502)])

        assert client.post("/practice/faults", json=[{"fault": "gremlins"}]).status_code == 422
        assert klines().status_code == 502

    def test_a_hole_has_no_rows(self, vendor, klines):
        vendor.set_faults(
            [
                Fault(
                    fault="hole",
                    start=START + timedelta(minutes=10),
                    end=START + timedelta(minutes=20),
                )
            ]
        )

        assert opens(klines()) == [*range(10), *range(20, 100)]
        assert opens(klines()) == [*range(10), *range(20, 100)]

    def test_a_hole_heals_after_so_many_asks(self, vendor, klines):
        vendor.set_faults(
            [Fault(fault="hole", start=START, end=START + timedelta(minutes=20), times=2)]
        )

        assert [len(klines().json()) for _ in range(3)] == [80, 80, 100]

    def test_a_hole_heals_at_a_given_time(self, vendor, klines, clock):
        vendor.set_faults(
            [
                Fault(
                    fault="hole",
                    start=START,
                    end=START + timedelta(minutes=20),
                    ends_at=NOW + timedelta(hours=1),
                )
            ]
        )

        assert len(klines().json()) == 80
        clock[0] = NOW + timedelta(hours=1)
        assert len(klines().json()) == 100

    def test_bars_of_a_cycle_come_late_and_are_right_from_then_on_in_whatever_process(
        self, vendor, klines, clock
    ):
        """The second and third minute of each ten come four minutes late."""
        late = Fault(fault="hole", cycle=600, phase=60, lasts=120, heals_after=240)
        for minute, absent in ((3, [1, 2]), (4.9, [1, 2]), (5.1, [2]), (6.1, []), (13, [11, 12])):
            clock[0] = START + timedelta(minutes=minute)
            vendor.set_faults([late])  # as a process that has just begun

            assert sorted(set(range(int(minute) + 1)) - set(opens(klines()))) == absent

    def test_a_bar_that_is_revised_later_is_wrong_until_then_however_often_it_is_asked_for(
        self, vendor, klines, clock
    ):
        vendor.set_faults([Fault(fault="revision", cycle=600, heals_after=150)])
        seen = []
        for seconds in (90, 140, 151, 200):
            clock[0] = START + timedelta(seconds=seconds)
            seen.append(klines(endTime=START_MS).json()[0][5])

        assert seen[:2] == ["1", "1"]
        assert seen[2] == seen[3] != "1"

    def test_requests_for_young_bars_are_refused_in_their_part_of_the_cycle(
        self, vendor, klines, clock
    ):
        vendor.set_faults(
            [Fault(fault="error", cycle=600, phase=300, lasts=60, heals_after=120, status=500)]
        )
        statuses = {}
        for minute in (4.9, 5.0, 5.9, 6.0, 15.5):
            clock[0] = START + timedelta(minutes=minute)
            old = klines(endTime=START_MS + 60_000).status_code
            statuses[minute] = (klines().status_code, old)

        assert statuses == {
            4.9: (200, 200),
            5.0: (500, 200),
            5.9: (500, 200),
            6.0: (200, 200),
            15.5: (500, 200),
        }

    def test_a_fault_that_lasts_longer_than_its_cycle_is_refused(self):
        with pytest.raises(
            ValidationError, match="phase 30 and lasts 60 reach beyond the cycle of 80 seconds"
        ):
            Fault(fault="hole", cycle=80, phase=30, lasts=60)

    def test_drawn_holes_are_where_the_seed_puts_them_whatever_is_asked_for(self, vendor, klines):
        vendor.set_faults([Fault(fault="hole", every=10, bars=5)])
        whole = opens(klines(endTime=START_MS + 999 * 60_000))
        parts = [
            minute
            for first in range(0, 1000, 100)
            for minute in opens(
                klines(
                    startTime=START_MS + first * 60_000, endTime=START_MS + (first + 99) * 60_000
                )
            )
        ]

        assert whole == parts
        assert 700 < len(whole) < 990
        missing = sorted(set(range(1000)) - set(whole))
        assert all(minute // 5 * 5 + step in missing for minute in missing for step in range(5))

    def test_a_revision_comes_right_at_the_second_ask(self, vendor, klines):
        truth = klines().json()
        vendor.set_faults(
            [
                Fault(
                    fault="revision",
                    start=START + timedelta(minutes=3),
                    end=START + timedelta(minutes=4),
                )
            ]
        )
        first, second = klines().json(), klines().json()

        assert [place for place in range(100) if first[place] != truth[place]] == [3]
        assert second == truth

    @pytest.mark.parametrize(
        ("fault", "seen"),
        [
            ("nan", lambda row: row[1:5] == ["NaN"] * 4),
            ("null", lambda row: row[1:5] == [None] * 4),
            ("negative", lambda row: float(row[4]) < 0),
            ("zero", lambda row: float(row[4]) == 0),
            ("inverted", lambda row: float(row[2]) < float(row[3])),
            ("off_grid", lambda row: row[0] % 60_000 == 1000),
        ],
    )
    def test_single_bars_are_spoilt(self, vendor, klines, fault, seen):
        vendor.set_faults(
            [
                Fault(
                    fault=fault,
                    start=START + timedelta(minutes=3),
                    end=START + timedelta(minutes=4),
                )
            ]
        )

        assert [place for place, row in enumerate(klines().json()) if seen(row)] == [3]

    def test_bars_are_doubled(self, vendor, klines):
        vendor.set_faults(
            [
                Fault(
                    fault="duplicate",
                    start=START + timedelta(minutes=3),
                    end=START + timedelta(minutes=4),
                )
            ]
        )

        assert opens(klines()) == [0, 1, 2, 3, 3, *range(4, 100)]

    def test_several_faults_add_up(self, vendor, klines):
        window = {"start": START, "end": START + timedelta(minutes=2)}
        vendor.set_faults(
            [
                Fault(fault="duplicate", **window),
                Fault(fault="zero", **window),
                Fault(fault="short", rows=5),
            ]
        )
        rows = klines().json()

        assert [row[1] == "0" for row in rows] == [True, True, True, True, False]

    def test_pages_are_short_backwards_too_wide_or_those_before(self, vendor, klines):
        vendor.set_faults([Fault(fault="short", rows=7)])
        assert opens(klines()) == list(range(7))
        vendor.set_faults([Fault(fault="unsorted")])
        assert opens(klines()) == list(range(99, -1, -1))
        vendor.set_faults([Fault(fault="outside", bars=2)])
        assert opens(klines(endTime=START_MS + 9 * 60_000)) == list(range(-2, 12))
        vendor.set_faults([])
        klines(endTime=START_MS + 4 * 60_000)
        vendor.set_faults([Fault(fault="repeat")])
        assert opens(klines(startTime=START_MS + 5 * 60_000)) == list(range(5))

    def test_every_nth_request_is_struck_and_so_often(self, vendor, klines):
        vendor.set_faults([Fault(fault="error", status=429, every=3, times=2)])

        assert [klines().status_code for _ in range(10)] == [
            200,
            200,
            429,
            200,
            200,
            429,
            200,
            200,
            200,
            200,
        ]

    def test_only_the_symbols_and_the_windows_that_are_named_are_struck(self, vendor, klines):
        vendor.set_faults(
            [
                Fault(fault="error", symbols=["SPY"]),
                Fault(fault="error", start=START + timedelta(days=1)),
            ]
        )

        assert klines().status_code == 200
        assert klines(symbol="SPY").status_code == 503
        assert klines(endTime=START_MS + 86_400_000).status_code == 503

    def test_a_refusal_asks_for_patience_in_seconds_or_by_a_date(self, vendor, klines):
        vendor.set_faults([Fault(fault="error", status=429, code=-1003, retry_after=30)])
        assert klines().headers["retry-after"] == "30"
        vendor.set_faults(
            [Fault(fault="error", status=418, code=-1003, retry_after=30, http_date=True)]
        )
        assert parsedate_to_datetime(klines().headers["retry-after"]) == NOW + timedelta(seconds=30)

    def test_bodies_are_not_what_they_should_be(self, vendor, klines, client):
        vendor.set_faults([Fault(fault="html")])
        assert klines().text.startswith("<html>")
        vendor.set_faults([Fault(fault="truncated")])
        with pytest.raises(json.JSONDecodeError):
            klines().json()
        vendor.set_faults([Fault(fault="redirect")])
        assert klines().status_code == 302
        vendor.set_faults([Fault(fault="huge", size=3_000_000)])
        assert len(klines().content) == 3_000_000
        vendor.set_faults([Fault(fault="error", status=200, code=-1121)])
        assert klines().json()["code"] == -1121
        vendor.set_faults([Fault(fault="cut")])
        with pytest.raises(httpx.RemoteProtocolError):
            klines()
        vendor.set_faults([Fault(fault="drip", seconds=0.001)])
        with client.stream(
            "GET", "/api/v3/klines", params={"symbol": "BTCUSDT", "interval": "1m", "limit": 1}
        ) as response:
            assert next(response.iter_raw()) == b"["

    def test_a_slow_answer_does_not_keep_others_waiting(self, vendor, klines):
        vendor.set_faults([Fault(fault="delay", seconds=0.5, symbols=["SPY"])])
        slow = threading.Thread(target=klines, kwargs={"symbol": "SPY"})
        began = time.monotonic()
        slow.start()
        klines()
        between = time.monotonic() - began
        slow.join()

        assert between < 0.4
        assert time.monotonic() - began >= 0.5

    @pytest.mark.parametrize(
        "wrong",
        [
            {"fault": "hole", "every": 0},
            {"fault": "hole", "start": "2024-01-01"},
            {"fault": "hole", "evry": 2},
        ],
    )
    def test_a_fault_that_makes_no_sense_is_refused(self, wrong):
        with pytest.raises(ValidationError):
            Fault.model_validate(wrong)


class TestFolder:
    def test_the_candles_of_a_folder_are_served_to_the_last_bit(self, tmp_path):
        # A frame's times bear no zone.
        first, last = datetime(2024, 1, 2), datetime(2024, 1, 2, 0, 4)  # noqa: DTZ001
        times = pl.datetime_range(first, last, "1m", eager=True, time_unit="us")
        numbers = pl.Series([0.1 + 0.2, 1e-7, 123456.789012345, 1 / 3, 2.5e11])
        frame = pl.DataFrame(
            {"ts": times.cast(TS), **dict.fromkeys(("open", "high", "low", "close"), numbers)}
        )
        frame.with_columns(volume=pl.Series([1.5, None, 0.0, 2.0, 3.0])).write_parquet(
            tmp_path / "EURUSD__1m.parquet"
        )
        frame.with_columns(volume=1.0).write_csv(tmp_path / "GBPUSD__5m.csv")
        with (
            PracticeVendor(Market(data=tmp_path), lambda: NOW) as vendor,
            httpx.Client(base_url=vendor.url, trust_env=False) as client,
        ):
            rows = client.get(
                "/api/v3/klines", params={"symbol": "EURUSD", "interval": "1m", "startTime": 0}
            ).json()

            assert [row[0] for row in rows] == [START_MS + 60_000 * minute for minute in range(5)]
            assert [float(row[4]).hex() for row in rows] == [number.hex() for number in numbers]
            assert [row[5] for row in rows] == ["1.5", "null", "0.0", "2.0", "3.0"]
            query = {"symbol": "GBPUSD", "interval": "5m", "startTime": 0}
            assert len(client.get("/api/v3/klines", params=query).json()) == 5
            assert client.get("/api/v3/klines", params=query | {"interval": "1m"}).json() == []
            assert (
                client.get("/api/v3/klines", params=query | {"symbol": "USDJPY"}).json()["code"]
                == -1121
            )


class TestRunning:
    def test_two_vendors_of_one_seed_serve_the_same(self):
        query = {"symbol": "ANY", "interval": "1m", "startTime": START_MS, "limit": 50}
        bodies = []
        for seed in (5, 5, 6):
            with PracticeVendor(Market(seed=seed, kind="futures"), lambda: NOW) as vendor:
                bodies.append(
                    httpx.get(f"{vendor.url}/api/v3/klines", params=query, trust_env=False).content
                )

        assert bodies[0] == bodies[1] != bodies[2]

    def test_it_stops_at_once_also_while_it_answers(self):
        with PracticeVendor(
            Market(kind="crypto", faults=[Fault(fault="drip", seconds=60)])
        ) as vendor:
            stream = httpx.stream(
                "GET",
                f"{vendor.url}/api/v3/klines",
                params={"symbol": "A", "interval": "1m"},
                trust_env=False,
            )
            with stream as response:
                next(response.iter_raw())
                began = time.monotonic()
                vendor.stop()

        assert time.monotonic() - began < 1
        with pytest.raises(httpx.ConnectError):
            httpx.get(vendor.url, trust_env=False)

    def test_as_a_process_it_says_where_it_is_and_ends_when_told_to(self):
        code = (
            "from market_assets.practice.book import Market\n"
            "from market_assets.practice.vendor import serve\n"
        )
        code += "serve(Market(kind='crypto'), announce=lambda url: print(url, flush=True))"
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        ) as process:
            url = process.stdout.readline().strip()
            answer = httpx.get(f"{url}/api/v3/ping", trust_env=False)
            process.terminate()
            process.wait(5)

        assert answer.json() == {}


def test_a_vendor_of_its_latest_bars_serves_so_many_with_the_open_one_and_nothing_older():
    with PracticeVendor(Market(kind="crypto", latest_only=720), lambda: NOW) as vendor:
        page = {"symbol": "BTC", "interval": "1m", "limit": 1000}
        with httpx.Client(base_url=vendor.url, trust_env=False) as client:
            latest = client.get("/api/v3/klines", params=page).json()
            older = client.get("/api/v3/klines", params=page | {"endTime": latest[0][0] - 1}).json()
    assert (len(latest), older) == (720, [])
    assert latest[-1][0] == int(NOW.timestamp() // 60) * 60_000
