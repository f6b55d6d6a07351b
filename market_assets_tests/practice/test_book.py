"""A market's candles as Binance writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl
import pytest

from market_assets.market.timeframes import TS
from market_assets.practice.book import Market
from market_assets.practice.vendor import PracticeVendor
from market_assets_tests.support.practice_answers import opens

NOW = datetime(2024, 6, 1, 12, 0, 30, tzinfo=UTC)
START = datetime(2024, 1, 2, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)


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


def test_a_vendor_of_its_latest_bars_serves_so_many_with_the_open_one_and_nothing_older():
    with PracticeVendor(Market(kind="crypto", latest_only=720), lambda: NOW) as vendor:
        page = {"symbol": "BTC", "interval": "1m", "limit": 1000}
        with httpx.Client(base_url=vendor.url, trust_env=False) as client:
            latest = client.get("/api/v3/klines", params=page).json()
            older = client.get("/api/v3/klines", params=page | {"endTime": latest[0][0] - 1}).json()
    assert (len(latest), older) == (720, [])
    assert latest[-1][0] == int(NOW.timestamp() // 60) * 60_000
