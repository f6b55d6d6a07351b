"""One clock for all: the machine's, or a fast one that processes share by their environment."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import market_assets
from market_assets.defs.resources import Clock
from market_assets.errors import ClockError
from market_assets.market.clock import CLOCK_VARIABLE, fast_clock, present, stamped
from market_assets.practice.book import Market
from market_assets.practice.simulate import Instrument
from market_assets.practice.vendor import Vendor

YEAR = "2025-12-01T00:00:00Z@2026-11-30T03:00:00Z*8760"
# The anchor is so far away that what a test takes does not matter.
STANDING = "2025-02-03T12:00:30Z@2000-01-01T00:00:00Z*0.000000001"


def test_a_fast_clock_shows_its_origin_at_the_anchor_and_a_year_an_hour_later() -> None:
    clock = fast_clock(YEAR)
    anchor = datetime(2026, 11, 30, 3, tzinfo=UTC)
    assert clock.at(anchor) == datetime(2025, 12, 1, tzinfo=UTC)
    assert clock.at(anchor + timedelta(hours=1)) == datetime(2026, 12, 1, tzinfo=UTC)
    assert clock.real(datetime(2026, 12, 1, tzinfo=UTC)) == anchor + timedelta(hours=1)
    assert fast_clock("2025-12-01T01:00+01:00@2026-11-30T03:00Z*60").origin == datetime(
        2025, 12, 1, tzinfo=UTC
    )


def test_what_is_stamped_by_the_machine_is_as_old_as_the_fast_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instant = datetime(2025, 12, 15, tzinfo=UTC)
    monkeypatch.delenv(CLOCK_VARIABLE, raising=False)
    assert stamped(instant) == instant
    monkeypatch.setenv(CLOCK_VARIABLE, YEAR)
    assert stamped(instant) == datetime(2026, 11, 30, 3, tzinfo=UTC) + timedelta(days=14) / 8760
    monkeypatch.setenv(CLOCK_VARIABLE, STANDING)
    assert stamped(datetime(2024, 1, 1, tzinfo=UTC)) == datetime.min.replace(tzinfo=UTC)


def test_without_the_variable_it_is_the_machines_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLOCK_VARIABLE, raising=False)
    before = datetime.now(UTC)
    assert before <= present() <= Clock().now() <= datetime.now(UTC)


def test_the_assets_the_vendor_and_other_processes_go_by_the_same_fast_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CLOCK_VARIABLE, STANDING)
    instant = datetime(2025, 2, 3, 12, 0, 30, tzinfo=UTC)
    second = timedelta(seconds=1)
    assert instant <= present() < instant + second
    assert instant <= Clock().now() < instant + second
    assert Clock(fixed="2026-01-01T00:00Z").now() == datetime(2026, 1, 1, tzinfo=UTC)
    program = "from market_assets.market.clock import present; print(present().isoformat())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert instant <= datetime.fromisoformat(done.stdout.strip()) < instant + second

    vendor = Vendor(Market(symbols={"BTCUSDT": Instrument()}))
    assert instant <= vendor._clock() < instant + second


@pytest.mark.parametrize(
    "text",
    [
        "fast",
        "2025-12-01@2026-11-30T03:00:00Z*60",
        "2025-12-01T00:00Z@2026-11-30T03:00*60",
        "2025-13-01T00:00Z@2026-11-30T03:00Z*60",
        "2025-12-01T00:00Z@2026-11-30T03:00Z*0",
        "2025-12-01T00:00Z@2026-11-30T03:00Z*-2",
    ],
)
def test_what_is_no_clock_is_refused_in_one_sentence(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLOCK_VARIABLE, text)
    with pytest.raises(
        ClockError, match=r"MARKET_ASSETS_CLOCK: .* is no clock; write ORIGIN@ANCHOR\*SPEED"
    ):
        present()


def test_the_machines_clock_is_read_in_one_place() -> None:
    package = Path(market_assets.__file__).parent
    reading = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "datetime.now(" in path.read_text()
    ]
    assert reading == ["market/clock.py"]
