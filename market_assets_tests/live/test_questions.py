"""When REST is asked for which symbols, and which bars wait for its answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

import pytest

from market_assets.config.settings import UpdateSettings
from market_assets.live.catch_up import CaughtUp
from market_assets.live.choice import Choice
from market_assets.live.pump import Gathered
from market_assets.live.questions import Questions
from market_assets.live.states import SymbolStreams
from market_assets.market.datasets import Dataset
from market_assets.stream.health import Health
from market_assets_tests.support.manual_timer import ManualTimer

NOW = datetime(2025, 3, 1, 12, 0, 30, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BOTH = frozenset({"BTC", "ETH"})


class Rest:
    """What stands in for the catch-up, and for the pool: it answers when a test says so."""

    def __init__(self) -> None:
        self.asked: list[frozenset[str]] = []
        self.begins: list[dict[str, datetime | None]] = []
        self._answer: Future[CaughtUp] = Future()

    def submit(self, _ask: object, last_bars: dict[str, object], _now: datetime) -> Future:
        self.asked.append(frozenset(last_bars))
        self.begins.append(last_bars)
        self._answer = Future()
        return self._answer

    def ask(self) -> None:
        """Only named."""

    def answer(self, **answer: object) -> None:
        self._answer.set_result(CaughtUp(self.asked[-1], **answer))


class Ground:
    """Questions over two symbols, and a clock."""

    def __init__(self) -> None:
        choice = Choice(symbols={"vendor": {"btc": "BTC", "eth": "ETH"}})
        self.streams = SymbolStreams(Dataset.labelled("crypto", "1m"), choice, NOW, str)
        self.rest = Rest()
        self.timer = ManualTimer(NOW)
        self.questions = Questions(self.rest, UpdateSettings(), MINUTE, self.timer)

    def pass_time(self, time: timedelta) -> None:
        asyncio.run(self.timer.advance(time.total_seconds()))

    def put(self, after: timedelta = timedelta()) -> list[frozenset[str]]:
        """Let a time pass and put what is due; what was put then."""
        self.pass_time(after)
        before = len(self.rest.asked)
        self.questions.put(self.rest, self.streams, lambda: None)
        return self.rest.asked[before:]

    def answered(self, **answer: object) -> CaughtUp | None:
        self.rest.answer(**answer)
        return self.questions.answer(self.streams)


@pytest.fixture
def ground() -> Ground:
    return Ground()


def test_all_that_is_due_is_asked_at_once_and_one_question_after_the_other(ground):
    ground.questions.add(["BTC", "ETH"])

    assert ground.put() == [BOTH]
    ground.questions.add(["BTC"])
    assert ground.put(MINUTE) == []
    ground.answered()
    assert ground.put() == [{"BTC"}]


def test_what_is_not_due_waits(ground):
    ground.questions.add(["BTC"], 10 * SECOND)

    assert ground.put(9 * SECOND) == []
    assert ground.put(SECOND) == [{"BTC"}]


def test_a_symbol_that_is_served_anew_is_held_until_there_is_an_answer(ground):
    ground.questions.hold(["BTC"])
    ground.put()
    assert ground.questions.held == {"BTC"}

    ground.pass_time(SECOND)
    ground.answered(newest={"BTC": NOW - MINUTE})

    assert ground.questions.held == set()
    assert ground.streams["BTC"].released_at == NOW + SECOND
    assert ground.streams["BTC"].last_bar == NOW - MINUTE
    assert ground.questions.answered == {"BTC": NOW}


def test_one_that_was_connected_once_more_meanwhile_stays_held(ground):
    ground.questions.hold(["BTC"])
    ground.put()
    ground.questions.hold(["BTC"])

    ground.answered()

    assert ground.questions.held == {"BTC"}
    assert ground.put() == [{"BTC"}]


def test_a_bar_that_closed_just_before_is_asked_for_once_more_when_it_is_settled(ground):
    ground.pass_time(32 * SECOND)
    ground.questions.hold(["BTC"])
    ground.put()
    ground.answered()

    assert ground.put(9 * SECOND) == []
    assert ground.put(SECOND) == [{"BTC"}]


def test_what_rest_does_not_give_is_asked_for_again_after_waits_that_double(ground):
    ground.questions = Questions(ground.rest, UpdateSettings(recheck=0), MINUTE, ground.timer)
    ground.questions.add(["BTC"])
    assert ground.put() == [{"BTC"}]

    for wait in (30, 60, 120, 240, 300, 300):
        ground.answered(lacking=frozenset({"BTC"}))
        assert ground.put((wait - 1) * SECOND) == []
        assert ground.put(SECOND) == [{"BTC"}]


def test_a_symbol_that_no_stream_serves_is_asked_for_as_often_as_updates_would(ground):
    refused = Gathered(health=Health(refused={"eth": "no"}))
    ground.questions.add(ground.streams.hear("vendor", refused, NOW))
    assert ground.put() == [{"ETH"}]

    ground.answered()

    assert ground.put(59 * SECOND) == []
    assert ground.put(SECOND) == [{"ETH"}]


def test_it_waits_no_longer_than_an_update_for_what_rest_did_not_give(ground):
    refused = Gathered(health=Health(refused={"eth": "no"}))
    ground.questions.add(ground.streams.hear("vendor", refused, NOW))
    assert ground.put() == [{"ETH"}]

    for wait in (30, 60, 60, 60):
        ground.answered(lacking=frozenset({"ETH"}))
        assert ground.put((wait - 1) * SECOND) == []
        assert ground.put(SECOND) == [{"ETH"}]


def test_what_rest_gave_is_compared_with_it_once_more_when_the_vendor_may_have_revised_it(ground):
    last_bar = ground.streams["BTC"].last_bar = NOW - 30 * MINUTE
    ground.questions.hold(["BTC"])
    ground.put()
    ground.answered(newest={"BTC": NOW - MINUTE})

    recheck = UpdateSettings().recheck * MINUTE
    assert ground.put(recheck - SECOND) == []
    assert ground.put(SECOND) == [{"BTC"}]
    assert ground.rest.begins[-1] == {"BTC": last_bar}

    ground.answered()
    assert ground.put(10 * recheck) == []


def test_a_question_in_between_is_compared_from_the_oldest_bar_on(ground):
    first = ground.streams["BTC"].last_bar = NOW - 30 * MINUTE
    ground.questions.add(["BTC"])
    ground.put()
    ground.answered(newest={"BTC": NOW - MINUTE})
    ground.questions.add(["BTC"])
    ground.put()
    ground.answered()

    assert ground.put(UpdateSettings().recheck * MINUTE) == [{"BTC"}]
    assert ground.rest.begins[-1] == {"BTC": first}


def test_without_recheck_nothing_is_compared_once_more(ground):
    ground.questions = Questions(ground.rest, UpdateSettings(recheck=0), MINUTE, ground.timer)
    ground.questions.add(["BTC"])
    ground.put()
    ground.answered()

    assert ground.put(60 * MINUTE) == []


def test_there_is_no_answer_before_one_was_given(ground):
    assert ground.questions.answer(ground.streams) is None
    ground.questions.add(["BTC"])
    ground.put()
    assert ground.questions.answer(ground.streams) is None


@pytest.mark.parametrize("change", [-timedelta(days=365), timedelta(days=365)])
def test_a_clock_that_is_set_moves_no_question(ground, change):
    ground.questions.add(["BTC"])
    ground.put()
    ground.answered(lacking=frozenset({"BTC"}))

    ground.timer.set(change)

    assert ground.put(29 * SECOND) == []
    assert ground.put(SECOND) == [{"BTC"}]
