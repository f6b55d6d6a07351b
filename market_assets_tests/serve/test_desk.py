"""Answers have a validator of their bytes, and are never older than the last commit."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from itertools import count

import pytest
from fastapi import Request

from market_assets.errors import ReadError
from market_assets.serve.desk import AS_OF, Desk, Made, matches, written
from market_assets.serve.flow import Flow
from market_assets_tests.support.serve_ground import HOLE

CANDLES = "/v1/candles?profile=crypto&timeframe=1h&symbols=BTC"


def test_the_same_answer_has_the_same_validator_and_is_not_sent_again(client):
    first = client.get(CANDLES)
    again = client.get(CANDLES)
    unchanged = client.get(CANDLES, headers={"If-None-Match": first.headers["etag"]})

    assert first.content == again.content
    assert first.headers["etag"] == again.headers["etag"]
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers[AS_OF].endswith("Z")


def test_a_healed_partition_is_served_at_once(ground):
    with ground.served() as client:
        before = client.get(CANDLES)
        other = client.get(CANDLES.replace("BTC", "ETH"))
        ground.heal()
        after = client.get(CANDLES, headers={"If-None-Match": before.headers["etag"]})
        unchanged = client.get(
            CANDLES.replace("BTC", "ETH"), headers={"If-None-Match": other.headers["etag"]}
        )

        healed = {row["ts"] for row in after.json()["data"]}
        assert len(healed) == len(before.json()["data"]) + 1
        assert HOLE.strftime("%Y-%m-%dT%H:%M:%SZ") in healed
        # What was committed has changed nothing of it.
        assert unchanged.status_code == 304
        assert client.get("/v1/gaps").json()["total"] == 0


def test_a_row_that_was_removed_by_hand_is_not_served_either(ground):
    with ground.served() as client:
        count = len(client.get(CANDLES).json()["data"])
        with ground.store.writing("by hand") as transaction:
            transaction.connection.execute(
                "DELETE FROM crypto.candles_1h WHERE symbol = 'BTC' AND close = 168"
            )
        assert len(client.get(CANDLES).json()["data"]) == count - 1


@pytest.mark.parametrize(
    ("validators", "same"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False)],
)
def test_validators_are_compared_as_http_has_it(validators, same):
    assert matches('"a"', validators) is same


def test_a_document_has_no_word_that_json_lacks():
    assert written({"a": float("nan"), "b": (1, None)}) == b'{"a": null, "b": [1, null]}'


def test_too_many_rows_are_refused_before_one_is_sent(ground):
    with ground.served("max_rows: 100") as client:
        answer = client.get(CANDLES.replace("&symbols=BTC", ""))
        assert (answer.status_code, answer.json()["key"]) == (422, "limit")
        assert client.get(f"{CANDLES}&limit=100").status_code == 200


def test_of_requests_that_ask_the_same_at_once_one_makes_the_answer(ground):
    universe = ground.universe()
    desk = Desk(universe, ground.home, clock=ground.clock)
    makings: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    may_go_on, has_begun = threading.Event(), asyncio.Event()

    def make(_view) -> Made:
        makings.append("once")
        loops[0].call_soon_threadsafe(has_begun.set)
        may_go_on.wait(30)
        return Made(iter([b"{}"]))

    def request() -> Request:
        scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
        return Request(scope)

    async def ask() -> list[bytes]:
        loops.append(asyncio.get_running_loop())
        asking = [asyncio.create_task(desk.answer(request(), "asking", make)) for _ in range(10)]
        await has_begun.wait()
        may_go_on.set()
        return [answer.body for answer in await asyncio.gather(*asking)]

    assert asyncio.run(ask()) == [b"{}"] * 10
    assert makings == ["once"]
    desk.close()


def test_an_answer_that_fails_is_asked_for_by_the_next_one_itself(ground):
    desk = Desk(ground.universe(), ground.home, clock=ground.clock)
    makings: list[int] = []

    def make(_view) -> Made:
        makings.append(len(makings))
        if len(makings) == 1:
            raise ReadError("it cannot be had", key="limit")
        return Made(iter([b"{}"]))

    def request() -> Request:
        scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
        return Request(scope)

    async def ask() -> list[object]:
        asking = [desk.answer(request(), "asking", make) for _ in range(3)]
        return await asyncio.gather(*asking, return_exceptions=True)

    answers = asyncio.run(ask())
    assert [isinstance(answer, ReadError) for answer in answers] == [True, False, False]
    assert len(makings) == 2
    desk.close()


def asking(desk: Desk, make, number: int) -> list[object]:
    """What requests for the same at the same time are answered."""
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}

    async def ask() -> list[object]:
        requests = [desk.answer(Request(scope), "asking", make) for _ in range(number)]
        return await asyncio.gather(*requests, return_exceptions=True)

    answers = asyncio.run(ask())
    desk.close()
    return answers


def test_equal_requests_for_what_streams_do_not_queue_behind_each_other(ground):
    desk = Desk(ground.universe(), ground.home, clock=ground.clock)
    # The others pass only where they are made side by side.
    side_by_side = threading.Barrier(3)
    makings: list[None] = []

    def make(_view) -> Made:
        makings.append(None)
        if len(makings) > 2:
            side_by_side.wait(20)
        return Made(iter([bytes(1_000_001)]))

    answers = asking(desk, make, 5)
    assert [type(answer) for answer in answers] == [Flow] * 5
    assert len(makings) == 5


def test_an_answer_that_is_over_before_it_is_made_is_made_twice_at_most(ground):
    minutes = count()
    desk = Desk(
        ground.universe(),
        ground.home,
        clock=lambda: HOLE + timedelta(days=300, minutes=next(minutes)),
    )
    makings: list[None] = []

    async def ask() -> list[object]:
        scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
        requests = [
            desk.short(Request(scope), "asking", lambda _view: makings.append(None))
            for _ in range(10)
        ]
        return await asyncio.gather(*requests)

    answers = asyncio.run(ask())
    desk.close()
    assert [answer.body for answer in answers] == [b"null"] * 10
    assert len(makings) == 2
