"""A signal asks a session to end, a second one ends it at once, and afterwards all is as before."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress

import pytest

from market_assets.live.stopping import stopping

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_asks_for_the_end_and_is_remembered(number):
    with stopping("ended at once") as stop:
        before = (stop.event.is_set(), stop.number)
        signal.raise_signal(number)

        assert before == (False, None)
        assert stop.event.is_set()
        assert stop.number == number


def test_a_second_signal_ends_at_once_with_the_words_of_the_session():
    with stopping("ended at once") as stop:
        signal.raise_signal(signal.SIGTERM)

        with pytest.raises(KeyboardInterrupt, match="ended at once"):
            signal.raise_signal(signal.SIGINT)
        assert stop.number == signal.SIGTERM


def test_the_handlers_are_those_of_before_also_after_an_error():
    before = [signal.getsignal(number) for number in NUMBERS]

    with suppress(ValueError), stopping("ended at once") as stop:
        assert [signal.getsignal(number) for number in NUMBERS] == [stop.ask, stop.ask]
        raise ValueError("broken")

    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_in_another_thread_than_the_main_one_no_signal_is_taken():
    before = [signal.getsignal(number) for number in NUMBERS]
    during = []

    def session() -> None:
        with stopping("ended at once"):
            during.extend(signal.getsignal(number) for number in NUMBERS)

    thread = threading.Thread(target=session)
    thread.start()
    thread.join()

    assert during == before
