"""For how long a vendor wants to be left alone, as a file tells it to all who share it."""

from __future__ import annotations

import logging
import time

import pytest
from filelock import FileLock

from market_assets.sources.transport.hold import Hold


class TestHold:
    def test_a_process_that_waits_already_goes_on_waiting_when_another_is_told_to_wait_longer(
        self, tmp_path
    ):
        mine, other = Hold("mine", tmp_path / "a.hold"), Hold("other", tmp_path / "a.hold")

        other.ask(5)
        assert 4 < mine.left() <= 5
        other.ask(60)
        assert 59 < mine.left() <= 60
        other.ask(1)
        assert 59 < mine.left() <= 60
        assert 59 < Hold("a new one", tmp_path / "a.hold").left() <= 60

    def test_who_only_looks_is_told_the_seconds_and_changes_no_file(self, tmp_path):
        path = tmp_path / "a.hold"
        assert Hold("a", path).noted() == Hold("a", None).noted() == 0
        now = time.time()
        Hold("a", path, clock=lambda: now + 3600).ask(60)
        before = path.read_bytes()
        assert 59 < Hold("b", path).noted() <= 60
        assert path.read_bytes() == before

    def test_without_a_file_it_is_this_clients_own(self):
        mine, other = Hold("mine", None), Hold("other", None)

        mine.ask(5)

        assert mine.left() > 4
        assert other.left() == 0

    @pytest.mark.parametrize("ahead", [3600, 10 * 365 * 86_400])
    def test_a_hold_from_a_clock_that_was_ahead_is_as_long_as_asked_for_and_starts_anew_only_once(
        self, tmp_path, ahead
    ):
        now = 1_700_000_000.0
        path = tmp_path / "a.hold"
        Hold("ahead", path, clock=lambda: now + ahead).ask(60)

        assert 59 < Hold("mine", path, clock=lambda: now).left() <= 60
        # Whoever comes half a minute later, by the right clock, has half of it left.
        assert 29 < Hold("later", path, clock=lambda: now + 30).left() <= 30
        assert Hold("last", path, clock=lambda: now + 61).left() == 0

    def test_a_hold_that_is_over_holds_nobody(self, tmp_path):
        now = 1_700_000_000.0
        Hold("mine", tmp_path / "a.hold", clock=lambda: now).ask(60)

        assert Hold("later", tmp_path / "a.hold", clock=lambda: now + 60).left() == 0

    def test_no_vendor_can_ask_for_ever(self, tmp_path):
        Hold("mine", tmp_path / "a.hold").ask(float("inf"))

        assert Hold("later", tmp_path / "a.hold").left() <= 7 * 86_400

    @pytest.mark.parametrize(
        "text", ["", "{", "[1, 2, 3]", '{"until": "soon"}', '{"until": NaN}', "\0" * 50]
    )
    def test_a_broken_file_is_logged_once_and_holds_nobody_until_the_next_hold_replaces_it(
        self, tmp_path, caplog, text
    ):
        path = tmp_path / "a.hold"
        path.write_text(text)
        mine = Hold("mine", path)

        with caplog.at_level(logging.WARNING):
            assert [mine.left() for _ in range(3)] == [0, 0, 0]
        assert len(caplog.records) == 1
        assert str(path) in caplog.text
        mine.ask(5)
        assert Hold("other", path).left() > 4

    def test_a_file_that_another_keeps_locked_is_logged_and_the_hold_is_ours_alone(
        self, tmp_path, caplog
    ):
        mine = Hold("mine", tmp_path / "a.hold")

        with FileLock(tmp_path / "a.hold.lock"), caplog.at_level(logging.WARNING):
            mine.ask(5)

        assert "other processes will not know" in caplog.text
        assert mine.left() > 3
        assert Hold("other", tmp_path / "a.hold").left() == 0

    def test_to_look_costs_next_to_nothing(self, tmp_path):
        hold = Hold("mine", tmp_path / "a.hold")
        hold.ask(0.001)
        began = time.perf_counter()

        for _ in range(1000):
            hold.left()

        assert time.perf_counter() - began < 0.2
