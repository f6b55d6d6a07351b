"""Who may ask: a token for all but the health, or only this machine by a name of its own."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from market_assets.serve.problems import MEDIA_TYPE
from market_assets_tests.support.serve_ground import TOKEN

PATHS = ("/v1/status", "/v1/openapi.json", "/v1/ready", "/v1/candles", "/nonsense", "/v1/heat")


@pytest.fixture(scope="module")
def guarded(filled):
    with filled.served('token: "${SERVE_TOKEN}"', environ={"SERVE_TOKEN": TOKEN}) as client:
        yield client


def raw(client, request: bytes) -> bytes:
    """What the server answers to some bytes."""
    address = urlsplit(str(client.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=20) as line:
        answer = b""
        try:
            line.sendall(request)
            while piece := line.recv(65_536):
                answer += piece
        except OSError:
            pass
    return answer


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        "Bearer \xe9\xff",
    ],
)
def test_without_the_token_nothing_is_told(guarded, path, header):
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = guarded.get(path, headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert TOKEN not in answer.text


def test_with_the_token_everything_is_and_the_health_without(guarded):
    headers = {"Authorization": f"bearer {TOKEN}"}

    assert guarded.get("/v1/status", headers=headers).status_code == 200
    assert guarded.get("/health").json() == guarded.get("/v1/health").json()


def test_a_kept_answer_is_not_given_to_a_stranger(guarded):
    path = "/v1/candles?profile=crypto&timeframe=1h&limit=1"
    for _ in range(2):
        assert guarded.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert guarded.get(path).status_code == 401


def test_without_a_token_a_page_of_another_site_is_refused(client):
    for host in ("evil.example", "evil.example:3001", "localhost.evil.example", "[", ""):
        answer = client.get("/v1/status", headers={"Host": host})
        assert answer.status_code == 403, host
        assert answer.json()["key"] == "Host"
    for host in ("localhost:3001", "127.0.0.1", "[::1]:3001"):
        assert client.get("/v1/status", headers={"Host": host}).status_code == 200


def test_without_a_token_nothing_can_be_started(client):
    assert client.post("/v1/backfills", json={"profile": "crypto"}).status_code == 404
    assert "/v1/backfills" not in client.get("/v1/openapi.json").json()["paths"]


def test_a_question_or_a_body_that_is_too_long_is_refused(client, guarded):
    assert client.get(f"/v1/status?profile={'a' * 40_000}").status_code == 414
    answer = guarded.post(
        "/v1/backfills", headers={"Authorization": f"Bearer {TOKEN}"}, content=b" " * 70_000
    )
    assert answer.status_code == 413

    def endless():
        for _ in range(100):
            yield b" " * 1_000

    answer = guarded.post(
        "/v1/backfills", headers={"Authorization": f"Bearer {TOKEN}"}, content=endless()
    )
    assert answer.status_code == 413


def test_a_query_of_ten_megabytes_is_cut_off(client):
    answer = raw(client, b"GET /v1/status?profile=" + b"a" * 10_000_000)
    # The line is closed while it still sends: what was said before that may be lost.
    assert not answer or answer.startswith(b"HTTP/1.1 400")
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "request_line", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n"]
)
def test_what_is_no_http_is_refused(client, request_line):
    answer = raw(client, request_line)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))


def test_more_requests_than_are_answered_at_a_time_are_told_to_come_back(filled):
    with filled.served("max_requests: 1") as client:
        address = urlsplit(str(client.base_url))
        lines = [http.client.HTTPConnection(address.hostname, address.port) for _ in range(20)]
        for line in lines:
            line.request("GET", "/v1/symbols")
        answers = [line.getresponse() for line in lines]
        statuses = {answer.status for answer in answers}
        assert statuses <= {200, 503}
        assert 200 in statuses
        for answer in answers:
            if answer.status == 503:
                assert answer.headers["Retry-After"] == "1"
            answer.read()


def test_a_thousand_connections_are_held(client):
    address = urlsplit(str(client.base_url))
    lines = []
    try:
        for _ in range(1000):
            line = socket.create_connection((address.hostname, address.port), timeout=20)
            lines.append(line)
        with httpx.Client(base_url=client.base_url, trust_env=False) as other:
            assert other.get("/v1/status").status_code == 200
    finally:
        for line in lines:
            line.close()
