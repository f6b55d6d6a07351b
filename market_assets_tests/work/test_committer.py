"""What is committed goes on while what was committed is reported, one piece after another."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from market_assets.work.committer import Committer

SOON = 60.0
"""Seconds after which a test would fail that waits for another thread."""


def test_the_next_piece_goes_on_while_the_caller_has_one():
    begun, reported = threading.Event(), threading.Event()

    def second() -> int:
        begun.set()
        assert reported.wait(SOON)
        return 2

    done = []
    with Committer() as committer:
        for number in committer.ahead([lambda: 1, second, lambda: 3]):
            # The second one has begun, and cannot end before the first is reported.
            assert begun.wait(SOON)
            reported.set()
            done.append(number)
    assert done == [1, 2, 3]


def test_not_more_than_one_piece_is_ahead_of_the_caller():
    begun: list[int] = []

    def piece(number: int) -> int:
        begun.append(number)
        return number

    with Committer() as committer:
        numbers = committer.ahead(partial(piece, number) for number in range(5))
        assert next(numbers) == 0
        numbers.close()
    assert set(begun) <= {0, 1}


def test_at_the_end_the_piece_under_way_is_waited_for_and_no_other_is_begun():
    begun, ended, others = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        leaving.wait(SOON)
        ended.set()

    leaving = threading.Event()
    with Committer() as committer:
        committer.begin(first)
        other = committer.begin(lambda: others.append(1))
        other.add_done_callback(lambda _: leaving.set())
        assert begun.wait(SOON)
    assert ended.is_set()
    assert other.cancelled()
    assert others == []
    assert not any("commit" in thread.name for thread in threading.enumerate())


def test_an_exception_is_raised_when_its_turn_has_come():
    def broken() -> int:
        raise LookupError("of the second")

    done = []
    with Committer() as committer, pytest.raises(LookupError, match="of the second"):
        done.extend(committer.ahead([lambda: 1, broken, lambda: 3]))
    assert done == [1]
