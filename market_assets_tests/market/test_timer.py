"""Waiting in the time that the clock shows."""

from __future__ import annotations

import asyncio
import time

import pytest

from market_assets.market.clock import CLOCK_VARIABLE, machine, speed
from market_assets.market.timer import PresentTimer


def test_without_a_fast_clock_a_second_is_a_second(monkeypatch):
    monkeypatch.delenv(CLOCK_VARIABLE, raising=False)

    assert speed() == 1
    assert abs((PresentTimer().now() - machine()).total_seconds()) < 5


def test_a_wait_is_shorter_where_the_clock_runs_fast(monkeypatch):
    monkeypatch.setenv(CLOCK_VARIABLE, "2025-12-01T00:00:00Z@2026-11-30T03:00:00Z*36000")
    timer = PresentTimer()
    began, shown = time.monotonic(), timer.now()

    asyncio.run(timer.sleep(360))

    assert (timer.now() - shown).total_seconds() >= 300
    assert time.monotonic() - began < 60
    assert speed() == 36_000


def test_seconds_run_as_fast_as_the_clock_and_go_by_no_time_of_day(monkeypatch):
    text = "2025-12-01T00:00:00Z@2026-11-30T03:00:00Z*{}"
    monkeypatch.setenv(CLOCK_VARIABLE, text.format(36000))
    timer = PresentTimer()
    began = timer.seconds()

    # The same speed over another day: as a clock that is set back.
    monkeypatch.setenv(CLOCK_VARIABLE, text.format(36000).replace("12-01", "01-01"))
    asyncio.run(timer.sleep(360))

    assert 300 <= timer.seconds() - began < 36_000 * 60


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_wait_that_is_over_is_none(seconds):
    asyncio.run(PresentTimer().sleep(seconds))
