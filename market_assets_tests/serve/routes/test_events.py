"""Server-sent events: a commit is told while the answer lasts."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from fastapi import FastAPI, Request

from market_assets.errors import ServeError
from market_assets.serve.desk import Desk
from market_assets.serve.routes.events import Wanted, events
from market_assets_tests.support.serve_ground import TOKEN, ServeGround


def heard(lines) -> tuple[str, dict]:
    """The next event."""
    kind = next(line for line in lines if line.startswith("event: "))
    data = next(lines)
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_the_first_event_comes_at_once_and_another_one_with_each_commit(ground) -> None:
    with (
        ground.served() as client,
        client.stream("GET", "/v1/events", params={"seconds": 30}) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        kind, data = heard(lines)
        assert (kind, data["jobs"]) == ("commit", [])

        ground.heal()

        assert heard(lines)[0] == "commit"


def test_an_answer_ends_by_itself(client) -> None:
    answer = client.get("/v1/events", params={"seconds": 1})

    assert answer.status_code == 200
    assert answer.text.count("event: commit") == 1


def test_listeners_are_bounded_and_leave_when_they_hang_up(ground) -> None:
    with ground.served() as client:
        url = client.base_url
        limits = httpx.Limits(max_connections=40)
        with httpx.Client(base_url=url, limits=limits, trust_env=False, timeout=30) as many:
            streams = [many.stream("GET", "/v1/events") for _ in range(32)]
            for stream in streams:
                assert stream.__enter__().status_code == 200
            refused = many.get("/v1/events")
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
            for stream in streams:
                stream.__exit__(None, None, None)
        # The server notices within a second that they are gone.
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as later:
            for _ in range(100):
                answer = later.get("/v1/events", params={"seconds": 1})
                if answer.status_code == 200:
                    break
            assert answer.status_code == 200


def test_events_want_the_token(ground) -> None:
    with ground.served('token: "${T}"', environ={"T": TOKEN}) as client:
        assert client.get("/v1/events").status_code == 401


class CountingDesk(Desk):
    """A desk that counts what is asked of the store."""

    count = 0

    async def work(self, task, *, is_quick=False):
        self.count += 1
        return await super().work(task, is_quick=is_quick)


def test_a_crowd_that_comes_at_once_is_bounded_and_looks_once(ground) -> None:
    desk = CountingDesk(ground.universe(), ground.home, clock=ground.clock)
    request = Request({"type": "http", "app": FastAPI(), "headers": []})
    wanted = Wanted(seconds=30)

    async def come() -> list[bytes]:
        answers = [await events(request, desk, wanted) for _ in range(32)]
        with pytest.raises(ServeError, match="32 listeners"):
            await events(request, desk, wanted)
        return await asyncio.gather(*(anext(answer.body_iterator) for answer in answers))

    first = asyncio.run(come())
    desk.close()
    assert len(first) == 32
    assert all(event.startswith(b"event: commit") for event in first)
    assert desk.count == 1


def test_a_home_without_a_store_is_told_of_at_once(tmp_path, clock) -> None:
    ground = ServeGround(tmp_path, clock)
    with ground.served() as client:
        answer = client.get("/v1/events", params={"seconds": 1})

    kind, data = heard(iter(answer.text.splitlines()))
    assert kind == "commit"
    assert "nothing was stored" in data["problem"]
