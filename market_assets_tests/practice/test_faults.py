"""What can go wrong at a vendor, on demand."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from market_assets.practice.faults import Fault
from market_assets_tests.support.practice_answers import opens

NOW = datetime(2024, 6, 1, 12, 0, 30, tzinfo=UTC)
START = datetime(2024, 1, 2, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)

FOURTH: dict[str, Any] = {
    "start": START + timedelta(minutes=3),
    "end": START + timedelta(minutes=4),
}
"""The window of the fourth bar."""


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
        vendor.set_faults([Fault(fault="revision", **FOURTH)])
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
        vendor.set_faults([Fault(fault=fault, **FOURTH)])

        assert [place for place, row in enumerate(klines().json()) if seen(row)] == [3]

    def test_bars_are_doubled(self, vendor, klines):
        vendor.set_faults([Fault(fault="duplicate", **FOURTH)])

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
