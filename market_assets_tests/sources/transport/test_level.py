"""How many requests go at once: more while answers are quick, fewer when a vendor has trouble."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from market_assets.sources.transport.level import START, Level

events = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), st.floats(0.001, 60)), st.tuples(st.just("refuse"), st.just(0))
    ),
    max_size=400,
)


def answered(level: Level, seconds: float, count: int) -> Level:
    for _ in range(count):
        level.answer(seconds, level.size)
    return level


@given(st.integers(1, 200), events)
def test_it_is_always_between_one_and_the_ceiling(ceiling, events):
    level = Level(ceiling)

    for what, seconds in events:
        if what == "answer":
            level.answer(seconds, level.size)
        else:
            level.refuse(level.size)
        assert 1 <= level.size <= ceiling


@given(st.floats(0.001, 5), st.integers(1, 100))
def test_it_reaches_the_ceiling_in_some_rounds_at_any_latency_while_answers_are_quick(
    seconds, ceiling
):
    assert answered(Level(ceiling), seconds, ceiling).size == ceiling


@given(st.floats(0.001, 5))
def test_a_refusal_halves_it_once_for_all_that_were_in_flight(seconds):
    level = answered(Level(64), seconds, 64)

    for _ in range(64):
        level.refuse(64)

    assert level.size == 32


def test_after_trouble_it_grows_by_its_square_root_a_round():
    level = answered(Level(64), 0.1, 64)
    level.refuse(64)
    answered(level, 0.1, 64)
    before = level.size

    answered(level, 0.1, before)

    assert before < level.size <= before + before**0.5 + 1
    assert answered(level, 0.1, 5000).size == 64


def test_answers_that_take_longer_and_longer_make_it_shrink():
    level = answered(Level(64), 0.05, 64)

    answered(level, 1.0, 200)

    assert level.size < 32


def test_slow_answers_alone_leave_as_many_as_it_began_with_and_refusals_do_not():
    level = answered(Level(64), 0.002, 64)

    for _ in range(500):
        level.answer(0.5, level.size)
        level.answer(0.002, 1)
    assert level.size >= START

    for _ in range(500):
        level.refuse(level.size)
    assert level.size == 1


def test_answers_that_always_take_long_are_the_vendors_usual_ones():
    level = answered(Level(64), 0.05, 64)

    answered(level, 1.0, 10_000)

    assert level.size > 32


def test_it_does_not_grow_while_fewer_are_in_flight_than_may_be():
    level = Level(64)

    for _ in range(100):
        level.answer(0.1, 2)

    assert level.size == START


def test_a_vendor_with_a_queue_is_asked_for_what_it_serves_at_once():
    """Ten at once take 0.1 s; more wait for their turn at the vendor."""
    level = Level(64)

    for _ in range(5000):
        level.answer(0.1 * max(1.0, level.size / 10), level.size)

    assert 10 <= level.size <= 45
