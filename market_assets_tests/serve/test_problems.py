"""Whatever is asked for, a fault is a document with its key and the next step, and never a 500."""

from __future__ import annotations

import logging

import pytest

from market_assets.errors import (
    CalendarError,
    PlatformError,
    ReadError,
    ServeError,
    StoreBusyError,
    StoreError,
)
from market_assets.serve.problems import MEDIA_TYPE, Problem, note_fault, problem_of

HOSTILE = [
    "'; DROP TABLE crypto.candles_1h; --",
    '" OR 1=1',
    "../../../../etc/passwd",
    "%00",
    "BTC%0d%0aSet-Cookie:x",
    "\N{PILE OF POO}" * 20,
    "1e999",
    "NaN",
    "-1",
    "${HOME}",
    "{{7*7}}",
    "a" * 9_000,
]
PARAMETERS = {
    "candles": (
        "profile", "timeframe", "symbols", "columns", "from", "to", "as_of", "limit", "cursor",
        "adjusted", "quality", "format", "nonsense",
    ),
    "candles/latest": ("profile", "timeframe", "symbols", "columns", "format"),
    "gaps": ("profile", "symbols", "explained", "limit"),
    "gaps/explain": ("profile", "symbol", "ts", "timeframe"),
    "jobs": ("limit", "since"),
    "alerts": ("all",),
    "status": ("profile",),
}  # fmt: skip
USUAL = {
    "candles": {"profile": "crypto", "timeframe": "1h"},
    "candles/latest": {"profile": "crypto", "timeframe": "1h"},
    "gaps/explain": {"profile": "crypto", "symbol": "BTC", "ts": "2025-02-05T03:00Z"},
}


@pytest.mark.parametrize("route", PARAMETERS)
def test_whatever_stands_in_a_parameter_gets_a_typed_answer(client, filled, route):
    before = filled.store.stamp()
    for name in PARAMETERS[route]:
        for text in HOSTILE:
            answer = client.get(f"/v1/{route}", params={**USUAL.get(route, {}), name: text})
            assert answer.status_code in {404, 409, 422}, (name, text, answer.text)
            assert answer.headers["content-type"] == MEDIA_TYPE
            problem = answer.json()
            assert problem["status"] == answer.status_code
            assert problem["key"] in {name, None}
            assert len(answer.content) < 4_000
    assert filled.store.stamp() == before


@pytest.mark.parametrize(
    ("query", "status", "key"),
    [
        ("profile=crypt&timeframe=1h", 404, "profile"),
        ("profile=crypto&timeframe=1d", 404, "timeframe"),
        ("profile=crypto&timeframe=9h", 422, "timeframe"),
        ("profile=crypto&timeframe=1h&symbols=BTCX", 404, "symbols"),
        ("profile=crypto&timeframe=1h&columns=clsoe", 404, "columns"),
        ("profile=crypto&timeframe=1h&from=2025-02-30", 422, "from"),
        ("profile=crypto&timeframe=1h&from=2025-02-05&to=2025-02-04", 409, "to"),
        ("profile=crypto&timeframe=1h&adjusted=true", 404, "adjusted"),
        ("profile=crypto&timeframe=1h&cursor=AAAA", 404, "cursor"),
        ("timeframe=1h", 422, "profile"),
    ],
)
def test_a_problem_names_its_key_and_the_next_step(client, query, status, key):
    answer = client.get(f"/v1/candles?{query}")

    assert (answer.status_code, answer.json()["key"]) == (status, key)
    assert key == "profile" or answer.json()["next"]


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_an_instant_at_the_end_of_time_is_an_instant(client, year):
    for name in ("from", "to", "as_of"):
        params = {**USUAL["candles"], name: year, "limit": 1}
        assert client.get("/v1/candles", params=params).status_code in {200, 409}


def test_no_path_of_the_machine_is_told(client, filled):
    answer = client.get("/v1/features?profile=equity&timeframe=1d")

    assert answer.status_code == 404
    assert "holds nothing yet" in answer.text
    assert str(filled.home) not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ReadError("x", absent=True), 404),
        (ReadError("x"), 422),
        (CalendarError("x"), 404),
        (StoreBusyError("x"), 503),
        (StoreError("x"), 503),
        (PlatformError("x"), 503),
        (ServeError("x", busy=True), 503),
        (ServeError("x"), 422),
    ],
)
def test_errors_of_the_package_have_their_status(error, status):
    assert problem_of(error).status == status


def test_half_a_surrogate_pair_can_be_written():
    body = Problem(422, "x", "half \ud800", "from").response().body
    assert b"half" in body


def test_a_fault_is_told_to_the_log_alone_and_without_secrets(caplog):
    with caplog.at_level(logging.ERROR):
        note_fault(
            ValueError("the word is tell-nobody"),
            "/x",
            lambda text: text.replace("tell-nobody", "*"),
        )
    assert "tell-nobody" not in caplog.text
    assert "ValueError" in caplog.text
