"""A long answer is made while it is read: whole for who reads it, and given up for who does not."""

from __future__ import annotations

import io
import json
import socket
import threading
from urllib.parse import urlsplit

import polars as pl
import pytest

ROWS = 400_000
QUERY = "profile=crypto&timeframe=1h"


@pytest.fixture(scope="module")
def long(filled):
    ground = filled
    with ground.store.writing("many candles") as transaction:
        transaction.connection.execute(
            f"""
            INSERT INTO crypto.candles_1h (symbol, ts, open, high, low, close, volume, source)
            SELECT CASE i % 2 WHEN 0 THEN 'BTC' ELSE 'ETH' END,
                TIMESTAMP '1980-01-01' + INTERVAL 1 HOUR * (i // 2), i, i, i, i, i, 'practice'
            FROM range({ROWS}) r(i)
            """
        )
    return ground


@pytest.fixture(scope="module")
def client(long):
    with long.served("max_time: 30s") as client:
        yield client


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "arrow"])
def test_all_rows_arrive_in_their_order(client, form):
    answer = client.get(f"/v1/candles?{QUERY}&format={form}&to=2020-01-01")
    read = {
        "json": lambda body: pl.DataFrame(json.load(body)["data"]),
        "csv": pl.read_csv,
        "parquet": pl.read_parquet,
        "arrow": pl.read_ipc_stream,
    }
    rows = read[form](io.BytesIO(answer.content))

    # They are sent without a length: nobody knows it before the last one is made.
    assert "content-length" not in answer.headers
    assert len(rows) == ROWS
    assert rows["close"].is_sorted()
    assert set(rows["symbol"]) == {"BTC", "ETH"}


def test_a_commit_while_it_is_read_changes_nothing_in_it(client, long):
    with client.stream("GET", f"/v1/candles?{QUERY}&format=arrow&to=2020-01-01") as answer:
        pieces = answer.iter_raw(10_000)
        body = [next(pieces)]
        with long.store.writing("in between") as transaction:
            transaction.connection.execute("UPDATE crypto.candles_1h SET volume = -1")
        body += pieces
    rows = pl.read_ipc_stream(io.BytesIO(b"".join(body)))

    assert len(rows) == ROWS
    assert rows["volume"].min() >= 0


def test_readers_who_leave_or_stop_reading_hold_nothing_up(client):
    address = urlsplit(str(client.base_url))
    question = f"GET /v1/candles?{QUERY}&format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    lines = []
    for _ in range(6):
        line = socket.create_connection((address.hostname, address.port), timeout=30)
        line.sendall(question)
        assert line.recv(12) == b"HTTP/1.1 200"
        lines.append(line)
    # Nobody of them reads on, and others are answered.
    assert client.get("/v1/status").status_code == 200
    for line in lines:
        line.close()
    for _ in range(4):
        with client.stream("GET", f"/v1/candles?{QUERY}&format=arrow") as answer:
            assert answer.status_code == 200


def test_too_many_long_answers_at_a_time_are_told_to_come_back(client):
    address = urlsplit(str(client.base_url))
    question = f"GET /v1/candles?{QUERY}&format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    lines, statuses = [], []
    for _ in range(18):
        line = socket.create_connection((address.hostname, address.port), timeout=30)
        line.sendall(question)
        statuses.append(line.recv(12))
        lines.append(line)
    for line in lines:
        line.close()

    assert statuses.count(b"HTTP/1.1 503") == 2


def test_a_reader_who_is_too_slow_is_left(long):
    with long.served("max_time: 1s") as client:
        address = urlsplit(str(client.base_url))
        with socket.create_connection((address.hostname, address.port), timeout=30) as line:
            line.sendall(
                f"GET /v1/candles?{QUERY}&format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            threading.Event().wait(2.5)
            answer, pieces = b"", 0
            try:
                while piece := line.recv(1 << 20):
                    answer, pieces = piece[-16:], pieces + len(piece)
            except OSError:
                answer = b""
        # The last chunk, which would say that it is whole, was never sent.
        assert not answer.endswith(b"0\r\n\r\n")


def test_a_window_of_years_without_bars_has_no_rows(client):
    answer = client.get(f"/v1/candles?{QUERY}&from=2003-01-01&to=2024-01-01")

    assert answer.json()["data"] == []
